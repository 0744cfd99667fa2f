//! The lines that the deploying guide tells operators to look for, from a real scheduler on a farm with something of each.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{Durations, FarmConfig, HostSet, Listen};
use testbed::harness::{Harness, HarnessConfig};
use testbed::loader::description::FarmDescription;

/// On a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// One show within its burst, one without any, and a host that refuses.
const FARM: &str = "
seed: 47
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows:
  - {name: alpha, subscriptions: [{allocation: local.general, burst: 100}]}
  - {name: beta, subscriptions: [{allocation: local.general, burst: 0}]}
hosts: [{allocation: local.general, count: 3, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs:
  - {name: alpha-1, show: alpha, layers: [{name: comp, range: 1-20, threadable: false}]}
  - {name: beta-1, show: beta, layers: [{name: comp, range: 1-5}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_the_lines_of_the_guide() {
    let folder = tempfile::tempdir().unwrap();
    let first = Ipv4Addr::new(127, 1, 0, 1);
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { first, count: 3, ..HostSet::default() }],
            listen: Listen::PerHost,
            durations: Durations { min: Duration::from_millis(100), max: Duration::from_millis(200) },
            first_report: Some(Duration::from_millis(200)),
            report_interval: Some(Duration::from_secs(2)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig::default(),
        existing: None,
    };
    let harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
    harness.hosts.set_fault(first, "refuse aborted".parse().unwrap()).await.unwrap();
    // Somebody holds the rows of the hosts, and lets go when that was told.
    let mut held = harness.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM host FOR UPDATE").execute(&mut *held).await.unwrap();
    let variables =
        [("OPENSCHEDULER_LOGGING__LEVEL", "debug,h2=info"), ("OPENSCHEDULER_ACCOUNTING__RECOMPUTE_INTERVAL", "1s")];
    let mut scheduler = harness.scheduler("scheduler", &variables).unwrap();
    scheduler.ready().await.unwrap();

    let job = harness.loaded.jobs["alpha-1"].clone();
    let until = async |level: &str, words: &str| {
        let began = Instant::now();
        loop {
            let log = scheduler.log();
            if log.lines().any(|line| line.contains(words) && line.split_whitespace().nth(1) == Some(level)) {
                return;
            }
            assert!(began.elapsed() < LIMIT, "no line with {level} {words} in:\n{log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    until("INFO", "Starting scheduler feed").await;
    until("DEBUG", &format!("Found job: Job(id={job}, name=alpha-1)")).await;
    until("INFO", "AllocationOverBurst: 5 frames wait in local.general").await;
    until("WARN", "HostLock: ").await;
    held.rollback().await.unwrap();
    until("WARN", "GrpcFailure: ").await;
    until("INFO", "Processed 2 layers, dispatched ").await;
    until("DEBUG", "Layer alpha-1.comp fully consumed.").await;
    until("INFO", "Dispatched ").await;
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}
