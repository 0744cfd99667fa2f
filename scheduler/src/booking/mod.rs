//! Booking: one guarded transaction per chunk. **The database decides**; the plan is a hint.
//!
//! The order of locks is the one that was measured to be free of deadlocks with Cuebot's own paths: frames (skipping what
//! others hold) → limits → `layer_stat` → `job_stat` → proc → host → subscription → `layer_resource` → `job_resource` →
//! `folder_resource` → point, sorted inside each table. Every guard is tested under the lock of its row, and what is refused
//! is a value ([`Refusal`]): the transaction is rolled back, the chunk shrinks by what was refused, and is tried again. A
//! counter that refuses is checked against the sum of its procs first, since in some generations of Cuebot releases don't
//! lower it; where the sum has room, the transaction goes on and leaves the true value behind.
//!
//! [`cut`] makes chunks of a plan; [`book`] books one; `attempt.rs` is one transaction, `limits.rs` and `resources.rs` some of its
//! steps; `ledger.rs` undoes what certainly never ran.

mod attempt;
mod chunk;
mod cut;
mod isolate;
mod ledger;
mod limits;
mod refusal;
mod resources;

use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::domain::id::{FrameId, LayerId};
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
#[derive(Clone, Debug)]
pub struct BookingSettings {
    /// Factors on the layer's memory that the agent is told.
    pub memory_factors: MemoryFactors,
    /// First figure of a proc's used memory, in KB: `queue.mem_reserved_min`.
    pub memory_used_at_start: i64,
    /// Lower the free memory that hosts have reported by what is booked: `host_cache.update_stat_on_book`.
    pub take_reported_memory: bool,
    /// Exit statuses after which a start is no retry, beside Cuebot's own: `booking.uncounted_exit_statuses`.
    pub uncounted_exit_statuses: Vec<i64>,
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
    /// By transaction, the repeated and refused ones too: how long its statements took that wait for what others hold.
    pub lock_waits: Vec<Duration>,
    /// Counters that were found above the sum of their procs, and set right.
    pub healed: u32,
    /// What the database can't book because of what some row holds.
    pub rejected: Vec<Rejected>,
    /// Frames of layers that somebody else holds or has taken.
    pub taken: Vec<(LayerId, Vec<FrameId>)>,
    /// What ended the booking early. What was booked before is booked all the same.
    pub failed: Option<StoreError>,
}

/// What the database can't book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// One frame; others of its layer were booked.
    Frame(FrameId),
    /// Whatever was tried of a layer, and why.
    Layer(LayerId, Arc<str>),
}

impl Booked {
    fn learn(&mut self, found: Found) {
        self.refusals.merge(&found.refusals);
        self.truths.extend(found.truths);
        self.rejected.extend(found.rejected);
        self.taken.extend(found.taken);
    }

    fn reject(&mut self, layer: &LayerId, frames: usize) {
        let mut found = Found::default();
        found.gone(Refusal::Rejected, layer, u32::try_from(frames).unwrap_or(u32::MAX));
        self.learn(found);
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
///
/// Where what some row holds makes the database fail, the rest of the chunk is booked without it. An error means that nothing
/// was booked.
pub async fn book(store: &Store, chunk: Chunk, settings: &BookingSettings) -> Result<Booked, StoreError> {
    let mut booked = Booked::default();
    match isolate::book(store, chunk, settings, &mut booked).await {
        Err(error) if booked.bookings.is_empty() => return Err(error),
        result => booked.failed = result.err(),
    }
    Ok(booked)
}

/// Books a chunk, smaller with each refusal. An error leaves the chunk as it was last tried.
async fn book_whole(
    store: &Store,
    chunk: &mut Chunk,
    settings: &BookingSettings,
    booked: &mut Booked,
) -> Result<(), StoreError> {
    let mut retries = 0;
    let mut attempts = 0;
    while !chunk.slots.is_empty() {
        match attempt(store, chunk, settings, booked).await {
            Ok(Attempt::Committed) => break,
            Ok(Attempt::Refused) => {
                attempts += 1;
                if attempts == ATTEMPTS {
                    booked.give_up(chunk);
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
                    booked.give_up(chunk);
                    break;
                }
                pause(retries).await;
            }
        }
    }
    Ok(())
}
