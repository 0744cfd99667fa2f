//! What the deploying guide of the retired scheduler tells its readers to write, to run and to look for. `docs/guide-coverage.md`
//! goes through that guide line by line; here is what of it can be run. Its log lines are in `log_lines.rs`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "counts are exact")]

use std::path::Path;
use std::time::Duration;

use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{Durations, FarmConfig, HostSet};
use testbed::harness::scheduler::program;
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::add_job;
use testbed::loader::description::{FarmDescription, JobDescription, LayerDescription};
use tokio::process::Command;

/// On a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// The keys and values of the guide: its first file, its sections on each part, and what it advises against trouble, spelt as
/// there.
const FILE: &str = "
logging:
  level: info,sqlx=warn
database:
  pool_size: 20
  db_host: your-postgres-host
  db_name: cuebot
  db_user: cuebot
  db_pass: your_password
  db_port: 5432
rqd:
  grpc_port: 8444
  dry_run_mode: false # true: nothing is launched
queue:
  monitor_interval: 5s
  worker_threads: 4
  dispatch_frames_per_layer_limit: 20
  manual_tags_chunk_size: 100
  hostname_tags_chunk_size: 300
  cluster_reload_interval: 120s
  host_candidate_attemps_per_layer: 10
  job_back_off_duration: 300s
  empty_job_cycles_before_quiting: 10
  concurrent_groups: 3
host_cache:
  concurrent_groups: 3
  memory_key_divisor: 2GiB
  checkout_timeout: 12s
  monitoring_interval: 1s
  group_idle_timeout: 10800s
scheduler:
  facility: spi
  ignore_tags:
    - deprecated_tag
    - old_allocation
";

/// Runs the program with these arguments and variables, and nothing else of the environment; its exit code, and what it
/// writes to standard output and standard error.
async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = Command::new(program("cue-scheduler").unwrap())
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn file(folder: &Path, text: &str) -> String {
    let file = folder.join("scheduler.yaml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// Whether the effective configuration has the key with the value, whatever else stands on the line.
fn holds(configuration: &str, key: &str, value: &str) -> bool {
    configuration.lines().any(|line| line.trim_start().starts_with(&format!("{key}: {value}")))
}

#[tokio::test]
async fn the_guides_files_load_as_they_stand_and_what_means_nothing_here_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path(), FILE);
    let (code, shown, said) = run(&["check-config", "--config", &file], &[]).await;
    assert_eq!(code, Some(0), "{shown}\n{said}");
    for (key, value) in [
        ("level", "info,sqlx=warn"),
        ("pool_size", "20"),
        ("db_host", "your-postgres-host"),
        ("db_port", "5432"),
        ("grpc_port", "8444"),
        ("monitor_interval", "5s"),
        ("worker_threads", "4"),
        ("dispatch_frames_per_layer_limit", "20"),
        ("manual_tags_chunk_size", "100"),
        ("hostname_tags_chunk_size", "300"),
        ("cluster_reload_interval", "2m"),
        ("host_candidate_attempts_per_layer", "10"),
        ("job_back_off_duration", "5m"),
        ("empty_job_cycles_before_quiting", "10"),
        ("monitoring_interval", "1s"),
        ("facility", "spi"),
    ] {
        assert!(holds(&shown, key, value), "{key}: {value} is not in:\n{shown}");
    }
    assert!(shown.contains("deprecated_tag") && shown.contains("old_allocation"), "{shown}");
    assert!(!shown.contains("your_password") && !said.contains("your_password"), "{shown}\n{said}");
    for meaningless in ["checkout_timeout", "memory_key_divisor"] {
        assert!(said.contains(meaningless), "{meaningless} has no meaning here, and nobody says so:\n{said}");
    }
}

#[tokio::test]
async fn the_guides_command_lines_and_its_variable_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path(), FILE);
    for arguments in [
        &["--facility", "lax", "--ignore_tags=deprecated,old"][..],
        &["-f", "lax", "-i", "deprecated", "old"],
        &["--facility", "lax", "--ignore-tags", "deprecated,old"],
    ] {
        let all = [&["check-config"], arguments].concat();
        let (code, shown, said) = run(&all, &[("OPENCUE_SCHEDULER_CONFIG", &file)]).await;
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        assert!(holds(&shown, "facility", "lax"), "{arguments:?}:\n{shown}");
        assert!(shown.contains("deprecated, old") || shown.contains("[deprecated,old]"), "{arguments:?}:\n{shown}");
        assert!(
            !shown.contains("old_allocation"),
            "{arguments:?}: the command line replaces the file's list:\n{shown}"
        );
    }
    // The folder that the guide names for a file of one's own.
    let home = folder.path().join("home");
    std::fs::create_dir_all(home.join(".config/cue-scheduler")).unwrap();
    std::fs::copy(&file, home.join(".config/cue-scheduler/scheduler.yaml")).unwrap();
    let (code, shown, said) = run(&["check-config"], &[("HOME", &home.display().to_string())]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(holds(&shown, "db_host", "your-postgres-host"), "{shown}");
}

const FARM: &str = "
seed: 59
facilities: [{name: spi, allocations: [{name: spi.general, tag: general}]}]
shows:
  - {name: testshow, managed: false, subscriptions: [{allocation: spi.general, burst: 100}]}
  - {name: mainshow, managed: false, subscriptions: [{allocation: spi.general, burst: 100}]}
hosts: [{allocation: spi.general, count: 4, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs:
  - {name: test-1, show: testshow, layers: [{name: comp, range: 1-12, threadable: false}]}
  - {name: main-1, show: mainshow, layers: [{name: comp, range: 1-12, threadable: false}]}
";

/// The metrics that the guide names.
const METRICS: [(&str, &str); 6] = [
    ("scheduler_jobs_queried_total", "counter"),
    ("scheduler_jobs_processed_total", "counter"),
    ("scheduler_frames_dispatched_total", "counter"),
    ("scheduler_candidates_per_layer", "histogram"),
    ("scheduler_time_to_book_seconds", "histogram"),
    ("scheduler_no_candidate_iterations_total", "counter"),
];

async fn dispatched(scheduler: &Scheduler, show: &str) -> f64 {
    let series = format!("scheduler_frames_dispatched_total{{show_name=\"{show}\"}}");
    scheduler.series(&series).await.unwrap().unwrap_or(0.0)
}

async fn until(what: &str, scheduler: &Scheduler, condition: impl AsyncFn() -> bool) {
    let began = std::time::Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LIMIT, "after {LIMIT:?} still not: {what}; the log:\n{}", scheduler.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Phases 1 and 2 of the migration, and the way back: shows are handed over and taken back by their flag alone, while the
/// scheduler runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_are_handed_over_and_taken_back_by_their_flag_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { count: 4, ..HostSet::default() }],
            durations: Durations { min: Duration::from_millis(100), max: Duration::from_millis(300) },
            report_interval: Some(Duration::from_secs(2)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig::default(),
        existing: None,
    };
    let harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
    let variables = [
        ("OPENSCHEDULER_SCHEDULER__FACILITY", "spi"),
        ("OPENSCHEDULER_QUEUE__CLUSTER_RELOAD_INTERVAL", "1s"),
        ("OPENSCHEDULER_QUEUE.WORKER_THREADS", "2"),
    ];
    let mut scheduler = harness.scheduler("scheduler", &variables).unwrap();
    scheduler.ready().await.unwrap();
    let flip = async |show: &str, managed: bool| {
        sqlx::query("UPDATE show SET b_scheduler_managed = $2 WHERE str_name = $1")
            .bind(show)
            .bind(managed)
            .execute(&harness.pool)
            .await
            .unwrap();
    };

    // Nothing is managed yet: the guide's start line is there, its metrics are, and nothing is booked.
    until("it has started", &scheduler, async || scheduler.log().contains("Starting scheduler feed")).await;
    let (status, text) = scheduler.get("/metrics").await.unwrap();
    assert_eq!(status, 200);
    for (name, kind) in METRICS {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
    }
    assert_eq!(scheduler.metric("scheduler_frames_dispatched_total").await.unwrap(), 0.0);

    flip("testshow", true).await;
    until("the show is booked that was handed over", &scheduler, async || {
        dispatched(&scheduler, "testshow").await == 12.0
    })
    .await;
    assert_eq!(dispatched(&scheduler, "mainshow").await, 0.0, "the other is Cuebot's");

    // Taken back before its next job: nothing more of it is booked, while the other show is.
    flip("testshow", false).await;
    let layer = LayerDescription { name: "comp".to_owned(), range: "1-5".to_owned(), ..LayerDescription::default() };
    let next = JobDescription {
        name: "test-2".to_owned(),
        show: "testshow".to_owned(),
        layers: vec![layer],
        ..JobDescription::default()
    };
    add_job(&harness.pool, 60, &next).await.unwrap();
    flip("mainshow", true).await;
    until("the second show is booked", &scheduler, async || dispatched(&scheduler, "mainshow").await == 12.0).await;
    assert_eq!(harness.states().await.unwrap().of("WAITING"), 5, "what was taken back is left alone");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[test]
fn the_coverage_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/guide-coverage.md")).unwrap();
    let tests: Vec<&str> = page
        .split('`')
        .filter(|word| std::path::Path::new(word).extension().is_some_and(|ending| ending == "rs"))
        .collect();
    assert!(tests.len() > 20, "the page names its tests: {tests:?}");
    for test in tests {
        let places = ["tests/tests", "scheduler/core/src"].map(|folder| root.join(folder).join(test));
        assert!(places.iter().any(|place| place.is_file()), "there is no test {test}");
    }
}
