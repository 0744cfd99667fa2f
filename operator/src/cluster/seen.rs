//! The records: of each kind of object what a reconcile needs, and no more.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;

use crate::crd::KIND;
use crate::labels;

/// What is seen of any object of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resource version, which grows.
    pub version: u64,
    /// What moves when somebody changes what the operator applied: the generation of the spec, or for kinds without one the
    /// resource version; and labels and annotations.
    pub mark: (u64, u64),
    /// The resource that controls it: name and uid.
    pub owner: Option<(String, String)>,
    /// The slug of its facility.
    pub facility: Option<String>,
    /// Whether it is on its way out.
    pub deleting: bool,
}

impl Object {
    /// The record of an object.
    pub fn of(meta: &ObjectMeta) -> Self {
        let version = meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default();
        let generation = meta.generation.filter(|generation| *generation > 0);
        let owner = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            version,
            mark: (generation.map_or(version, |generation| generation as u64), words(meta)),
            owner: owner.filter(|owner| owner.kind == KIND).map(|owner| (owner.name.clone(), owner.uid.clone())),
            facility: label(meta, labels::FACILITY),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }

    /// Whether anything but the resource version differs.
    pub fn differs(&self, other: &Self) -> bool {
        Self { version: 0, ..self.clone() } != Self { version: 0, ..other.clone() }
    }
}

fn label(meta: &ObjectMeta, key: &str) -> Option<String> {
    meta.labels.as_ref().and_then(|labels| labels.get(key)).cloned()
}

/// A hash of labels and annotations, without those that Kubernetes writes itself.
fn words(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    let theirs = |key: &str| key.starts_with("deployment.kubernetes.io/");
    let relevant = |words: &Option<BTreeMap<String, String>>| {
        let words = words.iter().flatten().filter(|(key, _)| !theirs(key));
        words.map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    relevant(&meta.labels).hash(&mut hasher);
    relevant(&meta.annotations).hash(&mut hasher);
    hasher.finish()
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentSeen {
    /// What any object has.
    pub object: Object,
    /// `spec.replicas`.
    pub replicas: i32,
    /// The hash of the pod template that the operator applied.
    pub template_hash: Option<String>,
    /// The hash of what of it all facilities have in common.
    pub common_hash: Option<String>,
    /// Whether its controller has seen the newest spec.
    pub is_observed: bool,
    /// Pods there are.
    pub total: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Why a roll-out does not get on.
    pub stalled: Option<String>,
}

impl DeploymentSeen {
    /// The record of a Deployment.
    pub fn of(deployment: &Deployment) -> Self {
        let meta = &deployment.metadata;
        let annotation = |key: &str| meta.annotations.as_ref().and_then(|words| words.get(key)).cloned();
        let status = deployment.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let stalled = conditions.into_iter().find(|condition| {
            let failed = condition.reason.as_deref() == Some("ProgressDeadlineExceeded");
            failed || (condition.type_ == "ReplicaFailure" && condition.status == "True")
        });
        Self {
            object: Object::of(meta),
            replicas: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            template_hash: annotation(labels::TEMPLATE_HASH),
            common_hash: annotation(labels::COMMON_HASH),
            is_observed: status.observed_generation >= meta.generation,
            total: status.replicas.unwrap_or_default(),
            updated: status.updated_replicas.unwrap_or_default(),
            ready: status.ready_replicas.unwrap_or_default(),
            stalled: stalled.and_then(|condition| condition.message),
        }
    }

    /// Whether all its pods are of the newest template and ready.
    pub fn is_rolled_out(&self) -> bool {
        self.is_observed && self.updated >= self.replicas && self.ready >= self.replicas && self.total <= self.replicas
    }
}

/// A pod, or a `ReplicaSet`: whose it is, and which configuration it mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follower {
    /// Its namespace.
    pub namespace: String,
    /// The name of the resource that it belongs to.
    pub resource: Option<String>,
    /// The slug of its facility.
    pub facility: Option<String>,
    /// The hash of its configuration.
    pub config_hash: Option<String>,
    /// Why it doesn't start: a reason and a sentence.
    pub problem: Option<(String, String)>,
}

impl Follower {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            resource: label(meta, labels::INSTANCE),
            facility: label(meta, labels::FACILITY),
            config_hash: label(meta, labels::CONFIG_HASH),
            problem: None,
        }
    }

    /// The record of a `ReplicaSet`.
    pub fn of_replica_set(set: &PartialObjectMeta<ReplicaSet>) -> Self {
        Self::of(&set.metadata)
    }

    /// The record of a pod.
    pub fn of_pod(pod: &Pod) -> Self {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let problem = statuses.unwrap_or_default().iter().find_map(|status| problem(name, status));
        Self { problem, ..Self::of(&pod.metadata) }
    }
}

/// Reasons for which a container waits that do not pass by themselves.
const PROBLEMS: &[&str] = &[
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

fn problem(pod: &str, status: &ContainerStatus) -> Option<(String, String)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| PROBLEMS.contains(reason))?;
    // The same trouble under two names, which alternate.
    let reason = if reason == "ErrImagePull" { "ImagePullBackOff" } else { reason };
    let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let message = match (reason, ended) {
        ("CrashLoopBackOff", Some(ended)) => {
            format!("pod {pod} ended with {} and is started again; see kubectl logs --previous {pod}", ended.exit_code)
        }
        ("ImagePullBackOff", _) => format!("pod {pod} can't get its image {}", status.image),
        _ => format!("pod {pod}: {}", waiting.message.as_deref().unwrap_or(reason)),
    };
    Some((reason.to_owned(), message))
}
