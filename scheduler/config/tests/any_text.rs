//! Whatever a file, a variable or an argument holds, reading it ends: with a configuration or with a report of lines that a
//! person can read. It never panics, never takes long, and never shows a password.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use cue_scheduler_config::Config;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use support::Farm;

/// Reads a text as a file; how long it took is looked at, and its report has to be short.
fn read(text: &str) {
    let began = Instant::now();
    if let Err(report) = Config::from_text("f.yaml", text) {
        let report = report.to_string();
        assert!(!report.is_empty());
        assert!(report.len() < 64 * 1024 + 8 * text.len(), "a report of {} bytes", report.len());
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?} for {} bytes", began.elapsed(), text.len());
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|at| line(at) + "\n").collect()
}

#[test]
fn documents_made_to_hurt_are_refused_or_read_in_time() {
    let deep = |open: &str, close: &str| open.repeat(50_000) + "x" + &close.repeat(50_000);
    // Nine levels of nine references each: nine to the ninth leaves.
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..10 {
        let before = format!("*a{}", level - 1);
        laughs.push_str(&lines(1, |_| format!("a{level}: &a{level} [{}]", [before.as_str(); 9].join(", "))));
    }
    for text in [
        deep("[", "]"),
        deep("{a: ", "}"),
        deep("- ", ""),
        deep("? ", ""),
        deep("- ? ", ""),
        deep("!!seq - ", ""),
        deep("&a - ", ""),
        deep("[- ", ""),
        lines(2_000, |at| " ".repeat(at) + "a:"),
        laughs,
        "a: &a [*a]\n".to_owned(),
        "queue: &q\n  <<: *q\n  worker_threads: 4\n".to_owned(),
        "queue: {worker_threads: &n 4}\nhost_cache: {concurrent_groups: *n}\n".to_owned(),
        "x".repeat(1 << 20),
        "k: v\n".repeat(20_000),
        lines(20_000, |at| format!("k{at}: {at}")),
        lines(999, |at| format!("k{at}: {at}")),
        "\u{feff}queue: {worker_threads: 4}".to_owned(),
        "queue: {worker_threads: 4}\u{0}".to_owned(),
        "--- {}\n--- {}\n".to_owned(),
        "!!binary |\n  AAAA\n".to_owned(),
        "? {a: b}\n: c\n".to_owned(),
        "queue: !!python/object:os.system {}\n".to_owned(),
        "%YAML 9.9\n---\n{}\n".to_owned(),
        "\t\n".to_owned(),
        "ünï🎬: {🎬: 🎬}".to_owned(),
    ] {
        read(&text);
    }
}

#[test]
fn numbers_beyond_every_type_are_told() {
    let huge = [
        "99999999999999999999999999999999",
        "-99999999999999999999999999999999",
        "1e308",
        "1e400",
        "-1e400",
        ".inf",
        "-.inf",
        ".nan",
        "18446744073709551616",
        "9223372036854775808",
        "0x7fffffffffffffffffff",
        "0o777777777777777777777777",
        "4.5",
        "-1",
        "1_000",
        "１２",
        "99999999999999999999s",
        "99999999999999999999999999y",
        "18446744073709551615s",
        "5s 99999999999999999999ns",
        "99999999999999999999GiB",
        "18446744073709551615EiB",
        "-5GiB",
    ];
    for key in [
        "queue: {worker_threads: V}",
        "queue: {monitor_interval: V}",
        "queue: {memory_stranded_threshold: V}",
        "queue: {metrics_port: V}",
        "database: {pool_size: V}",
        "database: {db_port: V}",
        "booking: {chunk_frames: V}",
        "booking: {uncounted_exit_statuses: [V]}",
        "host_cache: {host_staleness_threshold: V}",
        "queue: {frame_memory_soft_limit: V}",
        "rqd: {call_timeout: V}",
        "queue: {stream: {job_buffer_size: V}}",
        "queue: {mem_reserved_min: V}",
    ] {
        for value in huge {
            read(&key.replace('V', value));
            read(&key.replace('V', &format!("'{value}'")));
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_the_file() {
    use std::os::unix::ffi::OsStringExt as _;
    let farm = Farm::new().file("");
    for bytes in [&b"queue: {worker_threads: \xff\xfe}"[..], b"\xff\xff\xff\xff", b"\xfe\xff\x00q\x00:", &[0; 4096]] {
        std::fs::write(farm.path("scheduler.yaml"), bytes).unwrap();
        assert!(farm.faults().contains("scheduler.yaml"), "{bytes:?}");
    }
    let odd = std::ffi::OsString::from_vec(b"4\xff".to_vec());
    let farm = Farm::new().file("{}").env("OPENSCHEDULER_QUEUE__WORKER_THREADS", odd);
    assert!(farm.faults().to_uppercase().contains("WORKER_THREADS"), "{}", farm.faults());
}

/// Texts near YAML and near ours: keys that exist, punctuation, numbers with units, anything.
fn any_document() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "queue",
        "database",
        "logging",
        "scheduler",
        "host_cache",
        "rqd",
        "worker_threads",
        "ignore_tags",
        "db_pass",
        "level",
        "host_booking_strategy",
        "type",
        "epvm",
        "saturation",
        "5s",
        "2GiB",
        "true",
        "~",
        "null",
        "1e9",
        "0x10",
        "<<",
        "&a",
        "*a",
        "!!str",
    ]);
    let mark = prop::sample::select(vec![
        ": ", ":\n  ", "\n", "- ", ", ", "{", "}", "[", "]", "'", "\"", "|\n ", ">\n ", "# ", "---\n", " ",
    ]);
    let piece = prop_oneof![
        4 => word.prop_map(str::to_owned),
        4 => mark.prop_map(str::to_owned),
        1 => "[ -~]{0,8}",
        1 => any::<String>(),
        1 => any::<i64>().prop_map(|number| number.to_string()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_read_or_told(text in any_document()) {
        read(&text);
    }

    #[test]
    fn any_bytes_are_read_or_told(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let farm = Farm::new().file("");
        std::fs::write(farm.path("scheduler.yaml"), bytes).unwrap();
        let _ = Config::load(&farm.sources);
    }

    #[test]
    fn any_variable_is_read_or_told(name in "[A-Za-z_.\\[\\]0-9]{0,30}", value in any::<String>()) {
        let farm = Farm::new().file("{}").env(&format!("OPENSCHEDULER_{name}"), value.replace('\0', ""));
        let _ = Config::load(&farm.sources);
    }

    #[test]
    fn a_password_is_in_no_report(password in "[!-~]{12,24}", broken in "[\\[\\]{}:,'\"]{1,6}") {
        for text in [
            format!("database:\n  db_pass: {password}{broken}\n  db_port: high\n"),
            format!("database: {{db_pass: [{password}]}}"),
            format!("database:\n  db_pass: {{{password}: 1}}\n"),
        ] {
            if let Err(report) = Config::from_text("f.yaml", &text) {
                prop_assert!(!report.to_string().contains(&password), "{report}");
            }
        }
    }
}
