//! A number of replicas that follows the load.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema;

/// Bounds for the number of replicas, and what it follows: the CPU by a HorizontalPodAutoscaler unless something else is said.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message("minReplicas is above maxReplicas"),
    validation = Rule::new("!(has(self.keda) && (has(self.targetCPUUtilization) || has(self.metrics)))")
        .message("autoscaling follows either keda, or targetCPUUtilization and metrics"),
)]
pub struct Autoscaling {
    /// Fewest replicas.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,
    /// Most replicas.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// The CPU that replicas should use on average, in per cent of what they request. Unset, and without metrics: 80.
    #[serde(default, rename = "targetCPUUtilization", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization: Option<i32>,
    /// Further metrics, as in a HorizontalPodAutoscaler (autoscaling/v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub metrics: Option<Vec<Map<String, Value>>>,
    /// How fast replicas come and go, as in a HorizontalPodAutoscaler (autoscaling/v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub behavior: Option<Map<String, Value>>,
    /// Follow a Prometheus query by KEDA, where that is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keda: Option<Keda>,
}

fn one() -> i32 {
    1
}

/// A Prometheus query that KEDA asks.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Keda {
    /// The address of Prometheus: http://prometheus.monitoring:9090.
    #[schemars(length(min = 1, max = 2048))]
    pub server_address: String,
    /// A query with one number for its result.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// How much of the query's result one replica is for, as a number in quotes.
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub threshold: String,
    /// How KEDA authenticates itself to Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<TriggerAuthentication>,
}

/// A TriggerAuthentication of KEDA.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct TriggerAuthentication {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// ClusterTriggerAuthentication, or TriggerAuthentication, which is what holds when it is unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(Cluster)?TriggerAuthentication$"))]
    pub kind: Option<String>,
}
