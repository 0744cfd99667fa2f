//! The launch protocol among everything that can go wrong around it: one frame, two hosts, two replicas, Cuebot and the wire,
//! each a small machine, acting in random order. Only the replicas' decisions are the real code.
//!
//! What the model takes for granted is what the document says the protocol assumes:
//! * a request reaches its host within [`DELIVERY`] or never (the TCP user time-out);
//! * a request that lies at its host is worked on before a question that was sent [`ORDER`] later;
//! * an agent that restarts takes its runs with it;
//! * a replica is not stopped between the check of the fence and the send;
//! * Cuebot sweeps a proc after 300 s without a report, when the agent confirms the kill.

mod happen;
mod moves;
mod stories;

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

/// Longest way of a request, in milliseconds.
const DELIVERY: u64 = 2000;
/// How much older a request must be than a question to be worked on first, in milliseconds.
const ORDER: u64 = 2000;
const CALL_TIMEOUT: u64 = 10_000;
const SWEEP: u64 = 300_000;

const HOSTS: usize = 2;
const REPLICAS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Waiting,
    Running(usize),
    Done,
}

/// A proc that was booked at some time, whether or not its row still exists.
struct Proc {
    host: usize,
    booked: u64,
    reported: bool,
    sent: u32,
}

#[derive(Default)]
struct Agent {
    stopped: bool,
    /// Requests at the host and not yet worked on: proc and time of arrival.
    inbox: Vec<(usize, u64)>,
    /// Procs that run.
    runs: Vec<usize>,
}

/// A replica's care for one booking.
struct Care {
    proc: usize,
    state: State,
    todo: Todo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Todo {
    Turn,
    /// A call since a time, and what the agent answered to it.
    Call(u64, Option<Event>),
    AskFrom(u64),
    /// A question since a time, and what the agent answered to it.
    Question(u64, Option<bool>),
    CheckHeld,
    UndoFrom(u64),
    Over,
}

#[derive(Default)]
struct Replica {
    stopped: bool,
    cares: Vec<Care>,
}

#[derive(Debug, PartialEq, Eq)]
enum Breach {
    Overlap { started: usize, beside: usize },
    AfterCompletion { started: usize },
    SentTwice { proc: usize },
}

/// One thing that can happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Wait(u64),
    Book {
        replica: usize,
        host: usize,
    },
    Care {
        replica: usize,
        care: usize,
        act: Act,
    },
    TakeOver {
        replica: usize,
        proc: usize,
    },
    StopReplica(usize),
    WakeReplica(usize),
    KillReplica(usize),
    Deliver {
        request: usize,
    },
    Lose {
        request: usize,
    },
    Work {
        host: usize,
        message: usize,
        refuse: bool,
    },
    StopAgent(usize),
    WakeAgent(usize),
    RestartAgent(usize),
    Report(usize),
    EndRun {
        host: usize,
        run: usize,
    },
    Complete {
        completion: usize,
        succeeds: bool,
        again: bool,
    },
    LoseCompletion {
        completion: usize,
    },
    Sweep,
}

/// What can happen to a booking that a replica cares for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// It is its turn to be sent.
    Turn,
    /// It won't be sent.
    GiveUp,
    /// The answer to the call arrives.
    Answer,
    /// The call ends without one.
    NoAnswer,
    /// The agent is asked,
    Ask,
    /// answers,
    Reply,
    /// and is heard,
    HearReply,
    /// or isn't.
    Silence,
    CheckHeld,
    Undo,
    DatabaseFails,
}

struct World {
    timing: Timing,
    now: u64,
    frame: Frame,
    procs: Vec<Proc>,
    agents: [Agent; HOSTS],
    replicas: [Replica; REPLICAS],
    /// Requests on their way: proc and time of sending.
    wire: Vec<(usize, u64)>,
    completions: Vec<usize>,
    accepted: BTreeSet<usize>,
    seen: Seen,
}

/// What a world went through, so that a test can tell a good run from an idle one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    starts: u32,
    fenced: u32,
    confirmed: u32,
    undone: u32,
    adopted: u32,
    left_silent: u32,
    left_not_held: u32,
    swept: u32,
    taken_over: u32,
    completed: u32,
}

impl World {
    fn new(timing: Timing) -> Self {
        Self {
            timing,
            now: 0,
            frame: Frame::Waiting,
            procs: Vec::new(),
            agents: Default::default(),
            replicas: Default::default(),
            wire: Vec::new(),
            completions: Vec::new(),
            accepted: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    fn now(&self) -> BootInstant {
        BootInstant(Duration::from_millis(self.now))
    }
}
