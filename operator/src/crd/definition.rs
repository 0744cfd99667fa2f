//! The CustomResourceDefinition, made from the types and from the table of scheduler.yaml's keys.

use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::SchedulerDeployment;
use crate::{scheduler_yaml, yaml};

/// Most bytes of the definition as JSON. Client-side `kubectl apply` keeps a copy in an annotation of at most 262,144 bytes.
pub const SIZE_MAX: usize = 200_000;

/// The definition as an object.
pub fn definition() -> Value {
    let mut definition = serde_json::to_value(SchedulerDeployment::crd()).unwrap_or_default();
    let version = &mut definition["spec"]["versions"][0];
    let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    for (place, about) in [
        (&["config"][..], "The keys of scheduler.yaml that all facilities share"),
        (&["facilityDefaults", "properties", "config"], "Keys of scheduler.yaml, as spec.config"),
        (&["facilities", "items", "properties", "config"], "Keys of scheduler.yaml, merged over spec.config"),
    ] {
        let field = place.iter().fold(&mut *spec, |schema, name| &mut schema[*name]);
        let description = field["description"].as_str().unwrap_or(about).to_owned();
        // What each key means stands once: the definition would be too large otherwise.
        let mut schema =
            cue_scheduler_config::schema(&description, |key| scheduler_yaml::elsewhere(&key.path).is_none());
        if place.len() > 1 {
            shorten(&mut schema["properties"]);
        }
        *field = schema;
    }
    tidy(&mut definition);
    definition
}

/// The definition as the file in `crds/`.
pub fn definition_yaml() -> Result<String, yaml::WriteError> {
    let head = "# Made by `cue-scheduler-operator crd` from operator/src/crd; a test fails when it is old.\n";
    Ok(format!("{head}{}", yaml::write(&definition())?))
}

/// Replaces the meanings of keys by a pointer to where they stand.
fn shorten(properties: &mut Value) {
    let Some(properties) = properties.as_object_mut() else { return };
    for (_, schema) in properties {
        match schema.get("properties") {
            Some(_) => shorten(&mut schema["properties"]),
            None => schema["description"] = json!("As in spec.config."),
        }
    }
}

/// Descriptions in one line, as `kubectl explain` wraps them itself; and no formats that Kubernetes does not know.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                fields.remove("format");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_enough_for_client_side_apply_and_etcd() {
        let size = definition().to_string().len();
        println!("the definition has {size} bytes as JSON, {} as YAML", definition_yaml().unwrap().len());
        assert!(size <= SIZE_MAX, "{size} bytes");
    }

    #[test]
    fn every_field_says_what_it_is() {
        fn walk(schema: &Value, path: &str, silent: &mut Vec<String>) {
            if let Some(properties) = schema["properties"].as_object() {
                for (name, schema) in properties {
                    let path = format!("{path}.{name}");
                    // Sections of scheduler.yaml are told by their keys.
                    let is_section = path.contains(".config.") && schema["properties"].is_object();
                    if schema["description"].as_str().is_none_or(str::is_empty) && !is_section {
                        silent.push(path.clone());
                    }
                    walk(schema, &path, silent);
                    walk(&schema["items"], &format!("{path}[]"), silent);
                }
            }
        }
        let definition = definition();
        let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut silent = Vec::new();
        walk(root, "", &mut silent);
        silent.retain(|path| path.starts_with(".spec.") || path.starts_with(".status."));
        assert_eq!(silent, [""; 0]);
    }

    #[test]
    fn no_key_of_scheduler_yaml_has_a_default_or_is_required() {
        let text = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            ["config"]
            .to_string();
        assert!(text.contains("worker_threads") && !text.contains("\"default\"") && !text.contains("\"required\""));
    }
}
