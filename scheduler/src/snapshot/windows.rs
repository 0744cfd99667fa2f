//! The next frames of layers, kept over passes.
//!
//! Reading a hundred frames of a layer with a hundred thousand in dispatch order costs up to 0.3 s on the schema up to 47;
//! locking them by id costs a thousandth of that. So a pass reads a *window*, more than it plans, and keeps the rest as a
//! hint for the passes that follow.
//!
//! The slices of one allocation serve the same layers, perhaps in replicas that plan at the same moment. Each takes frames that are
//! its own first, out of a window as many times larger, so that they don't all claim the same ones.
//!
//! Pools of several allocations may serve one layer too, and mostly don't. There only a claim shows that others are at the same
//! frames: those are passed over for the rest of the pass, which plans others in their place.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use cue_scheduler_core::domain::id::{FrameId, LayerId};
use cue_scheduler_core::run_frame::FrameRef;
use cue_scheduler_core::slicing::Slice;

use crate::store::{Store, StoreError};

/// How long a window is trusted to be in dispatch order, and to miss no frame that was sent back to waiting.
const MAX_AGE: Duration = Duration::from_secs(2);

/// Frames beyond those planned, to have others where some are taken by another pool or replica.
const SPARE: usize = 8;

/// The windows of a pool's layers.
pub struct FrameWindows {
    slice: Slice,
    windows: HashMap<LayerId, Window>,
    /// Frames that are not taken, and until when.
    avoided: HashMap<FrameId, Instant>,
    /// Frames that somebody else was seen at in this pass.
    passed_over: HashMap<LayerId, HashSet<FrameId>>,
}

struct Window {
    frames: VecDeque<WaitingFrame>,
    /// The layer had no more waiting frames than these when it was read.
    whole: bool,
    /// Frames of it were left out, since they are avoided.
    gaps: bool,
    read_at: Instant,
}

/// A frame of a window.
#[derive(Clone, Debug)]
pub struct WaitingFrame {
    /// The frame.
    pub frame: FrameRef,
    /// How long it had waited by the database's clock when it was read.
    pub waited: Duration,
    /// When it was read.
    pub read_at: Instant,
}

impl FrameWindows {
    /// Of a pool with this slice of an allocation.
    pub fn new(slice: Slice) -> Self {
        Self { slice, windows: HashMap::new(), avoided: HashMap::new(), passed_over: HashMap::new() }
    }

    /// For each (layer, planned frames): the frames to take, in dispatch order, with some to spare where there are. The
    /// planned ones leave the window.
    pub async fn take(
        &mut self,
        planned: &[(LayerId, usize)],
        store: &Store,
    ) -> Result<HashMap<LayerId, Vec<WaitingFrame>>, StoreError> {
        self.windows.retain(|_, window| window.read_at.elapsed() < MAX_AGE);
        self.avoided.retain(|_, until| *until > Instant::now());
        let short: Vec<&(LayerId, usize)> = planned
            .iter()
            .filter(|(layer, frames)| self.windows.get(layer).is_none_or(|window| window.is_short(*frames)))
            .collect();
        if !short.is_empty() {
            let layers: Vec<&str> = short.iter().map(|(layer, _)| layer.as_str()).collect();
            // Those that are avoided may all be of one layer, and the first of it.
            let slices = usize::from(self.slice.of.max(1));
            let size = |layer: &LayerId, frames: usize| {
                let passed_over = self.passed_over.get(layer).map_or(0, HashSet::len);
                window_size(
                    frames.saturating_mul(slices).saturating_add(self.avoided.len()).saturating_add(passed_over),
                )
            };
            let wanted: Vec<i32> = short.iter().map(|(layer, frames)| size(layer, *frames) as i32).collect();
            let read_at = Instant::now();
            for (layer, frames) in short.iter().map(|(layer, frames)| (layer, *frames)) {
                let window =
                    Window { frames: VecDeque::with_capacity(window_size(frames)), whole: false, gaps: false, read_at };
                self.windows.insert(layer.clone(), window);
            }
            let mut read: HashMap<LayerId, usize> = HashMap::new();
            for row in store.windows(&layers, &wanted).await? {
                let (layer, id) = (LayerId::from(row.pk_layer), FrameId::from(row.pk_frame));
                let passed_over = self.passed_over.get(&layer).is_some_and(|frames| frames.contains(&id));
                if let Some(window) = self.windows.get_mut(&layer) {
                    *read.entry(layer).or_default() += 1;
                    if self.avoided.contains_key(&id) {
                        window.gaps = true;
                        continue;
                    }
                    if passed_over {
                        continue;
                    }
                    let frame = FrameRef { id, name: row.str_name.into(), version: row.int_version };
                    let age = row.waited.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    window.frames.push_back(WaitingFrame { frame, waited: age.unwrap_or_default(), read_at });
                }
            }
            for (layer, frames) in short {
                if let Some(window) = self.windows.get_mut(layer) {
                    if self.slice != Slice::WHOLE {
                        // Stable: otherwise in dispatch order.
                        window
                            .frames
                            .make_contiguous()
                            .sort_by_key(|next| !self.slice.goes_first(next.frame.id.as_str()));
                    }
                    window.whole = read.get(layer).is_none_or(|read| *read < size(layer, *frames));
                }
            }
        }
        let mut taken = HashMap::with_capacity(planned.len());
        for (layer, frames) in planned {
            if let Some(window) = self.windows.get_mut(layer) {
                let some = window.frames.iter().take(frames + SPARE).cloned().collect();
                window.frames.drain(..(*frames).min(window.frames.len()));
                taken.insert(layer.clone(), some);
            }
        }
        Ok(taken)
    }

    /// Whether frames of the layer were left out of its window, since they are avoided.
    pub fn has_gaps(&self, layer: &LayerId) -> bool {
        self.windows.get(layer).is_some_and(|window| window.gaps)
    }

    /// Takes a frame no more for a while: it can't be built, or the database can't book it.
    pub fn avoid(&mut self, frame: FrameId, pause: Duration) {
        self.avoided.insert(frame, Instant::now() + pause);
    }

    /// Passes over frames of a layer until the next pass: somebody else holds them, or has taken them.
    pub fn pass_over(&mut self, layer: &LayerId, frames: Vec<FrameId>) {
        self.passed_over.entry(layer.clone()).or_default().extend(frames);
    }

    /// A pass begins: what somebody else was at may be free again.
    pub fn begin_pass(&mut self) {
        self.passed_over.clear();
    }

    /// Forgets a layer's window, after something in it proved wrong.
    pub fn forget(&mut self, layer: &LayerId) {
        self.windows.remove(layer);
    }
}

impl Window {
    fn is_short(&self, frames: usize) -> bool {
        self.frames.len() < frames && !self.whole
    }
}

/// How many frames to read where `frames` are planned: as many again for the next pass.
fn window_size(frames: usize) -> usize {
    frames.saturating_mul(2).saturating_add(SPARE).min(10_000)
}
