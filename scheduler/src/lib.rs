//! cue-scheduler: books OpenCue's frames onto render hosts.
//!
//! Data goes one way: [`feed`] says whose turn it is, [`snapshot`] reads the pool, the core crate plans, [`booking`] asks the
//! database, [`launch`] tells the agents. [`pass`] is the one place that knows this order. [`accounting`] keeps counters equal to
//! what procs hold.

pub mod accounting;
pub mod app;
pub mod booking;
pub mod check_config;
pub mod cli;
pub mod engine;
pub mod explain;
pub mod feed;
#[cfg(test)]
mod fixtures;
pub mod http;
pub mod launch;
pub mod logging;
pub mod ownership;
pub mod pass;
pub mod reporter;
pub mod sight;
pub mod signals;
pub mod snapshot;
pub mod store;
pub mod takeover;
pub mod tally;
pub mod waitlist;
