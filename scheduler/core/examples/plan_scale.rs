//! How long one pass takes to plan, for pools of growing size.
//!
//! `cargo run --release -p cue-scheduler-core --example plan_scale`
//!
//! Each size is planned twice: *cold*, with every host idle, so that a pass books as much as it ever will; and *busy*,
//! with a few cores idle on each host and ten times the work that fits, so that most layers end up waiting. The farm is
//! drawn by a fixed formula: every run plans the same.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::Instant;

use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb, Resources};
use cue_scheduler_core::domain::cap::{Budget, Cap};
use cue_scheduler_core::domain::request::{CoreRequest, ThreadMode};
use cue_scheduler_core::domain::tag::{HostTag, TagKind};
use cue_scheduler_core::planning::score::{Saturation, Strategy};
use cue_scheduler_core::planning::{Policy, plan};
use cue_scheduler_core::snapshot::{
    Folder, FolderIx, Given, Host, Job, JobIx, Layer, Snapshot, Subscription, SubscriptionIx,
};

const GIB: i64 = 1 << 20;
const ROUNDS: usize = 5;

fn main() {
    println!("   hosts  layers  farm   best of {ROUNDS} ms   frames planned  placements  layers waiting");
    for (hosts, layers) in [(1_000, 100), (10_000, 1_000), (30_000, 3_000), (100_000, 10_000)] {
        for busy in [false, true] {
            let snapshot = farm(hosts, layers, busy);
            let mut best = f64::MAX;
            let mut outcome = (0, 0, 0);
            for _ in 0..ROUNDS {
                let start = Instant::now();
                let plan = plan(&snapshot, &policy());
                best = best.min(start.elapsed().as_secs_f64() * 1e3);
                let frames: u64 = plan.placements.iter().map(|p| u64::from(p.frames)).sum();
                outcome = (frames, plan.placements.len(), plan.waiting.len());
            }
            let name = if busy { "busy" } else { "cold" };
            let (frames, placements, waiting) = outcome;
            println!("{hosts:8} {layers:7}  {name}  {best:14.1}   {frames:14}  {placements:10}  {waiting:14}");
        }
    }
}

fn policy() -> Policy {
    Policy {
        strategy: Strategy::Saturation(Saturation { cores: true, memory: false }),
        memory_stranded: Kb(2 * GIB),
        selfish_services: Vec::new(),
        frames_per_layer: None,
        hosts_per_layer: None,
        jobs_per_show: None,
    }
}

/// Evenly spread numbers below `bound`, the same in every run.
fn draw(seed: u64, bound: u64) -> u64 {
    let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % bound
}

fn id(kind: u64, n: usize) -> String {
    let n = n as u64;
    format!("{:016x}-{kind}-{n:08}", draw(n * 8 + kind, u64::MAX))
}

fn farm(hosts: usize, layers: usize, busy: bool) -> Snapshot {
    let no_cap = Budget { cap: Cap::Unlimited, used: 0 };
    let jobs = layers.div_ceil(5);
    Snapshot {
        subscriptions: (0..5)
            .map(|n| Subscription {
                show: id(0, n).into(),
                show_name: "show".into(),
                alloc: "alloc".into(),
                cores: Budget { cap: Cap::AtMost(i64::MAX), used: 0 },
            })
            .collect(),
        folders: (0..5).map(|n| Folder { id: id(1, n).into(), cores: no_cap, gpus: no_cap }).collect(),
        limits: Vec::new(),
        jobs: (0..jobs).map(job).collect(),
        layers: (0..layers).map(|n| layer(n, hosts, layers, busy)).collect(),
        hosts: (0..hosts).map(|n| host(n, busy)).collect(),
        paused: Vec::new(),
    }
}

fn host(n: usize, busy: bool) -> Host {
    let seed = n as u64;
    let (cores, gib) = match draw(seed, 100) {
        0..16 => (128, 496),
        16..36 => (32, 116),
        _ => (16, 56),
    };
    let gpus = i64::from(draw(seed + 1, 20) == 0) * 2;
    let all = Resources {
        cores: Centicores::cores(cores),
        // No two hosts report quite the same.
        memory: Kb(gib * GIB - draw(seed + 2, 4096) as i64),
        gpus: Gpus(gpus),
        gpu_memory: Kb(gpus * 24 * GIB),
    };
    let mut idle = all;
    if busy {
        idle.cores = Centicores::cores(draw(seed + 3, 6) as i64);
        idle.memory = Kb(draw(seed + 4, 16 * GIB as u64) as i64);
    }
    let tag = |name: &str, kind| HostTag { name: name.into(), kind };
    let mut tags =
        vec![tag("general", TagKind::Alloc), tag(&id(2, n), TagKind::Hostname), tag("linux", TagKind::Hardware)];
    if n.is_multiple_of(3) {
        tags.push(tag("fx", TagKind::Manual));
    }
    Host {
        id: id(2, n).into(),
        name: id(2, n).into(),
        os: if n.is_multiple_of(10) { "linux,rocky9" } else { "linux" }.into(),
        tags,
        thread_mode: match draw(seed + 5, 10) {
            0 => ThreadMode::All,
            1 => ThreadMode::Variable,
            _ => ThreadMode::Auto,
        },
        total: all,
        idle,
    }
}

fn job(n: usize) -> Job {
    Job {
        id: id(3, n).into(),
        name: "job".into(),
        subscription: SubscriptionIx((n % 5) as u32),
        folder: FolderIx((n % 5) as u32),
        priority: draw(n as u64 + 6, 100) as i32,
        started: draw(n as u64 + 7, 1_000_000) as i64,
        os: (n.is_multiple_of(4)).then(|| "linux".into()),
        cores: Budget { cap: Cap::AtMost(800_000), used: 0 },
        gpus: Budget { cap: Cap::AtMost(1_000), used: 0 },
    }
}

fn layer(n: usize, hosts: usize, layers: usize, busy: bool) -> Layer {
    let seed = n as u64;
    let (cores, mean) = match draw(seed + 8, 100) {
        0..23 => (1, 1),
        23..49 => (2, 2),
        49..83 => (4, 6),
        83..97 => (8, 27),
        _ => (16, 64),
    };
    let gpus = i64::from(draw(seed + 9, 50) == 0);
    // About three frames a host when cold, and ten times what fits when busy.
    let frames = if busy { 10 } else { 3 } * hosts / layers;
    Layer {
        id: id(4, n).into(),
        name: "layer".into(),
        job: JobIx((n / 5) as u32),
        dispatch_order: seed as i64 % 5,
        cores: CoreRequest::from_column(if n.is_multiple_of(500) { 0 } else { cores * 100 }),
        cores_max: None,
        threadable: !n.is_multiple_of(3),
        // Raised and lowered by what was measured: nearly every layer has a figure of its own.
        memory: Kb(mean * GIB / 2 + draw(seed + 10, (mean * GIB) as u64) as i64),
        gpus: Gpus(gpus),
        gpu_memory: Kb(gpus * 8 * GIB),
        tags: match n % 10 {
            0 => vec!["fx".into()],
            1 => vec!["general".into(), "fx".into()],
            2 => vec![id(2, n).into()],
            _ => vec!["general".into()],
        },
        services: vec!["shell".into()],
        limits: Vec::new(),
        waiting: frames as u32,
        given: Given::default(),
    }
}
