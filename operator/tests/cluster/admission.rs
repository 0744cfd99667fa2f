//! What the API server itself refuses, in our words.

use std::path::Path;

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

use crate::common::{resource, table};
use crate::control_plane::{ControlPlane, until};
use crate::operator::LIMIT;

/// The table of `refused.yaml`: what has words for admission is refused there, and everything else is let through, for the
/// operator to tell.
#[test]
fn the_table_of_refusals_holds_at_admission() {
    let plane = ControlPlane::running();
    let table = table();
    let mut wrong = Vec::new();
    for case in &table {
        let manifest = resource(case).to_string();
        let (is_accepted, said) = plane.attempt(&["create", "--dry-run=server", "-f", "-"], &manifest);
        let expected = case["admission"].as_str().or(case["strict"].as_str());
        let holds = expected.map_or(is_accepted, |words| !is_accepted && said.contains(words));
        if !holds {
            wrong.push(format!("{}: expected {expected:?}: {said}", case["about"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_resource_of_the_snapshots_is_let_through() {
    let plane = ControlPlane::running();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources");
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut resource: Value = yaml::read(&text).unwrap();
        resource["metadata"]["namespace"] = json!("default");
        let (is_accepted, said) = plane.attempt(&["create", "--dry-run=server", "-f", "-"], &resource.to_string());
        assert!(is_accepted, "{said}");
    }
}

/// What is stored is what was written: no default hides a common value, and no key is dropped.
#[test]
fn the_api_server_adds_no_default_to_a_configuration_and_drops_nothing() {
    let plane = ControlPlane::running();
    let config =
        json!({ "queue": { "worker_threads": "8", "unheard_of": 1, "stream": null }, "Rqd": { "GRPC_PORT": 8445 } });
    let facility = json!({ "name": "spi", "config": config, "tolerations": [{ "anything": [1] }] });
    let manifest = resource(&json!({ "spec": { "config": config, "facilities": [facility] } }));
    let (is_accepted, said) =
        plane.attempt(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &manifest.to_string());
    assert!(is_accepted, "{said}");
    let stored: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(stored["spec"]["config"], config);
    assert_eq!(stored["spec"]["facilities"][0], facility);
}

#[test]
fn kubectl_explains_every_field() {
    let plane = ControlPlane::running();
    // The descriptions are published some seconds after the definition.
    let explain = || plane.attempt(&["explain", "schd.spec.facilities.autoscaling"], "");
    until(LIMIT, || explain().0, || explain().1);
    let said = explain().1;
    for words in ["minReplicas", "-required-", "Fewest replicas.", "targetCPUUtilization"] {
        assert!(said.contains(words), "{said}");
    }
    let said = plane.run(&["explain", "schd.spec.config.queue.worker_threads"]);
    let said: Vec<&str> = said.split_whitespace().collect();
    assert!(
        said.join(" ").contains("Threads of the runtime. A value is a whole number from 1 to 1024. Default: 4."),
        "{said:?}"
    );
}
