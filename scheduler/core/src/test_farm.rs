//! Farms for tests: a builder that shows only what matters, and random farms with everything that a database may hold.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;

use crate::domain::amount::{Centicores, Gpus, Kb, Resources};
use crate::domain::cap::{Budget, Cap};
use crate::domain::request::{CoreRequest, ThreadMode};
use crate::domain::tag::{HostTag, TagKind};
use crate::planning::epvm::{Epvm, Weights};
use crate::planning::score::{self, Saturation};
use crate::planning::{Plan, Policy, Violation, check, plan};
use crate::reason::{Obstacle, Reason};
use crate::snapshot::{
    Counted, Folder, FolderIx, Given, Host, Job, JobIx, Layer, LayerIx, Limit, LimitIx, Snapshot, Subscription,
    SubscriptionIx,
};

pub const GIB: i64 = 1 << 20;
pub const NO_CAP: Budget = Budget { cap: Cap::Unlimited, used: 0 };

pub fn at_most(most: i64) -> Budget {
    Budget { cap: Cap::AtMost(most), used: 0 }
}

pub fn policy() -> Policy {
    Policy {
        strategy: score::Strategy::Saturation(Saturation { cores: true, memory: false }),
        memory_stranded: Kb(2 * GIB),
        selfish_services: vec!["selfish".to_owned()],
        frames_per_layer: None,
        hosts_per_layer: None,
        jobs_per_show: None,
    }
}

/// The weights that hold where the file sets none.
pub fn weights() -> Weights {
    Weights {
        cores: 1.0,
        memory: 1.0,
        gpus: 2.0,
        gpu_memory: 1.0,
        gpu_count_reservation: 2.0,
        gpu_memory_reservation: 2.0,
    }
}

/// Idle or total, GPUs left out.
pub fn amounts(cores: i64, gib: i64) -> Resources {
    Resources { cores: Centicores::cores(cores), memory: Kb(gib * GIB), ..Resources::default() }
}

/// A farm under construction: one show without a burst that anyone reaches, one folder without caps.
pub struct Farm(pub Snapshot);

impl Farm {
    pub fn new() -> Self {
        Self(Snapshot {
            subscriptions: vec![Subscription {
                show: "show".into(),
                show_name: "show".into(),
                alloc: "alloc".into(),
                cores: at_most(i64::MAX),
            }],
            folders: vec![Folder { id: "folder".into(), cores: NO_CAP, gpus: NO_CAP }],
            ..Snapshot::default()
        })
    }

    /// An idle Linux host with the tag `general`.
    pub fn host(&mut self, name: &str, cores: i64, gib: i64) -> &mut Host {
        let all = amounts(cores, gib);
        self.0.hosts.push(Host {
            id: name.into(),
            name: name.into(),
            os: "linux".into(),
            tags: vec![tag("general")],
            thread_mode: ThreadMode::Auto,
            total: all,
            idle: all,
        });
        self.0.hosts.last_mut().unwrap()
    }

    /// A job without caps; jobs are as old as their place says.
    pub fn job(&mut self, name: &str, priority: i32) -> JobIx {
        let at = JobIx(self.0.jobs.len() as u32);
        self.0.jobs.push(Job {
            id: name.into(),
            name: name.into(),
            subscription: SubscriptionIx(0),
            folder: FolderIx(0),
            priority,
            started: at.0.into(),
            os: None,
            cores: at_most(i64::MAX),
            gpus: at_most(i64::MAX),
        });
        at
    }

    pub fn edit_job(&mut self, at: JobIx) -> &mut Job {
        &mut self.0.jobs[at.0 as usize]
    }

    /// A layer of threadable frames for hosts with the tag `general`.
    pub fn layer(&mut self, job: JobIx, name: &str, cores: i64, gib: i64, frames: u32) -> &mut Layer {
        self.0.layers.push(Layer {
            id: name.into(),
            name: name.into(),
            job,
            dispatch_order: self.0.layers.len() as i64,
            cores: CoreRequest::from_column(cores * 100),
            cores_max: None,
            threadable: true,
            memory: Kb(gib * GIB),
            gpus: Gpus(0),
            gpu_memory: Kb(0),
            tags: vec!["general".into()],
            services: vec!["shell".into()],
            limits: Vec::new(),
            waiting: frames,
            given: Given::default(),
        });
        self.0.layers.last_mut().unwrap()
    }

    pub fn limit(&mut self, name: &str, most: i64) -> LimitIx {
        let (running, counted) = (at_most(most), Counted::Frames);
        self.0.limits.push(Limit { id: name.into(), name: name.into(), running, counted });
        LimitIx(self.0.limits.len() as u32 - 1)
    }

    /// Plans with the default policy; the checker must agree.
    pub fn plan(&self) -> Outcome {
        self.plan_by(&policy())
    }

    pub fn plan_by(&self, policy: &Policy) -> Outcome {
        let plan = plan(&self.0, policy);
        assert_eq!(check(&self.0, policy, &plan), Vec::<Violation>::new());
        Outcome::of(&self.0, &plan)
    }
}

pub fn tag(name: &str) -> HostTag {
    HostTag { name: name.into(), kind: TagKind::Alloc }
}

/// A plan by ids, in its own order.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Layer, host, cores of a frame, frames.
    pub placements: Vec<(String, String, Resources, u32)>,
    /// Layer, frames, why.
    pub waiting: Vec<(String, u32, Obstacle)>,
}

impl Outcome {
    pub fn of(snapshot: &Snapshot, plan: &Plan) -> Self {
        Self {
            placements: plan
                .placements
                .iter()
                .map(|p| {
                    let (layer, host) = (&snapshot[p.layer].id, &snapshot[p.host].id);
                    (layer.to_string(), host.to_string(), p.size, p.frames)
                })
                .collect(),
            waiting: plan
                .waiting
                .iter()
                .map(|w| (snapshot[w.layer].id.to_string(), w.frames, w.obstacle.clone()))
                .collect(),
        }
    }

    /// Layer, host, whole cores of a frame, frames.
    pub fn booked(&self) -> Vec<(&str, &str, i64, u32)> {
        self.placements
            .iter()
            .map(|(layer, host, size, frames)| (layer.as_str(), host.as_str(), size.cores.whole_cores(), *frames))
            .collect()
    }

    pub fn waiting(&self) -> Vec<(&str, u32, Reason)> {
        self.waiting.iter().map(|(layer, frames, obstacle)| (layer.as_str(), *frames, obstacle.reason())).collect()
    }
}

/// The snapshot after a plan has landed.
pub fn applied(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut after = snapshot.clone();
    for p in &plan.placements {
        let n = i64::from(p.frames);
        let layer = &mut after.layers[p.layer.0 as usize];
        layer.waiting -= p.frames;
        let limits: std::collections::BTreeSet<_> = layer.limits.iter().copied().collect();
        for limit in limits {
            let limit = &mut after.limits[limit.0 as usize];
            limit.running.used += match &mut limit.counted {
                Counted::Frames => n,
                Counted::Hosts(hosts) => i64::from(hosts.insert(after.hosts[p.host.0 as usize].id.clone())),
            };
        }
        let job = &mut after.jobs[layer.job.0 as usize];
        let folder = &mut after.folders[job.folder.0 as usize];
        for cores in [&mut job.cores, &mut folder.cores, &mut after.subscriptions[job.subscription.0 as usize].cores] {
            cores.used += p.size.cores.0 * n;
        }
        for gpus in [&mut job.gpus, &mut folder.gpus] {
            gpus.used += p.size.gpus.0 * n;
        }
        let host = &mut after.hosts[p.host.0 as usize];
        // A claim beyond the total is not believed, before or after.
        host.idle.cores = host.idle.cores.min(host.total.cores);
        host.idle.memory = host.idle.memory.min(host.total.memory);
        host.idle.gpus = host.idle.gpus.min(host.total.gpus);
        host.idle.gpu_memory = host.idle.gpu_memory.min(host.total.gpu_memory);
        for _ in 0..p.frames {
            host.idle = host.idle - p.size;
        }
    }
    after
}

/// The same farm with every list in another order.
pub fn shuffled(snapshot: &Snapshot, seed: u64) -> Snapshot {
    /// The items reordered, and for each old position the new one.
    fn deal<T: Clone>(items: &[T], seed: u64) -> (Vec<T>, Vec<u32>) {
        let mut order: Vec<_> = (0..items.len()).collect();
        order.sort_by_key(|at| {
            let mut hasher = DefaultHasher::new();
            (at, seed).hash(&mut hasher);
            hasher.finish()
        });
        let mut new = vec![0; items.len()];
        for (to, from) in order.iter().enumerate() {
            new[*from] = to as u32;
        }
        (order.iter().map(|at| items[*at].clone()).collect(), new)
    }
    let (subscriptions, subscription_at) = deal(&snapshot.subscriptions, seed);
    let (folders, folder_at) = deal(&snapshot.folders, seed + 1);
    let (limits, limit_at) = deal(&snapshot.limits, seed + 2);
    let (mut jobs, job_at) = deal(&snapshot.jobs, seed + 3);
    let (mut layers, _) = deal(&snapshot.layers, seed + 4);
    let (mut hosts, _) = deal(&snapshot.hosts, seed + 5);
    for job in &mut jobs {
        job.subscription = SubscriptionIx(subscription_at[job.subscription.0 as usize]);
        job.folder = FolderIx(folder_at[job.folder.0 as usize]);
    }
    for layer in &mut layers {
        layer.job = JobIx(job_at[layer.job.0 as usize]);
        for limit in &mut layer.limits {
            *limit = LimitIx(limit_at[limit.0 as usize]);
        }
        layer.limits.reverse();
        layer.tags.reverse();
    }
    for host in &mut hosts {
        host.tags.reverse();
    }
    let (paused, _) = deal(&snapshot.paused, seed + 6);
    Snapshot { subscriptions, folders, limits, jobs, layers, hosts, paused }
}

/// Frames planned, by layer.
pub fn planned(plan: &Plan) -> BTreeMap<LayerIx, u64> {
    let mut sums = BTreeMap::new();
    for p in &plan.placements {
        *sums.entry(p.layer).or_default() += u64::from(p.frames);
    }
    sums
}

// === Random farms ===

const TAGS: [&str; 3] = ["general", "desktop", "fx"];

fn budget(most: std::ops::Range<i64>, unit: i64) -> impl Strategy<Value = Budget> {
    (0..6_u8, most, 0..4_i64).prop_map(move |(kind, most, used)| Budget {
        cap: match kind {
            0 => Cap::Unlimited,
            1 => Cap::AtMost(0),
            _ => Cap::AtMost(most * unit),
        },
        used: used * unit,
    })
}

fn some_tags() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(&TAGS[..], 0..=2)
}

fn some_host() -> impl Strategy<Value = Host> {
    let mode = prop::sample::select(vec![ThreadMode::Auto, ThreadMode::All, ThreadMode::Variable]);
    let os = prop::sample::select(vec!["linux", "linux, windows", "mac"]);
    let amounts = (0..17_i64, 0..65_i64, 0..3_i64, 0..17_i64);
    // Eighths of the total that are idle; some hosts are untouched, one in a few is absurd.
    let idle = (0..10_i64, 0..10_i64, -1..4_i64, 0..9_i64);
    (any::<u16>(), some_tags(), os, mode, amounts, idle).prop_map(
        |(id, tags, os, thread_mode, (cores, gib, gpus, gpu_gib), (c, m, g, gm))| {
            let total = Resources {
                cores: Centicores(cores * 100),
                memory: Kb(gib * GIB),
                gpus: Gpus(gpus),
                gpu_memory: Kb(gpu_gib * GIB),
            };
            let eighths = |all: i64, n: i64| if n > 8 { all } else { all * n / 8 };
            Host {
                id: format!("{id:05}").as_str().into(),
                name: "host".into(),
                os: os.into(),
                tags: tags.into_iter().map(tag).collect(),
                thread_mode,
                total,
                idle: Resources {
                    cores: Centicores(eighths(total.cores.0, c)),
                    memory: Kb(eighths(total.memory.0, m)),
                    gpus: Gpus(g),
                    gpu_memory: Kb(eighths(total.gpu_memory.0, gm)),
                },
            }
        },
    )
}

fn some_job() -> impl Strategy<Value = Job> {
    let os = prop::sample::select(vec![None, Some("linux"), Some("windows"), Some("plan9")]);
    (
        any::<u16>(),
        0..2_u32,
        0..3_u32,
        0..3,
        0..3_i64,
        prop::option::weighted(0.3, os),
        budget(1..40, 100),
        budget(1..6, 1),
    )
        .prop_map(|(id, subscription, folder, priority, started, os, cores, gpus)| Job {
            id: format!("{id:05}").as_str().into(),
            name: "job".into(),
            subscription: SubscriptionIx(subscription),
            folder: FolderIx(folder),
            priority,
            started,
            os: os.flatten().map(Into::into),
            cores,
            gpus,
        })
}

fn some_layer() -> impl Strategy<Value = Layer> {
    let cores = prop::sample::select(vec![100, 100, 100, 150, 200, 400, 800, 30, 0, -100, -350]);
    let max = prop::sample::select(vec![100, 200, 250, 400, 1600]);
    let memory = prop::sample::select(vec![0, 1, 1, 2, 4, 4, 9, 24, -1]);
    let gpus = prop::sample::select(vec![0, 0, 0, 0, 1, 2]);
    (
        (any::<u16>(), 0..8_u32, 0..3_i64, 0..25_u32),
        (cores, prop::option::weighted(0.3, max), any::<bool>()),
        (memory, gpus, 0..3_i64),
        some_tags(),
        prop::sample::select(vec!["shell", "shell", "selfish"]),
        prop::collection::vec(0..3_u32, 0..3),
    )
        .prop_map(
            |(
                (id, job, dispatch_order, waiting),
                (cores, max, threadable),
                (gib, gpus, gpu_gib),
                tags,
                service,
                limits,
            )| Layer {
                id: format!("{id:05}").as_str().into(),
                name: "layer".into(),
                job: JobIx(job),
                dispatch_order,
                cores: CoreRequest::from_column(cores),
                cores_max: max.map(Centicores),
                threadable,
                memory: Kb(gib * GIB),
                gpus: Gpus(gpus),
                gpu_memory: Kb(if gpus > 0 { gpu_gib * GIB } else { 0 }),
                tags: tags.into_iter().map(Into::into).collect(),
                services: vec![service.into()],
                limits: limits.into_iter().map(LimitIx).collect(),
                waiting,
                given: Given::default(),
            },
        )
}

fn limit(at: usize, running: Budget) -> Limit {
    let id = format!("limit-{at}");
    Limit { id: id.as_str().into(), name: id.as_str().into(), running, counted: Counted::Frames }
}

/// A small farm in any state: caps of every kind, busy hosts, absurd amounts.
pub fn any_farm() -> impl Strategy<Value = Snapshot> {
    let subscriptions = prop::collection::vec(budget(1..60, 100), 2);
    let folders = prop::collection::vec((budget(1..60, 100), budget(1..6, 1)), 3);
    let limits = prop::collection::vec(budget(1..20, 1), 3);
    let jobs = prop::collection::vec(some_job(), 8);
    let layers = prop::collection::vec(some_layer(), 0..14);
    let hosts = prop::collection::vec(some_host(), 0..12);
    let paused = prop::collection::vec(some_host(), 0..3);
    // By limit that counts hosts: those that hold a seat.
    let seats = prop::collection::vec(prop::option::weighted(0.4, prop::collection::vec(0..14_usize, 0..3)), 3);
    (subscriptions, folders, limits, jobs, layers, hosts, paused, seats).prop_map(
        |(subscriptions, folders, limits, jobs, layers, hosts, paused, seats)| {
            let mut snapshot = Snapshot {
                subscriptions: subscriptions
                    .into_iter()
                    .map(|cores| Subscription {
                        show: "show".into(),
                        show_name: "show".into(),
                        alloc: "alloc".into(),
                        cores,
                    })
                    .collect(),
                folders: folders.into_iter().map(|(cores, gpus)| Folder { id: "folder".into(), cores, gpus }).collect(),
                limits: (0..).zip(limits).map(|(at, frames)| limit(at, frames)).collect(),
                jobs,
                layers,
                hosts,
                paused,
            };
            // Ids are keys: no two alike, and in another order than the positions.
            for (at, host) in snapshot.hosts.iter_mut().chain(&mut snapshot.paused).enumerate() {
                host.id = format!("{}-{at}", host.id).as_str().into();
                host.name = host.id.as_str().into();
            }
            for (limit, seats) in snapshot.limits.iter_mut().zip(seats) {
                if let Some(seats) = seats {
                    let holders = seats.iter().filter_map(|at| snapshot.hosts.get(*at)).map(|host| host.id.clone());
                    limit.counted = Counted::Hosts(holders.collect());
                }
            }
            for (at, job) in snapshot.jobs.iter_mut().enumerate() {
                job.id = format!("{}-{at}", job.id).as_str().into();
            }
            for (at, layer) in snapshot.layers.iter_mut().enumerate() {
                layer.id = format!("{}-{at}", layer.id).as_str().into();
            }
            snapshot
        },
    )
}

pub fn any_strategy() -> impl Strategy<Value = score::Strategy> {
    let saturation = (any::<bool>(), any::<bool>())
        .prop_map(|(cores, memory)| score::Strategy::Saturation(Saturation { cores, memory }));
    let epvm =
        (0..15_u32).prop_map(|max_candidates| score::Strategy::Epvm(Epvm { max_candidates, weights: weights() }));
    prop_oneof![2 => saturation, 1 => epvm]
}

pub fn any_policy() -> impl Strategy<Value = Policy> {
    (
        any_strategy(),
        0..5_i64,
        prop::option::weighted(0.2, 0..10_u32),
        prop::option::weighted(0.2, 0..4_u32),
        prop::option::weighted(0.2, 0..4_u32),
    )
        .prop_map(|(strategy, stranded, frames_per_layer, hosts_per_layer, jobs_per_show)| Policy {
            strategy,
            memory_stranded: Kb(stranded * GIB),
            frames_per_layer,
            hosts_per_layer,
            jobs_per_show,
            ..policy()
        })
}
