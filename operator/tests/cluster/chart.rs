//! The charts by Helm: checked, rendered, taken by a real API server, installed, upgraded, rolled back, removed.

use std::path::{Path, PathBuf};
use std::process::Command;

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, User, until};
use crate::extensions;
use crate::operator::{LIMIT, Operator, Place};

const DEFINITION: &str = "crd/schedulerdeployments.scheduler.opencue.io";

/// Values that are rendered as they are written down: the folder in `tests/chart`, and each case there. The folders are named after
/// what the charts install.
const CASES: [(&str, &[&str]); 2] =
    [("operator", &["plain", "everything", "one-namespace"]), ("farm", &["plain", "everything"])];

fn folder(of: &str) -> String {
    let chart = match of {
        "operator" => "cue-scheduler-operator",
        "farm" => "cue-scheduler",
        "definition" => "cue-scheduler-crds",
        other => panic!("{other}"),
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts").join(chart).display().to_string()
}

/// Where the values and the rendered objects of a case are.
fn files(of: &str, case: &str) -> (PathBuf, PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart").join(of);
    (folder.join(format!("{case}.values.yaml")), folder.join(format!("{case}.rendered.yaml")))
}

/// All cases: what is installed, and its case.
fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    CASES.into_iter().flat_map(|(of, cases)| cases.iter().map(move |case| (of, *case)))
}

fn rendered(plane: &ControlPlane, of: &str, case: &str) -> String {
    let (values, _) = files(of, case);
    plane.helm(&["template", "ops", &folder(of), "--namespace", "charts", "--values", values.to_str().unwrap()])
}

#[test]
fn they_pass_helms_own_checks_and_render_as_it_is_written_down() {
    let plane = ControlPlane::running();
    for of in ["operator", "farm", "definition"] {
        plane.helm(&["lint", "--strict", &folder(of)]);
    }
    for (of, case) in cases() {
        let (values, path) = files(of, case);
        plane.helm(&["lint", "--strict", &folder(of), "--values", values.to_str().unwrap()]);
        let text = rendered(plane, of, case).replace(env!("CARGO_PKG_VERSION"), "VERSION");
        // The dashboard is looked at where it is made.
        let is_dashboard = |line: &str| line.starts_with("  cue-scheduler.json: ");
        let lines = text.lines().map(|line| if is_dashboard(line) { "  cue-scheduler.json: DASHBOARD" } else { line });
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        if std::env::var_os("UPDATE_RENDERED").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "{} is old; UPDATE_RENDERED=1 writes it anew", path.display());
    }
}

/// What the API server would do, and what it warns of: also of pods that the namespace would not allow.
#[test]
fn a_real_api_server_takes_what_they_render() {
    let plane = ControlPlane::running();
    extensions::install(plane);
    for namespace in ["charts", "farms", "grafana"] {
        plane.run(&["create", "namespace", namespace]);
        for mode in ["enforce", "warn"] {
            let label = format!("pod-security.kubernetes.io/{mode}=restricted");
            plane.run(&["label", "namespace", namespace, &label]);
        }
    }
    let has_account = || !plane.get("charts", "serviceaccount/default").is_null();
    until(LIMIT, has_account, || "the namespace has no account".to_owned());
    let apply = |manifests: &str| {
        plane.attempt(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"], manifests)
    };
    for (of, case) in cases() {
        let manifests = rendered(plane, of, case);
        let objects = yaml::read_all(&manifests).unwrap();
        // A pod is taken only where its account is there.
        let accounts = objects.iter().filter(|object| object["kind"] == "ServiceAccount");
        for account in accounts {
            plane.run_with(&["apply", "--server-side", "-f", "-"], &account.to_string());
        }
        let (is_taken, said) = apply(&manifests);
        assert!(is_taken && !said.contains("Warning"), "{of}, {case}: {said}");
        assert_eq!(said.lines().count(), objects.len(), "{of}, {case}: {said}");
    }
    let privileged = rendered(plane, "operator", "plain").replace("runAsNonRoot: true", "runAsNonRoot: false");
    let (is_taken, said) = apply(&privileged);
    assert!(!is_taken && said.contains("violates PodSecurity") && said.contains("Warning: would violate"), "{said}");
}

#[test]
fn the_dashboard_arrives_as_it_was_made() {
    let plane = ControlPlane::running();
    let objects = yaml::read_all(&rendered(plane, "operator", "everything")).unwrap();
    let map = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    let made = Path::new(&folder("operator")).join("dashboards/cue-scheduler.json");
    assert_eq!(map["data"]["cue-scheduler.json"], std::fs::read_to_string(made).unwrap());
}

#[test]
fn values_that_there_are_not_are_refused() {
    let plane = ControlPlane::running();
    for (of, value, words) in [
        ("operator", "replicaCont=2", "additional properties 'replicaCont' not allowed"),
        ("operator", "replicaCount=two", "got string, want integer"),
        ("operator", "image.tag=a b", "does not match pattern"),
        ("operator", "logFormat=xml", "must be one of"),
        ("operator", "networkPolicy.apiServerPorts[0]=0", "minimum"),
        ("operator", "serviceAccount.create=false", "needs the name of one that is there"),
        ("farm", "facilitys[0].name=spi", "additional properties 'facilitys' not allowed"),
        ("farm", "facilities[0].replica=2", "additional properties 'replica' not allowed"),
        ("farm", "database.port=none", "got string, want integer"),
        ("farm", "config.queue.worker_thread=2", "additional properties 'worker_thread' not allowed"),
        ("farm", "config.database.db_pass=x", "additional properties 'db_pass' not allowed"),
        ("farm", "test.timeout=soon", "does not match pattern"),
        ("definition", "keep=false", "additional properties 'keep' not allowed"),
    ] {
        let (is_done, said) = plane.attempt_helm(&["template", "ops", &folder(of), "--set", value]);
        assert!(!is_done && said.contains(words), "{of}, {value}: {said}");
    }
}

#[test]
fn the_definition_of_its_chart_is_the_one_in_crds_and_is_kept() {
    let rendered = ControlPlane::running().helm(&["template", "crds", &folder("definition")]);
    let mut rendered: Value = yaml::read(&rendered).unwrap();
    let annotations = rendered["metadata"].as_object_mut().unwrap().remove("annotations").unwrap();
    assert_eq!(annotations, json!({ "helm.sh/resource-policy": "keep" }));
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/schedulerdeployments.yaml");
    let own: Value = yaml::read(&std::fs::read_to_string(own).unwrap()).unwrap();
    assert_eq!(rendered, own);
}

/// Does what the pod of `helm test` would do, with its account and its arguments: nobody runs pods here.
fn helm_test(manifests: &str, user: &User) -> (bool, String) {
    let objects = yaml::read_all(manifests).unwrap();
    let pod = objects.iter().find(|object| object["kind"] == "Pod").unwrap();
    let arguments = pod["spec"]["containers"][0]["args"].as_array().unwrap().iter();
    let output = Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator"))
        .args(arguments.map(|argument| argument.as_str().unwrap()))
        .env("KUBECONFIG", &user.kubeconfig)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// As people do it, in a namespace that allows restricted pods only: from an earlier version to this one, and back. The operator's own
/// program takes the place of its pods.
#[test]
fn they_are_installed_upgraded_rolled_back_and_removed() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start_bare()));
    let ops = Place::on(plane, "ops");
    plane.run(&["label", "namespace", "ops", "pod-security.kubernetes.io/enforce=restricted"]);
    let step =
        |arguments: &[&str]| plane.helm(&[arguments, &["--namespace", "ops", "--wait", "--timeout", "120s"]].concat());
    // No version has been published; an earlier one differs from this in all that follows from a chart's version.
    let earlier = tempfile::tempdir().unwrap();
    let package = |of: &str| {
        let into = earlier.path().to_str().unwrap();
        let said = plane.helm(&[
            "package",
            &folder(of),
            "--version",
            "0.0.1",
            "--app-version",
            "0.0.1",
            "--destination",
            into,
        ]);
        said.trim().rsplit_once(": ").unwrap().1.to_owned()
    };

    let notes = step(&["install", "crds", &package("definition")]);
    assert!(notes.contains("helm install cue-scheduler-operator"), "{notes}");
    let notes = step(&["install", "ops", &package("operator")]);
    assert!(notes.contains("kubectl rollout status deployment/ops-cue-scheduler-operator --namespace ops"), "{notes}");
    let user = plane.account("ops", "ops-cue-scheduler-operator");
    let operator = Operator::start(&user, &["--lease-namespace=ops"]);
    let values = ["--set", "database.host=postgres", "--set", "facilities[0].name=spi"];
    let notes = step(&[&["install", "farm", &package("farm")], &values[..]].concat());
    assert!(notes.contains("helm test farm --namespace ops"), "{notes}");
    assert!(!notes.contains("is not there yet"), "the Secret is there: {notes}");
    ops.wait_ready("farm");

    // Definition, operator, farm: what an upgrade brings is there.
    let short_names = r#"[{"op": "remove", "path": "/spec/names/shortNames"}]"#;
    plane.run(&["patch", DEFINITION, "--type=json", "--patch", short_names]);
    step(&["upgrade", "crds", &folder("definition"), "--force-conflicts"]);
    assert_eq!(plane.get("", DEFINITION)["spec"]["names"]["shortNames"][0], "schd");
    let operators = || ops.get("deployment/ops-cue-scheduler-operator");
    let image = || operators()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(), "opencue/cue-scheduler-operator:0.0.1");
    step(&["upgrade", "ops", &folder("operator"), "--set", "replicaCount=2"]);
    assert_eq!(operators()["spec"]["replicas"], 2);
    assert_eq!(image(), concat!("opencue/cue-scheduler-operator:", env!("CARGO_PKG_VERSION")));
    assert!(!ops.get("pdb/ops-cue-scheduler-operator").is_null());
    step(&[
        "upgrade",
        "farm",
        &folder("farm"),
        "--reuse-values",
        "--set",
        "facilities[0].name=spi",
        "--set",
        "facilities[0].replicas=2",
    ]);
    ops.wait_ready("farm");
    assert_eq!(ops.get("deployment/farm-spi")["spec"]["replicas"], 2);

    let manifests = plane.helm(&["get", "hooks", "farm", "--namespace", "ops"]);
    plane.run_with(&["apply", "--namespace", "ops", "-f", "-"], &without_pods(&manifests));
    let account = plane.account("ops", "farm-test");
    let (is_ready, said) = helm_test(&manifests, &account);
    assert!(is_ready && said.contains("farm is ready"), "{said}");
    let manifests = plane.helm(&["get", "hooks", "ops", "--namespace", "ops"]);
    let address = "http://ops-cue-scheduler-operator-metrics.ops.svc:8080";
    assert!(manifests.contains(address), "{manifests}");
    let (is_ready, said) =
        helm_test(&manifests.replace(address, &format!("http://127.0.0.1:{}", operator.port)), &account);
    assert!(is_ready && said.contains("is ready"), "{said}");

    // Back again.
    step(&["rollback", "ops", "1"]);
    assert_eq!(image(), "opencue/cue-scheduler-operator:0.0.1");
    assert!(ops.get("pdb/ops-cue-scheduler-operator").is_null());
    step(&["rollback", "farm", "1"]);
    ops.wait_ready("farm");
    assert_eq!(ops.get("deployment/farm-spi")["spec"]["replicas"], 1);

    // A farm that was applied by hand outlives operator and definition; one that a release has goes with it.
    ops.put("by-hand", &json!({}));
    ops.wait_ready("by-hand");
    step(&["uninstall", "farm"]);
    ops.wait("its schedulers are gone", || ops.get("deployment/farm-spi").is_null());
    step(&["uninstall", "ops"]);
    step(&["uninstall", "crds"]);
    assert!(operators().is_null());
    assert!(!plane.get("", DEFINITION).is_null());
    assert!(!ops.get("deployment/by-hand-spi").is_null());
}

/// The hooks but for the pods, which nobody would run.
fn without_pods(manifests: &str) -> String {
    let objects = yaml::read_all(manifests).unwrap();
    yaml::write_all(objects.iter().filter(|object| object["kind"] != "Pod")).unwrap()
}
