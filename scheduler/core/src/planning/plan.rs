//! Serving the layers of a pool, one after the other.

use std::collections::{HashMap, HashSet};

use crate::host_index::{Allowed, HostIndex, Refused, Search, Shelves};
use crate::reason::Bound;
use crate::snapshot::{HostIx, JobIx, Layer, LayerIx, Snapshot, SubscriptionIx};

use super::epvm::Points;
use super::headroom::{Headroom, Room};
use super::limits::Seats;
use super::order;
use super::score::Strategy;
use super::size::{Ask, NO_BOUND};
use super::why::{self, Left, Why};
use super::{Placement, Plan, Policy};

/// See [`super::plan`].
pub fn whole_pool(snapshot: &Snapshot, policy: &Policy) -> Plan {
    let saturation = policy.strategy.saturation();
    let mut planner = Planner {
        snapshot,
        policy,
        hosts: HostIndex::new(&snapshot.hosts, &snapshot.layers, saturation),
        headroom: Headroom::of(snapshot),
        refused: Refused::default(),
        served: served_before(snapshot),
        placements: Vec::new(),
        left: Vec::new(),
    };
    for at in order::in_order(snapshot) {
        planner.serve(at);
    }
    let Planner { hosts, placements, left, .. } = planner;
    Plan { placements, waiting: why::obstacles(snapshot, policy, saturation, &hosts, left) }
}

/// What a bound of the pass leaves after its earlier rounds.
fn left(bound: Option<u32>, given: u32) -> u32 {
    bound.map_or(u32::MAX, |bound| bound.saturating_sub(given))
}

/// The jobs to which earlier rounds gave frames.
fn served_before(snapshot: &Snapshot) -> HashMap<SubscriptionIx, HashSet<JobIx>> {
    let mut served: HashMap<SubscriptionIx, HashSet<JobIx>> = HashMap::new();
    for layer in snapshot.layers.iter().filter(|layer| layer.given.frames > 0) {
        served.entry(snapshot[layer.job].subscription).or_default().insert(layer.job);
    }
    served
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    hosts: HostIndex<'a>,
    headroom: Headroom<'a>,
    refused: Refused,
    /// By subscription: jobs that were given frames in this pass.
    served: HashMap<SubscriptionIx, HashSet<JobIx>>,
    placements: Vec<Placement>,
    left: Vec<Left>,
}

/// What is left of a layer's turn.
struct Turn<'a> {
    at: LayerIx,
    layer: &'a Layer,
    ask: Ask,
    /// Frames not yet placed.
    waiting: u32,
    /// Frames that the configuration still allows.
    frames: u32,
    /// Hosts that the configuration still allows.
    hosts: u32,
}

/// The host for a layer's next frames.
struct Choice {
    host: HostIx,
    score: Option<Points>,
}

impl Choice {
    fn without_score(host: HostIx) -> Self {
        Self { host, score: None }
    }
}

impl Turn<'_> {
    /// What caps, bounds and the waiting work allow.
    fn allowed(&self, room: Room) -> Allowed {
        Allowed { cores: room.cores, frames: self.waiting.min(self.frames).min(room.frames).max(1) }
    }
}

impl<'a> Planner<'a> {
    fn serve(&mut self, at: LayerIx) {
        let layer = &self.snapshot[at];
        let ask = Ask::of(layer, self.policy);
        let mut turn = Turn {
            at,
            layer,
            ask,
            waiting: layer.waiting,
            frames: left(self.policy.frames_per_layer, layer.given.frames),
            hosts: left(self.policy.hosts_per_layer, layer.given.hosts),
        };
        let shelves = match self.shelves(&turn) {
            Ok(shelves) => shelves,
            Err(none) => {
                // Caps are asked first.
                let why = self.room(&turn).err().unwrap_or(none);
                if turn.waiting > 0 {
                    self.left.push(Left { layer: at, frames: turn.waiting, why });
                }
                return;
            }
        };
        let mut search = Search::new(&shelves, &ask);
        while turn.waiting > 0 {
            match self.next_host(&turn, &mut search) {
                Ok(choice) => self.fill(choice, &mut turn),
                Err(why) => {
                    self.left.push(Left { layer: at, frames: turn.waiting, why });
                    return;
                }
            }
        }
    }

    /// Where hosts for the layer stand, or why it is known that none will take it.
    fn shelves(&self, turn: &Turn) -> Result<Shelves, Why> {
        let os = self.snapshot[turn.layer.job].os.as_deref();
        let shelves = self.hosts.shelves(&turn.layer.tags, os, &turn.ask).map_err(Why::NoHost)?;
        if !self.hosts.large_enough(&shelves, &turn.ask) {
            Err(Why::TooSmall(shelves))
        } else if self.refused.covers(&shelves, &turn.ask) {
            Err(Why::Busy(shelves))
        } else {
            Ok(shelves)
        }
    }

    /// The questions, in their order: a host for the next frame, or the first obstacle.
    fn next_host(&mut self, turn: &Turn, search: &mut Search) -> Result<Choice, Why> {
        let room = self.room(turn)?;
        let Some(choice) = self.choose(turn, search, room) else {
            return Err(self.why_none(turn, search, room));
        };
        match self.policy {
            Policy { frames_per_layer: Some(most), .. } if turn.frames == 0 => Err(Why::Bound(Bound::Frames(*most))),
            Policy { hosts_per_layer: Some(most), .. } if turn.hosts == 0 => Err(Why::Bound(Bound::Hosts(*most))),
            Policy { jobs_per_show: Some(most), .. } if !self.may_serve(turn.layer.job, *most) => {
                Err(Why::Bound(Bound::Jobs(*most)))
            }
            _ => Ok(choice),
        }
    }

    /// Whether a job is among the first `most` of its show.
    fn may_serve(&self, job: JobIx, most: u32) -> bool {
        let served = self.served.get(&self.snapshot[job].subscription);
        served.map_or(most > 0, |served| served.contains(&job) || served.len() < most as usize)
    }

    fn choose(&self, turn: &Turn, search: &mut Search, room: Room) -> Option<Choice> {
        if let Some(Seats { held, only }) = self.headroom.seats(turn.layer) {
            let held = self.choose_among(&held, turn, search, room);
            if held.is_some() {
                return held;
            }
            if let Some(only) = only {
                return self.choose_among(&only, turn, search, room);
            }
        }
        match &self.policy.strategy {
            Strategy::Saturation(_) => self.hosts.best(search, room.cores).map(Choice::without_score),
            Strategy::Epvm(epvm) => {
                let (host, score) = self.hosts.cheapest(search.shelves(), &turn.ask, turn.allowed(room), epvm)?;
                Some(Choice { host, score: Some(score) })
            }
        }
    }

    fn choose_among(&self, hosts: &[HostIx], turn: &Turn, search: &Search, room: Room) -> Option<Choice> {
        let shelves = search.shelves();
        match &self.policy.strategy {
            Strategy::Saturation(_) => {
                self.hosts.best_among(hosts, shelves, &turn.ask, room.cores).map(Choice::without_score)
            }
            Strategy::Epvm(epvm) => {
                let (host, score) = self.hosts.cheapest_among(hosts, shelves, &turn.ask, turn.allowed(room), epvm)?;
                Some(Choice { host, score: Some(score) })
            }
        }
    }

    /// Why no host takes a frame although the caps have room for the smallest possible one. On some hosts a frame can't be
    /// so small: whole hosts, and hosts in mode Variable. If one of those would take it but for a cap, the cap is why.
    fn why_none(&mut self, turn: &Turn, search: &mut Search, room: Room) -> Why {
        if let Some(limit) = self.headroom.no_seat(turn.layer)
            && self.hosts.best(search, room.cores).is_some()
        {
            return Why::Cap(limit);
        }
        let Some(host) = self.hosts.best(search, NO_BOUND) else {
            self.refused.note(search.shelves(), &turn.ask);
            return Why::Busy(search.shelves().clone());
        };
        let least = turn.ask.least_on(&self.hosts.state(host));
        let refusal = self.headroom.room(turn.layer, least);
        refusal.err().map_or_else(|| Why::Busy(search.shelves().clone()), Why::Cap)
    }

    fn room(&self, turn: &Turn) -> Result<Room, Why> {
        self.headroom.room(turn.layer, turn.ask.least()).map_err(Why::Cap)
    }

    /// Puts as many frames on a host as host, caps and bounds allow.
    fn fill(&mut self, Choice { host, score }: Choice, turn: &mut Turn<'a>) {
        let mut state = self.hosts.state(host);
        turn.hosts -= 1;
        self.served.entry(self.snapshot[turn.layer.job].subscription).or_default().insert(turn.layer.job);
        while turn.waiting > 0
            && turn.frames > 0
            && let Ok(room) = self.room(turn)
            && let Some((size, frames)) =
                turn.ask.run_on(&state, room.cores, turn.waiting.min(turn.frames).min(room.frames))
        {
            state.take(&size, frames);
            self.headroom.take(turn.layer, host, &size, frames);
            turn.waiting -= frames;
            turn.frames -= frames;
            self.place(Placement { layer: turn.at, host, size, frames, score });
        }
        self.hosts.put(host, state);
    }

    fn place(&mut self, new: Placement) {
        match self.placements.last_mut() {
            Some(last) if (last.layer, last.host, last.size) == (new.layer, new.host, new.size) => {
                last.frames += new.frames;
            }
            _ => self.placements.push(new),
        }
    }
}
