//! Why a job waits, and what a pass would do: answers from the database alone, with nothing written.
//!
//! `explain` follows a job's frames through everything that stands between them and a host. What no pass would even look at is
//! said first: a job that is paused, a show that is not ours, frames that wait for others. For the rest, each pool that could
//! serve a layer is read as a pass reads it, and planned by the same pure function; so the answer is the plan's own reason
//! with its numbers, or that frames would be booked now. [`dry_pass`] does that for all pools. What only the running scheduler
//! knows, such as hosts that are left alone since their agent failed, is not in the database and not in the answer.
//!
//! Answers are values: [`text`] makes pages of them that fit a terminal, [`json`] what machines read.

pub mod command;
pub mod dry_pass;
mod find;
mod job;
pub mod json;
mod page;
mod pools;
pub mod text;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use cue_scheduler_core::domain::id::FacilityId;
use cue_scheduler_core::planning::Policy;
use cue_scheduler_core::reason::Obstacle;

use crate::feed::Standstill;
use crate::snapshot::ReadSettings;
use crate::store::{Store, StoreError};

pub use dry_pass::{DryPass, DryPool, dry_pass};

/// With what to answer.
pub struct Inquirer {
    /// The database.
    pub store: Store,
    /// The facility that the scheduler books in, with its name; `None` for all.
    pub scope: Option<(FacilityId, String)>,
    /// How pools are read.
    pub read: Arc<ReadSettings>,
    /// How work is placed.
    pub policy: Policy,
    /// What forbids booking altogether.
    pub standstill: Option<Standstill>,
}

/// What became of a question for a job.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This job.
    Job(Box<Explanation>),
    /// No job is called so; these names are near.
    NoSuchJob {
        /// What was asked for.
        asked: String,
        /// The nearest names, the best first.
        near: Vec<String>,
    },
    /// Several jobs are.
    Several {
        /// What was asked for.
        asked: String,
        /// Their names, the first of them.
        names: Vec<String>,
    },
}

/// A job and why its frames wait.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// Its state, as the database has it.
    pub state: String,
    /// The show.
    pub show: String,
    /// The facility.
    pub facility: String,
    /// The folder.
    pub folder: String,
    /// The operating system it asks for.
    pub os: Option<String>,
    /// The priority.
    pub priority: i32,
    /// Why no pass looks at it at all; empty when passes do.
    pub blocks: Vec<Block>,
    /// Its layers in their order.
    pub layers: Vec<LayerExplanation>,
    /// Dependencies of which nothing is said, since there are too many.
    pub depends_left_out: usize,
}

/// Why no pass looks at a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// It is not PENDING.
    NotPending,
    /// It is paused.
    Paused,
    /// The show is booked by Cuebot.
    ShowNotManaged,
    /// The show is not active.
    ShowInactive,
    /// Nothing is booked at all.
    Standstill(Standstill),
    /// The scheduler books in this facility only.
    OtherFacility(String),
}

/// A layer and why its frames wait.
#[derive(Clone, Debug)]
pub struct LayerExplanation {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The tags by which it looks for hosts.
    pub tags: Vec<Arc<str>>,
    /// Its frames by state.
    pub frames: FrameCounts,
    /// When it may start, if that is in the future.
    pub start: Option<Start>,
    /// What its frames in DEPEND wait for, or its whole job.
    pub depends: Vec<Depend>,
    /// Why its frames can't be launched.
    pub unbuildable: Option<Arc<str>>,
    /// Why no pool could serve it, if none could.
    pub unserved: Option<Unserved>,
    /// The pools that could, and what a pass would do.
    pub pools: Vec<PoolAnswer>,
}

/// Frames by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the states")]
pub struct FrameCounts {
    pub total: i64,
    pub waiting: i64,
    pub running: i64,
    pub depend: i64,
    pub succeeded: i64,
    pub dead: i64,
    pub eaten: i64,
    pub checkpoint: i64,
}

/// A time before which a layer does not start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// In UTC.
    pub at: String,
    /// How many seconds from now.
    pub seconds: f64,
}

/// Something that frames wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depend {
    /// The other job; `None` for the own one.
    pub job: Option<String>,
    /// The layer, if not the whole job is waited for.
    pub layer: Option<String>,
    /// The frame, if not the whole layer is.
    pub frame: Option<String>,
    /// How many frames of it are not done.
    pub left: i64,
}

/// Why no pool could serve a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// It has no tags.
    NoTags,
    /// All its tags are ignored by `scheduler.ignore_tags`.
    TagsIgnored,
    /// The show has no subscription in the facility; these allocations have hosts with the tags.
    NoSubscription(Vec<String>),
    /// The show's subscriptions are to others than these allocations, whose hosts have the tags.
    OtherAllocations(Vec<String>),
    /// Only hosts of other facilities have the tags, in these allocations.
    OtherFacilities(Vec<String>),
    /// No host has any of the tags; these of hosts are near.
    UnknownTags(Vec<String>),
}

/// What a pass of a pool would do with a layer.
#[derive(Clone, Debug)]
pub struct PoolAnswer {
    /// The allocation's name.
    pub pool: String,
    /// Frames that would be booked.
    pub booked: u32,
    /// On how many hosts.
    pub hosts: usize,
    /// Frames that would wait on, and why.
    pub waiting: Option<(u32, Obstacle)>,
    /// Hosts with the layer's tags that may not be booked, by cause.
    pub away: Vec<(String, i64)>,
}

impl Inquirer {
    /// Explains a job, given by its id, its name, or a beginning of it that fits one job only.
    pub async fn explain(&self, asked: &str) -> Result<Answer, StoreError> {
        match find::find(&self.store, asked).await? {
            find::Found::One(row) => Ok(Answer::Job(Box::new(job::explanation(self, *row).await?))),
            find::Found::None { near } => Ok(Answer::NoSuchJob { asked: asked.to_owned(), near }),
            find::Found::Several { names } => Ok(Answer::Several { asked: asked.to_owned(), names }),
        }
    }

    fn ignored_tags(&self) -> &BTreeSet<String> {
        &self.read.ignored_tags
    }
}
