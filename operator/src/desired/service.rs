//! Small objects around the pods: the account, the Service, the disruption budget.

use serde_json::{Value, json};

use super::{HTTP_PORT, Kind, meta};
use crate::labels;
use crate::wanted::{Disruption, Wanted, WantedFacility};

/// The account of the pods.
pub(super) fn account(wanted: &Wanted) -> Value {
    let mut manifest = meta::manifest(Kind::ServiceAccount, &wanted.account.name, wanted, None);
    let annotations = wanted.account.annotations.iter().map(|(key, value)| (key.clone(), json!(value)));
    meta::extend(&mut manifest["metadata"]["annotations"], annotations);
    manifest["automountServiceAccountToken"] = json!(false);
    manifest
}

/// Metrics and status of a facility. Replicas that are not ready are asked too: their status says why.
pub(super) fn build(wanted: &Wanted, facility: &WantedFacility) -> Value {
    let mut manifest = meta::manifest(Kind::Service, &facility.names.object, wanted, Some(facility));
    manifest["spec"] = json!({
        "selector": labels::selector(&wanted.owner.name, Some(&facility.names.slug)),
        "ports": [{ "name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP" }],
        "publishNotReadyAddresses": true,
    });
    manifest
}

/// How many pods of a facility may be away. Pods that are not ready can always be evicted.
pub(super) fn disruption_budget(wanted: &Wanted, facility: &WantedFacility, bound: &Disruption) -> Value {
    let mut manifest = meta::manifest(Kind::PodDisruptionBudget, &facility.names.object, wanted, Some(facility));
    let (field, share) = match bound {
        Disruption::MaxUnavailable(share) => ("maxUnavailable", share),
        Disruption::MinAvailable(share) => ("minAvailable", share),
    };
    manifest["spec"] = json!({
        "selector": { "matchLabels": labels::selector(&wanted.owner.name, Some(&facility.names.slug)) },
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        field: share,
    });
    manifest
}
