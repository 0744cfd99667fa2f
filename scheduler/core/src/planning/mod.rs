//! The heart: one pure decision over all waiting work and all hosts of a pool.
//!
//! Layers are served one after the other in a strict [`order`]. For each, the questions are asked that [`Reason`] lists,
//! in that order: do the caps allow a frame, are there hosts with its tags and operating system ([`gate`]), are they large
//! enough, has one of them enough idle (`size`)? Of those that have, the best is taken (`score`), filled as far as it goes,
//! and the questions are asked again, until the frames are gone or one of them is answered with no. What is idle and what
//! caps allow only runs down while this goes on; therefore the first no is final, and a layer left waiting has exactly
//! one reason. Its numbers are looked up at the end (`why`), for the layers left waiting only.
//!
//! [`check()`] verifies a plan from the snapshot alone and shares no code with what made it.

pub mod check;
pub mod epvm;
pub mod gate;
mod headroom;
mod limits;
pub mod order;
mod plan;
pub mod score;
pub mod size;
mod why;

pub use check::{Violation, check};

use epvm::Points;
use score::Strategy;

use crate::domain::amount::{Kb, Resources};
use crate::reason::{Obstacle, Reason};
use crate::snapshot::{HostIx, LayerIx, Snapshot};

/// What the configuration says about placing work.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How the host for a frame is chosen.
    pub strategy: Strategy,
    /// A threadable frame that would leave no more memory than this takes all idle cores, since nobody else could use
    /// them: `queue.memory_stranded_threshold`.
    pub memory_stranded: Kb,
    /// Services whose threadable frames take all idle cores: `queue.selfish_services`.
    pub selfish_services: Vec<String>,
    /// Most frames of one layer in one pass; `None` for no bound: `queue.dispatch_frames_per_layer_limit`.
    pub frames_per_layer: Option<u32>,
    /// Most hosts for one layer in one pass; `None` for no bound: `queue.host_candidate_attempts_per_layer`.
    pub hosts_per_layer: Option<u32>,
    /// Most jobs of a show that get frames in one pass; `None` for no bound: `queue.max_jobs_per_cluster_pass`. Those that find
    /// no host don't count: a bound must not let work that fits nowhere hide work that fits.
    pub jobs_per_show: Option<u32>,
}

/// `frames` frames of a layer on a host, each with the same reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The layer.
    pub layer: LayerIx,
    /// The host.
    pub host: HostIx,
    /// What each frame reserves. Cores are whole.
    pub size: Resources,
    /// How many frames, at least 1.
    pub frames: u32,
    /// The host's score when it was chosen, where the strategy has scores.
    pub score: Option<Points>,
}

/// Frames that wait on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The layer.
    pub layer: LayerIx,
    /// How many of its frames, at least 1.
    pub frames: u32,
    /// Why, in numbers.
    pub obstacle: Obstacle,
}

impl Waiting {
    /// The kind of the obstacle.
    pub fn reason(&self) -> Reason {
        self.obstacle.reason()
    }
}

/// The decision of a pass. It leaves no choice to who carries it out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to book, in the order of importance.
    pub placements: Vec<Placement>,
    /// What is left, one entry a layer, in the order of the planner.
    pub waiting: Vec<Waiting>,
}

/// Decides where the waiting frames of a pool go.
///
/// The result depends on ids and amounts, never on the order in which the snapshot lists things. Positions in the
/// snapshot must be those of its own vectors; amounts may be anything, and absurd ones get no placement.
pub fn plan(snapshot: &Snapshot, policy: &Policy) -> Plan {
    plan::whole_pool(snapshot, policy)
}

#[cfg(test)]
mod tests;
