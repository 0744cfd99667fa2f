//! `spec.config`: a studio's scheduler.yaml, checked by the scheduler's own crate and merged facility over common.
//!
//! Names of keys are taken as the scheduler takes them: in any letter case, and under every name that was published. Merging
//! needs one spelling, so [`merge`] writes all names as the reference has them. Values are never shown in a refusal of a key
//! that has its place elsewhere: one of them is a password.

use std::collections::BTreeMap;

use cue_scheduler_config::{Config, Key, distance, keys};
use serde_json::{Map, Value};

use crate::yaml;

/// The one value that is a choice and not a section: it is replaced whole.
const STRATEGY: &str = "queue.host_booking_strategy";

/// Keys that another field of the resource has, or that make no sense in a pod, and what to do instead.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("database.db_host", "set spec.database.host"),
    ("database.db_port", "set spec.database.port"),
    ("database.db_name", "set spec.database.name"),
    ("database.db_user", "it comes from the Secret of spec.database.credentialsSecretRef"),
    ("database.db_pass", "it comes from the Secret of spec.database.credentialsSecretRef"),
    ("database.db_pass_file", "the password comes from the Secret of spec.database.credentialsSecretRef"),
    ("database.pool_size", "set spec.database.poolSize"),
    ("database.sslmode", "set spec.database.sslMode"),
    ("database.ssl_root_cert", "set spec.database.ca"),
    ("database.ssl_cert", "set spec.database.clientCertificateSecretRef"),
    ("database.ssl_key", "set spec.database.clientCertificateSecretRef"),
    ("database.direct_host", "set spec.database.directHost"),
    ("database.direct_port", "set spec.database.directPort"),
    ("scheduler.facility", "each of spec.facilities has a name"),
    ("scheduler.ignore_tags", "set ignoreTags of the spec or of a facility"),
    ("queue.metrics_port", "it is 9090, which the Services lead to"),
    ("logging.file_appender", "a pod's log goes to standard output, where the cluster collects it"),
    ("logging.path", "a pod's log goes to standard output, where the cluster collects it"),
    ("queue.empty_job_cycles_before_quiting", "a scheduler that ends is started again"),
];

/// What to do instead of setting this key, if it has no place in a resource.
pub fn elsewhere(path: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(key, _)| *key == path).map(|(_, instead)| *instead)
}

/// Checks one `config` by itself. `name` says which, such as `spec.config`. Each fault is a line.
pub fn check(name: &str, config: &Map<String, Value>) -> Vec<String> {
    let mut given = Vec::new();
    paths("", config, &mut given);
    let mut faults: Vec<String> = Vec::new();
    for written in &given {
        let path = canonical(&written.to_lowercase());
        // A misspelt password must not be shown with its value either.
        let near_secret = path.starts_with("database.") && ELSEWHERE.iter().any(|(key, _)| distance(key, &path) <= 2);
        if let Some(instead) = elsewhere(&path) {
            faults.push(format!("{name}: `{}`: it has no place here: {instead}", written.escape_debug()));
        } else if near_secret || path.starts_with("database.db_") {
            let written = written.escape_debug();
            faults.push(format!("{name}: `{written}`: there is no such key; the database is set in spec.database"));
        }
    }
    if faults.is_empty()
        && let Err(errors) = Config::from_json(name, &Value::Object(config.clone()))
    {
        faults.extend(errors.faults().iter().map(ToString::to_string));
    }
    faults
}

/// A configuration with the keys of another over it, all names as the reference has them. Sections are merged key by key;
/// lists and the booking strategy are replaced whole.
pub fn merge(common: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = normal("", common);
    lay_over("", &mut merged, normal("", over));
    merged
}

fn lay_over(prefix: &str, under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        let path = format!("{prefix}{name}");
        match (under.get_mut(&name), value) {
            (Some(Value::Object(section)), Value::Object(keys)) if path != STRATEGY => {
                lay_over(&format!("{path}."), section, keys);
            }
            // A section whose keys are all commented out says nothing.
            (Some(Value::Object(_)), Value::Null) if path != STRATEGY => {}
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

/// The same with every name as the reference has it.
fn normal(prefix: &str, config: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in config {
        let path = canonical(&format!("{prefix}{}", name.to_lowercase()));
        let name = path.strip_prefix(prefix).unwrap_or(&path).to_owned();
        let value = match value {
            Value::Object(section) => Value::Object(normal(&format!("{path}."), section)),
            other => other.clone(),
        };
        out.insert(name, value);
    }
    out
}

/// A path in lower case by the name that the reference has for it.
fn canonical(path: &str) -> String {
    let key = keys().iter().find(|key| key.aliases.iter().any(|alias| alias == path));
    key.map_or_else(|| path.to_owned(), |key| key.path.clone())
}

/// The paths of all values, as they were written.
fn paths(prefix: &str, config: &Map<String, Value>, found: &mut Vec<String>) {
    for (name, value) in config {
        let path = format!("{prefix}{name}");
        match value {
            Value::Object(section) => paths(&format!("{path}."), section, found),
            _ => found.push(path),
        }
    }
}

/// The text of scheduler.yaml: a configuration, and over it what other fields of the resource say, by path.
pub fn render(config: &Map<String, Value>, fields: &BTreeMap<&'static str, Value>) -> Result<String, yaml::WriteError> {
    let mut all = config.clone();
    for (path, value) in fields {
        let mut section = &mut all;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                section.insert(name.to_owned(), value.clone());
                break;
            }
            let inner = section.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            let Value::Object(next) = inner else { break };
            section = next;
        }
    }
    yaml::write(&Value::Object(all))
}

/// Whether a configuration, with its names as the reference has them, has a value at a path.
pub fn is_set(config: &Map<String, Value>, path: &str) -> bool {
    let mut names = path.split('.');
    let first = names.next().and_then(|name| config.get(name));
    names.fold(first, |value, name| value.and_then(|value| value.get(name))).is_some_and(|value| !value.is_null())
}

/// Takes out what the retired scheduler does not know: keys that are this program's own.
pub fn retain_upstream(config: &mut Map<String, Value>) {
    for key in keys().iter().filter(|key| is_own(key)) {
        remove(config, &key.path);
    }
}

/// The reference says so of each.
fn is_own(key: &Key) -> bool {
    key.path.starts_with("booking.") || key.meaning.contains("of this program's own")
}

/// Takes out a key by its path, and with it sections that have nothing else.
pub fn remove(config: &mut Map<String, Value>, path: &str) {
    let Some((first, rest)) = path.split_once('.') else {
        config.remove(path);
        return;
    };
    if let Some(Value::Object(section)) = config.get_mut(first) {
        remove(section, rest);
        if section.is_empty() {
            config.remove(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_other_fields_say_is_refused_in_any_letter_case_and_without_its_value() {
        for (config, key) in [
            (json!({ "database": { "db_pass": "hunter2" } }), "database.db_pass"),
            (json!({ "DATABASE": { "DB_Pass": "hunter2" } }), "DATABASE.DB_Pass"),
            (json!({ "database": { "db_pas": "hunter2" } }), "database.db_pas"),
            (json!({ "database": { "db_password": "hunter2" } }), "database.db_password"),
            (json!({ "database": { "pool_size": "hunter2" } }), "database.pool_size"),
            (json!({ "scheduler": { "facility": "hunter2" } }), "scheduler.facility"),
            (json!({ "scheduler": { "ignore_tags": ["hunter2"] } }), "scheduler.ignore_tags"),
            (json!({ "queue": { "metrics_port": 9091 } }), "queue.metrics_port"),
            (json!({ "queue": { "empty_job_cycles_before_quitting": 1 } }), "queue.empty_job_cycles_before_quitting"),
            (json!({ "logging": { "path": "hunter2" } }), "logging.path"),
        ] {
            let faults = check("spec.config", &map(config));
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(key) && !faults[0].contains("hunter2"), "{faults:?}");
        }
    }

    #[test]
    fn a_fault_names_its_place_and_the_nearest_key() {
        let faults = check("spec.config", &map(json!({ "queue": { "worker_thread": 4, "monitor_interval": 5 } })));
        assert!(faults[0].contains("spec.config: `queue.monitor_interval`: found the number 5"), "{faults:?}");
        assert!(faults[1].contains("did you mean `queue.worker_threads`?"), "{faults:?}");
    }

    #[test]
    fn every_key_without_a_place_here_is_a_key() {
        for (path, _) in ELSEWHERE {
            assert!(keys().iter().any(|key| key.path == *path), "{path}");
        }
    }

    #[test]
    fn sections_merge_key_by_key_and_lists_and_the_strategy_whole() {
        let common = map(json!({
            "queue": {
                "worker_threads": 4, "selfish_services": ["a", "b"], "monitor_interval": "5s",
                "host_booking_strategy": { "type": "saturation", "core_saturation": true },
            },
            "rqd": { "grpc_port": 8444 },
        }));
        let over = map(json!({
            "Queue": {
                "worker_threads": 8, "selfish_services": ["c"],
                "host_booking_strategy": { "type": "epvm", "max_candidates": 20 },
            },
            "rqd": null,
        }));
        let merged = json!({
            "queue": {
                "worker_threads": 8, "selfish_services": ["c"], "monitor_interval": "5s",
                "host_booking_strategy": { "type": "epvm", "max_candidates": 20 },
            },
            "rqd": { "grpc_port": 8444 },
        });
        assert_eq!(Value::Object(merge(&common, &over)), merged);
    }

    #[test]
    fn two_published_names_of_one_key_are_one_key() {
        let common = map(json!({ "queue": { "host_candidate_attempts_per_layer": 10 } }));
        let over = map(json!({ "queue": { "host_candidate_attemps_per_layer": 20 } }));
        let merged = merge(&common, &over);
        assert_eq!(Value::Object(merged), json!({ "queue": { "host_candidate_attempts_per_layer": 20 } }));
    }

    #[test]
    fn the_rendered_file_loads_and_says_what_the_fields_say() {
        let config = map(json!({ "queue": { "worker_threads": 8 }, "scheduler": null }));
        let fields = BTreeMap::from([
            ("database.db_host", json!("postgres.opencue.svc")),
            ("scheduler.ignore_tags", json!(["12", "old"])),
        ]);
        let text = render(&config, &fields).unwrap();
        let loaded = Config::from_text("scheduler.yaml", &text).unwrap();
        assert_eq!(loaded.config.queue.worker_threads, 8);
        assert_eq!(loaded.config.database.db_host, "postgres.opencue.svc");
        assert_eq!(loaded.config.scheduler.ignore_tags, ["12", "old"]);
    }

    #[test]
    fn the_retired_scheduler_gets_only_keys_that_it_knows() {
        let mut config = map(json!({
            "booking": { "chunk_frames": 50 },
            "rqd": { "grpc_port": 8444, "call_timeout": "5s" },
            "scheduler": { "drain_timeout": "5s" },
            "logging": { "format": "json", "level": "debug" },
        }));
        retain_upstream(&mut config);
        let known = json!({ "rqd": { "grpc_port": 8444 }, "logging": { "level": "debug" } });
        assert_eq!(Value::Object(config.clone()), known);
        assert!(is_set(&config, "logging.level") && !is_set(&config, "logging.format") && !is_set(&config, "queue.x"));
        assert!(keys().iter().filter(|key| is_own(key)).count() > 15);
    }
}
