//! Several real scheduler processes on one farm: who works on which pools, what happens when one comes, leaves, dies or hangs,
//! and that it does no harm when the sharing itself does not work.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod farm;
mod hand_over;
mod left_behind;
mod pooler;
mod scopes;
mod sharing;
