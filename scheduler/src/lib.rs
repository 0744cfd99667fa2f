//! cue-scheduler: books OpenCue's frames onto render hosts.
//!
//! Data goes one way: [`feed`] says whose turn it is, [`snapshot`] reads the pool, the core crate plans, [`booking`] asks the
//! database, [`launch`] tells the agents. [`pass`] is the one place that knows this order.

pub mod app;
pub mod booking;
pub mod check_config;
pub mod cli;
pub mod engine;
pub mod feed;
pub mod http;
pub mod launch;
pub mod logging;
pub mod pass;
pub mod reporter;
pub mod signals;
pub mod snapshot;
pub mod store;
