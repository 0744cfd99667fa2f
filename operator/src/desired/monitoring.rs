//! How Prometheus finds the schedulers of a resource: one object for all facilities.

use serde_json::{Value, json};

use super::{Kind, meta};
use crate::crd::{MetricsScrape, MonitoringStatus};
use crate::labels;
use crate::wanted::{Scrape, Wanted};

/// The metric label with the name of the resource. The exact name of the facility is `facility`.
pub(super) const RESOURCE_LABEL: &str = "schedulerdeployment";

/// A `ServiceMonitor` or `PodMonitor`, where the cluster has them.
pub(super) fn scrape(wanted: &Wanted, scrape: &Scrape, extensions: MonitoringStatus) -> Option<(Kind, Value)> {
    let (kind, there, settings, source, endpoints) = match scrape {
        Scrape::Service(settings) => {
            (Kind::ServiceMonitor, extensions.service_monitors, settings, "service", "endpoints")
        }
        Scrape::Pod(settings) => (Kind::PodMonitor, extensions.pod_monitors, settings, "pod", "podMetricsEndpoints"),
    };
    if !there {
        return None;
    }
    let mut manifest = meta::manifest(kind, &wanted.owner.name, wanted, None);
    let labels = settings.labels.iter().flatten().map(|(key, value)| (key.clone(), json!(value)));
    let mut all = manifest["metadata"]["labels"].clone();
    // What the operator needs wins over what Prometheus looks for.
    let ours = all.clone();
    meta::extend(&mut all, labels);
    meta::extend(&mut all, ours.as_object().cloned().unwrap_or_default());
    manifest["metadata"]["labels"] = all;
    manifest["spec"] = json!({
        "selector": { "matchLabels": labels::selector(&wanted.owner.name, None) },
        endpoints: [endpoint(wanted, settings, source)],
    });
    Some((kind, manifest))
}

fn endpoint(wanted: &Wanted, settings: &MetricsScrape, source: &str) -> Value {
    let annotation: String =
        labels::FACILITY.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let mut relabelings = vec![
        json!({ "sourceLabels": [format!("__meta_kubernetes_{source}_annotation_{annotation}")], "targetLabel": "facility" }),
        json!({ "replacement": wanted.owner.name, "targetLabel": RESOURCE_LABEL }),
    ];
    relabelings.extend(settings.relabelings.iter().flatten().cloned().map(Value::Object));
    let mut endpoint = json!({ "port": "http", "path": "/metrics", "relabelings": relabelings });
    let given = [
        ("interval", settings.interval.as_ref().map(|interval| json!(interval))),
        ("metricRelabelings", settings.metric_relabelings.as_ref().map(|relabelings| json!(relabelings))),
    ];
    meta::extend(&mut endpoint, given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    endpoint
}
