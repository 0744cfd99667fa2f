//! Which host first, of those that fit.
//!
//! There are two strategies. *Saturation* packs or spreads: by idle cores first, and only among hosts with equally many by
//! idle memory; hosts with GPUs are kept for work that needs them where there is a choice. Its score is compared field by
//! field, the least is the best, and the host's id decides last: ties fall the same way in every run. Reservations and
//! locality, when they come, are fields of that struct. The other strategy is [`Epvm`].

use super::epvm::Epvm;
use crate::domain::amount::Kb;

/// How the host for a layer's next frames is chosen: `queue.host_booking_strategy`.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// By what is idle.
    Saturation(Saturation),
    /// By what would be left over.
    Epvm(Epvm),
}

impl Strategy {
    /// The order in which hosts stand in the index.
    pub fn saturation(&self) -> Saturation {
        match self {
            Self::Saturation(saturation) => *saturation,
            Self::Epvm(_) => Saturation { cores: true, memory: true },
        }
    }
}

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
