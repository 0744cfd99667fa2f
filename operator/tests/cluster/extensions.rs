//! Definitions that come and go while the operator runs.

use serde_json::{Value, json};

use crate::operator::{Operator, Place};

/// A definition with the group, version and kind of somebody else's, for whatever they have in it.
pub fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    let schema = json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") },
            "versions": [{ "name": version, "served": true, "storage": true, "schema": schema }],
        },
    })
}

pub const MONITORING: [(&str, &str); 3] =
    [("ServiceMonitor", "servicemonitors"), ("PodMonitor", "podmonitors"), ("PrometheusRule", "prometheusrules")];

/// All that the operator can use.
pub fn all() -> Vec<Value> {
    let monitoring = MONITORING.map(|(kind, plural)| definition("monitoring.coreos.com", "v1", kind, plural));
    let keda = definition("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects");
    monitoring.into_iter().chain([keda]).collect()
}

#[test]
fn extensions_are_used_when_they_come() {
    let place = Place::new("extensions");
    let user = place.plane.operator("extensions");
    let mut operator = Operator::of(&user, "extensions");
    let keda = json!({ "serverAddress": "http://prometheus:9090", "query": "up", "threshold": "5" });
    place.put(
        "farm",
        &json!({
            "facilities": [{ "name": "spi" }, { "name": "lax", "autoscaling": { "maxReplicas": 3, "keda": keda } }],
            "monitoring": { "serviceMonitor": { "enabled": true }, "prometheusRule": { "enabled": true } },
        }),
    );
    place.wait("the facility is made all the same", || !place.get("deployment/farm-lax").is_null());
    place.plane.apply_all(&all());
    place.wait("they are used", || {
        place.get("schd/farm")["status"]["monitoring"]["scaledObjects"] == true
            && !place.get("servicemonitor/farm").is_null()
            && !place.get("prometheusrule/farm").is_null()
            && !place.get("scaledobject/farm-lax").is_null()
    });
    place.wait_ready("farm");
    place.put("farm", &json!({ "facilities": [{ "name": "spi" }] }));
    place.wait("what is switched off goes", || {
        place.get("servicemonitor/farm").is_null() && place.get("scaledobject/farm-lax").is_null()
    });
    assert!(operator.is_running());
}
