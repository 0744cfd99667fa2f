//! `import`: a studio's scheduler.yaml becomes a resource that means the same.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

use std::process::{Command, Output};

use cue_scheduler_config::Config;
use cue_scheduler_operator::crd::SchedulerDeployment;
use cue_scheduler_operator::desired::{Cluster, build};
use cue_scheduler_operator::reconcile::validate::{Defaults, validate};
use cue_scheduler_operator::yaml;
use serde_json::Value;

const FILE: &str = r"
Logging:
  level: info,sqlx=warn
database: {pool_size: 25, db_host: db.example, db_name: cuebot, db_user: cuebot, db_pass: 0123, db_port: 5433, core_multiplier: 100}
queue:
  worker_threads: 8
  host_candidate_attemps_per_layer: 10
  metrics_port: 9191
  stream: {job_buffer_size: 5}
scheduler:
  facility: Los Angeles
  ignore_tags: [deprecated, 12]
";

fn import(text: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scheduler.yaml");
    std::fs::write(&file, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator")).arg("import").arg(file).args(more).output().unwrap()
}

#[test]
fn the_resource_means_what_the_file_meant() {
    let output = import(FILE, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents = yaml::read_all(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let [secret, resource] = &documents[..] else { panic!("{documents:?}") };
    // A password that YAML takes for a number keeps its spelling.
    assert_eq!(secret["stringData"], serde_json::json!({ "username": "cuebot", "password": "0123" }));
    assert!(!resource.to_string().contains("0123"));
    assert_eq!(resource["spec"]["database"]["credentialsSecretRef"]["name"], secret["metadata"]["name"]);

    let resource: SchedulerDeployment = serde_json::from_value(resource.clone()).unwrap();
    let wanted = validate(&resource, &Defaults::default()).unwrap();
    let desired = build(&wanted, &Cluster::default()).unwrap();
    let text = desired.facilities[0].config_map["data"]["scheduler.yaml"].as_str().unwrap();
    let rendered = Config::from_text("rendered", text).unwrap().config;
    let mut expected = Config::from_text("file", FILE).unwrap().config;
    // The Service leads to this port.
    expected.queue.metrics_port = 9090;
    // These come by the command line and the environment.
    expected.scheduler.facility = None;
    expected.database.db_user = Config::default().database.db_user;
    expected.database.db_pass = Config::default().database.db_pass;
    // The order of tags has no meaning.
    expected.scheduler.ignore_tags.sort();
    assert_eq!(rendered, expected);
    assert_eq!(desired.facilities[0].facility, "Los Angeles");
}

#[test]
fn what_is_left_out_is_told() {
    let said = String::from_utf8(import(FILE, &[]).stderr).unwrap();
    assert!(said.contains("`database.core_multiplier` has no meaning and is left out"), "{said}");
    assert!(!said.contains("0123"), "{said}");
}

#[test]
fn facilities_are_given_where_the_file_names_none() {
    let text = "queue: {worker_threads: 2}\n";
    let output = import(text, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--facility NAME"));
    let output = import(text, &["--facility", "spi", "--facility", "lax", "--name", "west"]);
    let documents = yaml::read_all(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let names: Vec<&Value> =
        documents[1]["spec"]["facilities"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert_eq!(names, ["spi", "lax"]);
    assert_eq!(documents[1]["metadata"]["name"], "west");
}

#[test]
fn a_file_with_a_fault_is_refused_with_its_line() {
    let output = import("queue:\n  worker_thread: 2\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("scheduler.yaml:2: `queue.worker_thread`"), "{said}");
}
