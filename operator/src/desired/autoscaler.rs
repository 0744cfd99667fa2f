//! Who decides the number of replicas of a facility that follows the load.

use serde_json::{Value, json};

use super::{Kind, meta};
use crate::crd::{Autoscaling, Keda, MonitoringStatus};
use crate::wanted::{Scale, Wanted, WantedFacility};

/// The CPU that replicas should use on average, in per cent of what they request, where nothing is said.
const TARGET_CPU: i32 = 80;

/// A `HorizontalPodAutoscaler`, or with KEDA a `ScaledObject`; nothing for a fixed number, and where KEDA is missing.
pub(super) fn build(wanted: &Wanted, facility: &WantedFacility, extensions: MonitoringStatus) -> Option<(Kind, Value)> {
    let Scale::Automatic(autoscaling) = &facility.scale else { return None };
    match &autoscaling.keda {
        Some(_) if !extensions.scaled_objects => None,
        Some(keda) => Some((Kind::ScaledObject, scaled_object(wanted, facility, autoscaling, keda))),
        None => Some((Kind::HorizontalPodAutoscaler, by_metrics(wanted, facility, autoscaling))),
    }
}

fn by_metrics(wanted: &Wanted, facility: &WantedFacility, autoscaling: &Autoscaling) -> Value {
    let mut manifest = meta::manifest(Kind::HorizontalPodAutoscaler, &facility.names.object, wanted, Some(facility));
    let target = match (autoscaling.target_cpu_utilization, &autoscaling.metrics) {
        (None, None) => Some(TARGET_CPU),
        (given, _) => given,
    };
    let cpu = target.map(|percent| {
        let target = json!({ "type": "Utilization", "averageUtilization": percent });
        json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } })
    });
    let given = autoscaling.metrics.iter().flatten().cloned().map(Value::Object);
    let metrics: Vec<Value> = cpu.into_iter().chain(given).collect();
    manifest["spec"] = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": facility.names.object },
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": metrics,
    });
    let behavior = autoscaling.behavior.clone().map(|behavior| ("behavior".to_owned(), Value::Object(behavior)));
    meta::extend(&mut manifest["spec"], behavior);
    manifest
}

fn scaled_object(wanted: &Wanted, facility: &WantedFacility, autoscaling: &Autoscaling, keda: &Keda) -> Value {
    let mut manifest = meta::manifest(Kind::ScaledObject, &facility.names.object, wanted, Some(facility));
    let mut trigger = json!({
        "type": "prometheus",
        "metadata": { "serverAddress": keda.server_address, "query": keda.query, "threshold": keda.threshold },
    });
    let authentication = keda.authentication_ref.as_ref().map(|reference| json!(reference));
    meta::extend(&mut trigger, authentication.map(|reference| ("authenticationRef".to_owned(), reference)));
    manifest["spec"] = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": facility.names.object },
        "minReplicaCount": autoscaling.min_replicas,
        "maxReplicaCount": autoscaling.max_replicas,
        "triggers": [trigger],
    });
    let behavior = autoscaling.behavior.clone().map(|behavior| {
        let config = json!({ "horizontalPodAutoscalerConfig": { "behavior": behavior } });
        ("advanced".to_owned(), config)
    });
    meta::extend(&mut manifest["spec"], behavior);
    manifest
}
