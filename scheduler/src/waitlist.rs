//! What a pass left waiting: each layer once, with its one obstacle.
//!
//! The plan has a reason for what it leaves. Two more come from the pass itself: layers that can't be launched as they are
//! written are taken out before the plan or found when it lands; and what the plan placed may be refused by the database. What
//! was refused because it is gone, taken by another replica or paused by a person, waits no more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cue_scheduler_core::domain::id::LayerId;
use cue_scheduler_core::planning::{Plan, Waiting};
use cue_scheduler_core::reason::{Obstacle, Reason};
use cue_scheduler_core::snapshot::{LayerIx, Snapshot};

use crate::booking::Refusal;
use crate::snapshot::Launches;
use crate::tally::Tally;

/// The cause of a refusal that was no guard's: the database failed.
const DATABASE_ERROR: &str = "database_error";

/// What is wrong with single frames of a layer, of which there may be many.
const BAD_FRAMES: &str = "some of its frames can't be launched as they are named or numbered; the log says which";

/// A layer left waiting.
#[derive(Clone, Debug)]
pub struct Left {
    /// The layer.
    pub layer: LayerId,
    /// Its name.
    pub layer_name: Arc<str>,
    /// The name of its job.
    pub job: Arc<str>,
    /// The name of its show.
    pub show: Arc<str>,
    /// The priority of its job.
    pub priority: i32,
    /// How many of its frames.
    pub frames: u32,
    /// Why.
    pub obstacle: Obstacle,
}

impl Left {
    /// The kind of the obstacle.
    pub fn reason(&self) -> Reason {
        self.obstacle.reason()
    }
}

/// Follows a pass.
#[derive(Debug, Default)]
pub struct Waitlist {
    left: Vec<Left>,
    /// Why frames of layers were refused, the last cause of each.
    causes: HashMap<LayerId, Refusal>,
}

impl Waitlist {
    /// Takes the layers out of the snapshot that are left alone because they can't be launched.
    pub fn take_unbuildable(&mut self, snapshot: &mut Snapshot, launches: &Launches) {
        let unbuildable: Vec<(LayerIx, Arc<str>)> = (0..snapshot.layers.len())
            .filter_map(|at| Some((LayerIx(at as u32), launches.why_left_alone(&snapshot.layers[at].id)?)))
            .collect();
        if unbuildable.is_empty() {
            return;
        }
        for (at, error) in unbuildable {
            self.left.push(left(snapshot, at, snapshot[at].waiting, Obstacle::Unbuildable { error }));
        }
        snapshot.layers.retain(|layer| !launches.is_left_alone(&layer.id));
    }

    /// The database refused frames of these layers, or of some of them.
    pub fn refused(&mut self, layers: &[LayerId], cause: Refusal) {
        self.causes.extend(layers.iter().map(|layer| (layer.clone(), cause)));
    }

    /// What is left at the end: of the last plan, of what can't be launched, and of what was refused.
    pub fn close(mut self, snapshot: &Snapshot, last: Plan, tally: &Tally, launches: &Launches) -> Vec<Left> {
        let planned: HashSet<LayerIx> = last.waiting.iter().map(|waiting| waiting.layer).collect();
        for Waiting { layer, frames, obstacle } in last.waiting {
            self.left.push(left(snapshot, layer, frames, obstacle));
        }
        for at in (0..snapshot.layers.len() as u32).map(LayerIx).filter(|at| !planned.contains(at)) {
            let frames = tally.not_booked(at);
            if frames > 0
                && let Some(obstacle) = self.why_not_booked(&snapshot[at].id, tally.has_failed(at), launches)
            {
                self.left.push(left(snapshot, at, frames, obstacle));
            }
        }
        self.left
    }

    /// Why a layer was not booked that the plan had placed; `None` if it waits no more.
    fn why_not_booked(&self, layer: &LayerId, failed: bool, launches: &Launches) -> Option<Obstacle> {
        if let Some(error) = launches.why_left_alone(layer) {
            return Some(Obstacle::Unbuildable { error });
        }
        match self.causes.get(layer) {
            _ if failed => Some(Obstacle::Refused { cause: DATABASE_ERROR }),
            Some(Refusal::FrameUnbuildable) => Some(Obstacle::Unbuildable { error: BAD_FRAMES.into() }),
            Some(refusal) if !refusal.ends_waiting() => Some(Obstacle::Refused { cause: refusal.label() }),
            _ => None,
        }
    }
}

fn left(snapshot: &Snapshot, at: LayerIx, frames: u32, obstacle: Obstacle) -> Left {
    let layer = &snapshot[at];
    let job = &snapshot[layer.job];
    Left {
        layer: layer.id.clone(),
        layer_name: layer.name.clone(),
        job: job.name.clone(),
        show: snapshot[job.subscription].show_name.clone(),
        priority: job.priority,
        frames,
        obstacle,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cue_scheduler_core::domain::amount::Resources;
    use cue_scheduler_core::planning::Placement;
    use cue_scheduler_core::snapshot::{HostIx, JobIx};

    use super::*;
    use crate::fixtures;

    /// One job with so many layers of three waiting frames each.
    fn farm(layers: u32) -> Snapshot {
        let layers = (0..layers).map(|at| fixtures::layer(at, JobIx(0), 3)).collect();
        Snapshot { layers, ..fixtures::farm(1) }
    }

    #[test]
    fn a_layer_that_was_planned_and_not_booked_waits_for_what_refused_it_unless_it_waits_no_more() {
        let snapshot = farm(6);
        let placed = [0, 1, 2, 3, 4];
        let placement =
            |at| Placement { layer: LayerIx(at), host: HostIx(0), size: Resources::default(), frames: 3, score: None };
        let busy = Obstacle::HostsBusy { hosts: 1, nearest: None };
        let plan = Plan {
            placements: placed.map(placement).to_vec(),
            waiting: vec![Waiting { layer: LayerIx(5), frames: 3, obstacle: busy.clone() }],
        };
        let mut tally = Tally::default();
        tally.planned(&snapshot, &plan);
        let mut waitlist = Waitlist::default();
        let id = |at: u32| LayerId::from(format!("l{at}"));
        // All booked; taken by another; given up with one booked; failed; not to be built.
        (0..3).for_each(|_| tally.booked(LayerIx(0), "h".into()));
        waitlist.refused(&[id(1)], Refusal::FrameTaken);
        waitlist.refused(&[id(0), id(2)], Refusal::GivenUp);
        tally.booked(LayerIx(2), "h".into());
        tally.failed([LayerIx(3)]);
        waitlist.refused(&[id(4)], Refusal::FrameUnbuildable);

        let left = waitlist.close(&snapshot, plan, &tally, &Launches::new(Duration::MAX));
        let seen: Vec<_> = left.iter().map(|left| (left.layer.as_str(), left.frames, left.obstacle.clone())).collect();
        assert_eq!(
            seen,
            [
                ("l5", 3, busy),
                ("l2", 2, Obstacle::Refused { cause: "given_up" }),
                ("l3", 3, Obstacle::Refused { cause: "database_error" }),
                ("l4", 3, Obstacle::Unbuildable { error: BAD_FRAMES.into() }),
            ]
        );
        assert_eq!((&*left[0].show, &*left[0].job, left[0].priority), ("show", "j0", 7));
    }
}
