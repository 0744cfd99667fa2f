//! The life of a resource: made, changed in each way, rotated, paused, removed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

use crate::extensions;
use crate::operator::{Operator, Place};

fn template_annotation(deployment: &Value, key: &str) -> Value {
    deployment["spec"]["template"]["metadata"]["annotations"][key].clone()
}

#[test]
fn a_resource_is_made_changed_rotated_and_removed() {
    let place = Place::new("life");
    let user = place.plane.operator("life");
    let mut operator = Operator::of(&user, "life");

    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 2 }, { "name": "Los Angeles" }] }));
    place.wait_ready("farm");
    let waited = Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator"))
        .args(["wait", "farm", "--namespace", "life", "--timeout", "60s"])
        .env("KUBECONFIG", &place.plane.admin.kubeconfig)
        .output()
        .unwrap();
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
    for arguments in [
        &["explain", "schd.spec.facilities"][..],
        &["get", "schd", "-n", "life"],
        &["get", "schd", "-n", "life", "-o", "wide"],
    ] {
        println!("$ kubectl {}\n{}", arguments.join(" "), place.plane.run(arguments));
    }
    let columns = place.plane.run(&["get", "schd", "-n", "life", "--no-headers"]);
    let columns: Vec<&str> = columns.split_whitespace().collect();
    assert_eq!(columns[..4], ["farm", "2/2", "3/3", env!("CARGO_PKG_VERSION")]);

    // Scaled by hand: set back, and told.
    place.plane.run(&["scale", "-n", "life", "deployment/farm-spi", "--replicas=5"]);
    place.wait("the number is set back", || place.get("deployment/farm-spi")["spec"]["replicas"] == 2);
    let told = |(reason, note): &(String, String)| {
        reason == "OverwroteManualChange" && note.contains("spec.replicas by kubectl")
    };
    place.wait("it is told", || place.events("farm").iter().any(told));
    // A restart by hand survives.
    place.plane.run(&["rollout", "restart", "-n", "life", "deployment/farm-spi"]);
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 3 }, { "name": "Los Angeles" }] }));
    place.wait("scaled", || place.get("deployment/farm-spi")["spec"]["replicas"] == 3);
    assert!(template_annotation(&place.get("deployment/farm-spi"), "kubectl.kubernetes.io/restartedAt").is_string());
    place.wait_ready("farm");

    // The password: a new version of the Secret makes new pods.
    let before = template_annotation(&place.get("deployment/farm-spi"), "scheduler.opencue.io/secret-revision");
    place.put_secret("another");
    let rotated =
        || template_annotation(&place.get("deployment/farm-spi"), "scheduler.opencue.io/secret-revision") != before;
    place.wait("the pods are told of the new Secret", rotated);
    place.wait_ready("farm");
    let manifests = place.plane.run(&["get", "deployments,configmaps,schd", "-n", "life", "-o", "yaml"]);
    assert!(!manifests.contains("another"), "a password in a manifest");

    // A new configuration has a new ConfigMap, and the one that a ReplicaSet may come back to stays.
    place.put(
        "farm",
        &json!({ "config": { "queue": { "worker_threads": 8 } }, "facilities": [{ "name": "spi", "replicas": 3 }] }),
    );
    // The other facility goes, with everything it had, after its pods.
    place.wait("the facility is gone", || {
        let left = place.plane.list("life", "deployments,services,pods,poddisruptionbudgets,configmaps");
        left.iter().all(|object| !object["metadata"]["name"].as_str().unwrap().contains("los-angeles"))
    });
    place.wait_ready("farm");
    let configs = place.plane.list("life", "configmaps");
    let ours = configs.iter().filter(|map| map["metadata"]["name"].as_str().unwrap().starts_with("farm-spi-"));
    assert_eq!(ours.count(), 2);

    // A fault of the configuration leaves the pods alone.
    let generation = place.get("deployment/farm-spi")["metadata"]["generation"].clone();
    place.put("farm", &json!({ "config": { "queue": { "worker_thread": 8 } } }));
    place.wait("the fault is told", || place.condition("farm", "Degraded")["reason"] == "InvalidConfig");
    assert!(
        place.condition("farm", "Degraded")["message"]
            .as_str()
            .unwrap()
            .contains("did you mean `queue.worker_threads`?")
    );
    assert_eq!(place.get("deployment/farm-spi")["metadata"]["generation"], generation);
    println!("$ kubectl describe schd farm\n{}", place.plane.run(&["describe", "schd", "-n", "life", "farm"]));

    // Suspended: no pods, everything else stays.
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "suspend": true }] }));
    place.wait("no pods", || place.plane.list("life", "pods").is_empty());
    assert!(!place.get("service/farm-spi").is_null());
    place.wait("it does not count", || place.get("schd/farm")["status"]["facilitiesReady"] == "0/0");

    place.plane.run(&["delete", "schd", "-n", "life", "farm"]);
    place.wait("everything is gone", || {
        let left = place
            .plane
            .list("life", "deployments,replicasets,pods,services,poddisruptionbudgets,serviceaccounts,configmaps");
        left.iter().all(|object| !object["metadata"]["name"].as_str().unwrap().starts_with("farm"))
    });
    assert_eq!(operator.stop(), 0);
}

/// Every resource of the snapshots, some of them over one another: each field is made, changed and taken back.
#[test]
fn every_field_is_taken_by_the_api_server_and_can_be_changed() {
    let place = Place::new("fields");
    extensions::install(place.plane);
    let object = |kind: &str, name: &str, field: &str, data: Value| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "namespace": "fields" }, field: data });
    let secret = |name: &str, data: Value| object("Secret", name, "stringData", data);
    place.plane.apply_all(&[
        secret("cuebot-db", json!({ "user": "u", "pass": "p", "username": "u", "password": "p" })),
        secret("cuebot-app", json!({ "username": "u", "password": "p", "host": "h", "port": "5432", "dbname": "cuebot" })),
        secret("cuebot-ca", json!({ "ca.crt": "x" })),
        secret("scheduler-tls", json!({ "tls.crt": "x", "tls.key": "x" })),
        object("ConfigMap", "authorities", "data", json!({ "bundle.pem": "x" })),
        json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "high" }, "value": 1000 }),
    ]);
    let user = place.plane.operator("fields");
    let _operator = Operator::of(&user, "fields");
    for file in ["plain", "studio", "cloudnativepg", "upstream", "names", "plain"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/resources/{file}.yaml"));
        let mut resource: Value = yaml::read(&std::fs::read_to_string(path).unwrap()).unwrap();
        resource["metadata"]["namespace"] = json!("fields");
        place.plane.apply(&resource.to_string());
        if file == "studio" {
            // KEDA itself is not there.
            place.wait("made", || !place.get("deployment/studio-vancouver").is_null());
            place.plane.run(&["scale", "-n", "fields", "deployment/studio-vancouver", "--replicas=2"]);
        }
        place.wait_ready(resource["metadata"]["name"].as_str().unwrap());
    }
    // The last is the smallest: what the others had is gone again.
    let left = place.plane.list("fields", "deployments,services,networkpolicies");
    let names = left.iter().filter(|object| object["metadata"]["labels"]["app.kubernetes.io/instance"] == "farm");
    let names: Vec<String> = names.map(|object| format!("{} {}", object["kind"], object["metadata"]["name"])).collect();
    assert_eq!(names, ["\"Deployment\" \"farm-spi\"", "\"Service\" \"farm-spi\""]);
    let studio = place.get("deployment/studio-lax");
    assert_eq!(studio["spec"]["template"]["spec"]["containers"][1]["name"], "sidecar");
    assert_eq!(studio["spec"]["template"]["spec"]["hostAliases"][0]["ip"], "10.1.2.3");
}

#[test]
fn pods_pass_the_restricted_admission_and_the_retired_scheduler_too() {
    let place = Place::new("restricted");
    place.plane.run(&["label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted"]);
    let user = place.plane.operator("restricted");
    let _operator = Operator::of(&user, "restricted");
    place.put("farm", &json!({}));
    place.put(
        "old",
        &json!({ "compatibility": "upstream", "image": { "repository": "opencue/scheduler", "tag": "1" } }),
    );
    place.wait_ready("farm");
    place.wait_ready("old");
    // Both name the facility of one database.
    assert_eq!(place.condition("farm", "FacilityShared")["status"], "True");
    assert_eq!(place.condition("old", "FacilityShared")["status"], "True");
    place.plane.run(&["delete", "schd", "-n", "restricted", "old"]);
    place.wait("the other is told", || place.condition("farm", "FacilityShared")["status"] == "False");
}

#[test]
fn odd_names_of_facilities_have_sound_objects() {
    let place = Place::new("names");
    let user = place.plane.operator("names");
    let _operator = Operator::of(&user, "names");
    let names = ["SPI", "Los Angeles", "東京", "$(HOME)", "12", "{{ $value }}", "-", "'\"; rm -rf"];
    place.put("farm", &json!({ "facilities": names.map(|name| json!({ "name": name })) }));
    place.wait_ready("farm");
    let told: Vec<Value> = place
        .plane
        .list("names", "deployments")
        .into_iter()
        .map(|deployment| deployment["metadata"]["annotations"]["scheduler.opencue.io/facility"].clone())
        .collect();
    for name in names {
        assert!(told.contains(&json!(name)), "{name}");
    }
}

#[test]
fn an_autoscaler_takes_over_from_the_number_that_there_is_and_nobody_fights() {
    let place = Place::new("autoscaling");
    let user = place.plane.operator("autoscaling");
    let _operator = Operator::of(&user, "autoscaling");
    let replicas = || place.get("deployment/farm-spi")["spec"]["replicas"].clone();
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 5 }] }));
    place.wait_ready("farm");
    let scaled = json!({ "facilities": [{ "name": "spi", "autoscaling": { "minReplicas": 2, "maxReplicas": 8 } }] });
    place.put("farm", &scaled);
    place.wait("the autoscaler is there", || !place.get("hpa/farm-spi").is_null());
    assert_eq!(replicas(), 5, "it goes on from what there is");
    // As an autoscaler would.
    place.plane.run(&["scale", "-n", "autoscaling", "deployment/farm-spi", "--replicas=7"]);
    place.wait_ready("farm");
    place.put("farm", &{
        let mut changed = scaled.clone();
        changed["config"] = json!({ "queue": { "worker_threads": 2 } });
        changed
    });
    place.wait_ready("farm");
    assert_eq!(replicas(), 7, "nobody fights");
    assert!(place.events("farm").iter().all(|(reason, _)| reason != "OverwroteManualChange"));
    // Suspended and back: an autoscaler leaves a Deployment at nought alone.
    let mut suspended = scaled.clone();
    suspended["facilities"][0]["suspend"] = json!(true);
    place.put("farm", &suspended);
    place.wait("no pods and no autoscaler", || replicas() == 0 && place.get("hpa/farm-spi").is_null());
    place.put("farm", &scaled);
    place.wait("back at the fewest", || replicas() == 2);
    // Off: the number is ours again.
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 3 }] }));
    place.wait("ours again", || replicas() == 3 && place.get("hpa/farm-spi").is_null());
}

#[test]
fn paused_leaves_everything_and_deletion_goes_on() {
    let place = Place::new("paused");
    let user = place.plane.operator("paused");
    let _operator = Operator::of(&user, "paused");
    place.put("farm", &json!({}));
    place.wait_ready("farm");
    place.put("farm", &json!({ "paused": true, "facilities": [{ "name": "spi", "replicas": 4 }] }));
    place.wait("it says so", || place.condition("farm", "Paused")["status"] == "True");
    place.plane.run(&["delete", "service", "-n", "paused", "farm-spi"]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(place.get("service/farm-spi").is_null());
    assert_eq!(place.get("deployment/farm-spi")["spec"]["replicas"], 1);
    place.plane.run(&["delete", "schd", "-n", "paused", "farm"]);
    place.wait("everything is gone", || place.get("deployment/farm-spi").is_null());
}

#[test]
fn nothing_moves_in_a_quiet_minute() {
    let place = Place::new("quiet");
    let user = place.plane.operator("quiet");
    let _operator = Operator::of(&user, "quiet");
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 2 }, { "name": "lax", "autoscaling": { "maxReplicas": 2 } }] }));
    place.wait("made", || place.plane.list("quiet", "deployments").len() == 2);
    place.wait("settled", || {
        place.condition("farm", "Available")["status"] == "True"
            && place.condition("farm", "Progressing")["status"] == "False"
    });
    let versions = || -> BTreeMap<String, Value> {
        let kinds = "schd,deployments,services,configmaps,poddisruptionbudgets,serviceaccounts";
        let named = |object: &Value| {
            (
                format!("{} {}", object["kind"], object["metadata"]["name"]),
                object["metadata"]["resourceVersion"].clone(),
            )
        };
        place.plane.list("quiet", kinds).iter().map(named).collect()
    };
    // Controllers of the cluster may still be writing their statuses.
    std::thread::sleep(Duration::from_secs(5));
    let (before, calls) = (versions(), place.plane.calls(&user).len());
    let started = Instant::now();
    std::thread::sleep(Duration::from_mins(1));
    assert_eq!(versions(), before);
    let calls = place.plane.calls(&user).len() - calls;
    let rate = calls as f64 / started.elapsed().as_secs_f64();
    println!("{calls} calls in a quiet minute, {rate:.2} a second");
    assert!(rate < 1.0);
}
