//! The database that everything else of the project is tested on behaves as OpenCue's does after migration 47: what its
//! triggers do to a row, what they refuse and in which words, and what its one view shows.
//!
//! With `OPENCUE_MIGRATIONS` naming OpenCue's own migrations the same tests run on the original, which is how our schema is held
//! against it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod caps;
mod farm;
mod frames;
mod history;
mod hosts;
mod jobs;
mod shape;
mod view;
