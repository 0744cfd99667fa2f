//! What every object has: its name, its owner, and labels by which it is found again.

use std::collections::BTreeMap;

use kube::Resource as _;
use serde_json::{Map, Value, json};

use super::Kind;
use crate::crd::SchedulerDeployment;
use crate::labels;
use crate::wanted::{Owner, Wanted, WantedFacility};

/// The reference by which the cluster removes what a removed resource owned.
pub fn owner_reference(owner: &Owner) -> Value {
    json!({
        "apiVersion": SchedulerDeployment::api_version(&()),
        "kind": SchedulerDeployment::kind(&()),
        "name": owner.name,
        "uid": owner.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A manifest's beginning: kind, name, labels, annotations, owner.
pub(super) fn manifest(kind: Kind, name: &str, wanted: &Wanted, facility: Option<&WantedFacility>) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {
            "name": name,
            "namespace": wanted.owner.namespace,
            "labels": labels(wanted, facility),
            "annotations": annotations(wanted, facility),
            "ownerReferences": [owner_reference(&wanted.owner)],
        },
    })
}

/// Adds to a part of a manifest that is an object.
pub(super) fn extend(part: &mut Value, more: impl IntoIterator<Item = (String, Value)>) {
    if !part.is_object() {
        *part = Value::Object(Map::new());
    }
    if let Value::Object(fields) = part {
        fields.extend(more);
    }
}

/// The labels of objects and pods: what people want, and over it what the operator needs.
pub(super) fn labels(wanted: &Wanted, facility: Option<&WantedFacility>) -> BTreeMap<String, String> {
    let mut labels = wanted.labels.clone();
    labels.extend(facility.iter().flat_map(|facility| facility.labels.clone()));
    labels.extend(labels::selector(&wanted.owner.name, facility.map(|facility| facility.names.slug.as_str())));
    labels.insert(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned());
    labels.insert("app.kubernetes.io/part-of".to_owned(), "opencue".to_owned());
    labels
}

/// The annotations of objects and pods.
pub(super) fn annotations(wanted: &Wanted, facility: Option<&WantedFacility>) -> BTreeMap<String, String> {
    let mut annotations = wanted.annotations.clone();
    if let Some(facility) = facility {
        annotations.extend(facility.annotations.clone());
        annotations.insert(labels::FACILITY.to_owned(), facility.name.clone());
    }
    annotations
}
