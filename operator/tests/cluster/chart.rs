//! The charts of the operator and of its definition, by Helm: checked, rendered, installed, upgraded, removed.

use std::path::Path;

use cue_scheduler_operator::yaml;
use serde_json::Value;

use crate::control_plane::{ControlPlane, chart};
use crate::operator::{Operator, Place};

const DEFINITION: &str = "crd/schedulerdeployments.scheduler.opencue.io";

/// Values that are rendered as they are written down, in `tests/chart`.
const CASES: [&str; 3] = ["plain", "everything", "one-namespace"];

fn definition_chart() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/cue-scheduler-crds").display().to_string()
}

#[test]
fn it_passes_helms_own_checks_and_renders_as_it_is_written_down() {
    let plane = ControlPlane::running();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart");
    for case in CASES {
        let values = folder.join(format!("{case}.values.yaml"));
        let values = values.to_str().unwrap();
        plane.helm(&["lint", "--strict", &chart(), "--values", values]);
        let text = plane.helm(&["template", "ops", &chart(), "--namespace", "opencue", "--values", values]);
        let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        let path = folder.join(format!("{case}.rendered.yaml"));
        if std::env::var_os("UPDATE_RENDERED").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "{} is old; UPDATE_RENDERED=1 writes it anew", path.display());
    }
}

#[test]
fn values_that_there_are_not_are_refused() {
    let plane = ControlPlane::running();
    for (value, words) in [
        ("replicaCont=2", "additional properties 'replicaCont' not allowed"),
        ("replicaCount=two", "got string, want integer"),
        ("image.tag=a b", "does not match pattern"),
        ("logFormat=xml", "must be one of"),
        ("serviceAccount.create=false", "needs the name of one that is there"),
    ] {
        let (is_done, said) = plane.attempt_helm(&["template", "ops", &chart(), "--set", value]);
        assert!(!is_done && said.contains(words), "{value}: {said}");
    }
}

/// As people do it, in a namespace that allows restricted pods only. The operator's own program takes the place of its pods.
#[test]
fn it_is_installed_upgraded_and_removed() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start_bare()));
    let ops = Place::on(plane, "ops");
    plane.run(&["label", "namespace", "ops", "pod-security.kubernetes.io/enforce=restricted"]);
    let chart = chart();
    let step =
        |arguments: &[&str]| plane.helm(&[arguments, &["--namespace", "ops", "--wait", "--timeout", "120s"]].concat());
    let notes = step(&["install", "crds", &definition_chart()]);
    assert!(notes.contains("kubectl explain schd.spec"), "{notes}");
    let notes = step(&["install", "ops", &chart]);
    assert!(notes.contains("kubectl rollout status deployment/ops-cue-scheduler-operator --namespace ops"), "{notes}");

    let user = plane.account("ops", "ops-cue-scheduler-operator");
    let _operator = Operator::start(&user, &["--lease-namespace=ops"]);
    ops.put("farm", &Value::Object(serde_json::Map::new()));
    ops.wait_ready("farm");

    // What an upgrade brings is there.
    plane.run(&[
        "patch",
        DEFINITION,
        "--type=json",
        "--patch",
        r#"[{"op": "remove", "path": "/spec/names/shortNames"}]"#,
    ]);
    step(&["upgrade", "crds", &definition_chart(), "--force-conflicts"]);
    assert_eq!(plane.get("", DEFINITION)["spec"]["names"]["shortNames"][0], "schd");
    step(&["upgrade", "ops", &chart, "--set", "replicaCount=2", "--force-conflicts"]);
    assert_eq!(ops.get("deployment/ops-cue-scheduler-operator")["spec"]["replicas"], 2);
    assert!(!ops.get("pdb/ops-cue-scheduler-operator").is_null());
    step(&["rollback", "ops", "1", "--force-conflicts"]);
    assert!(ops.get("pdb/ops-cue-scheduler-operator").is_null());

    // Farms outlive both releases.
    step(&["uninstall", "ops"]);
    step(&["uninstall", "crds"]);
    assert!(ops.get("deployment/ops-cue-scheduler-operator").is_null());
    assert!(!plane.get("", DEFINITION).is_null());
    assert!(!ops.get("deployment/farm-spi").is_null());
}

#[test]
fn the_definition_of_its_chart_is_the_one_in_crds_and_is_kept() {
    let plane = ControlPlane::running();
    plane.helm(&["lint", "--strict", &definition_chart()]);
    let rendered = plane.helm(&["template", "crds", &definition_chart()]);
    let mut rendered: Value = yaml::read(&rendered).unwrap();
    let annotations = rendered["metadata"].as_object_mut().unwrap().remove("annotations").unwrap();
    assert_eq!(annotations["helm.sh/resource-policy"], "keep");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/schedulerdeployments.yaml");
    let own: Value = yaml::read(&std::fs::read_to_string(own).unwrap()).unwrap();
    assert_eq!(rendered, own);
}
