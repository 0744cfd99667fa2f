//! What the limits of layers still allow, running down as the plan grows.
//!
//! A limit counts running frames, or *hosts* on which some run: a licence that a machine takes once, however many frames it
//! renders. On a host that holds such a seat already a frame costs nothing, so those hosts are taken first, and when no seat
//! is left they are the only ones. All of a layer's limits must have room.

use std::collections::BTreeSet;

use crate::domain::amount::{Frames, Hosts};
use crate::domain::cap::{Budget, Cap};
use crate::reason::{Full, Obstacle};
use crate::snapshot::{Counted, HostIx, Layer, Snapshot};

use super::size::NO_BOUND;

/// The limits of a snapshot and what the plan has taken of them.
#[derive(Debug)]
pub struct Limits<'a> {
    snapshot: &'a Snapshot,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    budget: Budget,
    /// The hosts of the pool that hold a seat, if it counts hosts.
    seats: Option<BTreeSet<HostIx>>,
}

/// On which hosts a layer under limits that count hosts may run.
#[derive(Debug)]
pub struct Seats {
    /// Those that hold a seat of each: to be taken first.
    pub held: Vec<HostIx>,
    /// If no seat is left of some: the only ones.
    pub only: Option<Vec<HostIx>>,
}

impl Running {
    fn allows_somewhere(&self) -> bool {
        self.budget.allows(1) || self.seats.as_ref().is_some_and(|seats| !seats.is_empty())
    }
}

impl<'a> Limits<'a> {
    /// Nothing planned yet.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let of_pool = |holders: &BTreeSet<_>| {
            let hosts = (0..).map(HostIx).zip(&snapshot.hosts);
            hosts.filter(|(_, host)| holders.contains(&host.id)).map(|(at, _)| at).collect()
        };
        let running = snapshot.limits.iter().map(|limit| Running {
            budget: limit.running,
            seats: match &limit.counted {
                Counted::Frames => None,
                Counted::Hosts(holders) => Some(of_pool(holders)),
            },
        });
        Self { snapshot, running: running.collect() }
    }

    /// How many more frames of a layer the limits allow, as far as they count frames.
    pub fn frames(&self, layer: &Layer) -> i64 {
        let counting = distinct(layer).map(|at| &self.running[at]).filter(|running| running.seats.is_none());
        counting.filter_map(|running| running.budget.headroom()).fold(NO_BOUND, i64::min)
    }

    /// The fullest limit of a layer that has no room for one more frame on any host of the pool.
    pub fn refusal(&self, layer: &Layer) -> Option<Obstacle> {
        self.fullest(distinct(layer).filter(|at| !self.running[*at].allows_somewhere()))
    }

    /// The fullest limit of a layer of which no seat is left.
    pub fn no_seat(&self, layer: &Layer) -> Option<Obstacle> {
        let counting = distinct(layer).filter(|at| self.running[*at].seats.is_some());
        self.fullest(counting.filter(|at| !self.running[*at].budget.allows(1)))
    }

    fn fullest(&self, limits: impl Iterator<Item = usize>) -> Option<Obstacle> {
        let at = limits.min_by_key(|at| (self.running[*at].budget.headroom(), &self.snapshot.limits[*at].id))?;
        let name = self.snapshot.limits[at].name.clone();
        let Running { budget: Budget { cap, used }, seats } = &self.running[at];
        let Cap::AtMost(most) = *cap else { return None };
        let full = Full { wanted: 1, used: *used, most };
        Some(match seats {
            None => Obstacle::Limit { name, frames: full.map(Frames) },
            Some(_) => Obstacle::HostLimit { name, hosts: full.map(Hosts) },
        })
    }

    /// Where a layer may run, if one of its limits counts hosts.
    pub fn seats(&self, layer: &Layer) -> Option<Seats> {
        let counting: Vec<(&Budget, &BTreeSet<HostIx>)> = distinct(layer)
            .filter_map(|at| Some((&self.running[at].budget, self.running[at].seats.as_ref()?)))
            .collect();
        if counting.is_empty() {
            return None;
        }
        let all_of = |sets: &[&BTreeSet<HostIx>]| -> Vec<HostIx> {
            let Some((first, others)) = sets.split_first() else { return Vec::new() };
            first.iter().copied().filter(|host| others.iter().all(|set| set.contains(host))).collect()
        };
        let exhausted: Vec<_> = counting.iter().filter(|(budget, _)| !budget.allows(1)).map(|(_, set)| *set).collect();
        let every: Vec<_> = counting.iter().map(|(_, set)| *set).collect();
        Some(Seats { held: all_of(&every), only: (!exhausted.is_empty()).then(|| all_of(&exhausted)) })
    }

    /// Counts `frames` frames of a layer on a host.
    pub fn take(&mut self, layer: &Layer, host: HostIx, frames: i64) {
        for at in distinct(layer) {
            let running = &mut self.running[at];
            let more = match &mut running.seats {
                None => frames,
                Some(seats) => i64::from(seats.insert(host)),
            };
            running.budget.used = running.budget.used.saturating_add(more);
        }
    }
}

/// The positions of a layer's limits, each once.
fn distinct(layer: &Layer) -> impl Iterator<Item = usize> {
    let set: BTreeSet<_> = layer.limits.iter().map(|at| at.0 as usize).collect();
    set.into_iter()
}
