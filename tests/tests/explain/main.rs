//! `explain`, `plan` and `/api/v1/status` through the real program, on one farm with a job for each situation: what is said
//! fits a terminal and names what is in the way, and the scheduler then does what was said.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod agreement;
mod asking;
mod farm;
mod words;
