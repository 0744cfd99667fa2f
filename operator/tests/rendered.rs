//! What resources come to, as people would read it: `resources/NAME.yaml` renders to `rendered/NAME.yaml`. `UPDATE_RENDERED=1 cargo
//! test --package cue-scheduler-operator --test rendered` writes them anew; the difference is what is reviewed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cue_scheduler_config::Config;
use cue_scheduler_operator::{typed, yaml};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn run(command: &str, file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator")).arg(command).arg(file).output().unwrap()
}

fn resources() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder("resources")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5);
    files
}

fn rendered(file: &Path) -> String {
    let output = run("render", file);
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    // Each release has another default for the image; a snapshot should not be old for that.
    String::from_utf8(output.stdout).unwrap().replace(concat!(":", env!("CARGO_PKG_VERSION")), ":VERSION")
}

#[test]
fn every_resource_renders_as_it_is_written_down() {
    for file in resources() {
        let path = folder("rendered").join(file.file_name().unwrap());
        let text = rendered(&file);
        if std::env::var_os("UPDATE_RENDERED").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = written.lines().zip(text.lines()).find(|(old, new)| old != new);
        assert!(written == text, "{} is old, first at {differs:?}; UPDATE_RENDERED=1 writes it anew", path.display());
    }
}

#[test]
fn rendering_twice_gives_the_same() {
    for file in resources() {
        assert_eq!(rendered(&file), rendered(&file));
    }
}

/// The manifests are written as JSON; this keeps misspelt fields out.
#[test]
fn every_object_is_what_kubernetes_takes() {
    let mut seen = std::collections::BTreeSet::new();
    for file in resources() {
        for object in yaml::read_all(&rendered(&file)).unwrap() {
            let kind = object["kind"].as_str().unwrap().to_owned();
            let faults = match kind.as_str() {
                "ConfigMap" => typed::faults::<ConfigMap>(&object),
                "Deployment" => typed::faults::<Deployment>(&object),
                "HorizontalPodAutoscaler" => typed::faults::<HorizontalPodAutoscaler>(&object),
                "NetworkPolicy" => typed::faults::<NetworkPolicy>(&object),
                "PodDisruptionBudget" => typed::faults::<PodDisruptionBudget>(&object),
                "Service" => typed::faults::<Service>(&object),
                "ServiceAccount" => typed::faults::<ServiceAccount>(&object),
                "PodMonitor" | "PrometheusRule" | "ScaledObject" | "ServiceMonitor" => Vec::new(),
                other => panic!("{other}"),
            };
            assert_eq!(faults, [""; 0], "{kind} of {}", file.display());
            seen.insert(kind);
        }
    }
    assert_eq!(seen.len(), 11, "every kind is rendered by some resource: {seen:?}");
}

#[test]
fn every_rendered_file_loads_in_the_scheduler() {
    for file in resources() {
        for object in yaml::read_all(&rendered(&file)).unwrap() {
            if object["kind"] == "ConfigMap" {
                let text = object["data"]["scheduler.yaml"].as_str().unwrap();
                let loaded = Config::from_text("scheduler.yaml", text).unwrap_or_else(|errors| panic!("{errors}"));
                assert!(!loaded.is_set("database.db_pass") && !loaded.is_set("database.db_user"));
            }
        }
    }
}

/// `restricted` of the Pod Security Standards.
#[test]
fn every_pod_is_restricted() {
    for file in resources() {
        for object in yaml::read_all(&rendered(&file)).unwrap().iter().filter(|object| object["kind"] == "Deployment") {
            let pod = &object["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(container["securityContext"]["capabilities"]["drop"], Value::from(vec!["ALL"]));
        }
    }
}

#[test]
fn check_names_what_is_sound() {
    let output = run("check", &folder("resources/studio.yaml"));
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "studio: sound: 4 facilities: spi, lax, vancouver, archive\n");
}
