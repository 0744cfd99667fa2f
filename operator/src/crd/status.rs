//! What is there, as seen at the last reconcile.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is there.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerDeploymentStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Available, Progressing, Degraded and Paused in their usual meaning; FacilityShared and DatabaseConnections warn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Each facility of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub facilities: Vec<FacilityStatus>,
    /// Facilities whose replicas are all ready, of those that are not suspended: 2/3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facilities_ready: Option<String>,
    /// Replicas that are ready, of those that are wanted: 5/6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_ready: Option<String>,
    /// The tag or digest of spec.image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Host and name of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The most connections to the database that all replicas can have at once, in the middle of an update too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_connections_max: Option<i64>,
    /// Which extensions of the cluster there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringStatus>,
}

/// One aspect of the state.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Condition {
    /// Which aspect.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one word for machines.
    pub reason: String,
    /// Why, in a sentence for people.
    pub message: String,
    /// The generation of the spec that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    pub last_transition_time: String,
}

/// A facility as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct FacilityStatus {
    /// Its name in OpenCue.
    pub name: String,
    /// The name of its Deployment, Service and the rest.
    pub object_name: String,
    /// Replicas that are wanted.
    pub desired: i32,
    /// Replicas that are ready.
    pub ready: i32,
    /// Replicas of the newest pod template.
    pub updated: i32,
    /// The hash of its scheduler.yaml, with which the name of its ConfigMap ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// The selector of its pods, for kubectl get pods --selector.
    pub selector: String,
    /// Whether it is suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// What keeps it from being ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Which extensions of the cluster there are.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[allow(clippy::struct_excessive_bools, reason = "each is the answer to one question")]
pub struct MonitoringStatus {
    /// Whether there are ServiceMonitors.
    pub service_monitors: bool,
    /// Whether there are PodMonitors.
    pub pod_monitors: bool,
    /// Whether there are PrometheusRules.
    pub prometheus_rules: bool,
    /// Whether there are ScaledObjects of KEDA.
    pub scaled_objects: bool,
}
