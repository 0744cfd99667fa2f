//! What a Cuebot announces that leaves counters alone: pools wake by it, counters come right by it, and nothing rests on it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use testbed::auditor::audit;
use testbed::cuebot_sim::{CuebotConfig, Generation};
use testbed::farm_sim::{FarmConfig, HostSet};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::description::FarmDescription;

/// One host that takes one frame at a time.
const FARM: &str = "
seed: 3
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 100}], folders: [{name: shots}]}]
hosts: [{allocation: local.general, count: 1, first_address: 127.1.0.1, cores: 1, memory: 32 GiB}]
jobs: [{name: alpha-1, show: alpha, folder: shots, layers: [{name: a, range: 1-6, command: sleep 0.1}]}]
";

const FRAMES: f64 = 6.0;

const LIMIT: Duration = Duration::from_mins(1);

/// Without announcements a pool would be looked at every fifteen seconds, and counters once.
const SLOW: [(&str, &str); 3] = [
    ("OPENSCHEDULER_QUEUE__CLUSTER_SATURATED_SLEEP", "15s"),
    ("OPENSCHEDULER_QUEUE__MONITOR_INTERVAL", "15s"),
    ("OPENSCHEDULER_ACCOUNTING__RECOMPUTE_INTERVAL", "1h"),
];

async fn farm(folder: &Path) -> (Harness, Scheduler) {
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { count: 1, cores: 1, ..HostSet::default() }],
            first_report: Some(Duration::from_millis(100)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig { generation: Generation::B1, ..CuebotConfig::default() },
        existing: None,
    };
    let harness = Harness::start(config, folder, |_| {}).await.unwrap();
    let mut scheduler = harness.scheduler("scheduler", &SLOW).unwrap();
    scheduler.ready().await.unwrap();
    (harness, scheduler)
}

async fn notices(scheduler: &Scheduler, kind: &str) -> f64 {
    scheduler.metric(&format!("scheduler_cuebot_notices_total{{kind=\"{kind}\"}}")).await.unwrap()
}

async fn until_heard(scheduler: &Scheduler, kind: &str, times: f64) {
    let began = Instant::now();
    while notices(scheduler, kind).await < times {
        assert!(began.elapsed() < LIMIT, "{kind} was not heard {times} times: {}", scheduler.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_announced_wakes_the_pool_and_sets_its_counters_right() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, scheduler) = farm(folder.path()).await;
    let began = Instant::now();
    let done = harness.until_states("all frames succeeded", LIMIT, |states| states.are_all("SUCCEEDED")).await;
    done.unwrap_or_else(|error| panic!("{error}\n{}", scheduler.log()));
    let took = began.elapsed();
    println!("{FRAMES} frames one after the other took {took:?}");
    assert!(
        took < Duration::from_secs(30),
        "five pauses of fifteen seconds, or some of them, were waited for: {took:?}"
    );

    harness.until_released(LIMIT).await.unwrap();
    until_heard(&scheduler, "release", FRAMES).await;
    while !audit(&harness.pool).await.unwrap().is_clean() {
        assert!(began.elapsed() < LIMIT, "{}", audit(&harness.pool).await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_sense_are_counted_and_a_lost_connection_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, scheduler) = farm(folder.path()).await;
    let execute = |sql: &'static str| sqlx::query(sql).execute(&harness.pool);
    for message in [
        "SELECT pg_notify('acct_release', 'garbage')",
        "SELECT pg_notify('acct_release', '{\"show\": null}')",
        "SELECT pg_notify('acct_release', repeat('x', 7999))",
        "SELECT pg_notify('acct_limit_change', '')",
    ] {
        // The ear may not be there yet when the scheduler is ready.
        let before = notices(&scheduler, "malformed").await + notices(&scheduler, "cap").await;
        let began = Instant::now();
        while notices(&scheduler, "malformed").await + notices(&scheduler, "cap").await <= before {
            execute(message).await.unwrap();
            assert!(began.elapsed() < LIMIT, "{message} was not heard");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'").await.unwrap();
    let before = notices(&scheduler, "cap").await;
    let began = Instant::now();
    while notices(&scheduler, "cap").await <= before {
        execute("SELECT pg_notify('acct_limit_change', '{}')").await.unwrap();
        assert!(began.elapsed() < LIMIT, "nothing is heard any more: {}", scheduler.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}
