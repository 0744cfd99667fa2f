//! What one pass of one pool sees: the waiting layers that its hosts could run, what they may still take, and the hosts.
//!
//! A snapshot is a hint. It is read without locks and may be old when the plan lands; the booking transaction decides.
//! Things refer to each other by position ([`JobIx`] and its like), so that planning moves numbers and not texts.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::amount::{Centicores, Gpus, Kb, Resources};
use crate::domain::cap::Budget;
use crate::domain::id::{AllocId, FolderId, HostId, JobId, LayerId, LimitId, ShowId};
use crate::domain::request::{CoreRequest, ThreadMode};
use crate::domain::tag::HostTag;

macro_rules! positions {
    ($($(#[$doc:meta])* $name:ident($field:ident: $item:ident)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl std::ops::Index<$name> for Snapshot {
            type Output = $item;
            fn index(&self, at: $name) -> &$item {
                &self.$field[at.0 as usize]
            }
        }
    )+};
}

positions! {
    /// Position in [`Snapshot::subscriptions`].
    SubscriptionIx(subscriptions: Subscription),
    /// Position in [`Snapshot::folders`].
    FolderIx(folders: Folder),
    /// Position in [`Snapshot::limits`].
    LimitIx(limits: Limit),
    /// Position in [`Snapshot::jobs`].
    JobIx(jobs: Job),
    /// Position in [`Snapshot::layers`].
    LayerIx(layers: Layer),
    /// Position in [`Snapshot::hosts`].
    HostIx(hosts: Host),
}

/// One pool at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The managed shows' rights to this pool's allocation.
    pub subscriptions: Vec<Subscription>,
    /// The folders of the jobs.
    pub folders: Vec<Folder>,
    /// The limits of the layers.
    pub limits: Vec<Limit>,
    /// The jobs of the layers: PENDING, not paused, of a managed and active show, in the pool's facility.
    pub jobs: Vec<Job>,
    /// Layers with waiting frames whose start-after is reached. Their tags need not match any host.
    pub layers: Vec<Layer>,
    /// The pool's hosts that may be booked: OPEN, UP, and heard of recently.
    pub hosts: Vec<Host>,
    /// Hosts that could be booked but are left alone for a while, since their agent failed: nothing is placed on them, and
    /// what waits for them alone is told so.
    pub paused: Vec<Host>,
}

/// The right of a show to the pool's allocation.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The show.
    pub show: ShowId,
    /// Its name.
    pub show_name: Arc<str>,
    /// The allocation.
    pub alloc: AllocId,
    /// Burst in centicores, and what is booked.
    pub cores: Budget,
}

/// A folder ("group") of jobs. Its caps are its own, not summed up the tree.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder.
    pub id: FolderId,
    /// Maximum cores in centicores, and what is booked.
    pub cores: Budget,
    /// Maximum GPUs, and what is booked.
    pub gpus: Budget,
}

/// A farm-wide limit of what runs.
#[derive(Clone, Debug)]
pub struct Limit {
    /// The limit.
    pub id: LimitId,
    /// Its name.
    pub name: Arc<str>,
    /// The maximum, and how much runs.
    pub running: Budget,
    /// What of it is counted.
    pub counted: Counted,
}

/// What a limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Running frames.
    Frames,
    /// Hosts on which frames run, each once; these are they, in whatever pool.
    Hosts(BTreeSet<HostId>),
}

/// A job with waiting work.
#[derive(Clone, Debug)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: Arc<str>,
    /// The show's right to this pool.
    pub subscription: SubscriptionIx,
    /// The folder it is in.
    pub folder: FolderIx,
    /// Larger goes first.
    pub priority: i32,
    /// When it was started, in microseconds since 1970: of equal priorities the older goes first.
    pub started: i64,
    /// The operating system it asks for; `None` (also from an empty text) takes any.
    pub os: Option<Arc<str>>,
    /// Maximum cores in centicores, and what is booked.
    pub cores: Budget,
    /// Maximum GPUs, and what is booked. Cuebot's trigger tests both caps when either counter grows, so a job above
    /// its GPU cap can't book a frame without GPUs either.
    pub gpus: Budget,
}

/// A layer with waiting frames.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The layer.
    pub id: LayerId,
    /// Its name.
    pub name: Arc<str>,
    /// The job it belongs to.
    pub job: JobIx,
    /// Smaller goes first inside a job.
    pub dispatch_order: i64,
    /// Minimum cores.
    pub cores: CoreRequest,
    /// Maximum cores, `None` for none.
    pub cores_max: Option<Centicores>,
    /// Whether a frame can use more than one core.
    pub threadable: bool,
    /// Minimum memory.
    pub memory: Kb,
    /// Minimum GPUs.
    pub gpus: Gpus,
    /// Minimum memory of GPUs.
    pub gpu_memory: Kb,
    /// Tags of which a host must have one.
    pub tags: Vec<Arc<str>>,
    /// Services, for the selfish ones.
    pub services: Vec<Arc<str>>,
    /// Limits, all of which must have room.
    pub limits: Vec<LimitIx>,
    /// Frames in state WAITING that can be launched.
    pub waiting: u32,
    /// What it was given in this pass already.
    pub given: Given,
}

/// What a layer was given in earlier rounds of a pass, which its bounds count too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Frames booked.
    pub frames: u32,
    /// Hosts tried.
    pub hosts: u32,
}

/// A host that may be booked.
#[derive(Clone, Debug)]
pub struct Host {
    /// The host.
    pub id: HostId,
    /// Its name, which is also its address.
    pub name: Arc<str>,
    /// The names of its operating system: one, or several separated by commas.
    pub os: Arc<str>,
    /// Its tags.
    pub tags: Vec<HostTag>,
    /// How cores are given to threadable frames.
    pub thread_mode: ThreadMode,
    /// What it has.
    pub total: Resources,
    /// What may be booked now: the reserved part taken off, cores lowered by load, memory no more than is measured free.
    pub idle: Resources,
}
