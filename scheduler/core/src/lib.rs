//! Everything of cue-scheduler that decides, and nothing that waits.
//!
//! A pass of a pool is decided here: [`snapshot::Snapshot`] says what the pass saw, [`planning::plan`] decides what goes
//! where, and [`reason::Reason`] says why the rest waits. What the database says to it is taken back into the snapshot by
//! [`landing`], so that the rest can be planned anew. No clock, no database, no network and no randomness: what depends on
//! time takes it as an argument. The manifest has no tokio, sqlx or tonic, so the compiler keeps it so.

pub mod assignment;
pub mod cluster;
pub mod domain;
pub mod frame_set;
pub mod host_index;
pub mod landing;
pub mod launch;
pub mod planning;
pub mod reason;
pub mod run_frame;
pub mod slicing;
pub mod snapshot;
#[cfg(test)]
mod test_farm;
