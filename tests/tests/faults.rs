//! Hosts that refuse, hang, drop the answer, come late, or are dead, among good ones; and a scheduler that is told to stop while
//! the farm is busy. Whatever becomes of a launch, each frame is done once, and nothing is taken for running that doesn't.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use testbed::auditor::audit;
use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{Cause, Durations, FarmConfig, FarmSim, HostSet, Listen};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::description::FarmDescription;

/// On a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(3);

/// Time for launches under way at the end, as configured below.
const DRAIN: Duration = Duration::from_secs(20);

fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, 0, number)
}

/// PostgreSQL, a Cuebot, and so many hosts of 8 cores, each with a listener of its own, so that a dead one refuses connections.
async fn start(farm: &str, hosts: u32, folder: &Path) -> Harness {
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(farm).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { first: host(1), count: hosts, ..HostSet::default() }],
            listen: Listen::PerHost,
            durations: Durations { min: Duration::from_millis(200), max: Duration::from_millis(500) },
            first_report: Some(Duration::from_millis(200)),
            report_interval: Some(Duration::from_secs(2)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig::default(),
        existing: None,
    };
    Harness::start(config, folder, |_| {}).await.unwrap()
}

/// A real scheduler that waits for agents less long than usual.
async fn scheduler(harness: &Harness) -> Scheduler {
    let drain = format!("{}s", DRAIN.as_secs());
    let variables = [
        ("OPENSCHEDULER_RQD__CONNECT_TIMEOUT", "2s"),
        ("OPENSCHEDULER_RQD__CALL_TIMEOUT", "2s"),
        ("OPENSCHEDULER_SCHEDULER__DRAIN_TIMEOUT", &drain),
    ];
    let mut scheduler = harness.scheduler("scheduler", &variables).unwrap();
    scheduler.ready().await.unwrap();
    scheduler
}

/// What became of launches, by outcome.
async fn outcomes(scheduler: &Scheduler) -> BTreeMap<String, u64> {
    let (_, text) = scheduler.get("/metrics").await.unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("scheduler_launch_outcomes_total{outcome=\"")?.split_once("\"} "))
        .map(|(outcome, count)| (outcome.to_owned(), count.parse().unwrap()))
        .collect()
}

/// Every frame has run once and ended well, its end was accepted once, and all is counted right.
async fn assert_each_was_done_once(harness: &Harness, frames: usize) {
    harness.until_released(LIMIT).await.unwrap();
    assert_eq!(harness.hosts.overlaps(), []);
    let accepted = harness.cuebot.as_ref().unwrap().accepted();
    let well: Vec<&String> = accepted.iter().filter(|end| end.exit_status == 0).map(|end| &end.frame).collect();
    assert_eq!(well.len(), frames, "completions");
    assert_eq!(well.into_iter().collect::<HashSet<_>>().len(), frames, "frames that were completed");
    let mut finished: BTreeMap<String, usize> = BTreeMap::new();
    for run in harness.hosts.record() {
        if run.end.is_some_and(|end| end.cause == Cause::Finished) {
            *finished.entry(run.frame_id).or_default() += 1;
        }
    }
    let often: Vec<_> = finished.iter().filter(|(_, runs)| **runs > 1).collect();
    assert!(finished.len() == frames && often.is_empty(), "{} frames ran to their end; {often:?}", finished.len());
    let audit = audit(&harness.pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
}

/// Frames of the second job run long, and only on the hosts that start a frame without saying so.
const SICK: &str = "
seed: 31
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 1000}]}]
hosts:
  - {allocation: local.general, count: 15, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}
  - {allocation: local.general, count: 2, first_address: 127.1.0.16, cores: 8, memory: 32 GiB, manual_tags: [mute]}
jobs:
  - {name: alpha-1, show: alpha, layers: [{name: a, range: 1-200, min_cores: 2, threadable: false}]}
  - {name: alpha-2, show: alpha, priority: 50, layers: [{name: a, range: 1-6, command: sleep 9, tags: [mute]}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_is_done_once_whatever_becomes_of_launches() {
    let folder = tempfile::tempdir().unwrap();
    let harness = start(SICK, 17, folder.path()).await;
    for (number, fault) in [
        (8, "refuse aborted"),
        (9, "refuse unknown"),
        (10, "hang"),
        (11, "drop"),
        (12, "late 1s"),
        (13, "late-start 1s"),
        (14, "dead"),
        (15, "refuse failed_precondition"),
        (16, "hang-run"),
        (17, "drop-run"),
    ] {
        harness.hosts.set_fault(host(number), fault.parse().unwrap()).await.unwrap();
    }
    let scheduler = scheduler(&harness).await;
    let done = harness.until_states("all frames succeeded", LIMIT, |states| states.are_all("SUCCEEDED")).await;
    done.unwrap_or_else(|error| panic!("{error}\n{}", scheduler.log()));
    assert_each_was_done_once(&harness, 206).await;

    // That each kind was met, and ended as it should.
    let outcomes = outcomes(&scheduler).await;
    println!("launches: {outcomes:?}; on the hosts: {:?}", harness.hosts.counts());
    let faults = harness.hosts.counts().faults;
    for fault in ["refuse", "hang", "drop", "late"] {
        assert!(faults.get(fault).is_some_and(|count| *count > 0), "no launch met {fault}: {faults:?}");
    }
    for outcome in ["launched", "refused", "not_sent", "unknown", "adopted", "undone"] {
        assert!(outcomes[outcome] > 0, "no launch was {outcome}: {outcomes:?}");
    }
    let ran_on = |number| harness.hosts.record().iter().filter(|run| run.host == host(number)).count();
    assert_eq!([8, 9, 10, 11, 14, 15].map(ran_on), [0; 6], "runs on hosts where none can start");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

/// Short frames, so that launches are always under way, and long ones, which outlast the scheduler.
const BUSY: &str = "
seed: 37
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 1000}]}]
hosts: [{allocation: local.general, count: 20, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs:
  - {name: alpha-1, show: alpha, layers: [{name: a, range: 1-2000, threadable: false}]}
  - {name: alpha-2, show: alpha, priority: 50, layers: [{name: a, range: 1-60, command: sleep 15, threadable: false}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_leaves_no_frame_running_without_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let harness = start(BUSY, 20, folder.path()).await;
    // Launches that are under way for a while, and some that have to be taken back.
    for (number, fault) in [(1, "late 1s"), (2, "late-start 1s"), (3, "refuse aborted"), (4, "drop"), (5, "drop-run")] {
        harness.hosts.set_fault(host(number), fault.parse().unwrap()).await.unwrap();
    }
    let scheduler = scheduler(&harness).await;
    let is_busy = |sim: &FarmSim| sim.launched_count() > 150 && sim.running().len() > 50;
    assert!(harness.hosts.wait_until(LIMIT, is_busy).await, "{}", scheduler.log());
    let began = Instant::now();
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    let took = began.elapsed();
    // The drain ends within its time; what is then in a call or a transaction has its own.
    assert!(took < DRAIN + Duration::from_secs(5), "it took {took:?} to stop");

    // Nobody launches any more. Each frame that is RUNNING has a run under the proc that holds it.
    let launched = harness.hosts.launched_count();
    let held: Vec<(String, String)> = sqlx::query_as(
        "SELECT proc.pk_proc, proc.pk_frame FROM proc JOIN frame USING (pk_frame) WHERE str_state = 'RUNNING'",
    )
    .fetch_all(&harness.pool)
    .await
    .unwrap();
    assert!(held.len() > 20, "the long frames outlast the scheduler: {}", held.len());
    let ran: HashSet<(String, String)> =
        harness.hosts.record().into_iter().map(|run| (run.resource_id, run.frame_id)).collect();
    let without: Vec<_> = held.iter().filter(|proc_and_frame| !ran.contains(proc_and_frame)).collect();
    assert!(without.is_empty(), "{} of {} RUNNING frames never ran: {without:?}", without.len(), held.len());

    let states = harness.until_states("nothing runs", LIMIT, |states| states.of("RUNNING") == 0).await.unwrap();
    harness.until_released(LIMIT).await.unwrap();
    println!("stopped in {took:?} with {} frames RUNNING; then {states}; {:?}", held.len(), harness.hosts.counts());
    assert_eq!(harness.hosts.launched_count(), launched, "a launch after the end");
    assert_eq!(states.of("WAITING") + states.of("SUCCEEDED"), states.total(), "{states}");
    assert_eq!(states.of("SUCCEEDED") as u64, launched, "each run counts: {states}");
    assert!(states.of("WAITING") > 0, "the stop came in the middle: {states}");
    assert_eq!(harness.hosts.overlaps(), []);
    let audit = audit(&harness.pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
    harness.stop().await.unwrap();
}

/// All cores busy for a while.
const MORTAL: &str = "
seed: 41
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 1000}]}]
hosts: [{allocation: local.general, count: 4, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs: [{name: alpha-1, show: alpha, layers: [{name: a, range: 1-48, command: sleep 2, threadable: false}]}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_host_that_dies_run_again_elsewhere_once_cuebot_has_given_them_up() {
    let folder = tempfile::tempdir().unwrap();
    let harness = start(MORTAL, 4, folder.path()).await;
    let cuebot = harness.cuebot.as_ref().unwrap();
    let scheduler = scheduler(&harness).await;
    let on_dead = |sim: &FarmSim| sim.running().iter().filter(|run| run.host == host(1)).count();
    assert!(harness.hosts.wait_until(LIMIT, |sim| on_dead(sim) > 0).await, "{}", scheduler.log());
    harness.hosts.set_fault(host(1), "dead".parse().unwrap()).await.unwrap();

    // Five minutes of silence, in which Cuebot takes the host for alive, in one step; a report may have been under way.
    let began = Instant::now();
    while cuebot.counts().lost_procs == 0 {
        assert!(began.elapsed() < LIMIT, "Cuebot gives nothing up: {}", cuebot.counts());
        sqlx::query(
            "UPDATE host_stat SET ts_ping = now() - interval '10 minutes'
             WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)",
        )
        .bind(host(1).to_string())
        .execute(&harness.pool)
        .await
        .unwrap();
        cuebot.sweep().await.unwrap();
    }
    let done = harness.until_states("all frames succeeded", LIMIT, |states| states.are_all("SUCCEEDED")).await;
    done.unwrap_or_else(|error| panic!("{error}\n{}", scheduler.log()));
    assert_each_was_done_once(&harness, 48).await;
    let lost = harness.hosts.record().iter().filter(|run| run.end.is_some_and(|end| end.cause == Cause::Lost)).count();
    assert!(lost > 0, "nothing was lost");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}
