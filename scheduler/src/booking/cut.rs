//! A plan is cut into chunks of one show each, in its own order.
//!
//! Chunks are booked side by side, so a chunk of about the wanted size ends where a job ends, if it can: two chunks with
//! frames of one job would wait for each other at the job's rows. Each chunk may claim other frames of a layer than
//! the chunks before it, and a few more than it needs, to have some where others are taken.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cue_scheduler_core::domain::id::{FrameId, LayerId};
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::planning::{Placement, Plan};
use cue_scheduler_core::run_frame::{FrameRef, LaunchTemplate};
use cue_scheduler_core::snapshot::{HostIx, JobIx, LayerIx, Snapshot, SubscriptionIx};

use super::chunk::{Chunk, ChunkHost, ChunkLayer, Slot};
use crate::snapshot::WaitingFrame;

/// Frames of a layer that a chunk may claim beyond those it needs.
const SPARE: usize = 8;

/// What the placed layers' frames are and how they are launched.
#[derive(Clone, Debug, Default)]
pub struct Launchable {
    /// How to launch, by layer. A layer that is missing is not booked.
    pub templates: HashMap<LayerId, Arc<LaunchTemplate>>,
    /// The next frames in dispatch order, by layer.
    pub windows: HashMap<LayerId, Vec<WaitingFrame>>,
}

/// A plan, ready to be booked.
#[derive(Debug, Default)]
pub struct Cut {
    /// The chunks, the most important first.
    pub chunks: Vec<Chunk>,
    /// What is to be known of a frame when it is booked.
    pub frames: HashMap<FrameId, Known>,
    /// Placed layers that can't be launched as they are written.
    pub unlaunchable: BTreeSet<LayerIx>,
    /// By layer: frames that can't, though others of it can.
    pub unbuildable: BTreeMap<LayerIx, Vec<FrameId>>,
    /// By layer: frames that were planned where its window had no more.
    pub missing: BTreeMap<LayerIx, usize>,
}

/// What metrics and the log want to know of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its layer.
    pub layer: LayerIx,
    /// How long it had waited by the database's clock when it was read.
    pub waited: Duration,
    /// When it was read.
    pub read_at: Instant,
    /// The kind of tag by which its layer matched the host that it was planned for.
    pub kind: TagKind,
}

/// Cuts the plan into chunks of about `chunk_frames`.
pub fn cut(snapshot: &Snapshot, plan: &Plan, launchable: &Launchable, chunk_frames: usize) -> Cut {
    let mut cutter =
        Cutter { snapshot, launchable, layers: HashMap::new(), open: BTreeMap::new(), cut: Cut::default() };
    let slack = chunk_frames / 4;
    for placement in &plan.placements {
        if !cutter.know(placement) {
            continue;
        }
        let job = snapshot[placement.layer].job;
        let show = snapshot[job].subscription;
        if cutter.open.get(&show).is_some_and(|open| open.slots.len() + slack >= chunk_frames && open.last_job != job) {
            cutter.close(show);
        }
        // Not by what is counted as waiting, which may be anything.
        let frames = cutter.still_in_window(placement);
        for _ in 0..frames {
            let open = cutter.open.entry(show).or_insert_with(|| Open::new(job));
            open.slots.push((placement.layer, *placement));
            open.last_job = job;
            if open.slots.len() >= chunk_frames + slack {
                cutter.close(show);
            }
        }
    }
    for show in cutter.open.keys().copied().collect::<Vec<_>>() {
        cutter.close(show);
    }
    cutter.cut
}

struct Cutter<'s> {
    snapshot: &'s Snapshot,
    launchable: &'s Launchable,
    layers: HashMap<LayerIx, Offer<'s>>,
    open: BTreeMap<SubscriptionIx, Open>,
    cut: Cut,
}

/// The frames of a layer that can be launched, and how many of them the chunks so far are to claim.
struct Offer<'s> {
    template: &'s Arc<LaunchTemplate>,
    frames: Vec<&'s WaitingFrame>,
    offered: usize,
    /// Room that is taken for them, in closed chunks and open ones.
    slots: usize,
}

/// A chunk being filled.
struct Open {
    slots: Vec<(LayerIx, Placement)>,
    last_job: JobIx,
}

impl Open {
    fn new(job: JobIx) -> Self {
        Self { slots: Vec::new(), last_job: job }
    }
}

impl Cutter<'_> {
    /// Looks a placement's layer up, the first time; `false` if it can't be launched.
    fn know(&mut self, placement: &Placement) -> bool {
        if self.layers.contains_key(&placement.layer) {
            return true;
        }
        let layer = &self.snapshot[placement.layer];
        let (Some(template), Some(window)) =
            (self.launchable.templates.get(&layer.id), self.launchable.windows.get(&layer.id))
        else {
            self.cut.unlaunchable.insert(placement.layer);
            return false;
        };
        let tags = &self.snapshot[placement.host].tags;
        let matching = tags.iter().filter(|tag| layer.tags.contains(&tag.name)).map(|tag| tag.kind);
        let kind = matching.min().unwrap_or(TagKind::Alloc);
        // What can't be built is never claimed, so a bad frame doesn't stand in the way of the next ones.
        let mut frames: Vec<&WaitingFrame> = Vec::with_capacity(window.len());
        for waiting in window {
            match template.check(&waiting.frame) {
                Ok(()) => frames.push(waiting),
                Err(error) => {
                    let FrameRef { id, name, .. } = &waiting.frame;
                    tracing::warn!(frame.id = %id, layer.id = %layer.id, "frame {name} is left alone for a while: {error}");
                    self.cut.unbuildable.entry(placement.layer).or_default().push(id.clone());
                }
            }
        }
        for waiting in &frames {
            let WaitingFrame { waited, read_at, .. } = **waiting;
            let known = Known { layer: placement.layer, waited, read_at, kind };
            self.cut.frames.insert(waiting.frame.id.clone(), known);
        }
        self.layers.insert(placement.layer, Offer { template, frames, offered: 0, slots: 0 });
        true
    }

    /// How many of a placement's frames the layer's window still has. The others are counted as missing.
    fn still_in_window(&mut self, placement: &Placement) -> usize {
        let planned = placement.frames as usize;
        let Some(offer) = self.layers.get_mut(&placement.layer) else { return 0 };
        let frames = planned.min(offer.frames.len() - offer.slots);
        offer.slots += frames;
        if frames < planned {
            *self.cut.missing.entry(placement.layer).or_default() += planned - frames;
        }
        frames
    }

    /// Finishes the open chunk of a show.
    fn close(&mut self, show: SubscriptionIx) {
        let Some(open) = self.open.remove(&show) else { return };
        let right = &self.snapshot[show];
        let mut chunk = Chunk {
            show: right.show.clone(),
            show_name: right.show_name.clone(),
            alloc: right.alloc.clone(),
            layers: Vec::new(),
            hosts: Vec::new(),
            slots: Vec::with_capacity(open.slots.len()),
        };
        let mut layers: Vec<(LayerIx, usize)> = Vec::new();
        let mut hosts: HashMap<HostIx, usize> = HashMap::new();
        for (layer, placement) in open.slots {
            // Slots of a layer stand together, or nearly.
            let at = layers.iter().rposition(|(known, _)| *known == layer).unwrap_or_else(|| {
                layers.push((layer, 0));
                layers.len() - 1
            });
            layers[at].1 += 1;
            let host = *hosts.entry(placement.host).or_insert_with(|| {
                let host = &self.snapshot[placement.host];
                chunk.hosts.push(ChunkHost { id: host.id.clone(), name: host.name.clone(), os: host.os.clone() });
                chunk.hosts.len() - 1
            });
            chunk.slots.push(Slot { layer: at, host, size: placement.size });
        }
        for (at, wanted) in layers {
            let layer = &self.snapshot[at];
            let Some(frames) = self.layers.get_mut(&at) else { continue };
            let candidates = frames.frames.iter().skip(frames.offered).take(wanted + SPARE);
            chunk.layers.push(ChunkLayer {
                id: layer.id.clone(),
                job: self.snapshot[layer.job].id.clone(),
                limits: layer.limits.iter().map(|limit| self.snapshot[*limit].id.clone()).collect(),
                template: frames.template.clone(),
                candidates: candidates.map(|waiting| waiting.frame.clone()).collect(),
            });
            frames.offered += wanted;
        }
        self.cut.chunks.push(chunk);
    }
}

#[cfg(test)]
mod tests {
    use cue_scheduler_core::domain::amount::{Centicores, Kb, Resources};
    use cue_scheduler_core::domain::request::ThreadMode;
    use cue_scheduler_core::run_frame::LaunchSource;
    use cue_scheduler_core::snapshot::Host;

    use super::*;
    use crate::fixtures;

    /// Jobs with one layer of so many frames each, all placed on one host.
    fn farm(frames: &[u32]) -> (Snapshot, Plan, Launchable) {
        let mut snapshot = fixtures::farm(u32::try_from(frames.len()).unwrap());
        snapshot.hosts.push(Host {
            id: "h".into(),
            name: "127.0.0.1".into(),
            os: "linux".into(),
            tags: Vec::new(),
            thread_mode: ThreadMode::Auto,
            total: Resources::default(),
            idle: Resources::default(),
        });
        let mut plan = Plan::default();
        let mut launchable = Launchable::default();
        for (at, frames) in (0_u32..).zip(frames) {
            let (job, layer) = (format!("j{at}"), LayerId::from(format!("l{at}")));
            snapshot.layers.push(fixtures::layer(at, JobIx(at), *frames));
            let size = Resources { cores: Centicores::CORE, ..Resources::default() };
            plan.placements.push(Placement { layer: LayerIx(at), host: HostIx(0), size, frames: *frames, score: None });
            let window = (1..=*frames + 3).map(|number| WaitingFrame {
                frame: FrameRef {
                    id: format!("{job}-{number}").into(),
                    name: format!("{number:04}-layer").into(),
                    version: Some(0),
                },
                waited: Duration::ZERO,
                read_at: Instant::now(),
            });
            launchable.windows.insert(layer.clone(), window.collect());
            launchable.templates.insert(layer.clone(), Arc::new(template(&job, &layer)));
        }
        (snapshot, plan, launchable)
    }

    fn template(job: &str, layer: &LayerId) -> LaunchTemplate {
        LaunchTemplate::parse(LaunchSource {
            job: job.into(),
            job_name: job.to_owned(),
            show: "show".to_owned(),
            shot: "shot".to_owned(),
            user: "artist".to_owned(),
            uid: None,
            log_dir: "/logs".to_owned(),
            loki_url: None,
            layer: layer.clone(),
            layer_name: "layer".to_owned(),
            command: "true".to_owned(),
            range: "1-1000".to_owned(),
            chunk_size: 1,
            threadable: false,
            memory: Kb(1),
            job_env: Vec::new(),
            layer_env: Vec::new(),
        })
        .unwrap()
    }

    fn sizes(cut: &Cut) -> Vec<usize> {
        cut.chunks.iter().map(|chunk| chunk.slots.len()).collect()
    }

    #[test]
    fn chunks_end_where_jobs_end() {
        let (snapshot, plan, launchable) = farm(&[40, 45, 30, 60, 50]);
        let cut = cut(&snapshot, &plan, &launchable, 100);
        assert_eq!(sizes(&cut), [85, 90, 50]);
    }

    #[test]
    fn a_large_job_is_cut_and_no_two_chunks_need_the_same_frame() {
        let (snapshot, plan, launchable) = farm(&[300]);
        let cut = cut(&snapshot, &plan, &launchable, 100);
        assert_eq!(sizes(&cut), [125, 125, 50]);
        let first = |chunk: &Chunk| chunk.layers[0].candidates[0].id.to_string();
        assert_eq!(cut.chunks.iter().map(first).collect::<Vec<_>>(), ["j0-1", "j0-126", "j0-251"]);
        assert_eq!(cut.chunks[0].layers[0].candidates.len(), 125 + SPARE);
        assert_eq!(cut.chunks[2].layers[0].candidates.len(), 53, "the window has no more");
    }

    #[test]
    fn a_layer_that_can_not_be_launched_is_in_no_chunk() {
        let (snapshot, plan, mut launchable) = farm(&[5, 5]);
        launchable.templates.remove(&LayerId::from("l0"));
        let cut = cut(&snapshot, &plan, &launchable, 100);
        assert_eq!(sizes(&cut), [5]);
        assert_eq!(cut.chunks[0].layers[0].id, LayerId::from("l1"));
        assert_eq!(cut.unlaunchable, BTreeSet::from([LayerIx(0)]));
    }

    #[test]
    fn no_more_is_cut_than_the_window_has_whatever_is_counted_as_waiting() {
        let (snapshot, mut plan, launchable) = farm(&[5, 2]);
        plan.placements[0].frames = u32::MAX;
        let cut = cut(&snapshot, &plan, &launchable, 100);
        assert_eq!(sizes(&cut), [8 + 2]);
        assert_eq!(cut.missing, BTreeMap::from([(LayerIx(0), u32::MAX as usize - 8)]));
    }

    #[test]
    fn a_frame_that_can_not_be_built_is_no_candidate() {
        let (snapshot, plan, mut launchable) = farm(&[2]);
        if let Some(window) = launchable.windows.get_mut(&LayerId::from("l0")) {
            window[0].frame.name = "no number".into();
        }
        let cut = cut(&snapshot, &plan, &launchable, 100);
        assert_eq!(cut.chunks[0].layers[0].candidates[0].id, FrameId::from("j0-2"));
        assert_eq!(cut.unbuildable, BTreeMap::from([(LayerIx(0), vec![FrameId::from("j0-1")])]));
    }
}
