//! Who is served first.
//!
//! A rank is compared field by field, the most important first, so that the order of the fields is the policy. The ids
//! make it total: equal priorities come in the same order in every run and every replica, where upstream left them to
//! the database. Each layer is then served completely before the next, so that no job of lower priority ever takes a
//! host from a higher one that could have used it.
//!
//! Weights between shows (booked over subscription size) belong before `priority`, as a field that is looked at anew
//! after each booking. They are a later stage; today shows compete by the priority of their jobs.

use std::cmp::Reverse;

use crate::domain::id::{JobId, LayerId};
use crate::snapshot::{LayerIx, Snapshot};

/// The place of a layer in the order; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank<'a> {
    /// The job's priority, larger first.
    pub priority: Reverse<i32>,
    /// When the job was started, older first.
    pub started: i64,
    /// The job, so that jobs of equal age do not mix.
    pub job: &'a JobId,
    /// The layer's place in its job.
    pub dispatch_order: i64,
    /// The layer.
    pub layer: &'a LayerId,
}

/// The rank of a layer.
pub fn rank(snapshot: &Snapshot, at: LayerIx) -> Rank<'_> {
    let layer = &snapshot[at];
    let job = &snapshot[layer.job];
    Rank {
        priority: Reverse(job.priority),
        started: job.started,
        job: &job.id,
        dispatch_order: layer.dispatch_order,
        layer: &layer.id,
    }
}

/// All layers, the first to be served first.
pub fn in_order(snapshot: &Snapshot) -> Vec<LayerIx> {
    let mut ranked: Vec<_> =
        (0..snapshot.layers.len()).map(|at| LayerIx(at as u32)).map(|at| (rank(snapshot, at), at)).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_goes_before_age_age_before_ids_and_dispatch_order_stays_inside_a_job() {
        let (job_a, job_b) = (JobId::from("a"), JobId::from("b"));
        let (layer_a, layer_b) = (LayerId::from("a"), LayerId::from("b"));
        let rank = |priority, started, job, dispatch_order, layer| Rank {
            priority: Reverse(priority),
            started,
            job,
            dispatch_order,
            layer,
        };
        let wanted = [
            rank(100, 900, &job_b, 9, &layer_b),
            rank(50, 100, &job_b, 9, &layer_b),
            rank(50, 200, &job_a, 1, &layer_b),
            rank(50, 200, &job_a, 2, &layer_a),
            rank(50, 200, &job_b, 0, &layer_a),
            rank(50, 200, &job_b, 0, &layer_b),
            rank(-1, 0, &job_a, 0, &layer_a),
        ];
        assert!(wanted.is_sorted_by(|one, next| one < next));
    }
}
