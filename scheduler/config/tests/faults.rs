//! What loading refuses and what it warns of: the line for each fault, and what never appears in one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

mod support;

use std::ffi::OsString;
use std::fs;

use cue_scheduler_config::{Config, FILE_VARIABLE, idle_keys};
use support::{Farm, faults, warnings};

#[test]
fn a_variable_without_a_section_is_not_read_and_says_so() {
    let farm = Farm::new()
        .env("OPENSCHEDULER_QUEUE_WORKER_THREADS", "99")
        .env("OPENSCHEDULER_PORT_8080_TCP", "tcp://10.0.0.1:8080")
        .env("OPENSCHEDULER_SENTRY_DSN", "https://key@example/1");
    let loaded = farm.load();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(
        warnings(&loaded),
        [
            "environment variable OPENSCHEDULER_PORT_8080_TCP: it is not read: the name has no section \
             (OPENSCHEDULER_SECTION__KEY)",
            "environment variable OPENSCHEDULER_QUEUE_WORKER_THREADS: it is not read; `queue.worker_threads` is \
             set by OPENSCHEDULER_QUEUE__WORKER_THREADS",
            "environment variable OPENSCHEDULER_SENTRY_DSN: `sentry_dsn`: it has no meaning here and is not read: \
             errors are in the log and in the metrics; no tracker is built in",
        ]
    );
}

#[test]
fn faults_in_the_environment_name_the_variable() {
    let farm = Farm::new()
        .env("OPENSCHEDULER_QUEUE__WORKER_THREAD", "3")
        .env("OPENSCHEDULER_QUEUE__METRICS_PORT", "many")
        .env("OPENSCHEDULER_QUEUE__METRICS_PORT[0]", "1")
        .env("OPENSCHEDULER_queue.stream", "1")
        .env("OPENSCHEDULER_rqd.grpc_port", "1")
        .env("OPENSCHEDULER_rqd__grpc_port", "2");
    assert_eq!(
        farm.faults(),
        "environment variable OPENSCHEDULER_QUEUE__METRICS_PORT: `queue.metrics_port`: found the text \"many\"; \
         allowed is a whole number from 0 to 65535, for example 9090\n\
         environment variable OPENSCHEDULER_QUEUE__METRICS_PORT[0]: `queue.metrics_port`: it is not a list, so it \
         has no items in brackets\n\
         environment variable OPENSCHEDULER_QUEUE__WORKER_THREAD: `queue.worker_thread`: there is no such key; did \
         you mean `queue.worker_threads`?\n\
         environment variable OPENSCHEDULER_queue.stream: `queue.stream`: it is a section; a variable sets one key \
         of it\n\
         environment variable OPENSCHEDULER_rqd__grpc_port: `rqd.grpc_port`: it is given twice: also by \
         OPENSCHEDULER_rqd.grpc_port"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let farm = Farm::new().env("OPENSCHEDULER_DATABASE__DB_NAME", OsString::from_vec(vec![0xff]));
    assert!(farm.faults().ends_with("`database.db_name`: its value is not UTF-8 text"));
}

/// A document with one fault, and its whole report.
const FAULTS: &[(&str, &str)] = &[
    (
        "queue:\n  worker_threads: four\n",
        "f.yaml:2: `queue.worker_threads`: found the text \"four\"; allowed is a whole number from 1 to 1024, \
             for example 4",
    ),
    (
        "queue: {worker_threads: 0}",
        "f.yaml:1: `queue.worker_threads`: found the number 0; allowed is a whole number from 1 to 1024, for \
             example 4",
    ),
    (
        "queue: {monitor_interval: 30}",
        "f.yaml:1: `queue.monitor_interval`: found the number 30; allowed is a duration with its unit (ms, s, m, \
             h or d) of at least 1ms, for example 5s",
    ),
    (
        "queue: {memory_stranded_threshold: big}",
        "f.yaml:1: `queue.memory_stranded_threshold`: found the text \"big\"; allowed is a number of bytes, or a \
             number with a unit (MB, MiB, GB or GiB), for example 2GiB",
    ),
    (
        "rqd: {dry_run_mode: [1]}",
        "f.yaml:1: `rqd.dry_run_mode`: found a list; allowed is true or false (also yes, no, on, off, 1, 0), for \
             example false",
    ),
    (
        "queue: {frame_memory_soft_limit: 0}",
        "f.yaml:1: `queue.frame_memory_soft_limit`: found the number 0; allowed is a number above 0, for example \
             1.6",
    ),
    (
        "database: {db_host: ~}",
        "f.yaml:1: `database.db_host`: found nothing; allowed is a text that is not empty, for example localhost",
    ),
    (
        "scheduler: {ignore_tags: one}",
        "f.yaml:1: `scheduler.ignore_tags`: found the text \"one\"; allowed is a list of texts, for example \
             [one, two]",
    ),
    (
        "logging: {level: infoo}",
        "f.yaml:1: `logging.level`: found the text \"infoo\"; allowed is error, warn, info, debug, trace or off, \
             and after commas target=level, for example info",
    ),
    (
        "logging: {format: xml}",
        "f.yaml:1: `logging.format`: found the text \"xml\"; allowed is text or json, for example text",
    ),
    ("queue: 5", "f.yaml:1: `queue`: found a number; it is a section and takes keys on lines of their own below it"),
    ("- queue\n", "f.yaml:1: found a list where the sections should be, for example `queue: {worker_threads: 4}`"),
    ("Databse:\n  db_host: x\n", "f.yaml:1: `Databse`: there is no such key; did you mean `database`?"),
    ("colour: red", "f.yaml:1: `colour`: there is no such key"),
    ("queue:\n  grpc_port: 1\n", "f.yaml:2: `queue.grpc_port`: there is no such key; did you mean `rqd.grpc_port`?"),
    (
        "queue:\n  worker_threads: 1\n  Worker_Threads: 1\n",
        "f.yaml:3: `queue.Worker_Threads`: it is given twice: also in line 2 as `queue.worker_threads`",
    ),
    (
        "queue:\n  host_candidate_attemps_per_layer: 1\n  host_candidate_attempts_per_layer: 1\n",
        "f.yaml:3: `queue.host_candidate_attempts_per_layer`: it is given twice: also in line 2 as \
             `queue.host_candidate_attemps_per_layer`",
    ),
    ("queue:\n  worker_threads: 1\n  worker_threads: 1\n", "f.yaml:3: the key \"worker_threads\" stands twice"),
    (
        "queue:\n  host_booking_strategy: {type: epvm}\n",
        "f.yaml:2: `queue.host_booking_strategy.max_candidates`: the form `epvm` needs it: how many hosts are \
             scored, for example 20",
    ),
    (
        "queue:\n  host_booking_strategy:\n    type: saturation\n    max_candidates: 3\n",
        "f.yaml:4: `queue.host_booking_strategy.max_candidates`: the form `saturation` has no such key",
    ),
    (
        "queue:\n  host_booking_strategy: {type: best}\n",
        "f.yaml:2: `queue.host_booking_strategy.type`: found the text \"best\"; allowed is saturation or epvm, for \
             example saturation",
    ),
    (
        "queue:\n  host_booking_strategy: {type: epvm, max_candidates: few}\n",
        "f.yaml:2: `queue.host_booking_strategy.max_candidates`: found the text \"few\"; allowed is a whole number \
             from 1 to 1000000, for example 20",
    ),
    ("\"a\\nb\": 1\n", "f.yaml:1: `a\\nb`: there is no such key"),
];

#[test]
fn every_fault_has_a_line_that_says_what_would_be_right() {
    for (yaml, expected) in FAULTS {
        assert_eq!(faults(yaml), *expected, "{yaml}");
    }
}

#[test]
fn all_faults_come_in_one_report() {
    let farm = Farm::new()
        .file("queue:\n  worker_threads: 0\n  monitor_interval: 5\nrqd:\n  grpc_prt: 1\n")
        .env("OPENSCHEDULER_DATABASE__DB_PORT", "0");
    let report = farm.faults();
    let places: Vec<_> = report.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "scheduler.yaml:2",
            "scheduler.yaml:3",
            "scheduler.yaml:5",
            "environment variable OPENSCHEDULER_DATABASE__DB_PORT"
        ]
    );
}

#[test]
fn a_fault_counts_also_where_a_later_source_replaces_it() {
    let farm = Farm::new().file("queue: {worker_threads: 0}").env("OPENSCHEDULER_QUEUE__WORKER_THREADS", "3");
    assert!(farm.faults().starts_with("scheduler.yaml:1: `queue.worker_threads`"));
}

#[test]
fn values_that_made_upstream_panic_or_idle_are_refused() {
    for yaml in [
        "queue: {worker_threads: 0}",
        "queue: {manual_tags_chunk_size: 0}",
        "queue: {hostname_tags_chunk_size: 0}",
        "queue: {active_scan_interval: 0s}",
        "queue: {cluster_reload_interval: 0s}",
        "queue: {monitor_interval: 0s}",
        "queue: {host_candidate_attempts_per_layer: 0}",
        "queue: {dispatch_frames_per_layer_limit: 0}",
        "queue: {max_jobs_per_cluster_pass: -1}",
        "queue: {metrics_port: 70000}",
        "queue: {frame_memory_hard_limit: .nan}",
        "booking: {chunk_frames: 0}",
        "database: {pool_size: 1}",
        "database: {db_port: 0}",
        "rqd: {grpc_port: 0}",
        "rqd: {call_timeout: 0s}",
        "host_cache: {monitoring_interval: 0s}",
        "host_cache: {concurrent_fetch_permit: 0}",
        "host_cache: {host_staleness_threshold: 0s}",
        "accounting: {recompute_interval: 0s}",
    ] {
        assert_eq!(faults(yaml).lines().count(), 1, "{yaml}");
    }
}

/// Values that are right alone and can't be so together.
const MISFITS: &[(&str, &str)] = &[
    (
        "database:\n  db_pass: x\n  db_pass_file: /x\n",
        "f.yaml:3: `database.db_pass_file`: `database.db_pass` is given too; keep one of them",
    ),
    (
        "database:\n  sslmode: verify-ca\n",
        "f.yaml:2: `database.sslmode`: verify-ca needs `database.ssl_root_cert`: any authority of the system would do \
             otherwise, for any server; verify-full does without",
    ),
    (
        "database:\n  ssl_root_cert: /x\n",
        "f.yaml:2: `database.ssl_root_cert`: no certificate is looked at, since `database.sslmode` is prefer; it takes \
             require, verify-ca or verify-full",
    ),
    (
        "database:\n  ssl_cert: /x\n",
        "f.yaml:2: `database.ssl_cert`: it needs `database.ssl_key`; a certificate and its key go together",
    ),
    (
        "database:\n  ssl_key: /x\n",
        "f.yaml:2: `database.ssl_key`: it needs `database.ssl_cert`; a certificate and its key go together",
    ),
    (
        "database: {sslmode: disable, ssl_cert: /x, ssl_key: /x}",
        "f.yaml:1: `database.ssl_cert`: it is shown over TLS only, and `database.sslmode` is disable",
    ),
];

#[test]
fn values_that_do_not_fit_together_are_faults_at_the_key_that_is_given() {
    for (yaml, expected) in MISFITS {
        assert_eq!(faults(yaml), *expected, "{yaml}");
    }
}

#[test]
fn misfits_stand_in_the_report_beside_other_faults_and_not_for_values_that_were_not_read() {
    let text = "queue: {worker_threads: 0}\ndatabase:\n  sslmode: verify_ca\n  ssl_root_cert: /x\n  ssl_key: /x\n";
    let report = faults(text);
    let places: Vec<_> = report.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["f.yaml:1", "f.yaml:3", "f.yaml:5"], "{report}");
}

#[test]
fn a_later_source_can_mend_what_does_not_fit() {
    let mut farm = Farm::new();
    let authority = farm.write("ca.pem", "");
    farm = farm.file(&format!("database: {{ssl_root_cert: {}}}", authority.display()));
    assert!(farm.faults().contains("no certificate is looked at"));
    let farm = farm.env("OPENSCHEDULER_DATABASE__SSLMODE", "verify-full");
    assert_eq!(warnings(&farm.load()), [""; 0]);
}

#[test]
fn what_works_otherwise_than_it_reads_is_a_warning() {
    for (yaml, key, words) in [
        ("logging: {path: /x}", "logging.path", "no file is written"),
        ("queue: {cluster_saturated_sleep: 7s}", "queue.cluster_saturated_sleep", "cut to the 5s"),
        ("database: {pool_size: 4}", "database.pool_size", "4 connections are fewer than the 6"),
        ("queue: {stream: {cluster_buffer_size: 40}}", "database.pool_size", "fewer than the 43"),
        ("scheduler: {drain_timeout: 3s}", "scheduler.drain_timeout", "an agent may take 15s to answer"),
        ("rqd: {call_timeout: 30s}", "scheduler.drain_timeout", "35s"),
        ("rqd: {max_channels: 9}", "rqd.max_channels", "256 launches"),
    ] {
        let loaded = Config::from_text("f.yaml", yaml).unwrap();
        let [warning] = &loaded.warnings[..] else { panic!("{yaml}: {:?}", loaded.warnings) };
        assert_eq!(warning.key.as_deref(), Some(key), "{yaml}");
        assert!(warning.to_string().starts_with("f.yaml:1: ") && warning.message.contains(words), "{warning}");
    }
}

#[test]
fn every_file_that_the_configuration_names_must_be_readable() {
    let farm = Farm::new().file(
        "database:\n  sslmode: verify-full\n  db_pass_file: /nowhere/password\n  ssl_root_cert: /nowhere/ca.pem\n  \
         ssl_cert: /nowhere/cert.pem\n  ssl_key: /nowhere/key.pem\n",
    );
    let report = farm.faults();
    assert_eq!(report.lines().count(), 4, "{report}");
    assert!(
        report.starts_with(
            "scheduler.yaml:3: `database.db_pass_file`: the file /nowhere/password can't be read: No such file"
        ),
        "{report}"
    );
}

#[test]
fn a_soft_memory_limit_above_the_hard_one_is_a_warning() {
    let loaded = Config::from_text("f.yaml", "queue: {frame_memory_soft_limit: 3}").unwrap();
    assert_eq!(
        warnings(&loaded),
        [
            "f.yaml:1: `queue.frame_memory_soft_limit`: the soft limit 3 lies above the hard limit 2, so it will never be met"
        ]
    );
}

#[test]
fn keys_without_a_meaning_load_with_one_warning_each() {
    for idle in idle_keys() {
        let loaded = Config::from_text("f.yaml", &format!("{}: anything", idle.path)).unwrap();
        assert_eq!(loaded.config, Config::default());
        let expected = format!("f.yaml:1: `{}`: it has no meaning here and is not read: {}", idle.path, idle.why);
        assert_eq!(warnings(&loaded), [expected]);
    }
}

#[test]
fn a_lenient_load_only_warns_of_unknown_keys() {
    let mut farm = Farm::new().file("queue: {worker_thread: 3}\n").env("OPENSCHEDULER_QUEUE__WORKER_THREAD", "3");
    farm.sources.lenient = true;
    let loaded = farm.load();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings.len(), 2);
    assert!(warnings(&loaded)[0].contains("did you mean `queue.worker_threads`?"));
}

#[test]
fn a_named_file_must_exist() {
    let mut farm = Farm::new();
    farm.sources.file = Some(farm.path("gone.yaml"));
    assert!(farm.faults().starts_with("gone.yaml: it can't be read: No such file"));

    let farm = Farm::new();
    let gone = farm.path("gone.yaml");
    let farm = farm.env(FILE_VARIABLE, gone);
    assert!(farm.faults().starts_with("gone.yaml: it can't be read: No such file"));

    let farm = Farm::new().env(FILE_VARIABLE, "");
    assert!(farm.faults().starts_with("environment variable OPENCUE_SCHEDULER_CONFIG: it is empty"));
}

#[test]
fn a_file_that_can_not_be_read_names_the_reason() {
    let mut farm = Farm::new();
    farm.sources.file = Some(farm.directory.path().to_owned());
    assert!(farm.faults().contains("it can't be read: Is a directory"));

    let path = farm.path("latin.yaml");
    fs::write(&path, b"scheduler: {facility: caf\xe9}").unwrap();
    farm.sources.file = Some(path);
    assert_eq!(farm.faults(), "latin.yaml: it is not UTF-8 text");

    farm.sources.file = Some(farm.write("scheduler.toml", "[queue]\nworker_threads = 3\n"));
    assert_eq!(farm.faults(), "scheduler.toml: a .toml file is not read here; write it as YAML or JSON");
}

#[test]
fn no_secret_appears_in_any_report_or_debug_text() {
    let documents = [
        "database: {db_pass: [hunter2]}",
        "database: {db_pass: {hunter2: x}}",
        "database: {db_passwd: hunter2}",
        "database: {db_pass: hunter2, db_port: x}",
        "database:\n  db_pass: \"hunter2\n",
        "database:\n  db_pass: *hunter2\n",
        "database: hunter2",
        "db_pass: hunter2",
        "sentry_dsn: https://hunter2@example/1\nqueue: 1",
        "hunter2",
    ];
    for text in documents {
        let errors = Config::from_text("f.yaml", text).expect_err(text);
        assert!(!errors.to_string().contains("hunter2"), "{text}: {errors}");
        assert!(!format!("{errors:?}").contains("hunter2"), "{text}");
    }
    let loaded = Farm::new()
        .file("database: {db_pass: hunter2}\nsentry_dsn: hunter2\n")
        .env("OPENSCHEDULER_DATABASE_DB_PASS", "hunter2")
        .load();
    assert_eq!(loaded.config.database.db_pass.expose(), "hunter2");
    assert!(!format!("{loaded:?}{:?}", warnings(&loaded)).contains("hunter2"));
}
