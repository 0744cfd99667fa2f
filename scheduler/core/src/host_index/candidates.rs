//! The candidates of the E-PVM strategy, and the cheapest of them.
//!
//! A score depends on how much of everything is idle, on caps and on the frames left, so hosts can't stand in its order. A
//! bounded number of them is scored instead. They are taken evenly from all numbers of idle cores, and for each number from
//! the memory that would go with it outwards, since little is left over there: where upstream took the hosts with the
//! fewest idle cores, and on a large farm never scored any other. With as many candidates as hosts, the best of all is found.

use std::collections::HashSet;

use super::shelf::Kind;
use super::{HostIndex, Shelves};
use crate::planning::epvm::{Epvm, Points};
use crate::planning::size::Ask;
use crate::snapshot::HostIx;

/// What caps and waiting work allow of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Whole cores.
    pub cores: i64,
    /// Frames, at least 1.
    pub frames: u32,
}

/// Hosts of one shelf with equally many idle cores, in one direction of memory.
type Row<'r> = Box<dyn Iterator<Item = u32> + 'r>;

/// By what rows are put in order: idle cores, then what their shelf holds, never the order in which shelves were made.
type Shown<'r> = (i64, &'r str, Kind<'r>);

impl HostIndex<'_> {
    /// The candidate with the least score that can take a frame; of equal ones that with the fewest idle cores, then the
    /// least idle memory, then the least id. The index must stand in ascending order of both.
    pub fn cheapest(&self, shelves: &Shelves, ask: &Ask, allowed: Allowed, epvm: &Epvm) -> Option<(HostIx, Points)> {
        self.cheapest_of(self.candidates(shelves, ask, allowed, epvm.max_candidates), ask, allowed, epvm)
    }

    /// The same among a few hosts, all of which are scored.
    pub fn cheapest_among(
        &self,
        hosts: &[HostIx],
        shelves: &Shelves,
        ask: &Ask,
        allowed: Allowed,
        epvm: &Epvm,
    ) -> Option<(HostIx, Points)> {
        let fitting = hosts.iter().filter(|at| self.fits(**at, shelves, ask, allowed.cores));
        self.cheapest_of(fitting.map(|at| self.ranks[at.0 as usize]).collect(), ask, allowed, epvm)
    }

    fn cheapest_of(&self, ranks: Vec<u32>, ask: &Ask, allowed: Allowed, epvm: &Epvm) -> Option<(HostIx, Points)> {
        let scored = ranks.into_iter().filter_map(|rank| {
            let state = self.states[self.by_rank[rank as usize].0 as usize];
            let size = ask.size_on(&state, allowed.cores)?;
            let frames = (allowed.cores / size.cores.whole_cores().max(1)).min(allowed.frames.into());
            let points = epvm.weights.points(state.idle(), &size, frames);
            Some((points, state.idle_cores(), state.idle().memory, rank))
        });
        scored.min().map(|(points, .., rank)| (self.by_rank[rank as usize], points))
    }

    fn candidates(&self, shelves: &Shelves, ask: &Ask, allowed: Allowed, most: u32) -> Vec<u32> {
        let most = most.max(1) as usize;
        let mut rows = self.rows(shelves, ask, allowed);
        // A host with several of the layer's tags stands on several shelves.
        let mut known = HashSet::new();
        let mut found = Vec::new();
        while found.len() < most && !rows.is_empty() {
            let some = rows.len().min(most - found.len());
            let mut ended = Vec::new();
            for nth in 0..some {
                let at = nth * rows.len() / some;
                match rows[at].next() {
                    Some(rank) if known.insert(rank) => found.push(rank),
                    Some(_) => {}
                    None => ended.push(at),
                }
            }
            for at in ended.into_iter().rev() {
                drop(rows.remove(at));
            }
        }
        found
    }

    fn rows<'r>(&'r self, shelves: &Shelves, ask: &'r Ask, allowed: Allowed) -> Vec<Row<'r>> {
        let mut rows: Vec<(Shown, [Row; 2])> = Vec::new();
        if ask.memory.0 < 0 {
            return Vec::new();
        }
        let fits = move |rank: &u32| {
            let host = self.by_rank[*rank as usize];
            ask.size_on(&self.states[host.0 as usize], allowed.cores).is_some()
        };
        for at in &shelves.0 {
            let here = self.shelf(*at);
            for (cores, bucket) in here.buckets(ask, allowed.cores) {
                let frames = (cores / ask.least().max(1)).clamp(1, allowed.frames.max(1).into());
                let (least, fitting) = ((ask.memory.0, 0), (ask.memory.0.saturating_mul(frames), 0));
                let upwards = bucket.range(fitting..).map(|(_, rank)| *rank).filter(fits);
                let downwards = bucket.range(least..fitting).rev().map(|(_, rank)| *rank).filter(fits);
                rows.push(((cores, here.tag, here.kind), [Box::new(upwards), Box::new(downwards)]));
            }
        }
        rows.sort_by_key(|(key, _)| *key);
        rows.into_iter().flat_map(|(_, rows)| rows).collect()
    }
}
