//! What single decisions cost: `cargo bench`. `make bench` measures them where they are used; these tell where its time goes.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cue_scheduler_config::Config;
use cue_scheduler_core::assignment::{Claim, Member, assign};
use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb, Resources};
use cue_scheduler_core::domain::id::{FrameId, JobId, LayerId, ProcId};
use cue_scheduler_core::host_index::{HostIndex, Search};
use cue_scheduler_core::planning::plan;
use cue_scheduler_core::planning::size::Ask;
use cue_scheduler_core::run_frame::{FrameRef, LaunchSource, LaunchTemplate, MemoryFactors};
use testbed::bench::many_hosts;

/// A whole plan; there is a layer for every ten hosts.
fn planning(criterion: &mut Criterion) {
    let policy = cue_scheduler::app::policy(&Config::default());
    let mut group = criterion.benchmark_group("plan");
    for hosts in [1_000, 10_000] {
        let snapshot = many_hosts(hosts);
        group.throughput(Throughput::Elements(hosts as u64));
        group.bench_with_input(BenchmarkId::from_parameter(hosts), &snapshot, |bencher, snapshot| {
            bencher.iter(|| plan(black_box(snapshot), &policy));
        });
    }
    group.finish();
}

/// The index of a pass: put up once, then asked for the best host of one layer after another.
fn host_index(criterion: &mut Criterion) {
    let policy = cue_scheduler::app::policy(&Config::default());
    let mut group = criterion.benchmark_group("host_index");
    for hosts in [1_000, 10_000] {
        let snapshot = many_hosts(hosts);
        let index = || HostIndex::new(&snapshot.hosts, &snapshot.layers, policy.strategy.saturation());
        group.throughput(Throughput::Elements(hosts as u64));
        group.bench_function(BenchmarkId::new("new", hosts), |bencher| bencher.iter(|| black_box(index())));

        let index = index();
        let asked: Vec<_> = snapshot
            .layers
            .iter()
            .map(|layer| {
                let ask = Ask::of(layer, &policy);
                (index.shelves(&layer.tags, snapshot[layer.job].os.as_deref(), &ask).unwrap(), ask)
            })
            .collect();
        group.throughput(Throughput::Elements(asked.len() as u64));
        group.bench_function(BenchmarkId::new("best", hosts), |bencher| {
            bencher.iter(|| {
                for (shelves, ask) in &asked {
                    black_box(index.best(&mut Search::new(shelves, ask), i64::MAX));
                }
            });
        });
    }
    group.finish();
}

/// The message to an agent, of a layer with a command and some variables as studios have them.
fn run_frame(criterion: &mut Criterion) {
    let row = |n: usize| (Some(format!("STUDIO_{n}")), Some(format!("/shows/show/shot/{n}")));
    let source = LaunchSource {
        job: JobId::from("7a0b8d7e-52cf-4b8a-9f55-0b9f3f0a4c11"),
        job_name: "show-shot-artist_lighting".into(),
        show: "show".into(),
        shot: "shot".into(),
        user: "artist".into(),
        uid: Some(1000),
        log_dir: "/shows/show/shot/logs".into(),
        loki_url: None,
        layer: LayerId::from("1c1ad7a0-93c3-4bc9-8a3e-7f8d9c1e22aa"),
        layer_name: "beauty".into(),
        command: "render -f #IFRAME# -o /shows/#SHOW#/#SHOT#/#LAYER#.#ZFRAME#.exr -t #THREADS# scene.usd".into(),
        range: "1001-1240".into(),
        chunk_size: 1,
        threadable: true,
        memory: Kb(8 << 20),
        job_env: (0..20).map(row).collect(),
        layer_env: (10..20).map(row).collect(),
    };
    let template = LaunchTemplate::parse(source.clone()).unwrap();
    let frame = FrameRef { id: FrameId::from("frame"), name: "1100-beauty".into(), version: Some(1) };
    let size = Resources { cores: Centicores(400), memory: Kb(8 << 20), gpus: Gpus(0), gpu_memory: Kb(0) };
    let mut group = criterion.benchmark_group("run_frame");
    group.bench_function("parse", |bencher| bencher.iter(|| LaunchTemplate::parse(black_box(source.clone()))));
    group.bench_function("build", |bencher| {
        let proc = ProcId::from("proc");
        bencher
            .iter(|| template.build(black_box(&frame), &proc, "linux", &size, 0, &MemoryFactors::default()).unwrap());
    });
    group.finish();
}

/// Who works on which pool, half of them held.
fn assignment(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("assignment");
    for (replicas, pools) in [(3, 30), (8, 1_000)] {
        let members: Vec<Member> =
            (0..replicas).map(|n| Member { id: format!("replica-{n}").into(), facility: None }).collect();
        let claims: Vec<Claim<usize>> = (0..pools)
            .map(|pool| Claim {
                pool,
                facility: "local".into(),
                weight: 1 + pool as u32 % 4,
                holder: (pool % 2 == 0).then(|| members[pool % members.len()].id.clone()),
            })
            .collect();
        group.throughput(Throughput::Elements(pools as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{replicas} replicas, {pools} pools")), |bencher| {
            bencher.iter(|| assign(black_box(&members), black_box(&claims)));
        });
    }
    group.finish();
}

criterion_group!(benches, planning, host_index, run_frame, assignment);
criterion_main!(benches);
