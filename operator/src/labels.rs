//! Labels, annotations and names that objects of the operator carry.

use std::collections::BTreeMap;

/// Who applies objects: the field manager, and the value of `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "cue-scheduler-operator";
/// Who applies the number of replicas when an autoscaler takes it over.
pub const HAND_OVER_MANAGER: &str = "cue-scheduler-operator-hand-over";

/// The recommended label that says who looks after an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The recommended label that names the program.
pub const NAME: &str = "app.kubernetes.io/name";
/// The recommended label that names the resource an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The program's name.
pub const PROGRAM: &str = "cue-scheduler";

/// Which facility an object belongs to: the slug of its name. As an annotation: its exact name.
pub const FACILITY: &str = "scheduler.opencue.io/facility";
/// On pods, and by that on each `ReplicaSet`: the hash of the configuration that they mount.
pub const CONFIG_HASH: &str = "scheduler.opencue.io/config-hash";
/// On pods: which versions of Secrets they were started with.
pub const SECRET_REVISION: &str = "scheduler.opencue.io/secret-revision";
/// On Deployments: the hash of the pod template that the operator made.
pub const TEMPLATE_HASH: &str = "scheduler.opencue.io/template-hash";

/// On Deployments: the hash of what of the pod template all facilities have in common.
pub const COMMON_HASH: &str = "scheduler.opencue.io/common-hash";

/// How labels of the operator itself begin; nobody else may set these.
pub const PREFIX: &str = "scheduler.opencue.io/";

/// What all objects of the operator carry, by which it watches them.
pub fn watched() -> String {
    format!("{MANAGED_BY}={MANAGER}")
}

/// The labels that pods of a resource are selected by, of one facility or of all. They never change for an object that is there.
pub fn selector(resource: &str, facility: Option<&str>) -> BTreeMap<String, String> {
    let mut labels =
        BTreeMap::from([(NAME.to_owned(), PROGRAM.to_owned()), (INSTANCE.to_owned(), resource.to_owned())]);
    labels.extend(facility.map(|slug| (FACILITY.to_owned(), slug.to_owned())));
    labels
}

/// A selector as `kubectl --selector` takes it.
pub fn selector_text(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Whether the operator sets this label itself.
pub fn is_ours(key: &str) -> bool {
    key.starts_with(PREFIX) || [MANAGED_BY, NAME, INSTANCE].contains(&key)
}
