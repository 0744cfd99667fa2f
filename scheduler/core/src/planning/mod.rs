//! The heart: one pure decision over all waiting work and all hosts of a pool.

use crate::domain::amount::{Kb, Resources};
use crate::reason::Reason;
use crate::snapshot::{HostIx, LayerIx, Snapshot};

/// What the configuration says about placing work.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Prefer hosts with the fewest idle cores that fit (else with the most): `core_saturation`.
    pub core_saturation: bool,
    /// Among hosts with equally many idle cores, prefer those with the least idle memory (else with the most).
    pub memory_saturation: bool,
    /// A threadable frame that would leave no more memory than this takes all idle cores, since nobody else could use
    /// them: `queue.memory_stranded_threshold`.
    pub memory_stranded: Kb,
    /// Services whose threadable frames take all idle cores: `queue.selfish_services`.
    pub selfish_services: Vec<String>,
    /// Most frames of one layer in one pass; `None` for no bound: `queue.dispatch_frames_per_layer_limit`.
    pub frames_per_layer: Option<u32>,
    /// Most hosts for one layer in one pass; `None` for no bound: `queue.host_candidate_attempts_per_layer`.
    pub hosts_per_layer: Option<u32>,
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
}

/// Frames that wait on, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The layer.
    pub layer: LayerIx,
    /// How many of its frames, at least 1.
    pub frames: u32,
    /// Why.
    pub reason: Reason,
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
pub fn plan(_snapshot: &Snapshot, _policy: &Policy) -> Plan {
    Plan::default()
}
