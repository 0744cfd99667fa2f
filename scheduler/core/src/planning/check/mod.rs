//! Is this plan right?
//!
//! Verifies a plan from the snapshot and the policy alone: what is taken is there, no cap is passed, every placement is
//! on a host that the layer may use and of a size it may have, every frame is accounted for once, layers were served in
//! order, and the reason of every layer left waiting is the first obstacle it met. It is written plainly, host by host and
//! layer by layer, and shares no code with the planner, so that both must be wrong in the same way to agree on an error.
//! Its cost is layers × hosts: for tests and debug assertions, not for passes over large pools.

mod rules;
mod violation;

use std::collections::{BTreeSet, HashSet};

use crate::domain::amount::Resources;
use crate::domain::cap::{Budget, Cap};
use crate::domain::id::HostId;
use crate::reason::Reason;
use crate::snapshot::{Counted, Host, Layer, LayerIx, Snapshot};

use super::{Placement, Plan, Policy};
use rules::{barred, could_take, credible_idle, demand, least_anywhere, less, runs_os, shares_tag, wrong_size};
pub use violation::Violation;

/// Everything that is wrong with a plan; empty for a right one.
pub fn check(snapshot: &Snapshot, policy: &Policy, plan: &Plan) -> Vec<Violation> {
    let mut checker = Checker {
        snapshot,
        policy,
        idle: snapshot.hosts.iter().map(credible_idle).collect(),
        used: Used::of(snapshot),
        served: vec![BTreeSet::new(); snapshot.subscriptions.len()],
        found: Vec::new(),
    };
    for layer in snapshot.layers.iter().filter(|layer| layer.given.frames > 0) {
        checker.served[snapshot[layer.job].subscription.0 as usize].insert(layer.job.0);
    }
    if checker.all_known(plan) {
        checker.turns(plan);
    }
    checker.found
}

struct Checker<'a> {
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    idle: Vec<Resources>,
    used: Used,
    /// By subscription, the jobs that got frames.
    served: Vec<BTreeSet<u32>>,
    found: Vec<Violation>,
}

/// Budgets by position, running.
struct Used {
    subscriptions: Vec<Budget>,
    folder_cores: Vec<Budget>,
    folder_gpus: Vec<Budget>,
    job_cores: Vec<Budget>,
    job_gpus: Vec<Budget>,
    limits: Vec<Budget>,
    /// By limit, the hosts that hold a seat, if it counts hosts.
    seats: Vec<Option<BTreeSet<HostId>>>,
}

impl Used {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            subscriptions: snapshot.subscriptions.iter().map(|s| s.cores).collect(),
            folder_cores: snapshot.folders.iter().map(|f| f.cores).collect(),
            folder_gpus: snapshot.folders.iter().map(|f| f.gpus).collect(),
            job_cores: snapshot.jobs.iter().map(|j| j.cores).collect(),
            job_gpus: snapshot.jobs.iter().map(|j| j.gpus).collect(),
            limits: snapshot.limits.iter().map(|l| l.running).collect(),
            seats: snapshot
                .limits
                .iter()
                .map(|limit| match &limit.counted {
                    Counted::Frames => None,
                    Counted::Hosts(hosts) => Some(hosts.clone()),
                })
                .collect(),
        }
    }
}

/// Where a layer's counts are.
struct Accounts {
    subscription: usize,
    folder: usize,
    job: usize,
    limits: BTreeSet<usize>,
}

impl Checker<'_> {
    fn all_known(&mut self, plan: &Plan) -> bool {
        let (layers, hosts) = (self.snapshot.layers.len(), self.snapshot.hosts.len());
        let placed = plan.placements.iter().map(|p| (p.layer.0, p.host.0));
        let waiting = plan.waiting.iter().map(|w| (w.layer.0, 0));
        for (layer, host) in placed {
            if layer as usize >= layers || host as usize >= hosts {
                self.found.push(Violation::Unknown { layer, host });
            }
        }
        for (layer, host) in waiting {
            if layer as usize >= layers {
                self.found.push(Violation::Unknown { layer, host });
            }
        }
        self.found.is_empty()
    }

    /// Goes through the layers as they should have been served.
    fn turns(&mut self, plan: &Plan) {
        let mut order: Vec<_> = (0..self.snapshot.layers.len() as u32).map(LayerIx).collect();
        order.sort_by(|one, other| self.before(*one, *other));
        let mut turn_of = vec![0; order.len()];
        for (turn, at) in order.iter().enumerate() {
            turn_of[at.0 as usize] = turn;
        }
        let turn = |at: LayerIx| turn_of[at.0 as usize];

        for pair in plan.placements.windows(2) {
            if turn(pair[1].layer) < turn(pair[0].layer) {
                self.out_of_turn(pair[1].layer);
            }
        }
        for pair in plan.waiting.windows(2) {
            if turn(pair[1].layer) <= turn(pair[0].layer) {
                self.out_of_turn(pair[1].layer);
            }
        }

        let mut placed: Vec<Vec<&Placement>> = vec![Vec::new(); order.len()];
        for placement in &plan.placements {
            placed[placement.layer.0 as usize].push(placement);
        }
        let mut left = vec![(0_u64, None); order.len()];
        for waiting in &plan.waiting {
            if waiting.frames == 0 {
                let layer = self.snapshot[waiting.layer].id.to_string();
                self.found.push(Violation::Empty { layer });
            }
            let entry = &mut left[waiting.layer.0 as usize];
            *entry = (entry.0 + u64::from(waiting.frames), Some(waiting.reason()));
        }
        for at in order {
            let (frames, reason) = left[at.0 as usize];
            self.turn(&self.snapshot[at], &placed[at.0 as usize], frames, reason);
        }
    }

    fn before(&self, one: LayerIx, other: LayerIx) -> std::cmp::Ordering {
        let (one, other) = (&self.snapshot[one], &self.snapshot[other]);
        let (job, other_job) = (&self.snapshot[one.job], &self.snapshot[other.job]);
        other_job
            .priority
            .cmp(&job.priority)
            .then(job.started.cmp(&other_job.started))
            .then_with(|| job.id.cmp(&other_job.id))
            .then(one.dispatch_order.cmp(&other.dispatch_order))
            .then_with(|| one.id.cmp(&other.id))
    }

    fn out_of_turn(&mut self, at: LayerIx) {
        let layer = self.snapshot[at].id.to_string();
        self.found.push(Violation::Order { layer });
    }

    fn turn(&mut self, layer: &Layer, placed: &[&Placement], left: u64, given: Option<Reason>) {
        let name = || layer.id.to_string();
        let mut planned = 0;
        for placement in placed {
            planned += u64::from(placement.frames);
            self.place(layer, placement);
        }
        if planned + left != u64::from(layer.waiting) {
            self.found.push(Violation::Sum { layer: name(), waiting: layer.waiting.into(), planned, left });
        }

        let hosts: HashSet<_> = placed.iter().map(|placement| placement.host).collect();
        let (given_frames, given_hosts) = (u64::from(layer.given.frames), layer.given.hosts as usize);
        let frames_bound = self.policy.frames_per_layer.map(|bound| u64::from(bound).saturating_sub(given_frames));
        let hosts_bound = self.policy.hosts_per_layer.map(|bound| (bound as usize).saturating_sub(given_hosts));
        let jobs_bound = self.policy.jobs_per_show.map(|bound| bound as usize);
        let served = &mut self.served[self.snapshot[layer.job].subscription.0 as usize];
        if !placed.is_empty() {
            served.insert(layer.job.0);
        }
        let (jobs, job_served) = (served.len(), served.contains(&layer.job.0));
        for (passed, what) in [
            (jobs_bound.is_some_and(|bound| jobs > bound), "jobs"),
            (frames_bound.is_some_and(|bound| planned > bound), "frames"),
            (hosts_bound.is_some_and(|bound| hosts.len() > bound), "hosts"),
        ] {
            if passed {
                self.found.push(Violation::Bound { layer: name(), what });
            }
        }

        if let Some(given) = given {
            let mut right = self.obstacles(layer);
            if right.iter().any(|reason| self.waits_for_paused(layer, *reason)) {
                right = BTreeSet::from([Reason::HostsQuarantined]);
            }
            let bounded = frames_bound.is_some_and(|bound| planned >= bound)
                || hosts_bound.is_some_and(|bound| hosts.len() >= bound)
                || jobs_bound.is_some_and(|bound| jobs >= bound && !job_served);
            if right.is_empty() && bounded {
                right.insert(Reason::PassBound);
            }
            if !right.contains(&given) {
                self.found.push(Violation::Reason { layer: name(), given, right });
            }
        }
    }

    /// Checks a placement and takes what it takes.
    fn place(&mut self, layer: &Layer, placement: &Placement) {
        let host = &self.snapshot[placement.host];
        let (layer_id, host_id) = (layer.id.to_string(), host.id.to_string());
        let size = placement.size;
        if placement.frames == 0 {
            self.found.push(Violation::Empty { layer: layer_id });
            return;
        }
        if let Some(why) = barred(&self.snapshot[layer.job], layer, host) {
            self.found.push(Violation::Gate { layer: layer_id, host: host_id, why });
            return;
        }
        if let Some(why) = wrong_size(layer, host, &size) {
            self.found.push(Violation::Size { layer: layer_id, host: host_id, size, why });
            return;
        }

        let idle = &mut self.idle[placement.host.0 as usize];
        let demand = demand(layer, host);
        let before_last = less(idle, &size, placement.frames - 1);
        let enough = before_last.cores.0.div_euclid(100) >= demand.idle
            && size.fits(&before_last)
            && (!demand.entirely || before_last.cores == host.total.cores);
        *idle = less(idle, &size, placement.frames);
        if !enough {
            self.found.push(Violation::Idle { layer: layer_id.clone(), host: host_id });
        }

        let frames = i64::from(placement.frames);
        if let Some(reason) = self.refusing_cap(layer, size.cores.0.saturating_mul(frames), frames) {
            self.found.push(Violation::Cap { layer: layer_id, reason });
        }
        if !self.has_seat(layer, host) {
            self.found.push(Violation::Cap { layer: layer.id.to_string(), reason: Reason::Limit });
        }
        self.count(layer, host, &size, frames);
    }

    /// Whether the limits that count hosts let the layer run on this one.
    fn has_seat(&self, layer: &Layer, host: &Host) -> bool {
        self.accounts(layer).limits.iter().all(|at| {
            let Some(seats) = &self.used.seats[*at] else { return true };
            seats.contains(&host.id) || self.used.limits[*at].allows(1)
        })
    }

    fn count(&mut self, layer: &Layer, host: &Host, size: &Resources, frames: i64) {
        let at = self.accounts(layer);
        let cores = size.cores.0.saturating_mul(frames);
        let gpus = size.gpus.0.saturating_mul(frames);
        let used = &mut self.used;
        for (budget, n) in [
            (&mut used.subscriptions[at.subscription], cores),
            (&mut used.folder_cores[at.folder], cores),
            (&mut used.folder_gpus[at.folder], gpus),
            (&mut used.job_cores[at.job], cores),
            (&mut used.job_gpus[at.job], gpus),
        ] {
            budget.used = budget.used.saturating_add(n);
        }
        for limit in at.limits {
            let more = match &mut used.seats[limit] {
                None => frames,
                Some(seats) => i64::from(seats.insert(host.id.clone())),
            };
            let used = &mut used.limits[limit].used;
            *used = used.saturating_add(more);
        }
    }

    fn accounts(&self, layer: &Layer) -> Accounts {
        let job = &self.snapshot[layer.job];
        Accounts {
            subscription: job.subscription.0 as usize,
            folder: job.folder.0 as usize,
            job: layer.job.0 as usize,
            limits: layer.limits.iter().map(|at| at.0 as usize).collect(),
        }
    }

    /// The first cap without room for so many centicores in so many frames.
    fn refusing_cap(&self, layer: &Layer, cores: i64, frames: i64) -> Option<Reason> {
        let at = self.accounts(layer);
        let gpus = layer.gpus.0.max(0).saturating_mul(frames);
        let refuses = |budget: &Budget, n: i64| match budget.cap {
            Cap::Unlimited => false,
            Cap::AtMost(most) => i128::from(budget.used) + i128::from(n) > i128::from(most),
        };
        let subscription = &self.used.subscriptions[at.subscription];
        if matches!(subscription.cap, Cap::AtMost(most) if most <= 0) {
            return Some(Reason::SubscriptionFrozen);
        }
        [
            (subscription, cores, Reason::SubscriptionFull),
            (&self.used.folder_cores[at.folder], cores, Reason::FolderCores),
            (&self.used.folder_gpus[at.folder], gpus, Reason::FolderGpus),
            (&self.used.job_cores[at.job], cores, Reason::JobCores),
            (&self.used.job_gpus[at.job], gpus, Reason::JobGpus),
        ]
        .into_iter()
        .find_map(|(budget, n, reason)| refuses(budget, n).then_some(reason))
        .or_else(|| at.limits.iter().any(|limit| self.limit_refuses(*limit, frames)).then_some(Reason::Limit))
    }

    /// Whether a limit has no room for so many frames, on whatever host of the pool.
    fn limit_refuses(&self, at: usize, frames: i64) -> bool {
        let limit = &self.used.limits[at];
        match &self.used.seats[at] {
            None => !limit.allows(frames),
            Some(seats) => !limit.allows(1) && !self.snapshot.hosts.iter().any(|host| seats.contains(&host.id)),
        }
    }

    /// What keeps the next frame of a layer from running, as things stand. Of several hosts that would take it but for a
    /// cap, each may be kept away by another cap; any of those is right. Nothing: it should have been booked.
    fn obstacles(&self, layer: &Layer) -> BTreeSet<Reason> {
        let job = &self.snapshot[layer.job];
        let one = |reason| BTreeSet::from([reason]);
        if let Some(reason) = self.refusing_cap(layer, least_anywhere(layer).saturating_mul(100), 1) {
            return one(reason);
        }
        let with = |test: &dyn Fn(&Host) -> bool| -> Vec<usize> {
            let hosts = self.snapshot.hosts.iter().enumerate();
            hosts.filter(|(_, host)| test(host)).map(|(at, _)| at).collect()
        };
        if with(&|host| shares_tag(layer, host)).is_empty() {
            return one(Reason::NoHostWithTag);
        }
        if with(&|host| shares_tag(layer, host) && runs_os(job, host)).is_empty() {
            return one(Reason::NoHostWithOs);
        }
        let open = with(&|host| barred(job, layer, host).is_none());
        if open.is_empty() {
            return one(Reason::NoHostForUnthreaded);
        }
        let could = |at: usize, idle: &Resources| could_take(layer, &self.snapshot.hosts[at], idle);
        if !open.iter().any(|at| could(*at, &self.snapshot.hosts[*at].total)) {
            return one(Reason::NoHostLargeEnough);
        }
        let ready: Vec<_> = open.into_iter().filter(|at| could(*at, &self.idle[*at])).collect();
        if ready.is_empty() {
            return one(Reason::HostsBusy);
        }
        let refused: Vec<_> = ready
            .iter()
            .map(|at| &self.snapshot.hosts[*at])
            .map(|host| {
                let cores = demand(layer, host).least.saturating_mul(100);
                let full = (!self.has_seat(layer, host)).then_some(Reason::Limit);
                self.refusing_cap(layer, cores, 1).or(full)
            })
            .collect();
        if refused.contains(&None) { BTreeSet::new() } else { refused.into_iter().flatten().collect() }
    }

    /// Whether a host that is left alone would take the layer, now where others are busy and when idle where others can't.
    fn waits_for_paused(&self, layer: &Layer, reason: Reason) -> bool {
        let job = &self.snapshot[layer.job];
        let allowed = self.snapshot.paused.iter().filter(|host| barred(job, layer, host).is_none());
        allowed.into_iter().any(|host| match reason {
            Reason::HostsBusy => could_take(layer, host, &credible_idle(host)),
            Reason::NoHostWithTag | Reason::NoHostWithOs | Reason::NoHostForUnthreaded | Reason::NoHostLargeEnough => {
                could_take(layer, host, &host.total)
            }
            _ => false,
        })
    }
}
