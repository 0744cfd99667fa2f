//! The stand-in Cuebot against a real PostgreSQL: what it writes is what Cuebot writes, and its faults are faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod completions;
mod farm;
mod locks;
mod program;
mod reports;
mod sweeps;
