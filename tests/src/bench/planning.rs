//! Scenario `plan`: the pure decision for 100,000 hosts × 10,000 layers, and how it grows.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cue_scheduler_config::Config;
use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb, Resources};
use cue_scheduler_core::domain::cap::{Budget, Cap};
use cue_scheduler_core::domain::request::{CoreRequest, ThreadMode};
use cue_scheduler_core::domain::tag::{HostTag, TagKind};
use cue_scheduler_core::planning::plan;
use cue_scheduler_core::snapshot::{
    Folder, FolderIx, Given, Host, Job, JobIx, Layer, Snapshot, Subscription, SubscriptionIx,
};
use serde_json::json;

use super::figure::round;
use super::{Figure, Goal, Scale, median};
use crate::loader::seeded::Draws;

/// Hosts of the largest farm; it has a tenth as many layers.
const HOSTS: usize = 100_000;

/// Layers of a job.
const LAYERS: usize = 4;

/// Runs the scenario.
pub fn run(scale: Scale) -> Vec<Figure> {
    let policy = cue_scheduler::app::policy(&Config::default());
    let mut took = Vec::new();
    for part in [8, 4, 2, 1] {
        let snapshot = many_hosts(scale.of(HOSTS / part));
        let mut times = Vec::new();
        let mut placed = 0;
        for _ in 0..scale.pairs {
            let began = Instant::now();
            let plan = black_box(plan(black_box(&snapshot), &policy));
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            placed = plan.placements.iter().map(|placement| placement.frames as usize).sum();
        }
        took.push((snapshot.hosts.len(), snapshot.layers.len(), placed, median(&times)));
    }
    let (hosts, .., whole) = took[3];
    let sizes: Vec<_> = took
        .iter()
        .map(|(hosts, layers, placed, ms)| json!({"hosts": hosts, "layers": layers, "frames_placed": placed, "ms": round(*ms)}))
        .collect();
    let growth = whole / took[0].3 / (hosts as f64 / took[0].0 as f64);
    vec![
        Figure::new("plan", "largest farm", whole, "ms").with("sizes", json!(sizes)).with_goal(Goal::AtMost(200.0)),
        Figure::new("plan", "growth, beside linear", growth, "1").with_goal(Goal::AtMost(1.5)),
    ]
}

/// A pool of so many hosts of 16 to 128 cores, some with one or two of eight tags, and a layer for every ten of them: jobs of four
/// layers with up to three tags, of which half fits.
pub fn many_hosts(hosts: usize) -> Snapshot {
    let mut draws = Draws::new(7);
    let tags: Vec<Arc<str>> = (0..8).map(|n| format!("t{n}").into()).collect();
    let unbound = Budget { cap: Cap::Unlimited, used: 0 };
    let gib = |n: i64| Kb(n << 20);
    let host = |n: usize, draws: &mut Draws| {
        let total = Resources {
            cores: Centicores(100 * (16 + 8 * draws.between(0, 14))),
            memory: gib(draws.between(32, 256)),
            ..Resources::default()
        };
        let mut host_tags = vec![HostTag { name: "general".into(), kind: TagKind::Alloc }];
        let count = draws.below(3);
        let manual = draws.distinct(tags.len(), count);
        host_tags.extend(manual.into_iter().map(|at| HostTag { name: tags[at].clone(), kind: TagKind::Manual }));
        Host {
            id: format!("h{n}").as_str().into(),
            name: format!("host{n}").into(),
            os: "linux".into(),
            tags: host_tags,
            thread_mode: ThreadMode::Auto,
            total,
            idle: total,
        }
    };
    let layer = |n: usize, draws: &mut Draws| {
        let count = draws.between(1, 3) as usize;
        let chosen = draws.distinct(tags.len() + 1, count);
        Layer {
            id: format!("l{n}").as_str().into(),
            name: format!("layer{n}").into(),
            job: JobIx((n / LAYERS) as u32),
            dispatch_order: n as i64,
            cores: CoreRequest::Exactly(Centicores(100 << draws.below(4))),
            cores_max: None,
            threadable: draws.below(2) == 0,
            memory: gib(draws.between(2, 8)),
            gpus: Gpus(0),
            gpu_memory: Kb(0),
            tags: chosen.into_iter().map(|at| tags.get(at).cloned().unwrap_or_else(|| "general".into())).collect(),
            services: vec!["default".into()],
            limits: Vec::new(),
            waiting: draws.between(50, 500) as u32,
            given: Given::default(),
        }
    };
    let layers = (hosts / 10).max(LAYERS);
    let job = |n: usize, draws: &mut Draws| Job {
        id: format!("j{n}").as_str().into(),
        name: format!("job{n}").into(),
        subscription: SubscriptionIx(0),
        folder: FolderIx(0),
        priority: draws.between(1, 200) as i32,
        started: n as i64,
        os: None,
        cores: unbound,
        gpus: unbound,
    };
    Snapshot {
        subscriptions: vec![Subscription {
            show: "s".into(),
            show_name: "show".into(),
            alloc: "a".into(),
            cores: unbound,
        }],
        folders: vec![Folder { id: "f".into(), cores: unbound, gpus: unbound }],
        jobs: (0..layers.div_ceil(LAYERS)).map(|n| job(n, &mut draws)).collect(),
        layers: (0..layers).map(|n| layer(n, &mut draws)).collect(),
        hosts: (0..hosts).map(|n| host(n, &mut draws)).collect(),
        ..Snapshot::default()
    }
}
