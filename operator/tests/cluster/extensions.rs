//! Definitions that come and go while the operator runs.

use serde_json::json;
use testbed::kubernetes::binaries::{PROMETHEUS_OPERATOR_MODULE, fetched};

use crate::control_plane::{ControlPlane, until};
use crate::operator::{LIMIT, Operator, Place};

/// Modules that have the definitions, where in them, and which.
const SOURCES: [(&str, &str, &[&str]); 2] = [
    (
        PROMETHEUS_OPERATOR_MODULE,
        "example/prometheus-operator-crd",
        &[
            "monitoring.coreos.com_servicemonitors",
            "monitoring.coreos.com_podmonitors",
            "monitoring.coreos.com_prometheusrules",
        ],
    ),
    ("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases", &["keda.sh_scaledobjects"]),
];

/// Installs the definitions of the Prometheus Operator and of KEDA, as they are published.
pub fn install(plane: &ControlPlane) {
    for (module, folder, names) in SOURCES {
        let folder = fetched(module).unwrap().join(folder);
        for name in names {
            let file = folder.join(format!("{name}.yaml"));
            // Too large for a copy in an annotation.
            plane.run(&["apply", "--server-side", "--force-conflicts", "-f", file.to_str().unwrap()]);
        }
    }
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
    install(place.plane);
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

/// KEDA itself is not there: its autoscaler's part is played by hand.
#[test]
fn keda_scales_and_nobody_fights() {
    let place = Place::new("keda");
    install(place.plane);
    let user = place.plane.operator("keda");
    let _operator = Operator::of(&user, "keda");
    let replicas = || place.get("deployment/farm-spi")["spec"]["replicas"].clone();
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 3 }] }));
    place.wait_ready("farm");
    let keda = json!({ "serverAddress": "http://prometheus:9090", "query": "sum(waiting)", "threshold": "5" });
    let scaled = |threads: u32| {
        json!({ "facilities": [{ "name": "spi", "autoscaling": { "minReplicas": 2, "maxReplicas": 8, "keda": keda },
            "config": { "queue": { "worker_threads": threads } } }] })
    };
    place.put("farm", &scaled(4));
    place.wait("the object is there", || !place.get("scaledobject/farm-spi").is_null());
    let spec = place.get("scaledobject/farm-spi")["spec"].clone();
    assert_eq!(spec["scaleTargetRef"]["name"], "farm-spi");
    assert_eq!((spec["minReplicaCount"].as_i64(), spec["maxReplicaCount"].as_i64()), (Some(2), Some(8)));
    assert_eq!(spec["triggers"][0]["metadata"]["query"], "sum(waiting)");
    assert_eq!(replicas(), 3, "it goes on from what there is");
    place.plane.run(&["scale", "-n", "keda", "deployment/farm-spi", "--replicas=7"]);
    place.wait_ready("farm");
    place.put("farm", &scaled(8));
    place.wait_ready("farm");
    assert_eq!(replicas(), 7, "nobody fights");
    assert!(place.events("farm").iter().all(|(reason, _)| reason != "OverwroteManualChange"));
    place.plane.run(&["delete", "scaledobject", "-n", "keda", "farm-spi"]);
    place.wait("it comes back", || !place.get("scaledobject/farm-spi").is_null());
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 4 }] }));
    place
        .wait("it is gone, and the number is ours", || replicas() == 4 && place.get("scaledobject/farm-spi").is_null());
}

/// The operator's own definition is taken away under way, with all resources, and comes back.
#[test]
fn without_its_definition_it_waits_and_says_so() {
    // A control plane of its own: the resources of other tests would go too.
    let plane = ControlPlane::start();
    let user = plane.operator("default");
    let mut operator = Operator::of(&user, "default");
    until(LIMIT, || operator.page("/readyz").0 == 200, || operator.page("/readyz").1);
    let resource = json!({
        "apiVersion": "scheduler.opencue.io/v1alpha1", "kind": "SchedulerDeployment", "metadata": { "name": "farm", "namespace": "default" },
        "spec": { "database": { "host": "postgres", "credentialsSecretRef": { "name": "cuebot-db" } }, "facilities": [{ "name": "spi" }] },
    });
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "cuebot-db", "namespace": "default" },
        "stringData": { "username": "u", "password": "p" } });
    plane.apply_all(&[secret, resource.clone()]);
    let is_made = || !plane.get("default", "deployment/farm-spi").is_null();
    until(LIMIT, is_made, || plane.get("default", "schd/farm").to_string());
    plane.run(&["delete", "crd", "schedulerdeployments.scheduler.opencue.io"]);
    until(LIMIT, || operator.page("/readyz").0 == 503, || operator.page("/readyz").1);
    let (_, reason) = operator.page("/readyz");
    assert!(reason.contains("watching SchedulerDeployments"), "{reason}");
    assert!(operator.is_running());
    plane.install_definition();
    plane.apply_all(&[resource]);
    until(LIMIT, || operator.page("/readyz").0 == 200, || operator.page("/readyz").1);
    // What the first resource left belongs to nobody now: the cluster removes it, and only then the second has its own.
    let is_its_own = || {
        let uid = plane.get("default", "schd/farm")["metadata"]["uid"].clone();
        uid.is_string() && plane.get("default", "deployment/farm-spi")["metadata"]["ownerReferences"][0]["uid"] == uid
    };
    until(LIMIT, is_its_own, || plane.get("default", "schd/farm").to_string());
    assert_eq!(operator.stop(), 0);
}
