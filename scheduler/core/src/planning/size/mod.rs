//! How much of a host one frame reserves.
//!
//! Memory and GPUs are what the layer asks for. Cores follow Cuebot: a threadable frame gets the share of cores that
//! goes with its share of the host's idle memory, or all idle cores where what it would leave is of no use to others,
//! never less than the layer's minimum and never more than its maximum. Ours differs from Cuebot in three points. Cores
//! are whole, rounded up, since agents refuse fractions. A size that was enlarged beyond the minimum shrinks towards it,
//! never below, to fit the idle cores *or the headroom of a cap*, so that no greedy reservation is refused for ever where
//! a small one would fit. And a request for the whole host, or for all but some cores, is that size exactly: no
//! thread mode enlarges it and nothing shrinks it.
//!
//! Invariant: whatever fits now fitted before. A host that has less idle, or a cap with less room, never suits a layer
//! that it refused earlier in a pass. Planning relies on it when it stops asking.

use crate::domain::amount::{Centicores, Gpus, Kb, Resources};
use crate::domain::request::{CoreRequest, ThreadMode};
use crate::reason::{Lack, Short};
use crate::snapshot::{Host, Layer};

use super::Policy;

/// A number of cores that is no bound.
pub const NO_BOUND: i64 = i64::MAX;

/// What a layer asks of any host. Cores are whole ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    cores: CoreAsk,
    /// Most cores, at least 1; [`NO_BOUND`] for none.
    max: i64,
    /// One of its services takes all idle cores.
    selfish: bool,
    /// Memory.
    pub memory: Kb,
    /// GPUs.
    pub gpus: Gpus,
    /// Memory of GPUs.
    pub gpu_memory: Kb,
    /// Leaving no more than this is as good as leaving none.
    stranded: Kb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CoreAsk {
    /// One core, of a host with at least so many idle.
    One { idle: i64 },
    /// At least so many.
    AtLeast(i64),
    /// All but so many of an entirely idle host.
    WholeBut(i64),
}

/// What a host can give at a point of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostState {
    mode: ThreadMode,
    total: Resources,
    idle: Resources,
}

/// How many whole idle cores a host must have, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// At least.
    pub from: i64,
    /// At most: beyond it a whole host would be more than a cap allows.
    pub to: i64,
}

impl Ask {
    /// What `layer` asks. A minimum below one core is one core, so that a half core is no longer taken for "the whole
    /// host"; a maximum that is not positive is none.
    pub fn of(layer: &Layer, policy: &Policy) -> Self {
        let whole = |cores: Centicores| cores.round_up().whole_cores().max(1);
        let cores = match (layer.cores, layer.threadable) {
            (CoreRequest::Exactly(min), true) => CoreAsk::AtLeast(whole(min)),
            (CoreRequest::Exactly(min), false) => CoreAsk::One { idle: whole(min) },
            // A frame that uses one core has no use for an idle host.
            (_, false) => CoreAsk::One { idle: 1 },
            (CoreRequest::WholeHost, true) => CoreAsk::WholeBut(0),
            (CoreRequest::AllBut(spared), true) => CoreAsk::WholeBut(spared.whole_cores().max(0)),
        };
        Self {
            cores,
            max: layer.cores_max.filter(|max| max.0 > 0).map_or(NO_BOUND, whole),
            selfish: layer
                .services
                .iter()
                .any(|service| policy.selfish_services.iter().any(|name| **name == **service)),
            memory: layer.memory,
            gpus: layer.gpus,
            gpu_memory: layer.gpu_memory,
            stranded: policy.memory_stranded,
        }
    }

    /// Whether only an entirely idle host will do.
    pub fn whole_host(&self) -> bool {
        matches!(self.cores, CoreAsk::WholeBut(_))
    }

    /// Whether the frame can use more than one core.
    pub fn threadable(&self) -> bool {
        !matches!(self.cores, CoreAsk::One { .. })
    }

    /// Whether it asks for neither GPUs nor their memory.
    pub fn without_gpus(&self) -> bool {
        self.gpus.0 <= 0 && self.gpu_memory.0 <= 0
    }

    /// The fewest whole cores that a frame could reserve on any host.
    pub fn least(&self) -> i64 {
        match self.cores {
            CoreAsk::One { .. } | CoreAsk::WholeBut(_) => 1,
            CoreAsk::AtLeast(min) => min.min(self.max),
        }
    }

    /// The fewest whole cores that a frame reserves on this host, whatever is idle.
    pub fn least_on(&self, host: &HostState) -> i64 {
        match self.cores {
            CoreAsk::One { .. } => 1,
            CoreAsk::AtLeast(min) => self.floor(min, host.mode),
            CoreAsk::WholeBut(spared) => self.max.min(host.total_cores() - spared),
        }
    }

    /// The idle cores that a host of this mode must have when no more than `room` cores may be reserved; `None` if no
    /// such host will do.
    pub fn window(&self, mode: ThreadMode, room: i64) -> Option<Window> {
        let (from, to) = match self.cores {
            CoreAsk::One { idle } => (idle, NO_BOUND),
            CoreAsk::AtLeast(min) => (min.max(self.floor(min, mode)), NO_BOUND),
            CoreAsk::WholeBut(spared) if self.max <= room => (spared.saturating_add(1), NO_BOUND),
            CoreAsk::WholeBut(spared) => (spared.saturating_add(1), spared.saturating_add(room)),
        };
        let least = match self.cores {
            CoreAsk::AtLeast(min) => self.floor(min, mode),
            CoreAsk::One { .. } | CoreAsk::WholeBut(_) => 1,
        };
        (least <= room && from <= to).then_some(Window { from, to })
    }

    /// What a frame reserves on this host when no more than `room` whole cores may be reserved; `None` if the host can't
    /// take it.
    pub fn size_on(&self, host: &HostState, room: i64) -> Option<Resources> {
        if !self.fits_beside_cores(&host.idle) {
            return None;
        }
        let window = self.window(host.mode, room)?;
        let idle = host.idle_cores();
        if idle < window.from || idle > window.to || (self.whole_host() && !host.entirely_idle()) {
            return None;
        }
        let cores = match self.cores {
            CoreAsk::One { .. } => 1,
            CoreAsk::WholeBut(spared) => self.max.min(host.total_cores() - spared),
            // The window has seen to it that neither bound is below the floor.
            CoreAsk::AtLeast(min) => self.wished(min, host, host.idle.memory).min(idle).min(room),
        };
        Some(Resources {
            cores: Centicores::cores(cores),
            memory: self.memory,
            gpus: self.gpus,
            gpu_memory: self.gpu_memory,
        })
    }

    /// The size of the next frame, and how many frames of that size this host takes one after the other: what
    /// [`Ask::size_on`] would say if it were asked for each, found without asking. `frames` is at least 1.
    pub fn run_on(&self, host: &HostState, room: i64, frames: u32) -> Option<(Resources, u32)> {
        let size = self.size_on(host, room)?;
        let idle = host.idle_cores();
        let cores = size.cores.whole_cores();
        // Frames beyond the first for which the cores suffice: `need` must be idle before each one.
        let more = |need: i64| (idle - need.max(cores)) / cores;
        let greedy = self.greedy_on(host, host.idle.memory);
        let most = match self.cores {
            CoreAsk::WholeBut(_) => 1,
            CoreAsk::One { idle: need } => 1 + more(need),
            CoreAsk::AtLeast(min) => {
                let cut = self.wished(min, host, host.idle.memory) != cores;
                // Of all idle cores, the next frame gets the same only where the maximum says so.
                if cut || (greedy && cores != self.max) { 1 } else { 1 + more(min.max(self.floor(min, host.mode))) }
            }
        };
        let most = [
            most,
            room / cores,
            times(host.idle.memory.0, self.memory.0),
            times(host.idle.gpus.0, self.gpus.0),
            times(host.idle.gpu_memory.0, self.gpu_memory.0),
            frames.into(),
        ]
        .into_iter()
        .fold(NO_BOUND, i64::min);
        let most = match self.cores {
            CoreAsk::AtLeast(min) if most > 1 && !greedy => self.equal_run(min, host, cores, most),
            _ => most,
        };
        Some((size, most.max(1) as u32))
    }

    /// Of `most` frames, how many are wished to be `cores` wide. The share of the remaining memory only grows, so that
    /// the answers are a run of yes and then a run of no, up to the point where the rest is stranded.
    fn equal_run(&self, min: i64, host: &HostState, cores: i64, most: i64) -> i64 {
        let memory = host.idle.memory.0;
        let equal = |before: i64| {
            let left = Kb(memory - before * self.memory.0);
            !self.greedy_on(host, left) && self.wished(min, host, left) == cores
        };
        let (mut yes, mut no) = (0, most);
        while no - yes > 1 {
            let middle = yes + (no - yes) / 2;
            if equal(middle) {
                yes = middle;
            } else {
                no = middle;
            }
        }
        yes + 1
    }

    /// What this host lacks for a frame, whatever caps allow, and how far it is from it: the more things it lacks, and then
    /// the greater the part that it lacks, the further. `None` if it lacks nothing.
    pub fn lack_on(&self, host: &HostState) -> Option<(u64, Lack)> {
        if self.memory.0 < 0 || self.gpus.0 < 0 || self.gpu_memory.0 < 0 {
            return Some((u64::MAX, Lack::BelowZero));
        }
        let idle = &host.idle;
        let cores = self.window(host.mode, NO_BOUND).map_or(NO_BOUND, |window| window.from);
        let lacks = [
            short(cores, host.idle_cores(), |n| Lack::Cores(n.map(Centicores::cores))),
            short(self.memory.0, idle.memory.0, |n| Lack::Memory(n.map(Kb))),
            short(self.gpus.0, idle.gpus.0, |n| Lack::Gpus(n.map(Gpus))),
            short(self.gpu_memory.0, idle.gpu_memory.0, |n| Lack::GpuMemory(n.map(Kb))),
            self.whole_host()
                .then(|| short(host.total.cores.0, idle.cores.0, |n| Lack::WholeHost(n.map(Centicores))))
                .flatten(),
        ];
        let lacks = lacks.into_iter().flatten();
        let count = lacks.clone().count() as u64;
        // A thousand is all of it, so that the number of things comes first.
        lacks.max_by_key(|(part, _)| *part).map(|(part, lack)| (count * 1001 + part, lack))
    }

    /// The cores that a frame would reserve if nothing cut them, when the host has `memory` idle.
    fn wished(&self, min: i64, host: &HostState, memory: Kb) -> i64 {
        let wish = if self.greedy_on(host, memory) { host.idle_cores() } else { self.balanced(host, memory) };
        wish.max(self.floor(min, host.mode)).min(self.max)
    }

    /// Whether a threadable frame takes every idle core.
    fn greedy_on(&self, host: &HostState, memory: Kb) -> bool {
        host.mode == ThreadMode::All || self.selfish || memory - self.memory <= self.stranded
    }

    /// The cores that go with the frame's share of the idle memory, rounded as Cuebot does: idle memory by *total* cores
    /// is what a core brings with it.
    fn balanced(&self, host: &HostState, memory: Kb) -> i64 {
        if memory.0 <= 0 || self.memory.0 <= 0 {
            return 0;
        }
        let share = self.memory.0 as i128 * host.total_cores() as i128;
        let rounded = (2 * share + memory.0 as i128) / (2 * memory.0 as i128);
        i64::try_from(rounded).unwrap_or(NO_BOUND)
    }

    /// Below this no size shrinks. A host in mode Variable runs no threadable frame on one core, except if that is the
    /// layer's maximum, which has the last word.
    fn floor(&self, min: i64, mode: ThreadMode) -> i64 {
        let floor = if mode == ThreadMode::Variable { min.max(2) } else { min };
        floor.min(self.max)
    }

    /// Memory and GPUs. A request below zero fits nowhere: subtracting it would give a host more than it has.
    fn fits_beside_cores(&self, idle: &Resources) -> bool {
        let within = |asked: i64, idle: i64| (0..=idle).contains(&asked);
        within(self.memory.0, idle.memory.0)
            && within(self.gpus.0, idle.gpus.0)
            && within(self.gpu_memory.0, idle.gpu_memory.0)
    }
}

/// How many thousandths of `wanted` are missing, if some are.
fn short(wanted: i64, had: i64, lack: impl Fn(Short<i64>) -> Lack) -> Option<(u64, Lack)> {
    // Looked up for many hosts, and an estimate is enough: wide integers take ten times as long to divide.
    let part = (1000.0 * (1.0 - had.max(0) as f64 / wanted.max(1) as f64)) as u64;
    (had < wanted).then(|| (part.min(1000), lack(Short { wanted, had })))
}

/// How many times `part` is in `whole`; a part of nothing is in it without bound.
fn times(whole: i64, part: i64) -> i64 {
    if part > 0 { whole / part } else { NO_BOUND }
}

impl HostState {
    /// The state of a host at the beginning of a pass. What it claims to have idle beyond its total is not believed.
    pub fn of(host: &Host) -> Self {
        Self {
            mode: host.thread_mode,
            total: host.total,
            idle: Resources {
                cores: host.idle.cores.min(host.total.cores),
                memory: host.idle.memory.min(host.total.memory),
                gpus: host.idle.gpus.min(host.total.gpus),
                gpu_memory: host.idle.gpu_memory.min(host.total.gpu_memory),
            },
        }
    }

    /// A host of this mode with all of its total idle.
    pub fn idle_as(mode: ThreadMode, total: Resources) -> Self {
        Self { mode, total, idle: total }
    }

    /// What is idle.
    pub fn idle(&self) -> &Resources {
        &self.idle
    }

    /// The whole idle cores.
    pub fn idle_cores(&self) -> i64 {
        self.idle.cores.whole_cores()
    }

    /// The whole cores it has.
    pub fn total_cores(&self) -> i64 {
        self.total.cores.whole_cores()
    }

    /// Whether no core is in use.
    pub fn entirely_idle(&self) -> bool {
        self.idle.cores == self.total.cores
    }

    /// Whether a frame could run on it now or after a while: what is idle is nowhere below zero.
    pub fn sound(&self) -> bool {
        Resources::default().fits(&self.idle)
    }

    /// Takes `frames` times `size`.
    pub fn take(&mut self, size: &Resources, frames: u32) {
        let frames = i64::from(frames);
        self.idle = self.idle
            - Resources {
                cores: Centicores(size.cores.0.saturating_mul(frames)),
                memory: Kb(size.memory.0.saturating_mul(frames)),
                gpus: Gpus(size.gpus.0.saturating_mul(frames)),
                gpu_memory: Kb(size.gpu_memory.0.saturating_mul(frames)),
            };
    }
}

#[cfg(test)]
mod tests;
