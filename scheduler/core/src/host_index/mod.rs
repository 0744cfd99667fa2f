//! The hosts of a pool, so ordered that the best one for a layer is found without looking at all of them.
//!
//! Hosts stand on *shelves*: one for each tag that some waiting layer asks for, and each combination of operating system,
//! thread mode and presence of GPUs among the hosts with that tag. What does not change in a pass is thus decided once per
//! shelf. On a shelf, hosts are sorted by what is idle, in the order of [`Score`], and a search steps from one number of
//! idle cores to the next. A host stands on one shelf per tag, and moves when something of it is taken.
//!
//! Invariants: [`HostIndex::best`] gives the host with the least [`Score`] of all that fit (a test compares it with a scan
//! of all hosts); and what it gives depends on ids and amounts, never on the order of the snapshot.

mod candidates;
mod nearest;
mod refused;
mod shelf;

use std::collections::HashMap;

use crate::domain::id::HostId;
use crate::planning::gate;
use crate::planning::score::{Saturation, Score};
use crate::planning::size::{Ask, HostState};
use crate::snapshot::{Host, HostIx, Layer};

pub use candidates::Allowed;
pub use nearest::Nearness;
pub use refused::Refused;
use shelf::{Finding, Kind, Place, Shelf};

/// Position of a shelf in the index.
type ShelfIx = u32;

/// A number for each kind of host.
type KindIx = u32;

/// See the module.
#[derive(Debug)]
pub struct HostIndex<'a> {
    saturation: Saturation,
    /// By position in the snapshot.
    states: Vec<HostState>,
    /// By position in the snapshot: the place in the order of ids.
    ranks: Vec<u32>,
    /// By place in the order of ids.
    by_rank: Vec<HostIx>,
    /// By position in the snapshot: where its shelves begin and end in `stands_on`.
    stands: Vec<(u32, u32)>,
    stands_on: Vec<ShelfIx>,
    shelves: Vec<Shelf<'a>>,
    kinds: HashMap<Kind<'a>, KindIx>,
    /// The shelves of each tag that a layer asks for. Tags that nobody asks for, such as most hosts' own names, would
    /// only be kept in order for nothing.
    by_tag: HashMap<&'a str, Vec<(KindIx, ShelfIx)>>,
}

/// The shelves on which a layer's hosts stand, sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelves(Vec<ShelfIx>);

/// Why no host may run a layer: the question that the last of them failed, and those that came so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoShelf {
    /// None has one of the tags.
    Tag,
    /// These have one of the tags, and none the operating system.
    Os(Shelves),
    /// These have both, and all are of thread mode All.
    Mode(Shelves),
}

/// One layer's search, which remembers what it found on each shelf until the shelf changes: a layer that fills many hosts
/// asks once for each, and mostly a single shelf has changed since it asked last.
#[derive(Debug)]
pub struct Search<'a> {
    shelves: &'a Shelves,
    ask: &'a Ask,
    found: Vec<Option<Finding>>,
}

impl<'a> Search<'a> {
    /// A search that has not begun.
    pub fn new(shelves: &'a Shelves, ask: &'a Ask) -> Self {
        Self { shelves, ask, found: vec![None; shelves.0.len()] }
    }

    /// Where it searches.
    pub fn shelves(&self) -> &'a Shelves {
        self.shelves
    }
}

impl<'a> HostIndex<'a> {
    /// Puts every host on its shelves, as far as a layer asks for its tags.
    pub fn new(hosts: &'a [Host], layers: &'a [Layer], saturation: Saturation) -> Self {
        let by_rank = by_id(hosts);
        let mut ranks = vec![0; by_rank.len()];
        for (rank, at) in by_rank.iter().enumerate() {
            ranks[at.0 as usize] = rank as u32;
        }
        let mut index = Self {
            saturation,
            states: hosts.iter().map(HostState::of).collect(),
            ranks,
            by_rank,
            stands: Vec::with_capacity(hosts.len()),
            stands_on: Vec::new(),
            shelves: Vec::new(),
            kinds: HashMap::new(),
            by_tag: HashMap::new(),
        };
        for tag in layers.iter().flat_map(|layer| &layer.tags) {
            index.by_tag.entry(tag).or_default();
        }
        let mut places = Vec::new();
        for (at, host) in hosts.iter().enumerate() {
            index.add(HostIx(at as u32), host, &mut places);
        }
        for (shelf, places) in index.shelves.iter_mut().zip(places) {
            shelf.fill(places);
        }
        index
    }

    /// What a host can give now.
    pub fn state(&self, at: HostIx) -> HostState {
        self.states[at.0 as usize]
    }

    /// The shelves of the hosts that may run such a layer, or why there are none.
    pub fn shelves(&self, tags: &[impl AsRef<str>], os: Option<&str>, ask: &Ask) -> Result<Shelves, NoShelf> {
        let mut found: Vec<_> =
            tags.iter().filter_map(|tag| self.by_tag.get(tag.as_ref())).flatten().map(|(_, on)| *on).collect();
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Err(NoShelf::Tag);
        }
        let with_os: Vec<_> =
            found.iter().copied().filter(|at| gate::os_accepted(os, self.shelf(*at).kind.os)).collect();
        if with_os.is_empty() {
            return Err(NoShelf::Os(Shelves(found)));
        }
        let accepted = |at: &ShelfIx| gate::mode_accepted(ask.threadable(), self.shelf(*at).kind.mode);
        let found: Vec<_> = with_os.iter().copied().filter(accepted).collect();
        if found.is_empty() {
            return Err(NoShelf::Mode(Shelves(with_os)));
        }
        Ok(Shelves(found))
    }

    /// The best host that can take a frame of no more than `room` whole cores.
    pub fn best(&self, search: &mut Search, room: i64) -> Option<HostIx> {
        let Search { shelves, ask, found } = search;
        let mut best: Option<Score> = None;
        for with_gpus in [false, true] {
            // The flag is the first field of the score: where a host without GPUs fits, the others need not be searched.
            if with_gpus && best.is_some() && ask.without_gpus() {
                break;
            }
            for (on, known) in shelves.0.iter().zip(found.iter_mut()) {
                let here = self.shelf(*on);
                if here.kind.gpus != with_gpus {
                    continue;
                }
                let fits = |rank: u32| {
                    let host = self.by_rank[rank as usize];
                    ask.size_on(&self.states[host.0 as usize], room).is_some()
                };
                let finding = here.best(ask, room, self.saturation, *known, fits);
                *known = Some(finding);
                best = [best, finding.best].into_iter().flatten().min();
            }
        }
        best.map(|score| self.by_rank[score.host as usize])
    }

    /// The best of a few hosts that can take a frame of no more than `room` whole cores.
    pub fn best_among(&self, hosts: &[HostIx], shelves: &Shelves, ask: &Ask, room: i64) -> Option<HostIx> {
        let fitting = hosts.iter().filter(|at| self.fits(**at, shelves, ask, room));
        let best = fitting.min_by_key(|at| {
            let (at, state) = (at.0 as usize, self.state(**at));
            let (begin, _) = self.stands[at];
            Score {
                wastes_gpus: ask.without_gpus() && self.shelf(self.stands_on[begin as usize]).kind.gpus,
                cores: self.saturation.core_key(state.idle_cores()),
                memory: self.saturation.memory_key(state.idle().memory),
                host: self.ranks[at],
            }
        });
        best.copied()
    }

    /// Whether a host stands on one of the shelves and can take a frame.
    fn fits(&self, at: HostIx, shelves: &Shelves, ask: &Ask, room: i64) -> bool {
        let (begin, end) = self.stands[at.0 as usize];
        let state = self.state(at);
        let on = &self.stands_on[begin as usize..end as usize];
        on.iter().any(|on| shelves.0.binary_search(on).is_ok()) && state.sound() && ask.size_on(&state, room).is_some()
    }

    /// Whether some host of the shelves could take a frame of the layer if it were idle.
    pub fn large_enough(&self, shelves: &Shelves, ask: &Ask) -> bool {
        shelves.0.iter().any(|at| self.shelf(*at).large_enough(ask))
    }

    /// Moves a host to where it belongs with a new state.
    pub fn put(&mut self, at: HostIx, state: HostState) {
        let before = std::mem::replace(&mut self.states[at.0 as usize], state);
        let (old, new) = (self.place(at, &before), self.place(at, &state));
        let (begin, end) = self.stands[at.0 as usize];
        for on in &self.stands_on[begin as usize..end as usize] {
            self.shelves[*on as usize].replace(old, new);
        }
    }

    fn shelf(&self, at: ShelfIx) -> &Shelf<'a> {
        &self.shelves[at as usize]
    }

    fn place(&self, at: HostIx, state: &HostState) -> Option<Place> {
        Place::of(state, self.saturation, self.ranks[at.0 as usize])
    }

    fn add(&mut self, at: HostIx, host: &'a Host, places: &mut Vec<Vec<Place>>) {
        let kind = Kind::of(host);
        let new_kind = self.kinds.len() as KindIx;
        let kind_at = *self.kinds.entry(kind).or_insert(new_kind);
        let place = self.place(at, &self.states[at.0 as usize]);
        let begin = self.stands_on.len();
        for tag in &host.tags {
            let Some(of_tag) = self.by_tag.get_mut(&*tag.name) else {
                continue;
            };
            let known = of_tag.iter().find(|(known, _)| *known == kind_at);
            let on = if let Some((_, on)) = known {
                *on
            } else {
                let new = self.shelves.len() as ShelfIx;
                self.shelves.push(Shelf::new(&tag.name, kind));
                places.push(Vec::new());
                of_tag.push((kind_at, new));
                new
            };
            // A host may have a tag twice, of two kinds.
            if self.stands_on[begin..].contains(&on) {
                continue;
            }
            self.stands_on.push(on);
            self.shelves[on as usize].note(&host.total, self.ranks[at.0 as usize]);
            places[on as usize].extend(place);
        }
        let end = self.stands_on.len();
        self.stands.push((begin as u32, end as u32));
    }
}

/// Hosts in the order of ids. Most comparisons are decided by the first bytes, which are kept beside the position: ids
/// are spread over memory, and following 100,000 of them for each comparison takes longer than the rest of a pass.
fn by_id(hosts: &[Host]) -> Vec<HostIx> {
    let mut order: Vec<_> = hosts.iter().enumerate().map(|(at, host)| (first_bytes(&host.id), at as u32)).collect();
    let id = |at: u32| &hosts[at as usize].id;
    order.sort_unstable_by(|(one, one_at), (other, other_at)| {
        one.cmp(other).then_with(|| id(*one_at).cmp(id(*other_at))).then_with(|| one_at.cmp(other_at))
    });
    order.into_iter().map(|(_, at)| HostIx(at)).collect()
}

/// The first 16 bytes as a number that is ordered like them.
fn first_bytes(id: &HostId) -> u128 {
    let text = id.as_str().as_bytes();
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(text) {
        *to = *from;
    }
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests;
