//! Schedulers at the same time, beside a Cuebot that releases as fast as it can: what they share (frames, hosts, caps) holds
//! because of the database, whoever comes first.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod loops;
mod processes;
