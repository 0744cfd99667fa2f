//! What became of the layers that looked for hosts in a pass: exactly one outcome each.
//!
//! The plans say which layers were placed, and which met no host; the bookings say what came of it. A layer that only a cap
//! holds back looks for no host and has no outcome here: its reason tells.

use std::collections::{BTreeMap, HashSet};

use cue_scheduler_core::domain::id::HostId;
use cue_scheduler_core::planning::Plan;
use cue_scheduler_core::snapshot::{LayerIx, Snapshot};

/// How many layers ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerOutcomes {
    /// At least one frame was booked.
    pub booked: usize,
    /// Frames were placed, and the database refused them all.
    pub no_progress: usize,
    /// No host took a frame.
    pub no_match: usize,
    /// The layer can't be launched as it is written, or its transaction failed.
    pub dispatch_error: usize,
    /// For each layer whose waiting frames were all booked: on how many hosts.
    pub candidates: Vec<usize>,
}

/// Follows the layers of a plan through its booking.
#[derive(Debug, Default)]
pub struct Tally {
    layers: BTreeMap<LayerIx, Looked>,
}

#[derive(Debug, Default)]
struct Looked {
    /// Frames that waited when the pass first planned it.
    wanted: u32,
    placed: bool,
    failed: bool,
    /// Frames booked.
    booked: u32,
    hosts: HashSet<HostId>,
}

impl Tally {
    /// Takes in the layers that a plan of the pass placed, or for which it found no host.
    pub fn planned(&mut self, snapshot: &Snapshot, plan: &Plan) {
        for waiting in plan.waiting.iter().filter(|waiting| waiting.reason().is_about_hosts()) {
            self.looked(snapshot, waiting.layer);
        }
        for placement in &plan.placements {
            self.looked(snapshot, placement.layer).placed = true;
        }
    }

    fn looked(&mut self, snapshot: &Snapshot, layer: LayerIx) -> &mut Looked {
        let looked = self.layers.entry(layer).or_default();
        looked.wanted = looked.wanted.max(snapshot[layer].waiting);
        looked
    }

    /// A frame of the layer was booked on a host.
    pub fn booked(&mut self, layer: LayerIx, host: HostId) {
        let looked = self.layers.entry(layer).or_default();
        looked.booked += 1;
        looked.hosts.insert(host);
    }

    /// The booking of these layers failed with an error, or could not be tried.
    pub fn failed(&mut self, layers: impl IntoIterator<Item = LayerIx>) {
        for layer in layers {
            self.layers.entry(layer).or_default().failed = true;
        }
    }

    /// Frames of a layer that waited when the pass first planned it and were not booked; 0 for one that looked for no host.
    pub fn not_booked(&self, layer: LayerIx) -> u32 {
        self.layers.get(&layer).map_or(0, |looked| looked.wanted.saturating_sub(looked.booked))
    }

    /// Whether the booking of a layer failed with an error, or could not be tried.
    pub fn has_failed(&self, layer: LayerIx) -> bool {
        self.layers.get(&layer).is_some_and(|looked| looked.failed)
    }

    /// The layers whose waiting frames were all booked.
    pub fn consumed(&self) -> impl Iterator<Item = LayerIx> {
        self.layers.iter().filter(|(_, looked)| looked.is_consumed()).map(|(layer, _)| *layer)
    }

    /// How the layers ended.
    pub fn outcomes(&self) -> LayerOutcomes {
        let mut outcomes = LayerOutcomes::default();
        for looked in self.layers.values() {
            *match looked {
                Looked { booked: 1.., .. } => &mut outcomes.booked,
                Looked { failed: true, .. } => &mut outcomes.dispatch_error,
                Looked { placed: true, .. } => &mut outcomes.no_progress,
                Looked { .. } => &mut outcomes.no_match,
            } += 1;
            if looked.is_consumed() {
                outcomes.candidates.push(looked.hosts.len());
            }
        }
        outcomes
    }
}

impl Looked {
    fn is_consumed(&self) -> bool {
        self.booked > 0 && self.booked >= self.wanted
    }
}

#[cfg(test)]
mod tests {
    use cue_scheduler_core::domain::amount::{Centicores, Resources};
    use cue_scheduler_core::planning::{Placement, Waiting};
    use cue_scheduler_core::reason::{Full, Obstacle};
    use cue_scheduler_core::snapshot::{HostIx, JobIx};

    use super::*;
    use crate::fixtures::layer;

    /// Layers with two waiting frames each.
    fn layers(count: u32) -> Snapshot {
        Snapshot { layers: (0..count).map(|at| layer(at, JobIx(0), 2)).collect(), ..Snapshot::default() }
    }

    fn plan(placed: &[u32], waiting: Vec<(u32, Obstacle)>) -> Plan {
        let placement = |at: &u32| Placement {
            layer: LayerIx(*at),
            host: HostIx(0),
            size: Resources::default(),
            frames: 1,
            score: None,
        };
        Plan {
            placements: placed.iter().map(placement).collect(),
            waiting: waiting
                .into_iter()
                .map(|(at, obstacle)| Waiting { layer: LayerIx(at), frames: 1, obstacle })
                .collect(),
        }
    }

    #[test]
    fn each_layer_has_one_outcome_and_the_best_that_happened() {
        let full = Full { wanted: Centicores(100), used: Centicores(100), most: Centicores(100) };
        let waiting = vec![
            (0, Obstacle::HostsBusy { hosts: 1, nearest: None }),
            (4, Obstacle::NoHostWithTag { hosts: 1 }),
            (5, Obstacle::JobCores(full)),
            (6, Obstacle::FolderCores(full)),
        ];
        let plan = plan(&[0, 1, 2, 3], waiting);
        let mut tally = Tally::default();
        tally.planned(&layers(7), &plan);
        tally.booked(LayerIx(0), "a".into());
        tally.failed([LayerIx(0)]);
        tally.booked(LayerIx(1), "a".into());
        tally.booked(LayerIx(1), "b".into());
        tally.failed([LayerIx(2)]);
        let outcomes = tally.outcomes();
        assert_eq!(
            outcomes,
            LayerOutcomes { booked: 2, dispatch_error: 1, no_progress: 1, no_match: 1, candidates: vec![2] }
        );
    }
}
