//! Booking: one guarded transaction per chunk. **The database decides**; the plan is a hint.
//!
//! The order of locks is the one that was measured to be free of deadlocks with Cuebot's own paths: frames (skipping what
//! others hold) → limits → `layer_stat` → `job_stat` → proc → host → subscription → `layer_resource` → `job_resource` →
//! `folder_resource` → point, sorted inside each table. Every guard is tested under the lock of its row, and what is refused
//! is a value ([`Refusal`]): the transaction is rolled back, the chunk shrinks by what was refused, and is tried again. A
//! counter that refuses is checked against the sum of its procs first, since in some generations of Cuebot releases don't
//! lower it; where the sum has room, the transaction goes on and leaves the true value behind.
//!
//! [`cut`] makes chunks of a plan; [`book`] books one; `attempt.rs` is one transaction, `resources.rs` its last steps; `ledger.rs` undoes what certainly never ran.

mod attempt;
mod chunk;
mod cut;
mod ledger;
mod refusal;
mod resources;

use cue_scheduler_core::landing::{Landed, Truth};
use cue_scheduler_core::launch::Booking;
use cue_scheduler_core::run_frame::MemoryFactors;

use crate::store::retry::pause;
use crate::store::{Store, StoreError};
use attempt::{Attempt, attempt};
use refusal::Found;

pub use chunk::{Chunk, ChunkHost, ChunkLayer, Slot};
pub use cut::{Cut, Known, Launchable, cut};
pub use ledger::{DatabaseLedger, still_held, undo};
pub use refusal::{Refusal, Refusals};

/// How often a chunk is tried with less and less before the rest of it is left to the next pass.
const ATTEMPTS: u32 = 6;

/// How often a transaction is repeated that lost a deadlock or waited too long for a lock.
const RETRIES: u32 = 5;

/// What booking needs to know from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct BookingSettings {
    /// Factors on the layer's memory that the agent is told.
    pub memory_factors: MemoryFactors,
    /// First figure of a proc's used memory, in KB: `queue.mem_reserved_min`.
    pub memory_used_at_start: i64,
    /// Lower the free memory that hosts have reported by what is booked: `host_cache.update_stat_on_book`.
    pub take_reported_memory: bool,
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub struct Booked {
    /// What is booked and to be launched.
    pub bookings: Vec<Booking>,
    /// The same frames, for the snapshot that the plan was made from.
    pub landed: Vec<Landed>,
    /// What was refused, by cause.
    pub refusals: Refusals,
    /// What is true instead of what the plan believed; empty if nothing was refused.
    pub truths: Vec<Truth>,
    /// Transactions repeated, by SQLSTATE.
    pub retries: Vec<&'static str>,
    /// Counters that were found above the sum of their procs, and set right.
    pub healed: u32,
}

impl Booked {
    fn learn(&mut self, found: Found) {
        self.refusals.merge(&found.refusals);
        self.truths.extend(found.truths);
    }

    fn give_up(&mut self, chunk: &Chunk) {
        let mut found = Found::default();
        for (layer, frames) in chunk.layers.iter().zip(chunk.wanted()) {
            found.gone(Refusal::GivenUp, &layer.id, frames);
        }
        self.learn(found);
    }
}

/// Books as much of a chunk as the database allows.
pub async fn book(store: &Store, mut chunk: Chunk, settings: BookingSettings) -> Result<Booked, StoreError> {
    let mut booked = Booked::default();
    let mut retries = 0;
    let mut attempts = 0;
    while !chunk.slots.is_empty() {
        match attempt(store, &mut chunk, settings, &mut booked).await {
            Ok(Attempt::Committed) => break,
            Ok(Attempt::Refused) => {
                attempts += 1;
                if attempts == ATTEMPTS {
                    booked.give_up(&chunk);
                    break;
                }
            }
            Err(error) => {
                let Some(sqlstate) = error.retryable() else {
                    return Err(error);
                };
                booked.retries.push(sqlstate);
                retries += 1;
                if retries == RETRIES {
                    booked.give_up(&chunk);
                    break;
                }
                pause(retries).await;
            }
        }
    }
    Ok(booked)
}
