//! The types of scheduler.yaml, and the one way to load it.
//!
//! A render farm's configuration is edited by hand, under pressure, from guides that were not always right. So loading
//! reports every fault at once, each with its place and what would be right; accepts every name and spelling that was
//! ever published; and refuses whatever would make the scheduler panic, or run and silently book nothing.
//!
//! [`Config::load`] puts the layers over one another: defaults, one file, environment, command line. [`Config::from_text`]
//! and [`Config::from_json`] do the same for a value alone. [`keys`] is the table that reader, reports and reference pages
//! share; [`schema`] makes a schema of `OpenAPI` of it, for a Kubernetes resource. Secrets are of type [`Secret`] and appear in no
//! report, no warning and no `Debug`.

mod combinations;
mod finding;
mod key;
mod kind;
mod layers;
mod load;
mod log_filter;
mod model;
mod schema;
mod strategy;
mod suggest;
mod tree;
mod values;

pub use finding::{ConfigErrors, Finding, Place};
pub use key::{IdleKey, Key, idle_keys, keys};
pub use kind::Kind;
pub use load::{Effective, FILE_VARIABLE, HOME_FILES, Loaded, Overrides, Sources};
pub use log_filter::LogFilter;
pub use model::{
    Accounting, Booking, Config, Database, HostCache, LogFormat, Logging, Queue, Rqd, Scheduler, SslMode, Stream,
};
pub use schema::schema;
pub use strategy::{HostBookingStrategy, Strategy, StrategyType, Weights};
pub use suggest::distance;
pub use values::{Bytes, InFlight, Secret};
