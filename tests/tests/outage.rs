//! PostgreSQL is cut off under load and comes back: passes stop, nothing is launched that is not booked, and then all goes on by
//! itself.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use testbed::auditor::audit;
use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{Durations, FarmConfig, HostSet};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::description::FarmDescription;

/// On a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(2);

/// Frames that outlast the outage: one that ended in it would be lost to Cuebot, which is another story. More of them than the
/// hosts can take at once.
const FARM: &str = "
seed: 43
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 1000}]}]
hosts: [{allocation: local.general, count: 20, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs: [{name: alpha-1, show: alpha, layers: [{name: a, range: 1-200, command: sleep 15, threadable: false}]}]
";

async fn until(what: &str, scheduler: &Scheduler, condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LIMIT, "after {LIMIT:?} still not: {what}; the log:\n{}", scheduler.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_cut_off_under_load_costs_no_frame_and_runs_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { first: Ipv4Addr::new(127, 1, 0, 1), count: 20, ..HostSet::default() }],
            durations: Durations { min: Duration::from_millis(200), max: Duration::from_millis(500) },
            first_report: Some(Duration::from_millis(200)),
            report_interval: Some(Duration::from_secs(2)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig::default(),
        existing: None,
    };
    let mut harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
    // Small bookings one after another, so that the cut comes into the middle of them.
    let variables =
        [("OPENSCHEDULER_BOOKING__CHUNK_FRAMES", "2"), ("OPENSCHEDULER_QUEUE__STREAM__JOB_BUFFER_SIZE", "2")];
    let mut scheduler = harness.scheduler("scheduler", &variables).unwrap();
    scheduler.ready().await.unwrap();
    until("some frames run", &scheduler, async || harness.hosts.record().len() >= 30).await;
    harness.server.as_mut().unwrap().cut_off().await.unwrap();
    let at_the_cut = harness.hosts.record().len();

    until("it is not ready", &scheduler, async || scheduler.get("/readyz").await.is_ok_and(|it| it.0 == 503)).await;
    assert_eq!(scheduler.get("/healthz").await.unwrap().0, 200, "it lives");
    assert!(scheduler.log().contains("Failed to connect to database"), "{}", scheduler.log());
    // What was booked before may still have been on its way to an agent.
    let launched: HashSet<String> = harness.hosts.record().into_iter().map(|run| run.frame_id).collect();
    println!("{at_the_cut} runs at the cut, {} when it was noticed", launched.len());
    assert!(launched.len() < 160, "the cut came after everything was booked: {}", launched.len());

    harness.server.as_mut().unwrap().start_again().await.unwrap();
    let unbooked: Vec<String> = sqlx::query_scalar(
        "SELECT f.pk_frame FROM frame f WHERE f.pk_frame = ANY($1) AND NOT EXISTS
             (SELECT FROM proc p WHERE p.pk_frame = f.pk_frame) AND f.str_state <> 'SUCCEEDED'",
    )
    .bind(launched.into_iter().collect::<Vec<_>>())
    .fetch_all(&harness.pool)
    .await
    .unwrap();
    assert_eq!(unbooked, [""; 0], "launched and not booked");

    until("it is ready again", &scheduler, async || scheduler.get("/readyz").await.is_ok_and(|it| it.0 == 200)).await;
    let done = harness.until_states("all frames succeeded", LIMIT, |states| states.are_all("SUCCEEDED")).await;
    done.unwrap_or_else(|error| panic!("{error}\n{}", scheduler.log()));
    harness.until_released(LIMIT).await.unwrap();
    assert_eq!(harness.hosts.overlaps(), []);
    let runs = harness.runs_per_frame();
    assert_eq!(runs.len(), 200);
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
    let audit = audit(&harness.pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}
