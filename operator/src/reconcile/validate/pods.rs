//! Fields that are kept as they come: whether they are what Kubernetes takes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, PodTemplateSpec, Toleration, TopologySpreadConstraint, Volume, VolumeMount,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Faults, foreign_label};
use crate::crd::FacilitySettings;
use crate::desired::{OWN_VARIABLES, OWN_VOLUMES};
use crate::{strategic_merge, typed as types};

/// Checks a value against a type of Kubernetes; null is no value.
pub(super) fn typed<T: DeserializeOwned + Serialize>(place: &str, value: &Value, faults: &mut Faults) {
    if !value.is_null() {
        for fault in types::faults::<T>(value) {
            faults.spec(format!("{place}: {fault}"));
        }
    }
}

/// Checks the pod-level fields of a facility, or of what facilities have in common.
pub(super) fn settings(place: &str, settings: &FacilitySettings, faults: &mut Faults) {
    let FacilitySettings {
        config: _,
        resources: _,
        node_selector,
        tolerations,
        affinity,
        topology_spread_constraints,
        priority_class_name: _,
        env,
        volumes,
        volume_mounts,
        labels: given_labels,
        annotations: _,
    } = settings;
    typed::<Vec<Toleration>>(&format!("{place}.tolerations"), &json!(tolerations), faults);
    typed::<Affinity>(&format!("{place}.affinity"), &json!(affinity), faults);
    let spread = json!(topology_spread_constraints);
    typed::<Vec<TopologySpreadConstraint>>(&format!("{place}.topologySpreadConstraints"), &spread, faults);
    typed::<Vec<EnvVar>>(&format!("{place}.env"), &json!(env), faults);
    typed::<Vec<Volume>>(&format!("{place}.volumes"), &json!(volumes), faults);
    typed::<Vec<VolumeMount>>(&format!("{place}.volumeMounts"), &json!(volume_mounts), faults);
    named(&format!("{place}.env"), env.as_deref(), OWN_VARIABLES, faults);
    named(&format!("{place}.volumes"), volumes.as_deref(), OWN_VOLUMES, faults);
    labels(&format!("{place}.labels"), given_labels.as_ref().unwrap_or(&BTreeMap::new()), faults);
    for (key, value) in node_selector.iter().flatten() {
        if !is_label_value(value) {
            faults.spec(format!("{place}.nodeSelector: {key:?}: {value:?} is no value of a label"));
        }
    }
}

/// Items need a name, and not one of the operator's.
fn named(place: &str, items: Option<&[Map<String, Value>]>, ours: &[&str], faults: &mut Faults) {
    for item in items.unwrap_or_default() {
        match item.get("name").and_then(Value::as_str) {
            None | Some("") => faults.spec(format!("{place}: each item needs a name")),
            Some(name) if ours.contains(&name) => {
                faults.spec(format!("{place}: {name} is set by the operator; podTemplate can replace it"));
            }
            Some(_) => {}
        }
    }
}

/// Labels that anybody may set.
pub(super) fn labels(place: &str, labels: &BTreeMap<String, String>, faults: &mut Faults) {
    for (key, value) in labels {
        if !foreign_label(key) {
            faults.spec(format!("{place}: {key} is set by the operator"));
        } else if !is_label_key(key) {
            faults.spec(format!("{place}: {key:?} is no name of a label"));
        } else if !is_label_value(value) {
            faults.spec(format!(
                "{place}: {key}: {value:?} is no value of a label: at most 63 letters, digits, -, _ and ."
            ));
        }
    }
}

fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_domain = |prefix: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        !prefix.is_empty() && prefix.len() <= 253 && prefix.chars().all(allowed)
    };
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_domain)
}

fn is_label_value(value: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && ends(value.chars().next())
        && ends(value.chars().last())
}

/// The pod template that is laid over all, once it is sure that it can be.
pub(super) fn template(template: Option<&Map<String, Value>>, faults: &mut Faults) -> Map<String, Value> {
    let template = template.cloned().unwrap_or_default();
    let mut alone = Map::new();
    match strategic_merge::merge(&mut alone, &template) {
        Ok(()) => typed::<PodTemplateSpec>("spec.podTemplate", &Value::Object(alone), faults),
        Err(fault) => faults.spec(format!("spec.podTemplate: {fault}")),
    }
    let given = template.get("metadata").and_then(|metadata| metadata.get("labels")).and_then(Value::as_object);
    for key in given.into_iter().flat_map(Map::keys).filter(|key| !foreign_label(key)) {
        faults.spec(format!("spec.podTemplate.metadata.labels: {key} is set by the operator"));
    }
    template
}
