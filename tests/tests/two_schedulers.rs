//! Two real scheduler processes on one farm, with caps that bind, while Cuebot releases what they book: nothing runs twice, no
//! cap is passed at any time, Cuebot never loses a deadlock, and the books are right at the end.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use testbed::auditor::{CapRecords, Sampler, audit};
use testbed::cuebot_sim::{CuebotConfig, Generation};
use testbed::farm_sim::{FarmConfig, Fault, HostSet, LaunchFault};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::description::FarmDescription;

const FARM: &str = "
seed: 5
facilities: [{name: local, allocations: [{name: local.one, tag: one, default: true}, {name: local.two, tag: two}]}]
limits: [{name: licence, max: 12}]
shows:
  - name: alpha
    subscriptions: [{allocation: local.one, burst: 40}, {allocation: local.two, burst: 30}]
    folders: [{name: shots, max_cores: 25}]
  - name: beta
    subscriptions: [{allocation: local.one, burst: 30}, {allocation: local.two, burst: 20}]
hosts:
  - {allocation: local.one, count: 20, first_address: 127.1.0.1, cores: 8, memory: 32 GiB, manual_tags: [both]}
  - {allocation: local.two, count: 20, first_address: 127.1.0.21, cores: 8, memory: 32 GiB, manual_tags: [both]}
jobs:
  - name: alpha-1
    show: alpha
    folder: shots
    max_cores: 20
    layers:
      - {name: first, range: 1-60, tags: [both], command: sleep 0.1}
      - {name: second, range: 1-60, tags: [one], command: sleep 0.2, after: [{kind: LAYER_ON_LAYER, layer: first}]}
  - name: alpha-2
    show: alpha
    folder: shots
    layers: [{name: comp, range: 1-120, tags: [both], command: sleep 0.2, limits: [licence]}]
  - name: beta-1
    show: beta
    max_cores: 16
    layers: [{name: sim, range: 1-60, tags: [one, two], command: sleep 0.3, min_cores: 2}]
  - name: beta-2
    show: beta
    priority: 50
    layers: [{name: fx, range: 1-100, tags: [two, both], command: sleep 0.1}]
";

const FRAMES: i64 = 400;

async fn start(generation: Generation) -> (tempfile::TempDir, Harness, [Scheduler; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { count: 40, ..HostSet::default() }],
            first_report: Some(Duration::from_millis(100)),
            report_interval: Some(Duration::from_secs(5)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig { generation, ..CuebotConfig::default() },
        existing: None,
    };
    let harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
    let mut schedulers =
        ["one", "two"].map(|name| harness.scheduler(name, &[("OPENSCHEDULER_RQD__CALL_TIMEOUT", "3s")]).unwrap());
    for scheduler in &mut schedulers {
        scheduler.ready().await.unwrap();
    }
    (folder, harness, schedulers)
}

/// Waits until every frame has succeeded and every proc is released; what then holds with any Cuebot.
async fn finish(harness: &Harness, schedulers: &[Scheduler], limit: Duration) {
    let done = harness.until_states("all frames succeeded", limit, |states| states.are_all("SUCCEEDED")).await;
    let logs = || schedulers.iter().map(Scheduler::log).collect::<Vec<_>>().join("\n");
    let states = done.unwrap_or_else(|error| panic!("{error}\n{}", logs()));
    assert_eq!(states.total(), FRAMES);
    harness.until_released(limit).await.unwrap();
    assert_eq!(harness.hosts.overlaps(), []);
    let counts = harness.cuebot.as_ref().unwrap().counts();
    assert_eq!((counts.completions as i64, counts.deadlocks, counts.failures), (FRAMES, 0, 0), "{counts}");
}

/// No cap was passed for an instant, and each kind was used up to its last core or frame: they were what kept work back.
fn assert_caps_held_and_were_reached(caps: &CapRecords) {
    let over: Vec<String> = caps.passed().map(ToString::to_string).collect();
    assert_eq!(over, Vec::<String>::new(), "caps were passed");
    for kind in ["subscription burst", "job max cores", "folder max cores", "limit"] {
        let of_kind: Vec<_> = caps.caps.iter().filter(|record| record.largest.cap == kind).collect();
        let reached = of_kind.iter().any(|record| record.largest.used == record.largest.allowed);
        assert!(reached, "no {kind} was reached: {of_kind:?}");
    }
}

/// How many frames ran so many times.
fn runs(harness: &Harness) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for times in harness.runs_per_frame().into_values() {
        *counts.entry(times).or_default() += 1;
    }
    counts
}

async fn stop(harness: Harness, schedulers: [Scheduler; 2]) {
    for scheduler in schedulers {
        assert_eq!(scheduler.stop().await.unwrap(), 0);
    }
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_runs_once_within_all_caps_and_cuebot_loses_no_deadlock() {
    let (_folder, harness, schedulers) = start(Generation::C).await;
    let sampler = Sampler::start(harness.pool.clone(), Duration::from_millis(50));
    finish(&harness, &schedulers, Duration::from_mins(2)).await;
    let caps = sampler.finish().await.unwrap();
    assert_caps_held_and_were_reached(&caps);
    assert_eq!(runs(&harness), BTreeMap::from([(1, FRAMES as usize)]));
    let audit = audit(&harness.pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
    let mut booked = Vec::new();
    for scheduler in &schedulers {
        booked.push(scheduler.metric("scheduler_frames_dispatched_total").await.unwrap());
    }
    assert!(booked.iter().all(|frames| *frames > 0.0), "one of two did all the work: {booked:?}");
    assert_eq!(booked.iter().sum::<f64>() as i64, FRAMES, "booked by each: {booked:?}");
    stop(harness, schedulers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_cuebot_does_not_lower_the_counters_work_goes_on_caps_hold_and_counters_come_right() {
    let (_folder, harness, schedulers) = start(Generation::B1).await;
    let sampler = Sampler::start(harness.pool.clone(), Duration::from_millis(50));
    finish(&harness, &schedulers, Duration::from_mins(2)).await;
    let caps = sampler.finish().await.unwrap();
    assert_caps_held_and_were_reached(&caps);
    assert_eq!(runs(&harness), BTreeMap::from([(1, FRAMES as usize)]));
    let first = audit(&harness.pool).await.unwrap();
    assert!(first.is_clean_but_for_high_counters(), "{first}");
    let (mut healed, mut reconciled) = (0.0, 0.0);
    let began = Instant::now();
    while !audit(&harness.pool).await.unwrap().is_clean() {
        assert!(began.elapsed() < Duration::from_mins(1), "nobody sets the counters right: {first}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for scheduler in &schedulers {
        healed += scheduler.metric("scheduler_counters_healed_total").await.unwrap();
        reconciled += scheduler.metric("scheduler_counters_reconciled_total").await.unwrap();
    }
    assert!(healed > 0.0, "caps that bind were never found wrongly full");
    assert!(reconciled > 0.0, "this Cuebot leaves counters high, or the test shows nothing");
    stop(harness, schedulers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_refuse_drop_answers_or_hang_cost_time_and_nothing_else() {
    let (_folder, harness, schedulers) = start(Generation::C).await;
    let faults: [(u8, Fault); 3] = [
        (1, Fault::Launch(LaunchFault::Refuse(tonic::Code::Unknown))),
        (2, Fault::Launch(LaunchFault::Drop { runs: true })),
        (3, Fault::Launch(LaunchFault::Hang { runs: true })),
    ];
    for (last, fault) in faults {
        harness.hosts.set_fault(std::net::Ipv4Addr::new(127, 1, 0, last), fault).await.unwrap();
    }
    finish(&harness, &schedulers, Duration::from_mins(3)).await;
    assert_eq!(runs(&harness), BTreeMap::from([(1, FRAMES as usize)]), "no frame ran twice");
    let audit = audit(&harness.pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
    stop(harness, schedulers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_is_told_to_stop_leaves_in_order_and_the_other_goes_on() {
    let (_folder, harness, [leaving, staying]) = start(Generation::C).await;
    let limit = Duration::from_mins(2);
    harness.until_states("some frames succeeded", limit, |states| states.of("SUCCEEDED") >= 60).await.unwrap();
    assert_eq!(leaving.stop().await.unwrap(), 0);
    let states = harness.states().await.unwrap();
    assert!(!states.are_all("SUCCEEDED"), "it was stopped after all was done, which shows nothing");
    finish(&harness, std::slice::from_ref(&staying), limit).await;
    assert_eq!(runs(&harness), BTreeMap::from([(1, FRAMES as usize)]));
    let audit = audit(&harness.pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
    assert_eq!(staying.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}
