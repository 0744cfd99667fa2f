//! The table of refusals, for the command and for the API server alike.

use std::path::Path;

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

/// The cases of `refused.yaml`.
pub fn table() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused.yaml");
    let table: Vec<Value> = yaml::read(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(table.len() > 40);
    table
}

/// A sound resource with a case of the table laid over it.
pub fn resource(case: &Value) -> Value {
    let mut spec = json!({
        "database": { "host": "postgres", "credentialsSecretRef": { "name": "cuebot-db" } },
        "facilities": [{ "name": "spi" }],
    });
    for (field, value) in case["spec"].as_object().into_iter().flatten() {
        match (spec[field].as_object_mut(), value) {
            (Some(fields), Value::Object(more)) => fields.extend(more.clone()),
            _ => spec[field] = value.clone(),
        }
    }
    json!({
        "apiVersion": "scheduler.opencue.io/v1alpha1",
        "kind": "SchedulerDeployment",
        "metadata": { "name": case["name"].as_str().unwrap_or("farm"), "namespace": "default" },
        "spec": spec,
    })
}
