//! The hosts of a pool, so ordered that the best one for a layer is found without looking at all of them.
//!
//! Hosts stand on *shelves*: one for each tag that some waiting layer asks for, and each combination of operating system,
//! thread mode and presence of GPUs among the hosts with that tag. What does not change in a pass is thus decided once per
//! shelf. On a shelf, hosts are sorted by what is idle, in the order of [`Score`], and a search steps from one number of
//! idle cores to the next. A host stands on one shelf per tag, and moves when something of it is taken.
//!
//! Invariants: [`HostIndex::best`] gives the host with the least [`Score`] of all that fit (a test compares it with a scan
//! of all hosts); and what it gives depends on ids and amounts, never on the order of the snapshot.

mod refused;
mod shelf;

use std::collections::{HashMap, HashSet};

use crate::domain::id::HostId;
use crate::planning::gate;
use crate::planning::score::{Saturation, Score};
use crate::planning::size::{Ask, HostState};
use crate::reason::Reason;
use crate::snapshot::{Host, HostIx, Snapshot};

pub use refused::Refused;
use shelf::{Kind, Place, Shelf};

/// Position of a shelf in the index.
type ShelfIx = u32;

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
    by_tag: HashMap<&'a str, Vec<ShelfIx>>,
}

/// The shelves on which a layer's hosts stand, sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelves(Vec<ShelfIx>);

impl<'a> HostIndex<'a> {
    /// Puts every host on its shelves.
    pub fn new(snapshot: &'a Snapshot, saturation: Saturation) -> Self {
        let by_rank = by_id(&snapshot.hosts);
        let mut ranks = vec![0; by_rank.len()];
        for (rank, at) in by_rank.iter().enumerate() {
            ranks[at.0 as usize] = rank as u32;
        }
        let mut index = Self {
            saturation,
            states: snapshot.hosts.iter().map(HostState::of).collect(),
            ranks,
            by_rank,
            stands: Vec::with_capacity(snapshot.hosts.len()),
            stands_on: Vec::new(),
            shelves: Vec::new(),
            by_tag: HashMap::new(),
        };
        // Tags that nobody asks for, such as most hosts' own names, would only be kept in order for nothing.
        let asked: HashSet<&str> =
            snapshot.layers.iter().flat_map(|layer| layer.tags.iter().map(AsRef::as_ref)).collect();
        for (at, host) in snapshot.hosts.iter().enumerate() {
            index.add(HostIx(at as u32), host, &asked);
        }
        index
    }

    /// What a host can give now.
    pub fn state(&self, at: HostIx) -> HostState {
        self.states[at.0 as usize]
    }

    /// The shelves of the hosts that may run such a layer, or the reason why there are none.
    pub fn shelves(&self, tags: &[impl AsRef<str>], os: Option<&str>, ask: &Ask) -> Result<Shelves, Reason> {
        let mut found: Vec<_> =
            tags.iter().filter_map(|tag| self.by_tag.get(tag.as_ref())).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Err(Reason::NoHostWithTag);
        }
        found.retain(|at| gate::os_accepted(os, self.shelf(*at).kind.os));
        if found.is_empty() {
            return Err(Reason::NoHostWithOs);
        }
        found.retain(|at| gate::mode_accepted(ask.threadable(), self.shelf(*at).kind.mode));
        if found.is_empty() {
            return Err(Reason::NoHostForUnthreaded);
        }
        Ok(Shelves(found))
    }

    /// The best host that can take a frame of no more than `room` whole cores.
    pub fn best(&self, shelves: &Shelves, ask: &Ask, room: i64) -> Option<HostIx> {
        // The flag is the first field of the score: where a host without GPUs fits, the others need not be searched.
        let mut best: Option<Score> = None;
        for with_gpus in [false, true] {
            if with_gpus && best.is_some() && ask.without_gpus() {
                break;
            }
            for shelf in shelves.0.iter().map(|at| self.shelf(*at)) {
                if shelf.kind.gpus != with_gpus {
                    continue;
                }
                let fits = |rank: u32| {
                    let host = self.by_rank[rank as usize];
                    ask.size_on(&self.states[host.0 as usize], room).is_some()
                };
                let found = shelf.best(ask, room, self.saturation, fits);
                best = [best, found].into_iter().flatten().min();
            }
        }
        best.map(|score| self.by_rank[score.host as usize])
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

    fn add(&mut self, at: HostIx, host: &'a Host, asked: &HashSet<&str>) {
        let kind = Kind::of(host);
        let place = self.place(at, &self.states[at.0 as usize]);
        let begin = self.stands_on.len();
        for tag in &host.tags {
            if !asked.contains(&*tag.name) {
                continue;
            }
            let of_tag = self.by_tag.entry(&tag.name).or_default();
            let known = of_tag.iter().copied().find(|on| self.shelves[*on as usize].kind == kind);
            let on = known.unwrap_or_else(|| {
                let new = self.shelves.len() as ShelfIx;
                self.shelves.push(Shelf::new(kind));
                of_tag.push(new);
                new
            });
            // A host may have a tag twice, of two kinds.
            if self.stands_on[begin..].contains(&on) {
                continue;
            }
            self.stands_on.push(on);
            self.shelves[on as usize].note_total(&host.total);
            self.shelves[on as usize].replace(None, place);
        }
        self.stands.push((begin as u32, self.stands_on.len() as u32));
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
