//! Whether a value is what a type of Kubernetes says, with no field that the type does not have.
//!
//! Types of Kubernetes let unknown fields through. So a value is read and written again: what is missing then was not known.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What is wrong with the value, a line each; nothing if it is what the type says.
pub fn faults<T: DeserializeOwned + Serialize>(value: &Value) -> Vec<String> {
    let typed: T = match serde_json::from_value(value.clone()) {
        Ok(typed) => typed,
        Err(error) => return vec![error.to_string()],
    };
    let mut lost = Vec::new();
    match serde_json::to_value(typed) {
        Ok(known) => compare("", value, &known, &mut lost),
        Err(error) => lost.push(error.to_string()),
    }
    lost
}

fn compare(path: &str, given: &Value, known: &Value, lost: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (name, value) in given {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match known.get(name) {
                    Some(known) => compare(&path, value, known, lost),
                    None if value.is_null() => {}
                    None => lost.push(format!("`{}`: there is no such field", path.escape_debug())),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (position, (given, known)) in given.iter().zip(known).enumerate() {
                compare(&format!("{path}[{position}]"), given, known, lost);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_type_has_is_let_through() {
        let pod = json!({ "containers": [{ "name": "x", "env": [{ "name": "A", "value": "1" }] }], "affinity": null });
        assert_eq!(faults::<PodSpec>(&pod), [""; 0]);
    }

    #[test]
    fn what_it_has_not_is_named_with_its_place() {
        let pod = json!({ "containers": [{ "name": "x", "imag": "y" }], "node_selector": {} });
        let said = ["`containers[0].imag`: there is no such field", "`node_selector`: there is no such field"];
        assert_eq!(faults::<PodSpec>(&pod), said);
        assert!(faults::<PodSpec>(&json!({ "containers": "none" }))[0].contains("invalid type"));
    }
}
