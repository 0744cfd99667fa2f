//! Which values a chart takes. Of the farm's chart most come from the definition of the resource, as it is published.

use std::collections::BTreeSet;

use cue_scheduler_config::{idle_keys, keys};
use cue_scheduler_operator::{crd, scheduler_yaml};
use serde_json::{Map, Value, json};

use crate::{check, value};

/// The values of the farm's chart that are no fields of the resource's spec.
fn own() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let words = || json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let image = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "repository": { "type": "string", "minLength": 1 },
            "tag": { "type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$" },
            "pullPolicy": { "enum": ["Always", "IfNotPresent", "Never"] },
            "pullSecrets": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["name"],
                    "properties": { "name": { "type": "string", "minLength": 1 } },
                },
            },
        },
    });
    let waits = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "image": image, "timeout": { "type": "string", "pattern": "^[0-9]+(s|m|h)$" } },
    });
    let own = json!({
        "global": { "type": "object" },
        "name": text(),
        "labels": words(),
        "annotations": words(),
        "test": waits,
    });
    own.as_object().unwrap().clone()
}

/// A schema of the definition as Helm's JSON schema: a field that there is not is refused, where the API server would drop it.
fn plain(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else { return schema.clone() };
    let mut made = Map::new();
    for (name, part) in fields {
        let part = match name.as_str() {
            "properties" => {
                part.as_object().unwrap().iter().map(|(name, schema)| (name.clone(), plain(schema))).collect()
            }
            "items" | "additionalProperties" => plain(part),
            // Kubernetes' own words, and formats that Helm does not know.
            "format" | "nullable" => continue,
            name if name.starts_with("x-kubernetes-") => continue,
            _ => part.clone(),
        };
        made.insert(name.clone(), part);
    }
    let is_open =
        fields.contains_key("x-kubernetes-preserve-unknown-fields") || fields.contains_key("additionalProperties");
    if fields.contains_key("properties") && !is_open {
        made.insert("additionalProperties".to_owned(), json!(false));
    }
    // An empty value is left out of the resource; nothing here tells it from one that is unset.
    if fields.get("nullable") == Some(&json!(true)) {
        return json!({ "anyOf": [made, { "type": "null" }] });
    }
    Value::Object(made)
}

/// The spec's schema, as the definition has it.
fn spec() -> Value {
    crd::definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].take()
}

/// Lets the keys of scheduler.yaml be those that there are, under all their names. The definition lets any through, so that the operator
/// can name the nearest; whoever sets values is told at once.
fn close_config(config: &mut Value) {
    let pointer = |path: &str| format!("/properties/{}", path.replace('.', "/properties/"));
    let may_be_set = |path: &str| scheduler_yaml::elsewhere(path).is_none();
    let aliases =
        keys().iter().flat_map(|key| key.aliases.iter().map(|alias| (alias.as_str(), Some(key.path.as_str()))));
    let idle = idle_keys().iter().map(|key| (key.path, None));
    for (path, same_as) in aliases.chain(idle).filter(|(path, same_as)| may_be_set(same_as.unwrap_or(path))) {
        let schema = match same_as {
            Some(key) => config.pointer(&pointer(key)).unwrap_or_else(|| panic!("{key}")).clone(),
            None => json!({ "description": "It is taken, and has no meaning here." }),
        };
        let mut section = &mut *config;
        for name in path.split('.') {
            section = &mut section["properties"][name];
        }
        *section = schema;
    }
    close(config);
}

/// No section takes what it does not name.
fn close(section: &mut Value) {
    let Some(fields) = section.as_object_mut().filter(|fields| fields.contains_key("properties")) else { return };
    fields.remove("x-kubernetes-preserve-unknown-fields");
    fields["properties"].as_object_mut().unwrap().values_mut().for_each(close);
}

fn farm() -> Value {
    let mut spec = spec();
    for config in [
        "/properties/config",
        "/properties/facilityDefaults/properties/config",
        "/properties/facilities/items/properties/config",
    ] {
        close_config(spec.pointer_mut(config).unwrap());
    }
    let spec = plain(&spec);
    let mut properties = own();
    for (name, mut schema) in spec["properties"].as_object().unwrap().clone() {
        // Empty is unset: it is how values.yaml shows what there is.
        if name == "compatibility" {
            schema["anyOf"][0]["enum"].as_array_mut().unwrap().push(json!(""));
        }
        let taken = properties.insert(name.clone(), schema);
        assert!(taken.is_none(), "{name} is a field of the spec and a value of the chart's own");
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of cue-scheduler",
        "description": "Made by operator/tests/charts/schema.rs from the definition of the resource; a test fails when it is old.",
        "type": "object",
        "additionalProperties": false,
        "required": spec["required"],
        "properties": properties,
    })
}

#[test]
fn the_values_of_a_farm_are_those_of_its_resource() {
    check("cue-scheduler/values.schema.json", &(serde_json::to_string_pretty(&farm()).unwrap() + "\n"));
}

/// The names that a part of the values may have; none for what is anybody's.
fn names(schema: &Value, root: &Value) -> Option<BTreeSet<String>> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => &root["definitions"][reference.rsplit('/').next().unwrap()],
        None => schema,
    };
    let is_closed = schema["additionalProperties"] == json!(false);
    is_closed.then(|| schema["properties"].as_object().unwrap().keys().cloned().collect())
}

/// Values and schema name the same: what can be set is shown, and what is shown can be set.
fn compare(values: &Value, schema: &Value, root: &Value, path: &str, faults: &mut Vec<String>) {
    let Some(named) = names(schema, root) else { return };
    let shown: BTreeSet<String> = values.as_object().unwrap().keys().cloned().collect();
    let unshown = named.difference(&shown).filter(|name| *name != "global");
    faults.extend(unshown.map(|name| format!("{path}.{name} can be set and is not in values.yaml")));
    faults.extend(shown.difference(&named).map(|name| format!("{path}.{name} is in values.yaml and can't be set")));
    for name in shown.intersection(&named) {
        compare(&values[name], &schema["properties"][name], root, &format!("{path}.{name}"), faults);
    }
}

#[test]
fn values_and_schemas_name_the_same() {
    let mut faults = Vec::new();
    let operator = value("cue-scheduler-operator/values.schema.json");
    compare(&value("cue-scheduler-operator/values.yaml"), &operator, &operator, "operator", &mut faults);
    // A field of the spec is told by the resource; only its first level is shown.
    let mut farm = farm();
    for name in spec()["properties"].as_object().unwrap().keys() {
        farm["properties"][name] = json!({});
    }
    compare(&value("cue-scheduler/values.yaml"), &farm, &farm, "farm", &mut faults);
    assert_eq!(faults, [""; 0]);
}
