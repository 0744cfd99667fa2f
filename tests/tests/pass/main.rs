//! Whole passes against a real PostgreSQL, without agents: what a pass sees, plans and books, and what it does when the
//! database has changed between its reading and its booking.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod farm;
mod hosts;
mod limits;
mod refused;
mod work;
