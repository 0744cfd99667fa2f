//! The launch protocol as a pure state machine. `docs/launch-protocol.md` tells its story; this is what it says, in code.
//!
//! The problem: a booking is settled by one transaction, but whether its frame runs is settled by an agent that may not
//! answer. The idea: a proc is sent once and only while its booking is young; a call without an answer is followed by
//! questions, never by a second call; and a booking is taken back only when it is certain that its run neither goes on nor
//! can still start.
//!
//! Invariant: no two runs of a frame overlap, and no run starts after a completion that Cuebot accepted. The tests of
//! `model` check it under random interleavings.
//!
//! [`step`] takes a state, what happened and the time, and gives the next state and what to do. It is total: an event that
//! has no meaning in a state changes nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::amount::Resources;
use crate::domain::id::{FrameId, HostId, ProcId};
use crate::run_frame::RunFrame;

#[cfg(test)]
mod model;

/// An instant by a clock that goes on while the machine sleeps and doesn't jump: the time since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(pub Duration);

impl BootInstant {
    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` and some time more.
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

/// What the database holds for a booking: enough to ask about it and to take it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The proc, which is the run's resource id.
    pub proc: ProcId,
    /// The frame that it holds.
    pub frame: FrameId,
    /// `frame.int_version` as the booking left it.
    pub frame_version: i32,
    /// The host.
    pub host: HostId,
    /// The host's name, which is its address.
    pub host_name: Arc<str>,
    /// The show, for metrics.
    pub show_name: Arc<str>,
    /// What the proc reserves.
    pub size: Resources,
}

/// A committed booking, ready to be launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// What the database holds.
    pub hold: Hold,
    /// What the agent is to be told.
    pub run_frame: RunFrame,
    /// An instant taken just before the booking's transaction began, so that it is never later than `proc.ts_booked`.
    pub committed_at: BootInstant,
}

/// The waits of the protocol. The document gives the reason for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Age of a booking up to which it may be sent.
    pub fence: Duration,
    /// Time after a call without an answer in which nothing is concluded; a request that was not delivered by then never
    /// will be.
    pub quiet: Duration,
    /// Time from an answer "not here" to the next question that counts.
    pub apart: Duration,
    /// First pause before a silent agent is asked again; it doubles.
    pub pause: Duration,
    /// How long a silent agent is asked, and a failing database tried, before the booking is left.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            fence: Duration::from_secs(5),
            quiet: Duration::from_secs(2),
            apart: Duration::from_secs(2),
            pause: Duration::from_secs(2),
            patience: Duration::from_mins(1),
        }
    }
}

impl Timing {
    /// Age by `proc.ts_booked` from which another replica may settle a proc: its owner's fence has passed, its call has
    /// ended, its request is dead, and three seconds more for clocks that tick differently.
    pub fn take_over_age(&self, call_timeout: Duration) -> Duration {
        self.fence + call_timeout + self.quiet + Duration::from_secs(3)
    }
}

/// Where a booking stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent.
    Committed {
        /// See [`Booking::committed_at`].
        at: BootInstant,
    },
    /// The one call is in flight.
    Launching,
    /// The agent said yes. Final.
    Confirmed,
    /// The frame does not run for this proc and never will; the database is being told.
    Undoing {
        /// Since when.
        since: BootInstant,
        /// How often the database failed.
        failures: u32,
    },
    /// The frame may run.
    Unknown(Doubt),
    /// Nothing more to do. Final.
    Settled(Settlement),
}

/// What is known about a booking in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Since when there is doubt.
    since: BootInstant,
    /// Questions asked before this don't count.
    ask_from: BootInstant,
    /// When the agent last answered "not here", with no silence after it.
    absent_at: Option<BootInstant>,
    /// How often the agent, or the database, gave no answer.
    silences: u32,
}

/// How a doubt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// The booking was taken back.
    Undone,
    /// The agent runs it.
    Adopted,
    /// Nothing was concluded; the reason.
    Left(Left),
}

/// Why a booking was left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// The agent gave no answer. Cuebot's sweep decides.
    Silent,
    /// The database doesn't hold the frame for this proc any more: it completed, or someone else settled it.
    NotHeld,
    /// The database failed. Who takes over, or Cuebot's sweep, decides.
    Database,
    /// The process ends. Who takes over decides.
    Stopped,
}

impl Settlement {
    /// The label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Undone => "undone",
            Self::Adopted => "adopted",
            Self::Left(Left::Silent) => "left_silent",
            Self::Left(Left::NotHeld) => "left_not_held",
            Self::Left(Left::Database) => "left_database",
            Self::Left(Left::Stopped) => "left_stopped",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its turn has come: the connection stands and nothing is in the way.
    Due,
    /// It was not sent and won't be: no connection, or the launcher stops.
    NotSent,
    /// The agent said yes.
    Accepted,
    /// The agent said no.
    Refused,
    /// The call ended without an answer that says either.
    NoAnswer,
    /// The agent answered a question, and lists the proc.
    Listed,
    /// The agent answered a question, and doesn't list the proc.
    NotListed {
        /// When the question was sent.
        asked_at: BootInstant,
    },
    /// The agent didn't answer a question.
    Silent,
    /// The database holds the frame RUNNING with the proc.
    Held,
    /// The database doesn't.
    NotHeld,
    /// The database took the booking back.
    Undone,
    /// The database gave no answer.
    DatabaseFailed,
    /// The process ends and can't wait longer.
    Stop,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send `LaunchFrame`, now.
    Send,
    /// Ask the agent, not before an instant.
    Ask(BootInstant),
    /// Ask the database whether it still holds the frame for the proc, now.
    CheckHeld,
    /// Take the booking back, not before an instant.
    Undo(BootInstant),
    /// Nothing: wait for what is under way, or it is over.
    Nothing,
}

impl State {
    /// A booking that was just committed.
    pub fn committed(at: BootInstant) -> Self {
        Self::Committed { at }
    }

    /// A booking of another replica that is older than [`Timing::take_over_age`], and the first thing to do about it.
    pub fn taken_over(now: BootInstant) -> (Self, Action) {
        Self::doubt(now, now)
    }

    /// Whether nothing more will be done.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Confirmed | Self::Settled(_))
    }

    fn doubt(now: BootInstant, ask_from: BootInstant) -> (Self, Action) {
        let doubt = Doubt { since: now, ask_from, absent_at: None, silences: 0 };
        (Self::Unknown(doubt), Action::Ask(ask_from))
    }

    fn undoing(now: BootInstant) -> (Self, Action) {
        (Self::Undoing { since: now, failures: 0 }, Action::Undo(now))
    }

    fn left(why: Left) -> (Self, Action) {
        (Self::Settled(Settlement::Left(why)), Action::Nothing)
    }
}

/// The protocol: what follows when something happens to a booking.
pub fn step(state: State, event: Event, now: BootInstant, timing: &Timing) -> (State, Action) {
    match (state, event) {
        (State::Committed { at }, Event::Due) if now.since(at) <= timing.fence => (State::Launching, Action::Send),
        (State::Committed { .. }, Event::Due) => State::doubt(now, now),
        (State::Launching, Event::Accepted) => (State::Confirmed, Action::Nothing),
        (State::Launching, Event::NoAnswer) => State::doubt(now, now.plus(timing.quiet)),

        // Not sent: only we could have, whoever else acted on it in the meantime. Refused: the call is the only one there
        // will ever be, so its refusal is final even when it comes late. Held: asked only after two answers "not here".
        (State::Committed { .. } | State::Launching, Event::NotSent)
        | (State::Launching | State::Unknown(_), Event::Refused)
        | (State::Unknown(_), Event::Held) => State::undoing(now),

        (State::Unknown(_), Event::Accepted | Event::Listed) => (State::Settled(Settlement::Adopted), Action::Nothing),
        (State::Unknown(doubt), Event::NotListed { asked_at }) => not_listed(doubt, asked_at, now, timing),
        (State::Unknown(doubt), Event::Silent) => unanswered(doubt, Left::Silent, now, timing),
        (State::Unknown(doubt), Event::DatabaseFailed) => unanswered(doubt, Left::Database, now, timing),

        (State::Undoing { .. }, Event::Undone) => (State::Settled(Settlement::Undone), Action::Nothing),
        (State::Undoing { since, failures }, Event::DatabaseFailed) => not_undone(since, failures, now, timing),

        (State::Unknown(_) | State::Undoing { .. }, Event::NotHeld) => State::left(Left::NotHeld),
        (State::Unknown(_) | State::Undoing { .. }, Event::Stop) => State::left(Left::Stopped),

        (state, _) => (state, Action::Nothing),
    }
}

/// The agent doesn't list the proc. Once says little: the launch may still lie before it. Twice, apart, says that it is not
/// there and won't be.
fn not_listed(doubt: Doubt, asked_at: BootInstant, now: BootInstant, timing: &Timing) -> (State, Action) {
    if asked_at < doubt.ask_from {
        return (State::Unknown(doubt), Action::Ask(doubt.ask_from));
    }
    match doubt.absent_at {
        Some(first) if asked_at >= first.plus(timing.apart) => (State::Unknown(doubt), Action::CheckHeld),
        Some(first) => (State::Unknown(doubt), Action::Ask(first.plus(timing.apart))),
        None => {
            let doubt = Doubt { absent_at: Some(now), ..doubt };
            (State::Unknown(doubt), Action::Ask(now.plus(timing.apart)))
        }
    }
}

/// Nobody answered. An agent that falls silent may have been stopped with the launch before it, so what it said earlier
/// doesn't count any more.
fn unanswered(doubt: Doubt, why: Left, now: BootInstant, timing: &Timing) -> (State, Action) {
    if now.since(doubt.since) >= timing.patience {
        return State::left(why);
    }
    let pause = growing(timing.pause, doubt.silences);
    let doubt = Doubt { absent_at: None, silences: doubt.silences.saturating_add(1), ..doubt };
    (State::Unknown(doubt), Action::Ask(now.plus(pause).max(doubt.ask_from)))
}

/// The database could not take the booking back. Nothing runs meanwhile, so trying again is only a matter of patience.
fn not_undone(since: BootInstant, failures: u32, now: BootInstant, timing: &Timing) -> (State, Action) {
    if now.since(since) >= timing.patience {
        return State::left(Left::Database);
    }
    let undoing = State::Undoing { since, failures: failures.saturating_add(1) };
    (undoing, Action::Undo(now.plus(growing(timing.pause, failures))))
}

/// `first`, doubled with each failure up to 16 times as long.
fn growing(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(1 << failures.min(4))
}

#[cfg(test)]
mod tests;
