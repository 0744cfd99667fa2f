//! What can be wrong with a plan.

use std::collections::BTreeSet;

use crate::domain::amount::Resources;
use crate::reason::Reason;

/// What is wrong with a plan. Things are named by their ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A position that the snapshot does not have.
    #[error("the plan names layer {layer} and host {host}, which the snapshot does not have")]
    Unknown {
        /// Position of the layer.
        layer: u32,
        /// Position of the host; 0 for an entry of the waiting list.
        host: u32,
    },
    /// A placement or waiting entry without frames.
    #[error("layer {layer} has an entry without frames")]
    Empty {
        /// The layer.
        layer: String,
    },
    /// The layer may not run on the host at all.
    #[error("layer {layer} may not run on host {host}: {why}")]
    Gate {
        /// The layer.
        layer: String,
        /// The host.
        host: String,
        /// What keeps it away.
        why: &'static str,
    },
    /// A reservation that the layer may not have on this host.
    #[error("layer {layer} reserves {size:?} on host {host}: {why}")]
    Size {
        /// The layer.
        layer: String,
        /// The host.
        host: String,
        /// The reservation.
        size: Resources,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than was idle.
    #[error("host {host} has less idle than layer {layer} takes or demands")]
    Idle {
        /// The layer.
        layer: String,
        /// The host.
        host: String,
    },
    /// A cap is passed.
    #[error("layer {layer} is booked beyond a cap: {reason:?}")]
    Cap {
        /// The layer.
        layer: String,
        /// The cap.
        reason: Reason,
    },
    /// A bound of the policy is passed.
    #[error("layer {layer} gets more {what} than the policy allows in a pass")]
    Bound {
        /// The layer.
        layer: String,
        /// Frames, hosts or jobs.
        what: &'static str,
    },
    /// Planned and waiting frames are not the frames that wait.
    #[error("layer {layer} has {waiting} frames, {planned} of them planned and {left} left waiting")]
    Sum {
        /// The layer.
        layer: String,
        /// Frames in the snapshot.
        waiting: u64,
        /// Frames planned.
        planned: u64,
        /// Frames left waiting.
        left: u64,
    },
    /// Entries are not in the order of layers, or a layer waits for two reasons.
    #[error("layer {layer} comes out of turn, or twice")]
    Order {
        /// The layer.
        layer: String,
    },
    /// The reason given is not the first obstacle.
    #[error("layer {layer} is said to wait for {given:?}; right would be one of {right:?}")]
    Reason {
        /// The layer.
        layer: String,
        /// The reason given.
        given: Reason,
        /// What would be right; empty if nothing was in its way.
        right: BTreeSet<Reason>,
    },
}
