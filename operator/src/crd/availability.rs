//! How pods are replaced, and how many may be taken away.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema;

/// How many replicas of a facility may be taken away at once. Pods that are not ready never hold up a drain.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.maxUnavailable) && has(self.minAvailable))")
    .message("a podDisruptionBudget has either maxUnavailable or minAvailable"))]
pub struct PodDisruptionBudget {
    /// Whether there is one for each facility. Unset: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Most replicas that may be away, a number or per cent. Unset, and without minAvailable: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_unavailable: Option<Value>,
    /// Fewest replicas that stay, a number or per cent. A number that is not below a facility's replicas is refused: no node
    /// with one of them could be drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub min_available: Option<Value>,
}

/// How the pods of a facility are replaced. Facilities follow one another in the order of the list.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.rollingUpdate) || !has(self.type) || self.type == 'RollingUpdate'")
    .message("rollingUpdate goes with type RollingUpdate"))]
pub struct UpdateStrategy {
    /// In which order pods are replaced.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Strategy>,
    /// The pace of a RollingUpdate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// RollingUpdate, new pods before old ones go; or Recreate, old ones first. Unset: RollingUpdate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[schemars(inline)]
pub enum Strategy {
    /// New pods first.
    RollingUpdate,
    /// Old pods first.
    Recreate,
}

/// The pace of a RollingUpdate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RollingUpdate {
    /// Pods above the wanted number while it goes on, a number or per cent. Unset: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_surge: Option<Value>,
    /// Pods below the wanted number while it goes on, a number or per cent. Unset: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_unavailable: Option<Value>,
}
