//! Why the database refused a part of a plan. A refusal is a value: plans may be stale when they land.

use std::collections::BTreeMap;
use std::fmt;

use cue_scheduler_core::domain::id::{FrameId, LayerId};
use cue_scheduler_core::landing::Truth;

use super::Rejected;

/// A guard of the booking transaction that held something back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Somebody else holds or runs the frame.
    FrameTaken,
    /// The frame's version is not the one that was claimed.
    FrameChanged,
    /// The frame can't be launched as its layer is written.
    FrameUnbuildable,
    /// The frame's version or its count of retries is at the end of its column.
    FrameWornOut,
    /// The database can't write the booking of the frame, because of what some row holds.
    Rejected,
    /// The job is paused.
    JobPaused,
    /// The job is not PENDING, or is gone.
    JobNotPending,
    /// The layer may not start yet.
    StartAfter,
    /// The show is not ours to book, or not active.
    ShowNotManaged,
    /// A proc still holds the frame.
    ProcExists,
    /// The host is locked, not UP, lent to its owner, or no longer in the pool.
    HostNotOpen,
    /// The host has not enough idle.
    HostFull,
    /// The show has no subscription to the host's allocation.
    NoSubscription,
    /// The subscription's burst.
    Subscription,
    /// The job's core maximum.
    JobCores,
    /// The job's GPU maximum.
    JobGpus,
    /// The folder's core maximum.
    FolderCores,
    /// The folder's GPU maximum.
    FolderGpus,
    /// A limit of the layer.
    Limit,
    /// The chunk was refused again and again, or its rows stayed locked, and was given up for this pass.
    GivenUp,
}

impl Refusal {
    /// Every cause.
    pub const ALL: [Self; 20] = [
        Self::FrameTaken,
        Self::FrameChanged,
        Self::FrameUnbuildable,
        Self::FrameWornOut,
        Self::Rejected,
        Self::JobPaused,
        Self::JobNotPending,
        Self::StartAfter,
        Self::ShowNotManaged,
        Self::ProcExists,
        Self::HostNotOpen,
        Self::HostFull,
        Self::NoSubscription,
        Self::Subscription,
        Self::JobCores,
        Self::JobGpus,
        Self::FolderCores,
        Self::FolderGpus,
        Self::Limit,
        Self::GivenUp,
    ];

    /// The `cause` label of the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::FrameTaken => "frame_taken",
            Self::FrameChanged => "frame_changed",
            Self::FrameUnbuildable => "frame_unbuildable",
            Self::FrameWornOut => "frame_worn_out",
            Self::Rejected => "rejected",
            Self::JobPaused => "job_paused",
            Self::JobNotPending => "job_not_pending",
            Self::StartAfter => "start_after",
            Self::ShowNotManaged => "show_not_managed",
            Self::ProcExists => "proc_exists",
            Self::HostNotOpen => "host_not_open",
            Self::HostFull => "host_full",
            Self::NoSubscription => "no_subscription",
            Self::Subscription => "subscription",
            Self::JobCores => "job",
            Self::JobGpus => "job_gpus",
            Self::FolderCores => "folder",
            Self::FolderGpus => "folder_gpus",
            Self::Limit => "limit",
            Self::GivenUp => "given_up",
        }
    }

    /// Whether the frames that it refuses don't wait any more, or not for us: they were taken, or may not start.
    pub fn ends_waiting(self) -> bool {
        matches!(
            self,
            Self::FrameTaken | Self::JobPaused | Self::JobNotPending | Self::StartAfter | Self::ShowNotManaged
        )
    }

    /// The `table` label of `scheduler_accounting_limit_exceeded_total`, for the caps that it counts.
    pub fn accounting_table(self) -> Option<&'static str> {
        match self {
            Self::Subscription | Self::NoSubscription => Some("subscription"),
            Self::JobCores => Some("job"),
            Self::JobGpus => Some("job_gpus"),
            Self::FolderCores => Some("folder"),
            Self::FolderGpus => Some("folder_gpus"),
            _ => None,
        }
    }

    pub(super) fn of_cause(cause: &str) -> Self {
        match cause {
            "frame_taken" => Self::FrameTaken,
            "show_not_managed" => Self::ShowNotManaged,
            "job_not_pending" => Self::JobNotPending,
            "job_paused" => Self::JobPaused,
            "start_after" => Self::StartAfter,
            "frame_worn_out" => Self::FrameWornOut,
            _ => Self::FrameChanged,
        }
    }
}

/// What an attempt was refused, and what it learnt by that.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// For the counts.
    pub(super) refusals: Refusals,
    /// For the snapshot that the plan was made from.
    pub(super) truths: Vec<Truth>,
    /// For the passes that follow.
    pub(super) rejected: Vec<Rejected>,
    /// Frames of layers that somebody else holds or has taken, for the rest of the pass.
    pub(super) taken: Vec<(LayerId, Vec<FrameId>)>,
}

impl Found {
    /// Frames of a layer that can't be had in this pass.
    pub(super) fn gone(&mut self, refusal: Refusal, layer: &LayerId, frames: u32) {
        if frames > 0 {
            self.refusals.add(refusal, frames as usize);
            self.truths.push(Truth::FramesGone { layer: layer.clone(), frames });
        }
    }
}

/// Refused frames by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals(BTreeMap<Refusal, u32>);

impl Refusals {
    /// Counts `frames` more.
    pub fn add(&mut self, refusal: Refusal, frames: usize) {
        if frames > 0 {
            let count = self.0.entry(refusal).or_default();
            *count = count.saturating_add(u32::try_from(frames).unwrap_or(u32::MAX));
        }
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Self) {
        for (refusal, frames) in &other.0 {
            let count = self.0.entry(*refusal).or_default();
            *count = count.saturating_add(*frames);
        }
    }

    /// Frames refused for that cause.
    pub fn of(&self, refusal: Refusal) -> u32 {
        self.0.get(&refusal).copied().unwrap_or_default()
    }

    /// The cause that refused most frames.
    pub fn chief(&self) -> Option<Refusal> {
        self.0.iter().max_by_key(|(_, frames)| **frames).map(|(refusal, _)| *refusal)
    }

    /// All causes with their frames.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u32)> {
        self.0.iter().map(|(refusal, frames)| (*refusal, *frames))
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (refusal, frames) in &self.0 {
            write!(f, "{separator}{} {frames}", refusal.label())?;
            separator = ", ";
        }
        Ok(())
    }
}
