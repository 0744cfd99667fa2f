//! The keys as a schema of `OpenAPI`, for a Kubernetes resource that takes a scheduler.yaml as one of its fields.
//!
//! It is made from the table of keys and not from the types that values are read into: it has to let through whatever
//! loads. So every key is optional and none has a default (a default would be written into each resource, and win over
//! a common value when two are merged), numbers and sizes may be texts, and at every level unknown keys are kept, which
//! would otherwise vanish without a word before [`crate::Config::from_json`] could name them.

use serde_json::{Map, Value, json};

use crate::key::{Key, keys};
use crate::kind::Kind;

/// The schema of a value with these sections and keys; `takes` says which keys it has.
pub fn schema(description: &str, takes: impl Fn(&Key) -> bool) -> Value {
    let mut root = Map::new();
    for key in keys().iter().filter(|key| takes(key)) {
        let mut section = &mut root;
        let mut path = key.path.split('.').peekable();
        while let Some(name) = path.next() {
            if path.peek().is_none() {
                section.insert(name.to_owned(), leaf(key));
                break;
            }
            let inner = section.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(next) = inner else { break };
            section = next;
        }
    }
    object(root, Some(description))
}

/// A section: what is collected in it are keys, which have a description, and further sections, which have none.
fn object(entries: Map<String, Value>, description: Option<&str>) -> Value {
    let properties: Map<String, Value> = entries
        .into_iter()
        .map(|(name, entry)| match entry {
            Value::Object(inner) if !inner.contains_key("description") => (name, object(inner, None)),
            leaf => (name, leaf),
        })
        .collect();
    let mut schema = json!({
        "type": "object",
        // A section whose keys are all commented out.
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": properties,
    });
    if let Some(description) = description {
        schema["description"] = json!(description);
    }
    schema
}

fn leaf(key: &Key) -> Value {
    let mut schema = match key.kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Real | Kind::RealAboveZero => json!({ "type": "number" }),
        Kind::Whole { .. } | Kind::Duration { .. } | Kind::Bytes => integer_or_text(),
        // A tag may look like a number.
        Kind::Texts | Kind::Wholes { .. } => json!({ "type": "array", "items": integer_or_text() }),
        Kind::Text | Kind::Secret | Kind::Path | Kind::OneOf(_) | Kind::LogFilter => json!({ "type": "string" }),
    };
    if key.optional {
        schema["nullable"] = json!(true);
    }
    schema["description"] = json!(description(key));
    schema
}

fn integer_or_text() -> Value {
    json!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] })
}

fn description(key: &Key) -> String {
    let text = key.meaning.replace('`', "");
    let kind = match key.kind {
        // The type says it already.
        Kind::Flag | Kind::Text | Kind::Texts | Kind::Path | Kind::Real => String::new(),
        kind => format!(" A value is {kind}."),
    };
    match &key.default {
        Some(default) => format!("{text}{kind} Default: {default}."),
        None => format!("{text}{kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema at a key's path.
    fn at<'s>(schema: &'s Value, path: &str) -> &'s Value {
        path.split('.').fold(schema, |schema, name| &schema["properties"][name])
    }

    #[test]
    fn every_key_has_its_place_its_meaning_and_no_default() {
        let schema = schema("All.", |_| true);
        for key in keys() {
            let leaf = at(&schema, &key.path);
            let description = leaf["description"].as_str().unwrap_or_default();
            assert!(description.starts_with(&key.meaning.replace('`', "")), "{}: {description}", key.path);
        }
        let text = schema.to_string();
        assert!(!text.contains("\"default\"") && !text.contains("\"required\""), "a default would hide a common value");
    }

    #[test]
    fn every_section_keeps_what_it_does_not_know() {
        let schema = schema("All.", |_| true);
        for path in ["queue", "queue.stream", "queue.host_booking_strategy.weights", "database"] {
            assert_eq!(at(&schema, path)["x-kubernetes-preserve-unknown-fields"], true, "{path}");
            assert_eq!(at(&schema, path)["nullable"], true, "{path}");
        }
    }

    #[test]
    fn keys_that_are_not_taken_are_not_there_and_neither_is_a_section_without_keys() {
        let schema = schema("Some.", |key| !key.path.starts_with("database.") && key.path != "queue.metrics_port");
        assert!(at(&schema, "database").is_null());
        assert!(at(&schema, "queue.metrics_port").is_null());
        assert_eq!(at(&schema, "queue.worker_threads")["x-kubernetes-int-or-string"], true);
    }
}
