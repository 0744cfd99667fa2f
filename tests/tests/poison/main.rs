//! Rows that hold what no row should: the scheduler's own loop over a real PostgreSQL, with one of each poison and healthy work
//! beside it. Whatever a row holds, no pass fails by it and all healthy frames are booked.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod columns;
mod farm;
mod ids;
mod texts;
mod times;
mod vanishing;
mod world;
