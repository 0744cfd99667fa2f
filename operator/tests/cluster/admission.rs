//! What the API server itself refuses, in our words.

use std::path::Path;

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

use crate::common::{resource, table};
use crate::control_plane::{ControlPlane, until};
use crate::operator::{LIMIT, Operator, Place};

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

/// What clients and the API server make of files that are there to do harm, and what the operator says of what they let through.
#[test]
fn hostile_files_are_refused_or_told() {
    let bomb = {
        let line = |(name, before)| format!("    {name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(","));
        let lines: Vec<String> = "bcdefghij".chars().zip("abcdefghi".chars()).map(line).collect();
        format!("{}  config:\n    a: &a [x,x,x,x,x,x,x,x,x,x]\n{}", header("bomb"), lines.concat())
    };
    let nested = |name: &str, levels: usize| {
        format!("{}  config: {}1{}\n", header(name), "{a: ".repeat(levels), "}".repeat(levels))
    };
    let place = Place::new("hostile");
    for (about, text, words) in [
        ("a text that grows when it is read", bomb, "excessive aliasing"),
        ("a text without an end of its levels", nested("endless", 20_000), "exceeded max depth"),
    ] {
        let (is_accepted, said) = place.plane.attempt(&["create", "-n", "hostile", "-f", "-"], &text);
        assert!(!is_accepted && said.contains(words), "{about}: {}", said.chars().take(500).collect::<String>());
    }
    // An anchor is nothing bad in itself.
    let shared = header("anchors") + "  commonLabels: &words {team: render}\n  commonAnnotations: *words\n";
    place.plane.run_with(&["create", "-n", "hostile", "-f", "-"], &shared);
    // The server looks no further into a scheduler.yaml than it has a schema: the operator has to cope.
    place.plane.run_with(&["create", "-n", "hostile", "-f", "-"], &nested("deep", 500));
    let user = place.plane.operator("hostile");
    let mut operator = Operator::of(&user, "hostile");
    // Read by a path: this test's own reader of JSON would give up at the spec.
    let told = || {
        let path = "-o=jsonpath={.status.conditions[?(@.type=='Degraded')]['reason','message']}";
        place.plane.run(&["get", "schd", "-n", "hostile", "deep", path])
    };
    place.wait("it is told", || told().starts_with("InvalidSpec"));
    assert!(told().contains("nested deeper than 100 levels"), "{}", told());
    place.wait_ready("anchors");
    assert!(operator.is_running());
}

/// The beginning of a resource, up to its spec.
fn header(name: &str) -> String {
    format!(
        "apiVersion: scheduler.opencue.io/v1alpha1\nkind: SchedulerDeployment\nmetadata: {{name: {name}}}\nspec:\n  database: \
         {{host: postgres, credentialsSecretRef: {{name: cuebot-db}}}}\n  facilities: [{{name: spi}}]\n"
    )
}
