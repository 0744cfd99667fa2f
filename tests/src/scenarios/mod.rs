//! Scenarios: a farm, something that happens to it, and what must be seen.
//!
//! Each scenario is a short file under `cast/`: what it demands in a sentence, what it is made of ([`Parts`]), and a play that does
//! something to the running farm ([`Stage`]) and says what it saw. The schedulers are real processes, hosts are simulated over real
//! gRPC, Cuebot is the stand-in of either generation, or a real one. [`run()`] puts a scenario on, and when the play is over brings
//! the farm to rest and judges it by rules that are the same for all ([`judge`]): counters are the sums of procs, no cap was passed
//! by a start, no frame ran twice, no host was over-booked, nothing was lost, everything that waits has a reason, and no
//! deadlock had a scheduler in it.
//!
//! A scenario never lowers its demand to pass. Everything random is drawn from its seed, so a failure is repeated with it, as far as
//! threads and networks allow.

mod cast;
mod edits;
pub(crate) mod judge;
pub(crate) mod logbook;
pub(crate) mod parts;
mod reasons;
mod report;
mod run;
mod stage;

use clap::ValueEnum;
use serde::Serialize;

use crate::cuebot_sim::Generation;

pub use cast::ALL;
pub use parts::Parts;
pub use report::{Check, Report};
pub use run::{Place, run};
pub use stage::Stage;

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Of everything that is drawn.
    pub seed: u64,
    /// How long it takes.
    pub length: Length,
    /// Whether the stand-in's releases count for managed shows.
    pub generation: Generation,
}

/// Two sizes of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// Some seconds: enough to see a fault that is there.
    Short,
    /// Long and large enough for the figures that were published for such scenarios.
    Full,
}

impl Setting {
    /// One of two values.
    pub fn pick<T>(&self, short: T, full: T) -> T {
        match self.length {
            Length::Short => short,
            Length::Full => full,
        }
    }

    /// `b1` or `c`.
    pub fn generation_name(&self) -> &'static str {
        match self.generation {
            Generation::B1 => "b1",
            Generation::C => "c",
        }
    }
}

/// Something that is shown.
#[tonic::async_trait(?Send)]
pub trait Scenario: Send + Sync {
    /// Upper-case, as on the command line.
    fn name(&self) -> &'static str;

    /// What has to be seen, in a sentence, beside what is demanded of every scenario.
    fn demanded(&self) -> &'static str;

    /// What it is made of.
    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts>;

    /// Does something to the running farm and notes what it sees. Frames may still run and wait when it ends. An error is a failure
    /// of the scenario.
    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()>;
}
