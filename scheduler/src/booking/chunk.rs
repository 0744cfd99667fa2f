//! A chunk: the part of a plan that one transaction books.
//!
//! About a hundred frames over layers of one show: large enough that the round trips don't count, small enough that the
//! rows which a show's frames share (job, folder, subscription) are held for milliseconds only.

use std::collections::HashSet;
use std::sync::Arc;

use cue_scheduler_core::domain::amount::Resources;
use cue_scheduler_core::domain::id::{AllocId, FrameId, HostId, JobId, LayerId, LimitId, ShowId};
use cue_scheduler_core::run_frame::{FrameRef, LaunchTemplate};

/// What one transaction is asked to book.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The show of all layers.
    pub show: ShowId,
    /// Its name.
    pub show_name: Arc<str>,
    /// The allocation of the pool. A host that has moved to another one is not booked: its tags, on which the plan rests,
    /// may have changed with it.
    pub alloc: AllocId,
    /// The layers.
    pub layers: Vec<ChunkLayer>,
    /// The hosts.
    pub hosts: Vec<ChunkHost>,
    /// One entry a frame to book, the most important first.
    pub slots: Vec<Slot>,
}

/// A layer of a chunk.
#[derive(Clone, Debug)]
pub struct ChunkLayer {
    /// The layer.
    pub id: LayerId,
    /// Its job.
    pub job: JobId,
    /// Its limits.
    pub limits: Vec<LimitId>,
    /// What its `RunFrames` are built from.
    pub template: Arc<LaunchTemplate>,
    /// Frames that may be claimed, in dispatch order, with some to spare.
    pub candidates: Vec<FrameRef>,
}

/// A host of a chunk.
#[derive(Clone, Debug)]
pub struct ChunkHost {
    /// The host.
    pub id: HostId,
    /// Its name.
    pub name: Arc<str>,
    /// Its operating system, as reported.
    pub os: Arc<str>,
}

/// Room for one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Position of the layer in [`Chunk::layers`].
    pub layer: usize,
    /// Position of the host in [`Chunk::hosts`].
    pub host: usize,
    /// What the frame reserves.
    pub size: Resources,
}

impl Chunk {
    /// How many slots each layer has.
    pub(super) fn wanted(&self) -> Vec<u32> {
        let mut wanted = vec![0; self.layers.len()];
        for slot in &self.slots {
            wanted[slot.layer] += 1;
        }
        wanted
    }

    /// Takes frames out of what may be claimed.
    pub(super) fn forget(&mut self, frames: &HashSet<FrameId>) {
        for layer in &mut self.layers {
            layer.candidates.retain(|candidate| !frames.contains(&candidate.id));
        }
    }
}
