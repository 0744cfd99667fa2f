//! What somebody else has changed of what the operator applied, and who. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use crate::labels::{HAND_OVER_MANAGER, MANAGER};

/// A field that is not as it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where: `spec.replicas`.
    pub path: String,
    /// Who has it now.
    pub manager: String,
}

/// The fields of a manifest that are otherwise in the live object, and belong to somebody else there. What only looks otherwise,
/// such as `1000m` for `1`, belongs to us and is not named.
pub fn changes(manifest: &Value, live: &Value, managers: &[ManagedFieldsEntry]) -> Vec<Change> {
    let mut paths = Vec::new();
    differences(&mut Vec::new(), manifest, live, &mut paths);
    let mut changes: Vec<Change> = paths
        .iter()
        .filter_map(|path| {
            let others = managers.iter().filter(|entry| {
                let name = entry.manager.as_deref().unwrap_or_default();
                ![MANAGER, HAND_OVER_MANAGER].contains(&name) && entry.subresource.as_deref() != Some("status")
            });
            let mut owners =
                others.filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0, path)));
            let manager = owners.next()?.manager.clone().filter(|name| !name.is_empty())?;
            Some(Change { path: path.join("."), manager })
        })
        .collect();
    changes.dedup();
    changes
}

/// Paths of values in a manifest that are otherwise in the live object; into lists it does not look.
fn differences(path: &mut Vec<String>, manifest: &Value, live: &Value, found: &mut Vec<Vec<String>>) {
    match (manifest, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (name, wanted) in wanted {
                path.push(name.clone());
                differences(path, wanted, live.get(name).unwrap_or(&Value::Null), found);
                path.pop();
            }
        }
        (Value::Array(wanted), Value::Array(live)) => {
            let is_there = |item: &Value| live.iter().any(|live| contains(live, item));
            if !wanted.iter().all(is_there) {
                found.push(path.clone());
            }
        }
        (wanted, live) if wanted == live => {}
        // Nothing and an empty object are the same to Kubernetes.
        (Value::Object(wanted), Value::Null) if wanted.is_empty() => {}
        _ => found.push(path.clone()),
    }
}

/// Whether a live value has everything of another; defaults that the API server filled in are no difference.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| live.get(name).is_some_and(|live| contains(live, wanted)))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            wanted.iter().all(|wanted| live.iter().any(|live| contains(live, wanted)))
        }
        (live, wanted) => live == wanted,
    }
}

/// Whether a set of fields has the path, or something below it.
fn owns(fields: &Value, path: &[String]) -> bool {
    let mut fields = fields;
    for name in path {
        match fields.get(format!("f:{name}")) {
            Some(below) => fields = below,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    fn manager(name: &str, subresource: Option<&str>, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(name.to_owned()),
            subresource: subresource.map(str::to_owned),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn who_changed_a_field_is_named_with_it() {
        let manifest = json!({ "spec": { "replicas": 3, "template": { "spec": { "containers": [{ "name": "a", "image": "x" }] } } } });
        let live = json!({ "spec": { "replicas": 5, "template": { "spec": { "containers": [{ "name": "a", "image": "y" }] } } } });
        let managers = [
            manager(MANAGER, None, json!({ "f:spec": { "f:replicas": {}, "f:template": {} } })),
            manager("kubectl", Some("scale"), json!({ "f:spec": { "f:replicas": {} } })),
            manager("kubectl-edit", None, json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": {} } } } })),
        ];
        let named: Vec<_> = changes(&manifest, &live, &managers).into_iter().map(|c| (c.path, c.manager)).collect();
        let expected = [("spec.replicas", "kubectl"), ("spec.template.spec.containers", "kubectl-edit")];
        assert_eq!(named, expected.map(|(path, manager)| (path.to_owned(), manager.to_owned())));
    }

    #[test]
    fn what_only_looks_otherwise_is_nobodys_change() {
        let manifest = json!({ "spec": { "cpu": "1000m", "empty": {}, "list": [{ "name": "a" }] } });
        let live =
            json!({ "spec": { "cpu": "1", "list": [{ "name": "a", "protocol": "TCP" }, { "name": "injected" }] } });
        let managers = [
            manager(MANAGER, None, json!({ "f:spec": { "f:cpu": {} } })),
            manager("kube-controller-manager", Some("status"), json!({ "f:spec": { "f:cpu": {} } })),
        ];
        assert_eq!(changes(&manifest, &live, &managers), []);
    }
}
