//! What Prometheus learns.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema;

/// What Prometheus learns. Objects are made only where the Prometheus Operator is installed; status.monitoring says so.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!(has(self.serviceMonitor) && self.serviceMonitor.enabled && has(self.podMonitor) && self.podMonitor.enabled)"
)
    .message("enable either the serviceMonitor or the podMonitor: with both, everything is counted twice"))]
pub struct Monitoring {
    /// Scrape through the Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_monitor: Option<MetricsScrape>,
    /// Scrape the pods themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_monitor: Option<MetricsScrape>,
    /// Alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_rule: Option<PrometheusRule>,
}

/// How metrics are scraped.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct MetricsScrape {
    /// Whether there is one.
    #[serde(default)]
    pub enabled: bool,
    /// How often, such as 30s. Unset: as Prometheus is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]+(ms|s|m|h)$"))]
    pub interval: Option<String>,
    /// Labels by which your Prometheus finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Relabelings of targets, after our own, as in a ServiceMonitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub relabelings: Option<Vec<Map<String, Value>>>,
    /// Relabelings of metrics, as in a ServiceMonitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub metric_relabelings: Option<Vec<Map<String, Value>>>,
}

/// Alerts on the schedulers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PrometheusRule {
    /// Whether there is one.
    #[serde(default)]
    pub enabled: bool,
    /// Labels by which your Prometheus finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Where your people read docs/operations/alerts.md, to which each alert's runbook_url adds a hash and its name. Unset: the
    /// page's place in the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub runbook_url: Option<String>,
}
