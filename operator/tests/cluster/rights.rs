//! The `ClusterRole` of the chart: everything that it gives is used, and nothing else is asked for.

use std::collections::BTreeSet;

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

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

#[test]
fn the_role_of_the_chart_is_what_is_used() {
    let place = Place::new("rights");
    extensions::install(place.plane);
    let user = place.plane.operator("rights");
    // Everywhere, as it is installed; other tests' resources are in their own namespaces.
    let _operator = Operator::of(&user, "rights");
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
        let ours = place.plane.list("rights", kinds).into_iter().filter(|object| object["metadata"]["labels"]["app.kubernetes.io/instance"] == "farm");
        let names: BTreeSet<String> = ours.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        !names.is_empty() && names.iter().all(|name| name.starts_with("farm-new"))
    });

    let role: Value = yaml::read(&place.plane.role_of_the_chart()).unwrap();
    let given = given(&role);
    let calls = place.plane.calls(&user);
    let refused: BTreeSet<_> = calls.iter().filter(|call| call.code == 403).map(|call| format!("{call:?}")).collect();
    assert!(refused.is_empty(), "asked for and not given: {refused:#?}");
    let mut exercised: BTreeSet<Right> =
        calls.iter().map(|call| (call.group.clone(), call.resource.clone(), call.verb.clone())).collect();
    // An apply that makes an object is a patch in the log, and needs the right to create it; so does a reference that blocks its
    // owner's deletion, which the API server asks for itself.
    let applied: Vec<Right> =
        exercised.iter().filter(|(_, resource, verb)| verb == "patch" && !resource.contains('/')).cloned().collect();
    exercised.extend(applied.into_iter().map(|(group, resource, _)| (group, resource, "create".to_owned())));
    exercised.insert((
        "scheduler.opencue.io".to_owned(),
        "schedulerdeployments/finalizers".to_owned(),
        "update".to_owned(),
    ));
    let unused: Vec<&Right> = given.difference(&exercised).collect();
    assert!(unused.is_empty(), "given and never used: {unused:#?}");
}
