//! Hosts of one tag and one kind, sorted by what is idle.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::amount::Resources;
use crate::domain::request::ThreadMode;
use crate::planning::score::{Saturation, Score};
use crate::planning::size::{Ask, HostState, NO_BOUND, Window};
use crate::snapshot::Host;

/// What of a host does not change in a pass and decides whom it may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind<'a> {
    /// Its operating systems, as written.
    pub os: &'a str,
    /// Its thread mode.
    pub mode: ThreadMode,
    /// Whether it has GPUs, idle or not.
    pub gpus: bool,
}

impl<'a> Kind<'a> {
    /// The kind of a host.
    pub fn of(host: &'a Host) -> Self {
        Self { os: &host.os, mode: host.thread_mode, gpus: host.total.gpus.0 > 0 || host.total.gpu_memory.0 > 0 }
    }
}

/// Where on its shelves a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    section: Section,
    cores: i64,
    in_bucket: (i64, u32),
}

/// Searches for GPUs or for whole hosts look only where there are some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Section {
    idle_gpus: i64,
    entirely_idle: bool,
}

/// From core key to hosts, by memory key and place in the order of ids.
type Buckets = BTreeMap<i64, BTreeSet<(i64, u32)>>;

/// What a search found on a shelf, and on what that depends.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    window: Option<Window>,
    moves: u64,
    /// The best host, if one fits.
    pub best: Option<Score>,
}

#[derive(Debug)]
pub struct Shelf<'a> {
    pub tag: &'a str,
    pub kind: Kind<'a>,
    /// How often hosts have moved.
    moves: u64,
    sections: BTreeMap<Section, Buckets>,
    /// Totals of which no other is at least as large in every dimension, a few at most, each with a host that has it: they
    /// tell whether a frame would fit on an idle host.
    largest: Vec<(Resources, u32)>,
    /// All its hosts, by place in the order of ids.
    hosts: Vec<u32>,
}

impl Place {
    /// The place of a host in this state; `None` for one that can take no frame, which stands nowhere.
    pub fn of(state: &HostState, saturation: Saturation, rank: u32) -> Option<Self> {
        (state.sound() && state.idle_cores() > 0).then(|| Self {
            section: Section { idle_gpus: state.idle().gpus.0, entirely_idle: state.entirely_idle() },
            cores: saturation.core_key(state.idle_cores()),
            in_bucket: (saturation.memory_key(state.idle().memory), rank),
        })
    }
}

impl<'a> Shelf<'a> {
    pub fn new(tag: &'a str, kind: Kind<'a>) -> Self {
        Self { tag, kind, moves: 0, sections: BTreeMap::new(), largest: Vec::new(), hosts: Vec::new() }
    }

    /// Counts a host in. Of equal ones the first in the order of ids stands for all.
    pub fn note(&mut self, total: &Resources, rank: u32) {
        self.hosts.push(rank);
        let larger = |(known, first): &(Resources, u32)| total.fits(known) && (total != known || *first < rank);
        if !self.largest.iter().any(larger) {
            self.largest.retain(|(known, _)| !known.fits(total));
            self.largest.push((*total, rank));
        }
    }

    /// Puts many hosts at once where none stood: sorted first, which takes a fraction of the time of one by one.
    pub fn fill(&mut self, mut places: Vec<Place>) {
        places.sort_unstable();
        for bucket in places.chunk_by(|one, next| (one.section, one.cores) == (next.section, next.cores)) {
            let Place { section, cores, .. } = bucket[0];
            let hosts = bucket.iter().map(|place| place.in_bucket).collect();
            self.sections.entry(section).or_default().insert(cores, hosts);
        }
    }

    /// Takes a host from its old place and puts it to its new one.
    pub fn replace(&mut self, old: Option<Place>, new: Option<Place>) {
        if old == new {
            return;
        }
        self.moves += 1;
        if let Some(old) = old
            && let Some(buckets) = self.sections.get_mut(&old.section)
            && let Some(bucket) = buckets.get_mut(&old.cores)
        {
            bucket.remove(&old.in_bucket);
            // Empty buckets would lengthen every later search.
            if bucket.is_empty() {
                buckets.remove(&old.cores);
            }
        }
        if let Some(new) = new {
            self.sections.entry(new.section).or_default().entry(new.cores).or_default().insert(new.in_bucket);
        }
    }

    /// The best host of the shelf for which `fits` holds. `known` is what the same layer found here before.
    pub fn best(
        &self,
        ask: &Ask,
        room: i64,
        saturation: Saturation,
        known: Option<Finding>,
        fits: impl Fn(u32) -> bool,
    ) -> Finding {
        let window = ask.window(self.kind.mode, room);
        match known {
            Some(known) if known.window == window && known.moves == self.moves => known,
            _ => Finding {
                window,
                moves: self.moves,
                best: window.and_then(|window| self.search(ask, window, saturation, fits)),
            },
        }
    }

    fn search(&self, ask: &Ask, window: Window, saturation: Saturation, fits: impl Fn(u32) -> bool) -> Option<Score> {
        let (from, to) = (saturation.core_key(window.from), saturation.core_key(window.to));
        let (from, to) = (from.min(to), from.max(to));
        let enough_gpus = Section { idle_gpus: ask.gpus.0.max(0), entirely_idle: false };
        let mut best: Option<Score> = None;
        for (section, buckets) in self.sections.range(enough_gpus..) {
            if ask.whole_host() && !section.entirely_idle {
                continue;
            }
            for (cores, bucket) in buckets.range(from..=to) {
                if best.is_some_and(|best| *cores > best.cores) {
                    break;
                }
                // Only memory of GPUs can still be missing where there is enough memory: where none is asked, the first host is
                // the one.
                let fits = |(_, rank): &&(i64, u32)| fits(*rank);
                let found = if saturation.memory {
                    // In ascending order the hosts with too little memory are jumped over.
                    bucket.range((ask.memory.0, 0)..).find(fits)
                } else {
                    // In descending order they come last, and the first of them ends the bucket. Beginning at the front saves the
                    // looking for a place to begin: a third of a plan's time.
                    let least = saturation.memory_key(ask.memory);
                    bucket.iter().take_while(|(memory, _)| *memory <= least).find(fits)
                };
                if let Some((memory, rank)) = found {
                    let score = Score {
                        wastes_gpus: self.kind.gpus && ask.without_gpus(),
                        cores: *cores,
                        memory: *memory,
                        host: *rank,
                    };
                    best = [best, Some(score)].into_iter().flatten().min();
                    break;
                }
            }
        }
        best
    }

    /// From the number of idle cores to the hosts with so many, where some of them might take a frame of no more than `room`
    /// cores. The shelf must stand in ascending order of both.
    pub fn buckets(&self, ask: &Ask, room: i64) -> impl Iterator<Item = (i64, &BTreeSet<(i64, u32)>)> {
        let enough_gpus = Section { idle_gpus: ask.gpus.0.max(0), entirely_idle: false };
        let window = ask.window(self.kind.mode, room);
        let sections = window.into_iter().flat_map(move |window| {
            let sections = self.sections.range(enough_gpus..);
            sections.flat_map(move |(_, buckets)| buckets.range(window.from..=window.to))
        });
        sections.map(|(cores, bucket)| (*cores, bucket))
    }

    /// Whether some host of the shelf could take a frame if it were idle.
    pub fn large_enough(&self, ask: &Ask) -> bool {
        self.idle_largest().any(|(idle, _)| ask.size_on(&idle, NO_BOUND).is_some())
    }

    /// The largest hosts as they would be when idle.
    pub fn idle_largest(&self) -> impl Iterator<Item = (HostState, u32)> {
        self.largest.iter().map(|(total, rank)| (HostState::idle_as(self.kind.mode, *total), *rank))
    }

    /// All its hosts, by place in the order of ids.
    pub fn hosts(&self) -> &[u32] {
        &self.hosts
    }

    /// Of each number of idle cores, the host with the most idle memory.
    pub fn foremost(&self, saturation: Saturation) -> impl Iterator<Item = u32> {
        let buckets = self.sections.values().flat_map(BTreeMap::values);
        buckets.filter_map(move |bucket| {
            let most = if saturation.memory { bucket.last() } else { bucket.first() };
            most.map(|(_, rank)| *rank)
        })
    }
}
