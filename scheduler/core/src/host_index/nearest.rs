//! Which host came nearest, and how many there are: numbers for the layers left waiting.
//!
//! In a busy pool most layers are, and each may use most hosts; to compare every layer with every host would take longer than
//! the plan. So a few hosts speak for each shelf: of those with equally many idle cores, the one with the most idle memory,
//! and of these only some where there are many. They are chosen once, after the plan, when hosts no longer change.

use std::collections::HashMap;

use super::{HostIndex, HostIx, ShelfIx, Shelves};
use crate::domain::amount::Resources;
use crate::planning::size::{Ask, HostState};
use crate::reason::Lack;

/// Most hosts that speak for a shelf.
const SPEAKERS: usize = 8;

/// Answers about an index that no longer changes.
#[derive(Debug)]
pub struct Nearness<'i, 'a> {
    index: &'i HostIndex<'a>,
    speakers: HashMap<ShelfIx, Vec<HostIx>>,
    counts: HashMap<Shelves, u32>,
    /// One bit a host, all 0 between two counts.
    seen: Vec<u64>,
}

impl<'i, 'a> Nearness<'i, 'a> {
    /// Nothing is looked up yet.
    pub fn of(index: &'i HostIndex<'a>) -> Self {
        let seen = vec![0; index.states.len().div_ceil(64)];
        Self { index, speakers: HashMap::new(), counts: HashMap::new(), seen }
    }

    /// How many hosts stand on these shelves, each counted once.
    pub fn count(&mut self, shelves: &Shelves) -> u32 {
        if let Some(known) = self.counts.get(shelves) {
            return *known;
        }
        let hosts = || shelves.0.iter().flat_map(|on| self.index.shelf(*on).hosts());
        let mut count = 0;
        for rank in hosts() {
            let (word, bit) = (*rank as usize / 64, 1 << (rank % 64));
            count += u32::from(self.seen[word] & bit == 0);
            self.seen[word] |= bit;
        }
        for rank in hosts() {
            self.seen[*rank as usize / 64] = 0;
        }
        self.counts.insert(shelves.clone(), count);
        count
    }

    /// The host that lacks least of what is asked, as it is now.
    pub fn now(&mut self, shelves: &Shelves, ask: &Ask) -> Option<(HostIx, Lack)> {
        let index = self.index;
        let mut nearest = None;
        for on in &shelves.0 {
            let speakers = self.speakers.entry(*on).or_insert_with(|| index.speakers(*on));
            let here = speakers.iter().map(|host| (index.states[host.0 as usize], index.ranks[host.0 as usize]));
            nearest = least(nearest, ask, here);
        }
        nearest.map(|(_, rank, lack)| (index.by_rank[rank as usize], lack))
    }

    /// The host that lacks least of what is asked when it is idle.
    pub fn when_idle(&self, shelves: &Shelves, ask: &Ask) -> Option<(HostIx, Lack)> {
        let largest = shelves.0.iter().flat_map(|on| self.index.shelf(*on).idle_largest());
        least(None, ask, largest).map(|(_, rank, lack)| (self.index.by_rank[rank as usize], lack))
    }

    /// The first host of these shelves in the order of ids.
    pub fn first(&self, shelves: &Shelves) -> Option<HostIx> {
        let first = shelves.0.iter().flat_map(|on| self.index.shelf(*on).hosts()).min();
        first.map(|rank| self.index.by_rank[*rank as usize])
    }
}

/// How far, place in the order of ids, what is lacking.
type Candidate = (u64, u32, Lack);

fn least(known: Option<Candidate>, ask: &Ask, hosts: impl Iterator<Item = (HostState, u32)>) -> Option<Candidate> {
    let lacking = hosts.filter_map(|(state, rank)| ask.lack_on(&state).map(|(far, lack)| (far, rank, lack)));
    known.into_iter().chain(lacking).min_by_key(|(far, rank, _)| (*far, *rank))
}

impl HostIndex<'_> {
    fn speakers(&self, on: ShelfIx) -> Vec<HostIx> {
        let mut all: Vec<_> = self
            .shelf(on)
            .foremost(self.saturation)
            .map(|rank| (*self.states[self.by_rank[rank as usize].0 as usize].idle(), rank))
            .collect();
        // The most of everything first: a host that comes later only counts if it has more of something.
        all.sort_by_key(|(idle, rank)| std::cmp::Reverse((idle.cores, idle.memory, idle.gpus, *rank)));
        let mut kept: Vec<(Resources, u32)> = Vec::new();
        for (idle, rank) in all {
            if !kept.iter().any(|(more, _)| idle.fits(more)) {
                kept.push((idle, rank));
            }
        }
        let step = kept.len().div_ceil(SPEAKERS).max(1);
        kept.into_iter().step_by(step).map(|(_, rank)| self.by_rank[rank as usize]).collect()
    }
}
