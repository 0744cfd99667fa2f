//! The rights of the chart: everything that they give is used, and nothing else is asked for. The operator runs as it is
//! installed, with the chart's own account, in all namespaces and with an election, in a control plane where nobody else works.

use std::collections::BTreeSet;

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, chart};
use crate::extensions;
use crate::operator::{Operator, Place};

type Right = (String, String, String);

fn given(role: &Value) -> BTreeSet<Right> {
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.extend(texts(&rule["verbs"]).into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    rights
}

/// Has the operator do everything that it can do, in two namespaces.
fn exercise(place: &Place, other: &Place) {
    let keda = json!({ "serverAddress": "http://prometheus:9090", "query": "up", "threshold": "5" });
    let everything = |monitor: &str, tag: &str| {
        json!({
            "image": { "tag": tag },
            "facilities": [
                { "name": "spi", "autoscaling": { "maxReplicas": 3 } },
                { "name": "lax", "autoscaling": { "maxReplicas": 3, "keda": keda } },
            ],
            "networkPolicy": { "enabled": true },
            "monitoring": { monitor: { "enabled": true }, "prometheusRule": { "enabled": true } },
        })
    };
    other.put("farm", &json!({}));
    other.wait_ready("farm");
    place.put("farm", &everything("serviceMonitor", "1"));
    place.wait("all kinds are there", || {
        let there = |object: &str| !place.get(object).is_null();
        there("servicemonitor/farm")
            && there("prometheusrule/farm")
            && there("scaledobject/farm-lax")
            && there("hpa/farm-spi")
    });
    place.put("farm", &everything("podMonitor", "2"));
    place.wait("one for the other", || {
        !place.get("podmonitor/farm").is_null() && place.get("servicemonitor/farm").is_null()
    });
    // The same event again within a few minutes is one that is counted.
    for paused in [true, false, true, false] {
        let mut spec = everything("podMonitor", "2");
        spec["paused"] = json!(paused);
        place.put("farm", &spec);
        let status = if paused { "True" } else { "False" };
        place.wait("it says so", || place.condition("farm", "Paused")["status"] == status);
    }
    // Everything is switched off, and the facility goes.
    place.put("farm", &json!({ "facilities": [{ "name": "new" }], "serviceAccount": { "create": false, "name": "default" }, "podDisruptionBudget": { "enabled": false } }));
    place.wait("the rest is gone", || {
        let kinds = "serviceaccounts,networkpolicies,services,poddisruptionbudgets,configmaps,deployments,hpa,scaledobjects,podmonitors,prometheusrules";
        let ours = place.plane.list(&place.namespace, kinds).into_iter().filter(|object| object["metadata"]["labels"]["app.kubernetes.io/instance"] == "farm");
        let names: BTreeSet<String> = ours.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        !names.is_empty() && names.iter().all(|name| name.starts_with("farm-new"))
    });
}

#[test]
fn the_rights_of_the_chart_are_what_is_used() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start_bare()));
    plane.install_definition();
    extensions::install(plane);
    plane.run(&["create", "namespace", "operator"]);
    plane.helm(&["install", "rights", &chart(), "--namespace", "operator"]);
    let (farms, other) = (Place::on(plane, "rights"), Place::on(plane, "elsewhere"));
    let user = plane.account("operator", "rights-cue-scheduler-operator");
    let mut operator = Operator::start(&user, &["--lease-namespace=operator"]);
    exercise(&farms, &other);
    assert_eq!(operator.stop(), 0);

    let roles = [
        plane.get("operator", "clusterrole/rights-cue-scheduler-operator"),
        plane.get("operator", "role/rights-cue-scheduler-operator-election"),
    ];
    let given: BTreeSet<Right> = roles.iter().flat_map(given).collect();
    assert!(given.len() > 50, "{given:?}");
    let calls = plane.calls(&user);
    let refused: BTreeSet<_> = calls.iter().filter(|call| call.code == 403).map(|call| format!("{call:?}")).collect();
    assert!(refused.is_empty(), "asked for and not given: {refused:#?}");
    let mut exercised: BTreeSet<Right> =
        calls.iter().map(|call| (call.group.clone(), call.resource.clone(), call.verb.clone())).collect();
    // An apply that makes an object is a patch in the log, and needs the right to create it; so does a reference that blocks its
    // owner's deletion, which the API server asks for itself.
    let applied: Vec<Right> = calls
        .iter()
        .filter(|call| call.verb == "patch" && call.code == 201)
        .map(|call| (call.group.clone(), call.resource.clone(), "create".to_owned()))
        .collect();
    exercised.extend(applied);
    exercised.insert((
        "scheduler.opencue.io".to_owned(),
        "schedulerdeployments/finalizers".to_owned(),
        "update".to_owned(),
    ));
    let unused: Vec<&Right> = given.difference(&exercised).collect();
    assert!(unused.is_empty(), "given and never used: {unused:#?}");
    // Lists and watches are of all namespaces; only what a resource refers to is watched where it is.
    let apart: BTreeSet<&str> = calls
        .iter()
        .filter(|call| ["list", "watch"].contains(&&*call.verb) && !call.namespace.is_empty())
        .map(|call| call.resource.as_str())
        .collect();
    assert_eq!(apart, BTreeSet::from(["secrets"]));
    assert_eq!(yaml::read::<Value>(&plane.role_of_the_chart()).unwrap()["rules"], roles[0]["rules"]);
}
