//! What loading gives: which source wins, which file is read, and what every form of a key means.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

mod support;

use std::path::Path;
use std::time::Duration;

use cue_scheduler_config::{
    Bytes, Config, FILE_VARIABLE, HOME_FILES, Kind, LogFilter, LogFormat, Overrides, Place, Strategy, Weights, keys,
};
use support::{Farm, warnings};

#[test]
fn without_any_source_the_defaults_hold() {
    let loaded = Farm::new().home().load();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.file, None);
    assert_eq!(warnings(&loaded), [""; 0]);
    let config = loaded.config;
    assert_eq!(config.queue.active_scan_interval, Duration::from_millis(400));
    assert_eq!(config.host_cache.monitoring_interval, Duration::from_secs(1));
    assert_eq!(config.logging.level, LogFilter::info());
    assert_eq!(config.queue.dispatch_frames_per_layer_limit, None);
    assert_eq!(config.queue.max_jobs_per_cluster_pass, None);
    assert_eq!(config.queue.host_candidate_attempts_per_layer, None);
    assert_eq!(config.queue.backlog_pace(), Duration::from_millis(200));
    assert_eq!(config.queue.mem_reserved_min, Bytes::mib(250));
    assert_eq!(config.booking.chunk_frames, 100);
    assert_eq!(config.database.db_pass.expose(), "password");
    let expected = Strategy::Saturation { cores: true, memory: false };
    assert_eq!(config.queue.host_booking_strategy.choice(), expected);
}

#[test]
fn a_file_with_the_keys_of_the_published_guide_loads() {
    let loaded = Farm::new()
        .file(
            "
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
  dry_run_mode: false # a comment
queue:
  monitor_interval: 5s
  worker_threads: 4
  dispatch_frames_per_layer_limit: 20
  manual_tags_chunk_size: 100
  hostname_tags_chunk_size: 300
  cluster_reload_interval: 120s
  host_candidate_attemps_per_layer: 10
  job_back_off_duration: 300s
  # empty_job_cycles_before_quiting: 10
host_cache:
  concurrent_groups: 3
  memory_key_divisor: 2GiB
  checkout_timeout: 12s
  monitoring_interval: 1s
  group_idle_timeout: 10800s
scheduler:
  # facility: spi
  # ignore_tags:
  # - deprecated_tag
",
        )
        .load();
    let config = &loaded.config;
    assert_eq!(config.logging.level.directives(), "info,sqlx=warn");
    assert_eq!(config.database.db_host, "your-postgres-host");
    assert_eq!(config.database.db_pass.expose(), "your_password");
    assert_eq!(config.queue.dispatch_frames_per_layer_limit, Some(20));
    assert_eq!(config.queue.host_candidate_attempts_per_layer, Some(10));
    assert_eq!(config.queue.hostname_tags_chunk_size, 300);
    assert_eq!(config.host_cache.group_idle_timeout, Duration::from_hours(3));
    assert_eq!(config.scheduler.facility, None);
    let idle: Vec<_> = loaded.warnings.iter().filter_map(|w| w.key.clone()).collect();
    assert_eq!(idle, ["host_cache.concurrent_groups", "host_cache.memory_key_divisor", "host_cache.checkout_timeout"]);
}

#[test]
fn later_sources_win_and_each_origin_is_known() {
    let mut farm = Farm::new()
        .file("scheduler: {facility: file, ignore_tags: [f]}\nqueue: {worker_threads: 2, metrics_port: 1}\n")
        .env("OPENSCHEDULER_scheduler.facility", "env")
        .env("OPENSCHEDULER_SCHEDULER__IGNORE_TAGS", "e")
        .env("OPENSCHEDULER_QUEUE__WORKER_THREADS", "3");
    let loaded = farm.load();
    assert_eq!(loaded.config.scheduler.facility.as_deref(), Some("env"));
    assert_eq!(loaded.config.scheduler.ignore_tags, ["e"]);
    assert_eq!(loaded.config.queue.worker_threads, 3);
    assert_eq!(loaded.config.queue.metrics_port, 1);

    farm.sources.overrides =
        Overrides { facility: Some("line".to_owned()), ignore_tags: Some(vec!["l".to_owned(), "m".to_owned()]) };
    let loaded = farm.load();
    assert_eq!(loaded.config.scheduler.facility.as_deref(), Some("line"));
    assert_eq!(loaded.config.scheduler.ignore_tags, ["l", "m"]);
    assert_eq!(loaded.origin("scheduler.facility"), &Place::CommandLine);
    let variable = "OPENSCHEDULER_QUEUE__WORKER_THREADS".to_owned();
    assert_eq!(loaded.origin("queue.worker_threads"), &Place::Environment(variable));
    let file = Place::File { path: farm.path("scheduler.yaml"), line: Some(2) };
    assert_eq!(loaded.origin("queue.metrics_port"), &file);
    assert_eq!(loaded.origin("database.db_host"), &Place::Defaults);
    assert!(loaded.is_set("queue.metrics_port"));
    assert!(!loaded.is_set("database.db_host"));
}

#[test]
fn the_environment_is_read_in_every_published_form() {
    let farm = Farm::new()
        .env("OPENSCHEDULER_queue.worker_threads", "11")
        .env("OPENSCHEDULER_DATABASE.DB_PASS", "s3")
        .env("openscheduler_database__db_host", "db")
        .env("OPENSCHEDULER_scheduler.ignore_tags[1]", "b")
        .env("OPENSCHEDULER_scheduler.ignore_tags[0]", "a,c")
        .env("OPENSCHEDULER_QUEUE__SELFISH_SERVICES", "arnold, katana,")
        .env("OPENSCHEDULER_QUEUE__STREAM__CLUSTER_BUFFER_SIZE", "5")
        .env("OPENSCHEDULER_queue.host_booking_strategy.core_saturation", "no")
        .env("OPENSCHEDULER_SCHEDULER__FACILITY", "")
        .env("OPENSCHEDULER_", "x")
        .env("QUEUE__WORKER_THREADS", "99");
    let loaded = farm.load();
    let config = &loaded.config;
    assert_eq!(config.queue.worker_threads, 11);
    assert_eq!(config.database.db_pass.expose(), "s3");
    assert_eq!(config.database.db_host, "db");
    assert_eq!(config.scheduler.ignore_tags, ["a,c", "b"]);
    assert_eq!(config.scheduler.facility, None);
    assert_eq!(config.queue.selfish_services, ["arnold", "katana"]);
    assert_eq!(config.queue.stream.cluster_buffer_size.permits(), 5);
    let expected = Strategy::Saturation { cores: false, memory: false };
    assert_eq!(config.queue.host_booking_strategy.choice(), expected);
    assert_eq!(warnings(&loaded), [""; 0]);
}

#[test]
fn keys_may_be_written_in_any_letter_case_or_with_dots() {
    let text = "QUEUE: {WORKER_THREADS: 9}\nqueue.metrics_port: 1\nQueue.Stream: {job_buffer_size: 0}\n";
    let config = Config::from_text("f.yaml", text).unwrap().config;
    assert_eq!(config.queue.worker_threads, 9);
    assert_eq!(config.queue.metrics_port, 1);
    assert!(config.queue.stream.job_buffer_size.permits() > 1_000_000);
}

#[test]
fn empty_documents_and_empty_sections_are_fine() {
    for text in ["", "---\n", "# nothing\n", "queue:\n", "queue: ~\nscheduler:\n  # facility: spi\n", "{}"] {
        let loaded = Config::from_text("f.yaml", text).unwrap_or_else(|errors| panic!("{text:?}: {errors}"));
        assert_eq!(loaded.config, Config::default(), "{text:?}");
    }
}

#[test]
fn json_is_read_as_yaml_is() {
    let text = r#"{"queue": {"cluster_saturated_sleep": "5s"}, "logging": {"format": "JSON"}}"#;
    let from_text = Config::from_text("f.json", text).unwrap();
    let value = serde_json::from_str(text).unwrap();
    let from_value = Config::from_json("spec.config", &value).unwrap();
    assert_eq!(from_text.config, from_value.config);
    assert_eq!(from_value.config.logging.format, LogFormat::Json);
    assert_eq!(from_value.config.queue.backlog_pace(), Duration::from_secs(5));
    assert_eq!(from_value.origin("logging.format"), &Place::Value("spec.config".to_owned()));
    let wrong = serde_json::json!({"queue": {"worker_threads": 2.5e9, "wait": true}});
    assert_eq!(
        Config::from_json("spec.config", &wrong).unwrap_err().to_string(),
        "spec.config: `queue.wait`: there is no such key\n\
         spec.config: `queue.worker_threads`: found the number 2500000000.0; allowed is a whole number from 1 to 1024, \
         for example 4"
    );
}

#[test]
fn a_pace_shorter_than_ours_does_not_make_passes_spin() {
    let text = "queue: {cluster_saturated_sleep: 0s}";
    let config = Config::from_text("f.yaml", text).unwrap().config;
    assert_eq!(config.queue.backlog_pace(), Duration::from_millis(200));
}

#[test]
fn the_booking_strategy_loads_with_and_without_its_type() {
    let epvm = |max_candidates, weights| Strategy::Epvm { max_candidates, weights };
    let saturation = |cores, memory| Strategy::Saturation { cores, memory };
    for (yaml, expected) in [
        ("{type: saturation, core_saturation: true, memory_saturation: true}", saturation(true, true)),
        ("{core_saturation: false, memory_saturation: true}", saturation(false, true)),
        ("{type: saturation}", saturation(true, false)),
        ("{type: epvm, max_candidates: 5, weights: {}}", epvm(5, Weights::default())),
        ("{type: EPVM, max_candidates: '5'}", epvm(5, Weights::default())),
        (
            "{max_candidates: 5, weights: {gpus: -1, cores: '0.5'}}",
            epvm(5, Weights { gpus: -1.0, cores: 0.5, ..Weights::default() }),
        ),
    ] {
        let text = format!("queue: {{host_booking_strategy: {yaml}}}");
        let loaded = Config::from_text("f.yaml", &text).unwrap_or_else(|errors| panic!("{yaml}: {errors}"));
        assert_eq!(loaded.config.queue.host_booking_strategy.choice(), expected, "{yaml}");
    }
}

#[test]
fn files_are_tried_in_order() {
    let port = |n: u16| format!("queue: {{metrics_port: {n}}}");
    let farm = Farm::new().home();
    farm.write(HOME_FILES[1], &port(2));
    assert_eq!(farm.load().config.queue.metrics_port, 2);

    farm.write(HOME_FILES[0], &port(1));
    let loaded = farm.load();
    assert_eq!(loaded.config.queue.metrics_port, 1);
    assert_eq!(loaded.file, Some(farm.path(HOME_FILES[0])));
    assert_eq!(warnings(&loaded).len(), 1);
    assert!(warnings(&loaded)[0].ends_with("it is not read, since another file comes before it"));

    farm.write("three.yaml", &port(3));
    let mut farm = farm.env(FILE_VARIABLE, "~/three.yaml");
    assert_eq!(farm.load().config.queue.metrics_port, 3);

    farm.sources.file = Some(farm.write("four.json", &port(4)));
    assert_eq!(farm.load().config.queue.metrics_port, 4);
}

#[test]
fn the_variable_may_leave_the_extension_out() {
    let farm = Farm::new();
    farm.write("conf.yml", "queue: {metrics_port: 7}");
    let path = farm.path("conf");
    assert_eq!(farm.env(FILE_VARIABLE, path).load().config.queue.metrics_port, 7);
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    const CANDIDATES: &str = "OPENSCHEDULER_QUEUE__HOST_BOOKING_STRATEGY__MAX_CANDIDATES";
    for key in keys() {
        let name = format!("OPENSCHEDULER_{}", key.path.to_uppercase().replace('.', "__"));
        let value = match &key.kind {
            Kind::Texts => "one,two".to_owned(),
            kind => kind.example(),
        };
        let mut farm = Farm::new().env(&name, value);
        if key.path.contains("weights.") {
            // Weights belong to the scoring form, which needs this beside them.
            farm = farm.env(CANDIDATES, "20");
        }
        assert_eq!(farm.load().origin(&key.path), &Place::Environment(name.clone()), "{name}");
    }
}

#[test]
fn the_tilde_is_the_home_directory_and_nothing_else() {
    let mut farm = Farm::new().home();
    farm.write("a.yaml", "queue: {metrics_port: 5}");
    farm.sources.file = Some(Path::new("~/a.yaml").to_owned());
    assert_eq!(farm.load().config.queue.metrics_port, 5);
    farm.sources.home = None;
    assert!(farm.faults().starts_with("~/a.yaml: it can't be read"));
}
