//! What the database said to a plan, taken back into the snapshot that the plan was made from.
//!
//! A plan may be stale when it lands: somebody filled a host, lowered a cap, took frames. Each refusal brings the value that
//! refused, as it stands under its row's lock. With what was booked subtracted and those values put in, the rest can be
//! planned again at once, without reading anything anew, and no frame waits behind a host that refused it.
//!
//! All of it only takes away. A value that is kinder than the snapshot's is left to the next reading: it may have changed
//! again, and hosts are lent less than is idle where their load is high.

use std::collections::{HashMap, HashSet};

use crate::domain::amount::{Centicores, Gpus, Kb, Resources};
use crate::domain::cap::{Budget, Cap};
use crate::domain::id::{FolderId, HostId, JobId, LayerId, LimitId, ShowId};
use crate::planning::Plan;
use crate::snapshot::{Counted, Folder, FolderIx, HostIx, JobIx, LayerIx, Snapshot};

/// A frame that was booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Its layer.
    pub layer: LayerId,
    /// The host.
    pub host: HostId,
    /// What it reserves.
    pub size: Resources,
}

/// What is true instead of what the snapshot believed. Amounts are those after the booking that found them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// The host has this left.
    HostIdle {
        /// The host.
        host: HostId,
        /// What it has left.
        idle: Resources,
    },
    /// The host can't be booked: locked, not UP, gone, or moved to another pool.
    HostOut(HostId),
    /// The show's right to the pool.
    Subscription {
        /// The show.
        show: ShowId,
        /// Its burst and what is booked.
        cores: Budget,
    },
    /// A job's maxima and what is booked.
    Job {
        /// The job.
        job: JobId,
        /// Centicores.
        cores: Budget,
        /// GPUs.
        gpus: Budget,
    },
    /// A folder's maxima and what is booked.
    Folder {
        /// The folder.
        folder: FolderId,
        /// The jobs that were found in it, where the snapshot may believe them elsewhere.
        jobs: Vec<JobId>,
        /// Centicores.
        cores: Budget,
        /// GPUs.
        gpus: Budget,
    },
    /// A limit's maximum and what runs.
    Limit {
        /// The limit.
        limit: LimitId,
        /// The maximum, and how much runs.
        running: Budget,
        /// What is counted; of hosts also which they are.
        counted: Counted,
    },
    /// Frames of the layer that can't be had: taken, changed, or given up for this pass.
    FramesGone {
        /// The layer.
        layer: LayerId,
        /// How many.
        frames: u32,
    },
    /// The layer can't start now, or can't be launched.
    LayerOut(LayerId),
    /// The job is paused or over.
    JobOut(JobId),
    /// The show is not ours to book.
    ShowOut(ShowId),
}

/// What became of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landing {
    /// What was booked.
    pub landed: Vec<Landed>,
    /// What was found out where something was refused; empty if nothing was.
    pub truths: Vec<Truth>,
}

/// Takes into the snapshot what became of its plan. Positions of hosts change.
pub fn settle(snapshot: &mut Snapshot, plan: &Plan, landing: &Landing) {
    let mut settling = Settling::new(snapshot, plan);
    settling.count_tries(plan);
    for frame in &landing.landed {
        settling.book(frame);
    }
    for truth in &landing.truths {
        settling.believe(truth);
    }
    let out = settling.out;
    if !out.is_empty() {
        let mut at = 0;
        snapshot.hosts.retain(|_| {
            at += 1;
            !out.contains(&HostIx(at - 1))
        });
    }
}

struct Settling<'s> {
    snapshot: &'s mut Snapshot,
    /// Where the things of the plan stand.
    layers: HashMap<LayerId, LayerIx>,
    jobs: HashMap<JobId, JobIx>,
    hosts: HashMap<HostId, HostIx>,
    out: HashSet<HostIx>,
}

impl<'s> Settling<'s> {
    fn new(snapshot: &'s mut Snapshot, plan: &Plan) -> Self {
        let (mut layers, mut jobs, mut hosts) = (HashMap::new(), HashMap::new(), HashMap::new());
        for placement in &plan.placements {
            let layer = &snapshot[placement.layer];
            layers.insert(layer.id.clone(), placement.layer);
            jobs.insert(snapshot[layer.job].id.clone(), layer.job);
            hosts.insert(snapshot[placement.host].id.clone(), placement.host);
        }
        Self { snapshot, layers, jobs, hosts, out: HashSet::new() }
    }

    fn count_tries(&mut self, plan: &Plan) {
        let mut before = None;
        for placement in &plan.placements {
            let pair = Some((placement.layer, placement.host));
            if pair != before {
                self.snapshot.layers[placement.layer.0 as usize].given.hosts += 1;
            }
            before = pair;
        }
    }

    fn book(&mut self, frame: &Landed) {
        let (Some(layer), Some(host)) = (self.layers.get(&frame.layer), self.hosts.get(&frame.host)) else { return };
        let snapshot = &mut *self.snapshot;
        let host = &mut snapshot.hosts[host.0 as usize];
        // What it claims beyond its total is believed neither before nor after.
        host.idle = least(&host.idle, &host.total) - frame.size;
        let layer = &mut snapshot.layers[layer.0 as usize];
        layer.waiting = layer.waiting.saturating_sub(1);
        layer.given.frames += 1;
        let mut limits = layer.limits.clone();
        limits.sort_unstable();
        limits.dedup();
        for limit in limits {
            let limit = &mut snapshot.limits[limit.0 as usize];
            let new = match &mut limit.counted {
                Counted::Frames => true,
                Counted::Hosts(hosts) => hosts.insert(frame.host.clone()),
            };
            add(&mut limit.running, i64::from(new));
        }
        let job = &mut snapshot.jobs[layer.job.0 as usize];
        let folder = &mut snapshot.folders[job.folder.0 as usize];
        add(&mut snapshot.subscriptions[job.subscription.0 as usize].cores, frame.size.cores.0);
        for cores in [&mut job.cores, &mut folder.cores] {
            add(cores, frame.size.cores.0);
        }
        for gpus in [&mut job.gpus, &mut folder.gpus] {
            add(gpus, frame.size.gpus.0);
        }
    }

    fn believe(&mut self, truth: &Truth) {
        match truth {
            Truth::HostIdle { host, idle } => {
                if let Some(at) = self.hosts.get(host) {
                    let host = &mut self.snapshot.hosts[at.0 as usize];
                    host.idle = least(&host.idle, idle);
                }
            }
            Truth::HostOut(host) => self.out.extend(self.hosts.get(host)),
            Truth::Subscription { show, cores } => {
                let mut of_show = self.snapshot.subscriptions.iter_mut().filter(|right| right.show == *show);
                if let Some(right) = of_show.next() {
                    tighten(&mut right.cores, *cores);
                }
            }
            Truth::Job { job, cores, gpus } => {
                if let Some(at) = self.jobs.get(job) {
                    let job = &mut self.snapshot.jobs[at.0 as usize];
                    tighten(&mut job.cores, *cores);
                    tighten(&mut job.gpus, *gpus);
                }
            }
            Truth::Folder { folder, jobs, cores, gpus } => self.folder(folder, jobs, *cores, *gpus),
            Truth::Limit { limit, running, counted } => {
                if let Some(limit) = self.snapshot.limits.iter_mut().find(|known| known.id == *limit) {
                    tighten(&mut limit.running, *running);
                    limit.counted = counted.clone();
                }
            }
            Truth::FramesGone { layer, frames } => {
                if let Some(at) = self.layers.get(layer) {
                    let waiting = &mut self.snapshot.layers[at.0 as usize].waiting;
                    *waiting = waiting.saturating_sub(*frames);
                }
            }
            Truth::LayerOut(layer) => {
                if let Some(at) = self.layers.get(layer) {
                    self.snapshot.layers[at.0 as usize].waiting = 0;
                }
            }
            Truth::JobOut(job) => {
                if let Some(at) = self.jobs.get(job) {
                    let of_job = self.snapshot.layers.iter_mut().filter(|layer| layer.job == *at);
                    of_job.for_each(|layer| layer.waiting = 0);
                }
            }
            Truth::ShowOut(show) => {
                let Snapshot { layers, jobs, subscriptions, .. } = &mut *self.snapshot;
                let of_show = |job: &JobIx| {
                    let right = jobs[job.0 as usize].subscription;
                    subscriptions[right.0 as usize].show == *show
                };
                layers.iter_mut().filter(|layer| of_show(&layer.job)).for_each(|layer| layer.waiting = 0);
            }
        }
    }

    /// The jobs may have moved into the folder since they were read.
    fn folder(&mut self, id: &FolderId, jobs: &[JobId], cores: Budget, gpus: Budget) {
        let Snapshot { folders, jobs: known_jobs, .. } = &mut *self.snapshot;
        let at = if let Some(at) = folders.iter().position(|folder| folder.id == *id) {
            tighten(&mut folders[at].cores, cores);
            tighten(&mut folders[at].gpus, gpus);
            at
        } else {
            folders.push(Folder { id: id.clone(), cores, gpus });
            folders.len() - 1
        };
        for job in jobs.iter().filter_map(|job| self.jobs.get(job)) {
            known_jobs[job.0 as usize].folder = FolderIx(at as u32);
        }
    }
}

fn add(budget: &mut Budget, n: i64) {
    budget.used = budget.used.saturating_add(n);
}

/// Takes the true cap, and what is in use where that is more.
fn tighten(known: &mut Budget, truth: Budget) {
    let cap = match (known.cap, truth.cap) {
        (Cap::AtMost(one), Cap::AtMost(other)) => Cap::AtMost(one.min(other)),
        (Cap::Unlimited, cap) | (cap, Cap::Unlimited) => cap,
    };
    *known = Budget { cap, used: known.used.max(truth.used) };
}

fn least(one: &Resources, other: &Resources) -> Resources {
    Resources {
        cores: Centicores(one.cores.0.min(other.cores.0)),
        memory: Kb(one.memory.0.min(other.memory.0)),
        gpus: Gpus(one.gpus.0.min(other.gpus.0)),
        gpu_memory: Kb(one.gpu_memory.0.min(other.gpu_memory.0)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::planning::plan;
    use crate::reason::Reason;
    use crate::test_farm::{Farm, Outcome, amounts, at_most, policy};

    /// A tight and a wide host, and a layer of four frames of 2 cores that the tight one could take.
    fn farm() -> Farm {
        let mut farm = Farm::new();
        farm.host("tight", 8, 64);
        farm.host("wide", 32, 64);
        let limit = farm.limit("limit", 100);
        let job = farm.job("job", 50);
        farm.layer(job, "layer", 2, 1, 4).limits = vec![limit];
        farm
    }

    fn all_on(host: &str, frames: usize) -> Vec<Landed> {
        vec![Landed { layer: "layer".into(), host: host.into(), size: amounts(2, 1) }; frames]
    }

    /// Plans, settles, plans again.
    fn again(mut farm: Farm, landed: &[Landed], truths: &[Truth]) -> Outcome {
        let first = plan(&farm.0, &policy());
        assert_eq!(Outcome::of(&farm.0, &first).booked(), [("layer", "tight", 2, 4)]);
        settle(&mut farm.0, &first, &Landing { landed: landed.to_vec(), truths: truths.to_vec() });
        farm.plan()
    }

    fn budget(cap: i64, used: i64) -> Budget {
        Budget { used, ..at_most(cap) }
    }

    #[test]
    fn what_a_full_host_refused_goes_to_the_next_best() {
        let full = Truth::HostIdle { host: "tight".into(), idle: amounts(1, 64) };
        let outcome = again(farm(), &all_on("tight", 1), &[full]);
        assert_eq!(outcome.booked(), [("layer", "wide", 2, 3)]);
    }

    #[test]
    fn a_host_that_can_not_be_booked_is_not_planned_for() {
        let outcome = again(farm(), &[], &[Truth::HostOut("tight".into())]);
        assert_eq!(outcome.booked(), [("layer", "wide", 2, 4)]);
    }

    #[test]
    fn a_host_is_lent_no_more_than_was_read_even_where_its_row_has_more() {
        let idle = amounts(7, 64);
        let outcome = again(farm(), &all_on("tight", 2), &[Truth::HostIdle { host: "tight".into(), idle }]);
        assert_eq!(outcome.booked(), [("layer", "tight", 2, 2)], "4 of the 8 cores that were read are taken");
    }

    #[test]
    fn each_cap_that_refused_leaves_what_it_allows_and_is_the_reason_for_the_rest() {
        let folder =
            |id: &str, cores| Truth::Folder { folder: id.into(), jobs: vec!["job".into()], cores, gpus: budget(0, 0) };
        for (truth, reason) in [
            (Truth::Subscription { show: "show".into(), cores: budget(600, 200) }, Reason::SubscriptionFull),
            (Truth::Job { job: "job".into(), cores: budget(600, 200), gpus: budget(9, 0) }, Reason::JobCores),
            (folder("folder", budget(600, 200)), Reason::FolderCores),
            (folder("moved here since", budget(600, 200)), Reason::FolderCores),
            (Truth::Limit { limit: "limit".into(), running: budget(5, 3), counted: Counted::Frames }, Reason::Limit),
        ] {
            let outcome = again(farm(), &all_on("tight", 1), std::slice::from_ref(&truth));
            assert_eq!(outcome.booked(), [("layer", "tight", 2, 2)], "{truth:?}");
            assert_eq!(outcome.waiting(), [("layer", 1, reason)], "{truth:?}");
        }
    }

    #[test]
    fn a_host_that_took_the_last_seat_of_a_limit_is_the_one_that_the_rest_goes_to() {
        let mut farm = farm();
        farm.0.limits[0].counted = Counted::Hosts(BTreeSet::new());
        farm.0.limits[0].running = at_most(5);
        let counted = Counted::Hosts(BTreeSet::from(["wide".into(), "in another pool".into()]));
        let truth = Truth::Limit { limit: "limit".into(), running: budget(2, 2), counted };
        assert_eq!(again(farm, &[], &[truth]).booked(), [("layer", "wide", 2, 4)]);
    }

    #[test]
    fn frames_layers_jobs_and_shows_that_are_gone_are_not_planned_again() {
        for (truth, booked) in [
            (Truth::FramesGone { layer: "layer".into(), frames: 2 }, 1),
            (Truth::FramesGone { layer: "layer".into(), frames: 9 }, 0),
            (Truth::LayerOut("layer".into()), 0),
            (Truth::JobOut("job".into()), 0),
            (Truth::ShowOut("show".into()), 0),
        ] {
            let outcome = again(farm(), &all_on("tight", 1), std::slice::from_ref(&truth));
            let frames: u32 = outcome.booked().iter().map(|(.., frames)| frames).sum();
            assert_eq!((frames, outcome.waiting()), (booked, vec![]), "{truth:?}");
        }
    }

    #[test]
    fn things_that_the_snapshot_does_not_know_change_nothing() {
        let unknown = [
            Truth::HostOut("none".into()),
            Truth::HostIdle { host: "none".into(), idle: amounts(0, 0) },
            Truth::JobOut("none".into()),
            Truth::LayerOut("none".into()),
            Truth::ShowOut("none".into()),
            Truth::Limit { limit: "none".into(), running: budget(0, 0), counted: Counted::Frames },
        ];
        assert_eq!(again(farm(), &[], &unknown).booked(), [("layer", "tight", 2, 4)]);
    }
}
