//! Many resources at once: time, calls, memory; and then at rest.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::control_plane::{ControlPlane, until};
use crate::operator::Operator;

const RESOURCES: usize = 200;
const FACILITIES: usize = 3;
/// What is wished for; a busy machine may take four times as long.
const GOAL: Duration = Duration::from_mins(1);
const MEMORY_GOAL_MIB: u64 = 64;

#[test]
fn two_hundred_resources_of_three_facilities_are_applied_in_a_minute() {
    let plane = ControlPlane::running();
    plane.run(&["create", "namespace", "scale"]);
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "cuebot-db", "namespace": "scale" },
        "stringData": { "username": "cuebot", "password": "secret" } });
    plane.apply(&secret.to_string());
    let facilities: Vec<_> = (0..FACILITIES).map(|n| json!({ "name": format!("f{n}") })).collect();
    let resource = |n: usize| {
        json!({ "apiVersion": "scheduler.opencue.io/v1alpha1", "kind": "SchedulerDeployment",
            "metadata": { "name": format!("farm-{n}"), "namespace": "scale" },
            "spec": { "database": { "host": format!("postgres-{n}"), "credentialsSecretRef": { "name": "cuebot-db" } }, "facilities": facilities } })
    };
    plane.apply_all(&(0..RESOURCES).map(resource).collect::<Vec<_>>());

    let user = plane.operator("scale");
    let operator = Operator::of(&user, "scale");
    let started = Instant::now();
    let done = || {
        let text = operator.page("/metrics").1;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            line.unwrap_or_default() as usize
        };
        // A ServiceAccount for each resource; ConfigMap, Service, budget and Deployment for each facility.
        value("cue_scheduler_operator_managed_objects") >= RESOURCES * (1 + 4 * FACILITIES)
            && value("cue_scheduler_operator_workqueue_depth") == 0
    };
    until(4 * GOAL, done, || format!("not all applied: {}", operator.page("/metrics").1));
    let taken = started.elapsed();
    let deployments = plane.run(&["get", "deployments", "-n", "scale", "-o", "name"]).lines().count();
    assert_eq!(deployments, RESOURCES * FACILITIES);
    let calls = plane.calls(&user);
    let of = |verb: &str| calls.iter().filter(|call| call.verb == verb).count() as f64 / RESOURCES as f64;
    println!(
        "calls for each resource: {:.1} reads, {:.1} applies, {:.1} statuses, {:.1} events",
        of("get"),
        calls
            .iter()
            .filter(|call| call.verb == "patch" && !call.resource.contains('/') && call.resource != "events")
            .count() as f64
            / RESOURCES as f64,
        calls.iter().filter(|call| call.resource.ends_with("/status")).count() as f64 / RESOURCES as f64,
        calls.iter().filter(|call| call.resource == "events").count() as f64 / RESOURCES as f64,
    );
    let calls = calls.len();
    println!(
        "{RESOURCES} resources of {FACILITIES} facilities applied in {:.1} s, {:.1} calls each, {:.1} s of CPU, {} MiB",
        taken.as_secs_f64(),
        calls as f64 / RESOURCES as f64,
        operator.cpu(),
        operator.memory()
    );
    assert!(taken < 4 * GOAL);

    // At rest, once the cluster's own controllers have made their pods.
    let quiet = || {
        let before = plane.calls(&user).len();
        std::thread::sleep(Duration::from_secs(20));
        let rate = (plane.calls(&user).len() - before) as f64 / 20.0;
        println!("{rate:.2} calls a second, {} MiB", operator.memory());
        rate < 1.0
    };
    until(4 * GOAL, quiet, || "it does not come to rest".to_owned());
    assert!(operator.memory() < 4 * MEMORY_GOAL_MIB, "{} MiB", operator.memory());
    plane.run(&["delete", "namespace", "scale", "--wait=false"]);
}
