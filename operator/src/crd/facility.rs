//! One facility, and what facilities may have in common.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::autoscaling::Autoscaling;
use super::image::Image;
use super::schema;

/// A facility of OpenCue, and its schedulers.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
    .message("a facility has either replicas or autoscaling"))]
pub struct Facility {
    /// The facility's exact name in OpenCue. Objects are named after it; a name that is no DNS label is made one.
    #[schemars(length(min = 1, max = 36))]
    pub name: String,
    /// How many schedulers work for the facility; 0 is the same as suspend. Unset, and without autoscaling: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// Let the number of replicas follow the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// No replicas and no autoscaler, while all other objects stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Tags by which this facility books nothing, beside those of spec.ignoreTags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub ignore_tags: Option<Vec<String>>,
    /// Another image for this facility, for instance to try a new version. What it leaves out is that of spec.image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// What this facility has otherwise than all.
    #[serde(flatten)]
    pub settings: FacilitySettings,
}

/// Settings that a facility may have of its own, or share with all.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct FacilitySettings {
    /// Keys of scheduler.yaml, merged over the common ones: sections key by key, lists and host_booking_strategy whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub config: Option<Map<String, Value>>,
    /// What a replica asks for, and its limits. Unset: requests of 250m CPU and 256Mi of memory, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels of the nodes that may run the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that the pods tolerate, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub tolerations: Option<Vec<Map<String, Value>>>,
    /// Which nodes and neighbours the pods prefer, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub affinity: Option<Map<String, Value>>,
    /// How the pods spread, as in a pod; without a labelSelector, over the facility's own. Unset: over zones and nodes, where
    /// it is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub topology_spread_constraints: Option<Vec<Map<String, Value>>>,
    /// The priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Further environment variables, as in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub env: Option<Vec<Map<String, Value>>>,
    /// Further volumes, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub volumes: Option<Vec<Map<String, Value>>>,
    /// Where the volumes are mounted, as in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub volume_mounts: Option<Vec<Map<String, Value>>>,
    /// Labels of the facility's objects and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the facility's objects and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What a replica asks for, and its limits.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Resources {
    /// What a node must have free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: Option<Map<String, Value>>,
    /// What the replica may not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: Option<Map<String, Value>>,
}
