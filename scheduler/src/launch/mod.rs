//! Telling agents to run what was booked, and settling what became of it.
//!
//! `docs/launch-protocol.md` says why and how; the decisions are in [`cue_scheduler_core::launch`], this is the part with a
//! clock and a network. [`Launcher::launch`] takes bookings right after their commit and says what the agents answered. What
//! was refused for certain is undone in sets, through the [`Ledger`]. What stays unknown is settled in the background, and
//! [`Launcher::drain`] waits for that.
//!
//! This is the only place that knows tonic.

mod blame;
mod channels;
mod client;
pub mod clock;
mod connection;
mod launcher;
mod message;
mod outcome;
pub mod quarantine;
mod settle;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use cue_scheduler_core::domain::id::ProcId;
use cue_scheduler_core::launch::{Booking, Hold, Settlement, Timing};
use futures::future::BoxFuture;
use thiserror::Error;

pub use client::ClientSettings;
pub use launcher::{LaunchReport, Launcher, RefusedLaunch};
pub use outcome::Outcome;
use quarantine::Pauses;

/// How the launcher works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchSettings {
    /// How agents are called.
    pub client: ClientSettings,
    /// Most launches in flight.
    pub in_flight_max: usize,
    /// Most launches in flight to one host.
    pub in_flight_per_host_max: usize,
    /// Most questions in flight.
    pub questions_max: usize,
    /// The waits of the protocol.
    pub timing: Timing,
    /// How long hosts that fail are left alone.
    pub pauses: Pauses,
}

impl Default for LaunchSettings {
    fn default() -> Self {
        Self {
            client: ClientSettings::default(),
            in_flight_max: 256,
            in_flight_per_host_max: 4,
            questions_max: 64,
            timing: Timing::default(),
            pauses: Pauses::default(),
        }
    }
}

impl LaunchSettings {
    /// Age by `proc.ts_booked` from which another replica may settle a proc whose `ts_ping` still equals it.
    pub fn take_over_age(&self) -> Duration {
        self.timing.take_over_age(self.client.call_timeout)
    }
}

/// The database, as the launcher needs it.
pub trait Ledger: Send + Sync {
    /// Takes bookings back in one transaction: each proc that still holds its frame, RUNNING and of the booking's version, is
    /// deleted, and its frame waits again. Answers those that it took back. The others are someone else's already.
    fn undo<'a>(&'a self, holds: &'a [Hold]) -> BoxFuture<'a, Result<Vec<ProcId>, LedgerError>>;

    /// The procs whose frames are still RUNNING with them.
    fn still_held<'a>(&'a self, holds: &'a [Hold]) -> BoxFuture<'a, Result<Vec<ProcId>, LedgerError>>;
}

/// The database gave no answer. The launcher tries again, and leaves the booking after a while.
#[derive(Debug, Error)]
#[error("the database could not {what}")]
pub struct LedgerError {
    /// What was wanted of it, as a verb.
    pub what: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Who is told of every launch, for metrics. Called in the middle of things: it must not wait.
pub trait Observer: Send + Sync {
    /// A call ended, after `took`.
    fn called(&self, _booking: &Booking, _outcome: &Outcome, _took: Duration) {}

    /// A booking was past the fence and was not sent.
    fn fenced(&self, _booking: &Booking) {}

    /// A booking that was refused or unknown is over.
    fn settled(&self, _hold: &Hold, _settlement: Settlement) {}
}

/// Nobody.
impl Observer for () {}
