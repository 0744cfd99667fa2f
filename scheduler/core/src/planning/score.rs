//! Which host first, of those that fit.
//!
//! A score is compared field by field, the least is the best, and the host's id decides last: ties fall the same way in
//! every run. *Saturation* packs or spreads: by idle cores first, and only among hosts with equally many by idle memory.
//! Hosts with GPUs are kept for work that needs them where there is a choice. Reservations and locality, when they come,
//! are fields of this struct.

use crate::domain::amount::Kb;

/// The directions of the saturation strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saturation {
    /// Fewest idle cores first, else most.
    pub cores: bool,
    /// Least idle memory first, else most.
    pub memory: bool,
}

impl Saturation {
    /// The key by which hosts with this many whole idle cores are ordered.
    pub fn core_key(self, idle: i64) -> i64 {
        if self.cores { idle } else { idle.saturating_neg() }
    }

    /// The key by which hosts with this much idle memory are ordered.
    pub fn memory_key(self, idle: Kb) -> i64 {
        if self.memory { idle.0 } else { idle.0.saturating_neg() }
    }
}

/// How well a host suits; the least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// A host with GPUs, for a layer that needs none.
    pub wastes_gpus: bool,
    /// [`Saturation::core_key`].
    pub cores: i64,
    /// [`Saturation::memory_key`].
    pub memory: i64,
    /// The host's place in the order of ids.
    pub host: u32,
}
