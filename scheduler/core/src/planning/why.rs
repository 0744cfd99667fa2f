//! The numbers behind what is left waiting.
//!
//! While layers are served only the kind of obstacle matters, and that a layer finds no host is decided without looking at
//! hosts one by one. The numbers are looked up here, once, when the plan is made: hosts have then less idle than when the
//! layer was refused, so what is said to be lacking was lacking before.

use std::sync::Arc;

use crate::host_index::{HostIndex, Nearness, NoShelf, Refused, Search, Shelves};
use crate::reason::{Bound, Lack, Nearest, Obstacle};
use crate::snapshot::{Host, HostIx, LayerIx, Snapshot};

use super::score::Saturation;
use super::size::{Ask, NO_BOUND};
use super::{Policy, Waiting};

/// An obstacle as the planner met it.
#[derive(Debug)]
pub enum Why {
    /// A cap, which knows its numbers.
    Cap(Obstacle),
    /// No host may be used.
    NoHost(NoShelf),
    /// None of these is large enough.
    TooSmall(Shelves),
    /// None of these has enough idle.
    Busy(Shelves),
    /// The configuration.
    Bound(Bound),
}

/// A layer left waiting.
#[derive(Debug)]
pub struct Left {
    /// The layer.
    pub layer: LayerIx,
    /// How many of its frames.
    pub frames: u32,
    /// Why.
    pub why: Why,
}

/// Looks the numbers up, for all layers left waiting.
pub fn obstacles(
    snapshot: &Snapshot,
    policy: &Policy,
    saturation: Saturation,
    hosts: &HostIndex,
    left: Vec<Left>,
) -> Vec<Waiting> {
    // Mostly there are none, and then nobody's tags need to be known.
    let asking = if snapshot.paused.is_empty() { &[] } else { &snapshot.layers[..] };
    let paused = HostIndex::new(&snapshot.paused, asking, saturation);
    let mut inquiry = Inquiry {
        snapshot,
        nearness: Nearness::of(hosts),
        paused: &paused,
        of_paused: Nearness::of(&paused),
        refused: Refused::default(),
    };
    left.into_iter()
        .map(|left| {
            let ask = Ask::of(&snapshot[left.layer], policy);
            let obstacle = inquiry.obstacle(left.layer, &ask, left.why);
            Waiting { layer: left.layer, frames: left.frames, obstacle }
        })
        .collect()
}

struct Inquiry<'i, 'a> {
    snapshot: &'a Snapshot,
    nearness: Nearness<'i, 'a>,
    paused: &'i HostIndex<'a>,
    of_paused: Nearness<'i, 'a>,
    /// What no paused host could take.
    refused: Refused,
}

impl Inquiry<'_, '_> {
    fn obstacle(&mut self, layer: LayerIx, ask: &Ask, why: Why) -> Obstacle {
        if let Some(obstacle) = self.quarantine(layer, ask, &why) {
            return obstacle;
        }
        match why {
            Why::Cap(obstacle) => obstacle,
            Why::Bound(bound) => Obstacle::PassBound(bound),
            Why::NoHost(NoShelf::Tag) => Obstacle::NoHostWithTag { hosts: self.snapshot.hosts.len() as u32 },
            Why::NoHost(NoShelf::Os(shelves)) => Obstacle::NoHostWithOs {
                hosts: self.nearness.count(&shelves),
                os: self.snapshot[self.snapshot[layer].job].os.clone().unwrap_or_default(),
            },
            Why::NoHost(NoShelf::Mode(shelves)) => {
                Obstacle::NoHostForUnthreaded { hosts: self.nearness.count(&shelves) }
            }
            Why::TooSmall(shelves) => Obstacle::NoHostLargeEnough {
                hosts: self.nearness.count(&shelves),
                nearest: named(&self.snapshot.hosts, self.nearness.when_idle(&shelves, ask)),
            },
            Why::Busy(shelves) => Obstacle::HostsBusy {
                hosts: self.nearness.count(&shelves),
                nearest: named(&self.snapshot.hosts, self.nearness.now(&shelves, ask)),
            },
        }
    }

    /// Whether hosts that are left alone are all that is in the way: one of them would take a frame now where the others are
    /// busy, or at all where the others can't.
    fn quarantine(&mut self, layer: LayerIx, ask: &Ask, why: &Why) -> Option<Obstacle> {
        if self.snapshot.paused.is_empty() || matches!(why, Why::Cap(_) | Why::Bound(_)) {
            return None;
        }
        let layer = &self.snapshot[layer];
        let os = self.snapshot[layer.job].os.as_deref();
        let shelves = self.paused.shelves(&layer.tags, os, ask).ok()?;
        if !self.paused.large_enough(&shelves, ask) {
            return None;
        }
        let mut host = None;
        if !self.refused.covers(&shelves, ask) {
            host = self.paused.best(&mut Search::new(&shelves, ask), NO_BOUND);
            if host.is_none() {
                self.refused.note(&shelves, ask);
            }
        }
        if matches!(why, Why::NoHost(_) | Why::TooSmall(_)) {
            host = host.or_else(|| self.of_paused.first(&shelves));
        }
        let host = self.snapshot.paused[host?.0 as usize].name.clone();
        Some(Obstacle::HostsQuarantined { hosts: self.of_paused.count(&shelves), host })
    }
}

fn named(hosts: &[Host], nearest: Option<(HostIx, Lack)>) -> Option<Nearest> {
    nearest.map(|(at, lack)| Nearest { host: Arc::clone(&hosts[at.0 as usize].name), lack })
}
