//! Why frames wait. Every layer that a pass leaves waiting has one obstacle, with its numbers, counted and shown.
//!
//! [`Reason`] is the closed set of kinds: what labels and documents know. [`Obstacle`] is one of them as a pass met it: what was
//! wanted, what was there, which host came nearest and what it lacks. Numbers carry their unit as a type, names are as
//! people know them, so that whoever shows an obstacle needs nothing else.

use std::sync::Arc;

use crate::domain::amount::{Centicores, Frames, Gpus, Hosts, Kb};

/// The kind of an obstacle: the first met in the order of the planner's questions, then what became of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The subscription's burst is zero or negative: the show may not use this allocation.
    SubscriptionFrozen,
    /// The subscription's burst is used up.
    SubscriptionFull,
    /// The folder's core maximum is used up, or 0.
    FolderCores,
    /// The folder's GPU maximum is used up, or 0.
    FolderGpus,
    /// The job's core maximum is used up, 0 or negative.
    JobCores,
    /// The job's GPU maximum is used up.
    JobGpus,
    /// One of the layer's limits has no room.
    Limit,
    /// No host of the pool that may be booked has one of the layer's tags.
    NoHostWithTag,
    /// Hosts have the tag, none of them the operating system.
    NoHostWithOs,
    /// Hosts match, and all of them give every idle core to one frame (thread mode All), which the layer's frames could
    /// not use.
    NoHostForUnthreaded,
    /// Hosts match, and none is large enough even when idle. A negative request, which no host can grant, counts here.
    NoHostLargeEnough,
    /// Hosts match and are large enough, and none has enough idle now.
    HostsBusy,
    /// Only hosts that are left alone for a while, since their agent failed, could take it.
    HostsQuarantined,
    /// A bound of the configuration ended the layer's share of this pass.
    PassBound,
    /// Its frames can't be launched as the layer is written; it is left alone until it changes.
    Unbuildable,
    /// It was planned, and the database refused to book it.
    Refused,
}

impl Reason {
    /// Every reason, in order.
    pub const ALL: [Self; 16] = [
        Self::SubscriptionFrozen,
        Self::SubscriptionFull,
        Self::FolderCores,
        Self::FolderGpus,
        Self::JobCores,
        Self::JobGpus,
        Self::Limit,
        Self::NoHostWithTag,
        Self::NoHostWithOs,
        Self::NoHostForUnthreaded,
        Self::NoHostLargeEnough,
        Self::HostsBusy,
        Self::HostsQuarantined,
        Self::PassBound,
        Self::Unbuildable,
        Self::Refused,
    ];

    /// Whether no host took a frame, though caps and bounds allowed one.
    pub fn is_about_hosts(self) -> bool {
        matches!(
            self,
            Self::NoHostWithTag
                | Self::NoHostWithOs
                | Self::NoHostForUnthreaded
                | Self::NoHostLargeEnough
                | Self::HostsBusy
                | Self::HostsQuarantined
        )
    }

    /// The label for metrics and the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::SubscriptionFrozen => "subscription_frozen",
            Self::SubscriptionFull => "subscription_full",
            Self::FolderCores => "folder_cores",
            Self::FolderGpus => "folder_gpus",
            Self::JobCores => "job_cores",
            Self::JobGpus => "job_gpus",
            Self::Limit => "limit",
            Self::NoHostWithTag => "no_host_with_tag",
            Self::NoHostWithOs => "no_host_with_os",
            Self::NoHostForUnthreaded => "no_host_for_unthreaded",
            Self::NoHostLargeEnough => "no_host_large_enough",
            Self::HostsBusy => "hosts_busy",
            Self::HostsQuarantined => "hosts_quarantined",
            Self::PassBound => "pass_bound",
            Self::Unbuildable => "unbuildable",
            Self::Refused => "refused",
        }
    }

    /// How near the layer came to running. Where several pools could serve it, it waits for the one that came nearest: what
    /// has no host at all in one pool and finds busy ones in another waits for those. Larger is nearer.
    pub fn nearness(self) -> u8 {
        match self {
            Self::NoHostWithTag => 0,
            Self::NoHostWithOs | Self::NoHostForUnthreaded => 1,
            Self::NoHostLargeEnough => 2,
            Self::SubscriptionFrozen => 3,
            Self::SubscriptionFull
            | Self::FolderCores
            | Self::FolderGpus
            | Self::JobCores
            | Self::JobGpus
            | Self::Limit => 4,
            Self::HostsQuarantined => 5,
            Self::HostsBusy => 6,
            Self::PassBound => 7,
            Self::Refused => 8,
            // What can't be launched waits for a person, whatever the pools say.
            Self::Unbuildable => 9,
        }
    }
}

/// A cap without room: `used + wanted > most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Full<U> {
    /// The least that the next frame would take.
    pub wanted: U,
    /// What is in use, the plan of the pass included.
    pub used: U,
    /// The cap.
    pub most: U,
}

impl<U> Full<U> {
    /// The same in another unit.
    pub fn map<V>(self, unit: impl Fn(U) -> V) -> Full<V> {
        Full { wanted: unit(self.wanted), used: unit(self.used), most: unit(self.most) }
    }
}

/// Too little of something: `had < wanted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Short<U> {
    /// What a frame needs.
    pub wanted: U,
    /// What is there.
    pub had: U,
}

impl<U> Short<U> {
    /// The same in another unit.
    pub fn map<V>(self, unit: impl Fn(U) -> V) -> Short<V> {
        Short { wanted: unit(self.wanted), had: unit(self.had) }
    }
}

/// What a host lacks for a frame. Where it lacks several things, the one that it lacks most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lack {
    /// Whole cores.
    Cores(Short<Centicores>),
    /// An entirely idle host is asked for, and this one is in use: `wanted` is all it has.
    WholeHost(Short<Centicores>),
    /// Memory.
    Memory(Short<Kb>),
    /// GPUs.
    Gpus(Short<Gpus>),
    /// Memory of GPUs.
    GpuMemory(Short<Kb>),
    /// A negative amount is asked for, which no host can grant.
    BelowZero,
}

/// The host that comes nearest to taking a frame, of those looked at: on a large pool, a few that have most.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nearest {
    /// Its name.
    pub host: Arc<str>,
    /// What it lacks.
    pub lack: Lack,
}

/// A bound of the configuration on a layer's share of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Frames: `queue.dispatch_frames_per_layer_limit`.
    Frames(u32),
    /// Hosts: `queue.host_candidate_attempts_per_layer`.
    Hosts(u32),
    /// Jobs of the show: `queue.max_jobs_per_cluster_pass`.
    Jobs(u32),
}

/// Why a layer's next frame was not booked in a pass, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is told at its reason")]
pub enum Obstacle {
    SubscriptionFrozen,
    SubscriptionFull(Full<Centicores>),
    FolderCores(Full<Centicores>),
    FolderGpus(Full<Gpus>),
    JobCores(Full<Centicores>),
    JobGpus(Full<Gpus>),
    /// The fullest of the layer's limits.
    Limit {
        /// The limit's name.
        name: Arc<str>,
        frames: Full<Frames>,
    },
    /// The fullest of the layer's limits, where it counts hosts: no further host may run frames under it.
    HostLimit {
        /// The limit's name.
        name: Arc<str>,
        hosts: Full<Hosts>,
    },
    NoHostWithTag {
        /// Hosts of the pool that may be booked.
        hosts: u32,
    },
    NoHostWithOs {
        /// Hosts with one of the tags.
        hosts: u32,
        /// What the job asks for.
        os: Arc<str>,
    },
    NoHostForUnthreaded {
        /// Hosts with one of the tags and the operating system, all of mode All.
        hosts: u32,
    },
    NoHostLargeEnough {
        /// Hosts that the layer may use, were they large enough.
        hosts: u32,
        /// What the largest lacks even when idle.
        nearest: Option<Nearest>,
    },
    HostsBusy {
        /// Hosts that the layer may use.
        hosts: u32,
        /// `None` when none of them has an idle core.
        nearest: Option<Nearest>,
    },
    HostsQuarantined {
        /// Hosts left alone that the layer may use.
        hosts: u32,
        /// One of them.
        host: Arc<str>,
    },
    PassBound(Bound),
    Unbuildable {
        /// What is wrong, and what would be right.
        error: Arc<str>,
    },
    Refused {
        /// The guard that refused, by its label.
        cause: &'static str,
    },
}

impl Obstacle {
    /// Its kind.
    pub fn reason(&self) -> Reason {
        match self {
            Self::SubscriptionFrozen => Reason::SubscriptionFrozen,
            Self::SubscriptionFull(_) => Reason::SubscriptionFull,
            Self::FolderCores(_) => Reason::FolderCores,
            Self::FolderGpus(_) => Reason::FolderGpus,
            Self::JobCores(_) => Reason::JobCores,
            Self::JobGpus(_) => Reason::JobGpus,
            Self::Limit { .. } | Self::HostLimit { .. } => Reason::Limit,
            Self::NoHostWithTag { .. } => Reason::NoHostWithTag,
            Self::NoHostWithOs { .. } => Reason::NoHostWithOs,
            Self::NoHostForUnthreaded { .. } => Reason::NoHostForUnthreaded,
            Self::NoHostLargeEnough { .. } => Reason::NoHostLargeEnough,
            Self::HostsBusy { .. } => Reason::HostsBusy,
            Self::HostsQuarantined { .. } => Reason::HostsQuarantined,
            Self::PassBound(_) => Reason::PassBound,
            Self::Unbuildable { .. } => Reason::Unbuildable,
            Self::Refused { .. } => Reason::Refused,
        }
    }
}
