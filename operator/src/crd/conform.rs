//! What the API server would say of a resource by its schema, without one: fields that there are not, values of another type,
//! what is missing. Patterns and rules of CEL are left to it; [`crate::reconcile::validate`] says the same in its own words.

use cue_scheduler_config::distance;
use serde_json::Value;

use super::definition;

/// What does not fit the schema, a line each.
pub fn conform(resource: &Value) -> Vec<String> {
    let definition = definition();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut faults = Vec::new();
    for part in ["spec", "status"] {
        match resource.get(part) {
            Some(value) => walk(part, &schema["properties"][part], value, &mut faults),
            None if part == "spec" => faults.push("spec: it is missing".to_owned()),
            None => {}
        }
    }
    faults
}

fn walk(path: &str, schema: &Value, value: &Value, faults: &mut Vec<String>) {
    if value.is_null() {
        if schema["nullable"] != true {
            faults.push(format!("{path}: it has no value"));
        }
        return;
    }
    if let Some(expected) = other_type(schema, value) {
        faults.push(format!("{path}: found {}, expected {expected}", what(value)));
        return;
    }
    bounds(path, schema, value, faults);
    match value {
        Value::Object(fields) => {
            let known = schema["properties"].as_object();
            for (name, value) in fields {
                let path = format!("{path}.{}", name.escape_debug());
                match known.and_then(|known| known.get(name)) {
                    Some(schema) => walk(&path, schema, value, faults),
                    None if schema["additionalProperties"].is_object() => {
                        walk(&path, &schema["additionalProperties"], value, faults);
                    }
                    None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
                    None => faults.push(format!("{path}: there is no such field{}", nearest(name, schema))),
                }
            }
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !fields.contains_key(name) {
                    faults.push(format!("{path}.{name}: it is missing"));
                }
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                walk(&format!("{path}[{position}]"), &schema["items"], item, faults);
            }
        }
        _ => {}
    }
}

/// The type that the schema asks for, if the value is of another.
fn other_type(schema: &Value, value: &Value) -> Option<&'static str> {
    if schema["x-kubernetes-int-or-string"] == true {
        return (!value.is_string() && !value.is_i64() && !value.is_u64()).then_some("a whole number or a text");
    }
    match schema["type"].as_str()? {
        "object" => (!value.is_object()).then_some("an object"),
        "array" => (!value.is_array()).then_some("a list"),
        "string" => (!value.is_string()).then_some("a text"),
        "integer" => (!value.is_i64() && !value.is_u64()).then_some("a whole number"),
        "number" => (!value.is_number()).then_some("a number"),
        "boolean" => (!value.is_boolean()).then_some("true or false"),
        _ => None,
    }
}

fn what(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        // A text may be a secret that went astray.
        Value::String(_) => "a text".to_owned(),
        scalar => scalar.to_string(),
    }
}

fn bounds(path: &str, schema: &Value, value: &Value, faults: &mut Vec<String>) {
    let words: Vec<&str> = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if value.as_str().is_some_and(|text| !words.is_empty() && !words.contains(&text)) {
        faults.push(format!("{path}: allowed is {}", words.join(" or ")));
    }
    if let (Some(number), Some(least)) = (value.as_f64(), schema["minimum"].as_f64())
        && number < least
    {
        faults.push(format!("{path}: found {value}, at least {least} is allowed"));
    }
    if let (Some(number), Some(most)) = (value.as_f64(), schema["maximum"].as_f64())
        && number > most
    {
        faults.push(format!("{path}: found {value}, at most {most} is allowed"));
    }
    let length = match value {
        Value::String(text) => Some((text.chars().count(), "minLength", "maxLength", "letters")),
        Value::Array(items) => Some((items.len(), "minItems", "maxItems", "items")),
        _ => None,
    };
    if let Some((length, least, most, unit)) = length {
        if schema[least].as_u64().is_some_and(|least| (length as u64) < least) {
            faults.push(format!("{path}: found {length} {unit}, at least {} are needed", schema[least]));
        }
        if schema[most].as_u64().is_some_and(|most| length as u64 > most) {
            faults.push(format!("{path}: found {length} {unit}, at most {} are allowed", schema[most]));
        }
    }
}

fn nearest(name: &str, schema: &Value) -> String {
    let known = schema["properties"].as_object().into_iter().flatten().map(|(known, _)| known);
    let near = known.map(|known| (distance(known, name), known)).min();
    let near = near.filter(|(edits, known)| *edits <= (known.chars().count() / 3).max(2));
    near.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(spec: &Value) -> Vec<String> {
        conform(&json!({ "spec": spec }))
    }

    fn database() -> Value {
        json!({ "host": "postgres", "credentialsSecretRef": { "name": "cuebot-db" } })
    }

    #[test]
    fn a_sound_resource_is_let_through() {
        let config = json!({ "queue": { "worker_threads": "8", "any": 1, "stream": null }, "Own": {} });
        let facility = json!({ "name": "spi", "tolerations": [{ "any": "thing" }], "labels": { "a": "b" } });
        assert_eq!(said(&json!({ "database": database(), "config": config, "facilities": [facility] })), [""; 0]);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let facility = json!({ "name": "spi", "replcas": 2, "suspend": "yes", "labels": { "a": 1 }, "config": 5 });
        let spec = json!({
            "database": { "port": 70_000, "sslMode": "sometimes", "credentialsSecretRef": {} },
            "facilities": [facility, { "name": "x".repeat(40) }],
            "paused": null,
        });
        let expected = [
            "spec.database.credentialsSecretRef.name: it is missing",
            "spec.database.port: found 70000, at most 65535 is allowed",
            "spec.database.sslMode: allowed is disable or prefer or require or verify-ca or verify-full",
            "spec.facilities[0].config: found 5, expected an object",
            "spec.facilities[0].labels.a: found 1, expected a text",
            "spec.facilities[0].replcas: there is no such field; did you mean replicas?",
            "spec.facilities[0].suspend: found a text, expected true or false",
            "spec.facilities[1].name: found 40 letters, at most 36 are allowed",
        ];
        assert_eq!(said(&spec), expected);
        assert_eq!(conform(&json!({})), ["spec: it is missing"]);
    }
}
