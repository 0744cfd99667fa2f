//! The operator against a real API server, with exactly the rights of its chart: admission, garbage collection, roll-outs,
//! replicas of its own. `make test-cluster` runs it; a kubelet is not there, a stand-in makes pods ready.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod admission;
mod chart;
#[path = "../common/mod.rs"]
mod common;
mod control_plane;
mod extensions;
mod guide;
mod life;
mod operator;
mod replicas;
mod rights;
mod scale;
mod silence;
mod spreading;
