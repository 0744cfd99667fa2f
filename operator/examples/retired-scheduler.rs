//! A stand-in for the scheduler that OpenCue retired: it takes the flags, variables and keys that that one took and refuses
//! everything else, so that a test shows that what is rendered would start it. It books nothing.
//!
//! It listens where `RETIRED_ADDRESS` says, since the port that the configuration names may be taken on the machine of a test;
//! and it answers for `/metrics` alone. What it understood it prints as a line of JSON.
#![allow(clippy::panic, missing_docs, reason = "a bad configuration ended the retired scheduler with a panic too")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

use clap::Parser;
use cue_scheduler_operator::yaml;
use serde_json::{Map, Value, json};

/// The flags of the retired scheduler. Commas are not split.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[arg(short, long)]
    facility: Option<String>,
    #[arg(short, long, num_args = 1..)]
    ignore_tags: Vec<String>,
}

/// What a value of a key is.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Switch,
    Number,
    Factor,
    /// Such as `5s`.
    Duration,
    /// Such as `2GiB`.
    Size,
    Anything,
}

/// The keys that it knows. What it does not know it passed over in silence; here that is a fault, since nobody means it.
const KEYS: &[(&str, Kind)] = &[
    ("sentry_dsn", Kind::Text),
    ("logging.level", Kind::Text),
    ("logging.path", Kind::Text),
    ("logging.file_appender", Kind::Switch),
    ("queue.monitor_interval", Kind::Duration),
    ("queue.worker_threads", Kind::Number),
    ("queue.dispatch_frames_per_layer_limit", Kind::Number),
    ("queue.core_multiplier", Kind::Number),
    ("queue.memory_stranded_threshold", Kind::Size),
    ("queue.job_back_off_duration", Kind::Duration),
    ("queue.cluster_empty_sleep", Kind::Duration),
    ("queue.cluster_saturated_sleep", Kind::Duration),
    ("queue.cluster_reload_interval", Kind::Duration),
    ("queue.active_scan_interval", Kind::Duration),
    ("queue.stream.cluster_buffer_size", Kind::Number),
    ("queue.stream.job_buffer_size", Kind::Number),
    ("queue.max_jobs_per_cluster_pass", Kind::Number),
    ("queue.manual_tags_chunk_size", Kind::Number),
    ("queue.hostname_tags_chunk_size", Kind::Number),
    ("queue.host_candidate_attempts_per_layer", Kind::Number),
    ("queue.empty_job_cycles_before_quiting", Kind::Number),
    ("queue.mem_reserved_min", Kind::Size),
    ("queue.selfish_services", Kind::Texts),
    ("queue.host_booking_strategy", Kind::Anything),
    ("queue.frame_memory_soft_limit", Kind::Factor),
    ("queue.frame_memory_hard_limit", Kind::Factor),
    ("queue.metrics_port", Kind::Number),
    ("database.pool_size", Kind::Number),
    ("database.db_host", Kind::Text),
    ("database.db_name", Kind::Text),
    ("database.db_user", Kind::Text),
    ("database.db_pass", Kind::Text),
    ("database.db_port", Kind::Number),
    ("database.core_multiplier", Kind::Number),
    ("rqd.grpc_port", Kind::Number),
    ("rqd.dry_run_mode", Kind::Switch),
    ("host_cache.concurrent_groups", Kind::Number),
    ("host_cache.memory_key_divisor", Kind::Size),
    ("host_cache.checkout_timeout", Kind::Duration),
    ("host_cache.monitoring_interval", Kind::Duration),
    ("host_cache.clean_up_interval", Kind::Duration),
    ("host_cache.group_idle_timeout", Kind::Duration),
    ("host_cache.concurrent_fetch_permit", Kind::Number),
    ("host_cache.host_staleness_threshold", Kind::Duration),
    ("host_cache.update_stat_on_book", Kind::Switch),
    ("scheduler.facility", Kind::Text),
    ("scheduler.ignore_tags", Kind::Texts),
    ("accounting.recompute_interval", Kind::Duration),
    ("accounting.limit_reseed_interval", Kind::Duration),
    ("accounting.managed_shows_ttl", Kind::Duration),
];

impl Kind {
    fn fits(self, value: &Value) -> bool {
        let measured = |units: &[&str]| {
            value.as_str().is_some_and(|text| {
                let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                digits.parse::<u64>().is_ok() && units.contains(&&text[digits.len()..])
            })
        };
        match self {
            Self::Text => value.is_string(),
            Self::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            Self::Switch => value.is_boolean(),
            // Variables arrive as text.
            Self::Number => value.is_u64() || value.as_str().is_some_and(|text| text.parse::<u64>().is_ok()),
            Self::Factor => value.is_number(),
            Self::Duration => measured(&["ms", "s", "m", "h"]),
            Self::Size => measured(&["", "B", "KiB", "MiB", "GiB", "TiB"]),
            Self::Anything => value.is_object(),
        }
    }
}

/// Takes over all values of a section, by their paths in small letters.
fn flatten(prefix: &str, section: &Map<String, Value>, found: &mut Map<String, Value>) {
    for (name, value) in section {
        let path = format!("{prefix}{}", name.to_lowercase());
        match value {
            Value::Object(fields) if path != "queue.host_booking_strategy" => {
                flatten(&format!("{path}."), fields, found);
            }
            value => {
                found.insert(path, value.clone());
            }
        }
    }
}

/// The file's values, and the variables over them: with a dot between section and key.
fn configuration() -> Map<String, Value> {
    let path = std::env::var("OPENCUE_SCHEDULER_CONFIG").expect("OPENCUE_SCHEDULER_CONFIG");
    let extension = std::path::Path::new(&path).extension();
    assert!(extension.is_some_and(|extension| extension == "yaml"), "{path}: not of a registered file format");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: Map<String, Value> = yaml::read(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut values = Map::new();
    flatten("", &file, &mut values);
    for (name, value) in std::env::vars() {
        if let Some(path) = name.to_lowercase().strip_prefix("openscheduler_") {
            values.insert(path.to_owned(), json!(value));
        }
    }
    for (path, value) in &values {
        let known = KEYS.iter().find(|(key, _)| key == path);
        let (_, kind) = known.unwrap_or_else(|| panic!("{path}: no such key"));
        assert!(kind.fits(value), "{path}: {value}");
    }
    values
}

/// Answers one request, `/metrics` alone with yes.
fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    // Nothing may be left unread, or whoever asks sees no answer.
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => request.extend_from_slice(&buffer[..length]),
            Ok(0) | Err(_) => return,
        }
    }
    let code = if request.starts_with(b"GET /metrics ") { "200 OK" } else { "404 Not Found" };
    // Who asks may be gone.
    let _ = stream.write_all(format!("HTTP/1.1 {code}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
}

fn main() -> ExitCode {
    let values = configuration();
    // Its usage errors end it with 1, and --help with 0.
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    for needed in ["database.db_host", "database.db_user", "database.db_pass"] {
        assert!(values.contains_key(needed), "{needed}: nobody can log in with its default");
    }
    let address = std::env::var("RETIRED_ADDRESS").expect("RETIRED_ADDRESS");
    let listener = TcpListener::bind(address).expect("an address that is free");
    let port = values.get("queue.metrics_port").cloned().unwrap_or(json!(9090));
    let understood = json!({ "facility": arguments.facility, "ignore_tags": arguments.ignore_tags, "port": port,
        "address": listener.local_addr().expect("an address").to_string(), "values": values });
    println!("{understood}");
    for stream in listener.incoming().flatten() {
        answer(stream);
    }
    ExitCode::SUCCESS
}
