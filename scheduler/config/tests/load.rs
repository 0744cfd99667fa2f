//! What loading gives: which source wins, which file is read, and what every form of a key means.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

mod support;

use std::path::Path;
use std::time::Duration;

use cue_scheduler_config::{
    Bytes, Config, FILE_VARIABLE, HOME_FILES, Kind, Loaded, LogFilter, LogFormat, Overrides, Place, Strategy, Weights,
    keys,
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
fn a_file_as_the_published_guide_shows_it_loads_as_it_stands() {
    let loaded = Farm::new().file(include_str!("fixtures/guide.yaml")).load();
    let config = &loaded.config;
    assert_eq!(config.logging.level.directives(), "info,sqlx=warn");
    assert_eq!(config.database.db_host, "your-postgres-host");
    assert_eq!(config.database.db_pass.expose(), "your_password");
    assert_eq!(config.queue.dispatch_frames_per_layer_limit, Some(20));
    assert_eq!(config.queue.host_candidate_attempts_per_layer, Some(10));
    assert_eq!(config.queue.hostname_tags_chunk_size, 300);
    assert_eq!(config.host_cache.group_idle_timeout, Duration::from_hours(3));
    assert_eq!(config.scheduler.facility, None);
    let keys: Vec<_> = loaded.warnings.iter().filter_map(|w| w.key.clone()).collect();
    assert_eq!(keys, ["host_cache.checkout_timeout", "host_cache.concurrent_groups", "host_cache.memory_key_divisor"]);
}

#[test]
fn the_sample_of_a_release_loads_without_a_word() {
    let loaded = Farm::new().file(include_str!("../../../docs/operations/scheduler.yaml")).load();
    assert_eq!(warnings(&loaded), [""; 0]);
    assert_eq!(loaded.config.rqd.grpc_port, 8444);
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
    for key in keys() {
        let name = variable(&key.path);
        let mut farm = Farm::new();
        let value = match &key.kind {
            Kind::Texts => "one,two".to_owned(),
            Kind::Wholes { min, max } => format!("{min},{max}"),
            Kind::Path => farm.write("file", "").display().to_string(),
            kind => kind.example(),
        };
        farm = farm.env(&name, &value);
        // What some keys can't be without: weights belong to a form, a certificate has a key, and both have their use.
        let companions: &[(&str, &str)] = match key.path.as_str() {
            path if path.contains("weights.") => &[("queue.host_booking_strategy.max_candidates", "20")],
            "database.ssl_root_cert" => &[("database.sslmode", "verify-full")],
            "database.ssl_cert" => &[("database.ssl_key", &value)],
            "database.ssl_key" => &[("database.ssl_cert", &value)],
            _ => &[],
        };
        for (path, value) in companions {
            farm = farm.env(&variable(path), *value);
        }
        assert_eq!(farm.load().origin(&key.path), &Place::Environment(name.clone()), "{name}");
    }
}

fn variable(path: &str) -> String {
    format!("OPENSCHEDULER_{}", path.to_uppercase().replace('.', "__"))
}

#[test]
fn the_usual_variable_sets_the_log_level_below_our_own_and_never_stops_the_program() {
    let level = |farm: Farm| farm.load().config.logging.level.directives().to_owned();
    let file = || Farm::new().file("logging: {level: warn}");
    assert_eq!(level(file().env("RUST_LOG", "debug,scheduler=trace")), "debug,cue_scheduler=trace");
    assert_eq!(level(file().env("RUST_LOG", "debug").env("OPENSCHEDULER_LOGGING__LEVEL", "error")), "error");
    assert_eq!(level(file().env("RUST_LOG", " ")), "warn");
    let loaded = file().env("RUST_LOG", "app[span]=debug").load();
    assert_eq!(loaded.config.logging.level.directives(), "warn");
    assert!(warnings(&loaded)[0].starts_with("environment variable RUST_LOG: it is not read"), "{loaded:?}");
    let origin = Place::Environment("RUST_LOG".to_owned());
    assert_eq!(file().env("RUST_LOG", "off").load().origin("logging.level"), &origin);
}

#[test]
fn what_holds_can_be_written_down_and_read_again() {
    const EVERYTHING: &str = "
logging: {level: 'debug;sqlx=info', format: json, file_appender: yes, path: '/var/log/cue scheduler.log'}
queue:
  monitor_interval: 90s
  selfish_services: ['arnold', 'a, b', 'say \"x\"', '-', '~', '#1', 'é: y']
  mem_reserved_min: 1500MB
  frame_memory_soft_limit: 1e0
  host_booking_strategy: {max_candidates: 7, weights: {gpus: -0.5}}
scheduler: {facility: 'null', drain_timeout: 1m 5s}
rqd: {dry_run_mode: on}
";
    for text in ["", EVERYTHING] {
        let loaded = Config::from_text("f.yaml", text).unwrap();
        let shown = loaded.effective();
        let lines = shown.iter().filter_map(|it| Some(format!("{}: {}\n", it.key.path, it.value.as_ref()?)));
        let written: String = lines.collect();
        let again = Config::from_text("again.yaml", &written).unwrap_or_else(|errors| panic!("{errors}\n{written}"));
        let mut expected = loaded.config.clone();
        // What a form comes down to is written, not how it was asked for.
        expected.queue.host_booking_strategy = again.config.queue.host_booking_strategy.clone();
        assert_eq!(again.config, expected, "{written}");
        let strategy = |loaded: &Loaded| loaded.config.queue.host_booking_strategy.choice();
        assert_eq!(strategy(&again), strategy(&loaded), "{written}");
        assert!(!written.contains("db_pass:"), "{written}");
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
