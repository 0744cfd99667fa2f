//! What a real scheduler says of itself at `/metrics`, held against the database that it worked on.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "counts are exact")]

use std::collections::BTreeMap;
use std::time::Duration;

use cue_scheduler::http::metrics::families;
use cue_scheduler::http::metrics::family::Kind;
use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{FarmConfig, HostSet};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::description::FarmDescription;

/// On a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(2);

/// A hundred frames that run, four of them on the one large host, and five that a cap holds back for good.
const FARM: &str = "
seed: 41
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows:
  - {name: alpha, subscriptions: [{allocation: local.general, burst: 1000}]}
  - {name: beta, subscriptions: [{allocation: local.general, burst: 1000}]}
  - {name: later, managed: false, subscriptions: [{allocation: local.general, burst: 1000}]}
hosts:
  - {allocation: local.general, count: 5, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}
  - {allocation: local.general, count: 1, first_address: 127.1.0.6, cores: 16, memory: 64 GiB, manual_tags: [big]}
jobs:
  - {name: alpha-1, show: alpha, layers: [{name: wide, range: 1-60, threadable: false}]}
  - {name: alpha-2, show: alpha, layers: [{name: big, range: 1-4, tags: [big], threadable: false}]}
  - {name: beta-1, show: beta, layers: [{name: comp, range: 1-36, threadable: false}]}
  - {name: beta-2, show: beta, max_cores: 0, layers: [{name: held, range: 1-5, threadable: false}]}
";

/// The values of a scrape, by series as it is written there.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    async fn of(scheduler: &Scheduler) -> Self {
        let (status, text) = scheduler.get("/metrics").await.unwrap();
        assert_eq!(status, 200);
        let series = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            series
                .map(|line| line.rsplit_once(' ').unwrap())
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
                .collect(),
        )
    }

    fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("there is no {series}"))
    }

    /// The sum over all labels.
    fn sum(&self, family: &str) -> f64 {
        let of_family =
            |name: &str| name == family || name.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'));
        self.0.iter().filter(|(name, _)| of_family(name)).map(|(_, value)| value).sum()
    }
}

async fn until(what: &str, scheduler: &Scheduler, condition: impl Fn(&Scrape) -> bool) -> Scrape {
    for _ in 0..600 {
        let scrape = Scrape::of(scheduler).await;
        if condition(&scrape) {
            return scrape;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("after a minute still not: {what}; the log:\n{}", scheduler.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_agrees_with_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { count: 6, ..HostSet::default() }],
            report_interval: Some(Duration::from_secs(2)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig::default(),
        existing: None,
    };
    let harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
    let variables = [("OPENSCHEDULER_QUEUE__CLUSTER_RELOAD_INTERVAL", "1s")];
    let mut scheduler = harness.scheduler("scheduler", &variables).unwrap();
    scheduler.ready().await.unwrap();
    harness
        .until_states("all but the held frames succeeded", LIMIT, |states| states.of("SUCCEEDED") == 100)
        .await
        .unwrap();
    harness.until_released(LIMIT).await.unwrap();
    let scrape = until("a pass found nothing but the held layer", &scheduler, |scrape| {
        scrape.get("scheduler_clusters_active") == 1.0
            && scrape.sum("scheduler_waiting_frames") == 5.0
            && scrape.sum("scheduler_launch_outcomes_total") == 100.0
    })
    .await;

    // Frames, as the database has them.
    let by_show: Vec<(String, i64)> = sqlx::query_as(
        "SELECT show.str_name, count(*) FROM frame JOIN job USING (pk_job) JOIN show USING (pk_show)
         WHERE frame.str_state = 'SUCCEEDED' GROUP BY 1",
    )
    .fetch_all(&harness.pool)
    .await
    .unwrap();
    assert_eq!(by_show.len(), 2);
    for (show, frames) in by_show {
        let series = format!("scheduler_frames_dispatched_total{{show_name=\"{show}\"}}");
        assert_eq!(scrape.get(&series), frames as f64, "{show}");
    }
    assert_eq!(scrape.get("scheduler_time_to_book_seconds_count"), 100.0);
    assert!(
        scrape.get("scheduler_booking_lock_wait_seconds_count") >= 3.0,
        "a transaction for each show and allocation"
    );
    assert_eq!(scrape.get("scheduler_launch_outcomes_total{outcome=\"launched\"}"), 100.0);
    assert_eq!(scrape.sum("scheduler_frames_dispatched_per_pass_sum"), 100.0);
    assert_eq!(scrape.get("scheduler_frames_dispatched_per_pass_sum{cluster_type=\"manual\"}"), 4.0);

    // Layers: the small one was placed at once and on one host, which counts as one.
    assert!(scrape.get("scheduler_candidates_per_layer_bucket{le=\"1\"}") >= 1.0);
    assert!(scrape.get("scheduler_checkout_outcome_total{outcome=\"booked\"}") >= 3.0);
    let booked = scrape.get("scheduler_pass_terminated_reason_total{reason=\"booked\"}");
    assert!(
        (1.0..=3.0 * booked).contains(&scrape.get("scheduler_checkout_outcome_total{outcome=\"booked\"}")),
        "three layers at most are booked in a pass: {booked} passes"
    );
    assert_eq!(scrape.get("scheduler_checkout_outcome_total{outcome=\"dispatch_error\"}"), 0.0);
    let skipped = scrape.get("scheduler_job_cap_precheck_skip_total");
    assert!(skipped >= 1.0, "the held layer was skipped");
    assert_eq!(scrape.get("scheduler_accounting_limit_exceeded_total{table=\"job\"}"), skipped);
    assert_eq!(scrape.get("scheduler_waiting_frames{reason=\"job_cores\",show_name=\"beta\"}"), 5.0);

    // Clusters as the retired scheduler cut them, of the shows that are managed.
    for (kind, clusters) in [("alloc", 2.0), ("manual", 2.0), ("hostname", 2.0), ("hardware", 0.0)] {
        assert_eq!(scrape.get(&format!("scheduler_clusters_total{{cluster_type=\"{kind}\"}}")), clusters, "{kind}");
    }
    assert_eq!(scrape.get("scheduler_clusters_active") + scrape.get("scheduler_clusters_sleeping"), 6.0);
    assert!(scrape.get("scheduler_cluster_round_trip_seconds_count{cluster_type=\"alloc\"}") >= 1.0);
    assert!(scrape.get("scheduler_jobs_processed_total{show_name=\"beta\"}") >= 1.0);
    let processed = scrape.sum("scheduler_jobs_processed_total");
    assert_eq!(scrape.get("scheduler_jobs_queried_total"), processed, "each job that was read was planned");
    assert_eq!(scrape.get("scheduler_database_up"), 1.0);
    for own in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
        assert!(scrape.get(own) > 0.0, "{own}");
    }

    // Nothing freezes when work ends, and shows come and go.
    sqlx::query("UPDATE job SET b_paused = true").execute(&harness.pool).await.unwrap();
    sqlx::query("UPDATE show SET b_scheduler_managed = str_name <> 'alpha'").execute(&harness.pool).await.unwrap();
    let series = |show: &str| format!("scheduler_frames_dispatched_total{{show_name=\"{show}\"}}");
    let scrape = until("the gauges followed", &scheduler, |scrape| {
        scrape.sum("scheduler_waiting_frames") == 0.0
            && scrape.get("scheduler_clusters_active") == 0.0
            && scrape.get("scheduler_active_tags") == 0.0
            && !scrape.0.contains_key(&series("alpha"))
            && scrape.0.contains_key(&series("later"))
    })
    .await;
    assert_eq!((scrape.get(&series("beta")), scrape.get(&series("later"))), (36.0, 0.0));

    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_is_told_by_a_scheduler_that_waits_for_its_database() {
    let folder = tempfile::tempdir().unwrap();
    let ports = [testbed::postgres::free_port().unwrap(), testbed::postgres::free_port().unwrap()];
    let file = folder.path().join("scheduler.yaml");
    let yaml = format!(
        "database: {{db_host: 127.0.0.1, db_port: {}, db_name: none, db_user: none}}\nqueue: {{metrics_port: {}}}\n",
        ports[0], ports[1]
    );
    std::fs::write(&file, yaml).unwrap();
    let arguments = ["--config", &file.display().to_string()];
    let scheduler = Scheduler::start_with(&arguments, &[], ports[1], folder.path().join("log")).unwrap();
    let mut answer = scheduler.get("/metrics").await;
    for _ in 0..300 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = scheduler.get("/metrics").await;
    }
    let (status, text) = answer.unwrap();
    assert_eq!(status, 200);
    for family in families::ALL {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", family.name)), "{}:\n{text}", family.name);
    }
    assert!(text.contains("scheduler_checkout_outcome_total{outcome=\"no_match\"} 0\n"), "{text}");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
}
