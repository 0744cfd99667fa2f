//! A pod template laid over another, as `kubectl patch --type strategic` does it.
//!
//! Objects are merged field by field; null takes a field away. Lists whose items have a name are merged item by item, new
//! items at the end, and `$patch: delete` takes an item away; all other lists are replaced. Of an environment variable's
//! `value` and `valueFrom` the one that is laid over stays alone.

use serde_json::{Map, Value};

/// By what the items of a list are told apart, as the types of Kubernetes say it.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("initContainers", "name"),
    ("env", "name"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("volumes", "name"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("resourceClaims", "name"),
];

const DIRECTIVE: &str = "$patch";

/// Lays one object over another. What can't be done is an error that names the place.
pub fn merge(under: &mut Map<String, Value>, over: &Map<String, Value>) -> Result<(), String> {
    objects("", under, over)
}

fn objects(path: &str, under: &mut Map<String, Value>, over: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in over {
        let path = format!("{path}{name}");
        if name.starts_with('$') {
            return Err(format!("`{path}`: only `{DIRECTIVE}: delete` of a list's item is understood"));
        }
        match value {
            Value::Null => {
                under.remove(name);
            }
            Value::Object(over) => {
                let inner = under.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if !inner.is_object() {
                    *inner = Value::Object(Map::new());
                }
                if let Value::Object(inner) = inner {
                    objects(&format!("{path}."), inner, over)?;
                }
            }
            Value::Array(over) => match MERGE_KEYS.iter().find(|(list, _)| list == name) {
                Some((_, key)) => {
                    let items = under.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                    if !items.is_array() {
                        *items = Value::Array(Vec::new());
                    }
                    if let Value::Array(items) = items {
                        lists(&path, key, items, over)?;
                    }
                }
                None => {
                    under.insert(name.clone(), value.clone());
                }
            },
            scalar => {
                under.insert(name.clone(), scalar.clone());
            }
        }
    }
    exclude(under, over);
    Ok(())
}

/// A value and where it comes from exclude each other.
fn exclude(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (given, other) in [("value", "valueFrom"), ("valueFrom", "value")] {
        if over.get(given).is_some_and(|value| !value.is_null()) && !over.contains_key(other) {
            under.remove(other);
        }
    }
}

fn lists(path: &str, key: &str, under: &mut Vec<Value>, over: &[Value]) -> Result<(), String> {
    for item in over {
        let (Value::Object(item), Some(id)) = (item, item.get(key)) else {
            return Err(format!("`{path}`: each item needs a `{key}`"));
        };
        let position = under.iter().position(|known| known.get(key) == Some(id));
        if let Some(directive) = item.get(DIRECTIVE) {
            if directive != "delete" {
                return Err(format!("`{path}`: only `{DIRECTIVE}: delete` is understood"));
            }
            position.map(|position| under.remove(position));
            continue;
        }
        let mut merged = match position.map(|position| &mut under[position]) {
            Some(Value::Object(known)) => std::mem::take(known),
            _ => Map::new(),
        };
        objects(&format!("{path}[{id}]."), &mut merged, item)?;
        match position {
            Some(position) => under[position] = Value::Object(merged),
            None => under.push(Value::Object(merged)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(under: Value, over: Value) -> Result<Value, String> {
        let (Value::Object(mut under), Value::Object(over)) = (under, over) else { panic!("not objects") };
        merge(&mut under, &over).map(|()| Value::Object(under))
    }

    #[test]
    fn each_rule_of_a_strategic_merge_holds() {
        let table = [
            (
                "fields",
                json!({ "a": 1, "b": { "c": 2 } }),
                json!({ "b": { "d": 3 } }),
                json!({ "a": 1, "b": { "c": 2, "d": 3 } }),
            ),
            (
                "null deletes",
                json!({ "a": 1, "b": { "c": 2 } }),
                json!({ "b": { "c": null } }),
                json!({ "a": 1, "b": {} }),
            ),
            ("null of nothing", json!({}), json!({ "a": { "b": null } }), json!({ "a": {} })),
            (
                "items by name, order kept, new ones last",
                json!({ "containers": [{ "name": "a", "image": "x", "tty": true }, { "name": "b" }] }),
                json!({ "containers": [{ "name": "c" }, { "name": "a", "image": "y" }] }),
                json!({ "containers": [{ "name": "a", "image": "y", "tty": true }, { "name": "b" }, { "name": "c" }] }),
            ),
            (
                "mounts by path",
                json!({ "volumeMounts": [{ "name": "v", "mountPath": "/a" }] }),
                json!({ "volumeMounts": [{ "name": "w", "mountPath": "/a" }] }),
                json!({ "volumeMounts": [{ "name": "w", "mountPath": "/a" }] }),
            ),
            (
                "value replaces valueFrom",
                json!({ "env": [{ "name": "A", "valueFrom": { "fieldRef": {} } }] }),
                json!({ "env": [{ "name": "A", "value": "1" }] }),
                json!({ "env": [{ "name": "A", "value": "1" }] }),
            ),
            (
                "valueFrom replaces value",
                json!({ "env": [{ "name": "A", "value": "1" }] }),
                json!({ "env": [{ "name": "A", "valueFrom": { "x": 1 } }] }),
                json!({ "env": [{ "name": "A", "valueFrom": { "x": 1 } }] }),
            ),
            ("other lists whole", json!({ "args": ["a", "b"] }), json!({ "args": ["c"] }), json!({ "args": ["c"] })),
            (
                "an item goes",
                json!({ "volumes": [{ "name": "a" }, { "name": "b" }] }),
                json!({ "volumes": [{ "name": "a", "$patch": "delete" }, { "name": "z", "$patch": "delete" }] }),
                json!({ "volumes": [{ "name": "b" }] }),
            ),
        ];
        for (rule, under, over, expected) in table {
            assert_eq!(merged(under, over), Ok(expected), "{rule}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        for over in [
            json!({ "spec": { "$patch": "replace" } }),
            json!({ "spec": { "volumes": [{ "name": "a", "$patch": "merge" }] } }),
            json!({ "spec": { "volumes": [{ "emptyDir": {} }] } }),
            json!({ "spec": { "volumes": ["a"] } }),
        ] {
            assert!(merged(json!({}), over.clone()).unwrap_err().contains("`spec."), "{over}");
        }
    }
}
