//! What the status says of each state.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::cluster::seen::{DeploymentSeen, Follower, Object};
use crate::crd::Condition;
use crate::reconcile::apply::Applied;
use crate::reconcile::validate::{Defaults, Reason, Refusal, validate};

fn resource(spec: &Value) -> SchedulerDeployment {
    let mut whole = json!({
        "database": { "host": "postgres", "credentialsSecretRef": { "name": "cuebot-db" } },
        "facilities": [{ "name": "spi", "replicas": 2 }, { "name": "lax" }, { "name": "old", "suspend": true }],
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "scheduler.opencue.io/v1alpha1",
        "kind": "SchedulerDeployment",
        "metadata": { "name": "farm", "namespace": "opencue", "uid": "u", "generation": 7 },
        "spec": whole,
    }))
    .unwrap()
}

fn deployment(name: &str, replicas: i32, updated: i32, ready: i32) -> (String, DeploymentSeen) {
    let object = Object { name: name.to_owned(), ..Object::default() };
    let seen =
        DeploymentSeen { object, replicas, is_observed: true, total: replicas, updated, ready, ..Default::default() };
    (name.to_owned(), seen)
}

fn observed(deployments: &[(String, DeploymentSeen)]) -> Observed {
    Observed { deployments: deployments.iter().cloned().collect(), ..Observed::default() }
}

fn all_ready() -> Observed {
    observed(&[deployment("farm-spi", 2, 2, 2), deployment("farm-lax", 1, 1, 1), deployment("farm-old", 0, 0, 0)])
}

fn applied(resource: &SchedulerDeployment, applied: Applied) -> Outcome {
    Outcome::Applied(validate(resource, &Defaults::default()).unwrap(), applied)
}

fn status(resource: &SchedulerDeployment, outcome: &Outcome, observed: &Observed) -> SchedulerDeploymentStatus {
    of(resource, outcome, observed, &SchedulerDeploymentStatus::default(), "2026-01-01T00:00:00Z")
}

fn condition<'s>(status: &'s SchedulerDeploymentStatus, kind: &str) -> &'s Condition {
    status.conditions.iter().find(|condition| condition.kind == kind).unwrap()
}

/// Status and reason of Ready, Available, Progressing and Degraded.
fn words(status: &SchedulerDeploymentStatus) -> [String; 4] {
    ["Ready", "Available", "Progressing", "Degraded"].map(|kind| {
        let condition = condition(status, kind);
        format!("{} {}", condition.status, condition.reason)
    })
}

#[test]
fn each_state_has_its_words() {
    let sound = resource(&json!({}));
    let fine = || applied(&sound, Applied::default());
    let refused = Outcome::Refused(Refusal { reason: Reason::InvalidConfig, faults: vec!["no such key".to_owned()] });
    let wanted = validate(&sound, &Defaults::default()).unwrap();
    let missing = Outcome::Missing(wanted, vec!["Secret cuebot-db is not there".to_owned()]);
    let taken = applied(
        &sound,
        Applied { taken: vec!["Service farm-spi belongs to somebody else".into()], ..Applied::default() },
    );
    let held = applied(&sound, Applied { held: BTreeMap::from([("lax".into(), "spi".into())]), ..Applied::default() });
    let rolling = observed(&[deployment("farm-spi", 2, 1, 2), deployment("farm-lax", 1, 1, 1)]);
    let one_down = observed(&[deployment("farm-spi", 2, 2, 1), deployment("farm-lax", 1, 1, 1)]);
    let dark = observed(&[deployment("farm-spi", 2, 2, 0), deployment("farm-lax", 1, 1, 1)]);
    let mut crashing = all_ready();
    let problem = Some(("CrashLoopBackOff".to_owned(), "pod x ended with 1".to_owned()));
    crashing.pods.push(Follower { problem, facility: Some("spi".into()), ..Follower::default() });
    let table: [(&str, Outcome, Observed, [&str; 4]); 9] = [
        (
            "all there",
            fine(),
            all_ready(),
            ["True AllFacilitiesReady", "True EveryFacilityServed", "False RolledOut", "False AsExpected"],
        ),
        (
            "a roll-out",
            fine(),
            rolling,
            ["False RollingOut", "True EveryFacilityServed", "True RollingOut", "False AsExpected"],
        ),
        (
            "a replica is not ready",
            fine(),
            one_down,
            ["False ReplicasNotReady", "True EveryFacilityServed", "False RolledOut", "False AsExpected"],
        ),
        (
            "a facility has nobody",
            fine(),
            dark,
            ["False ReplicasNotReady", "False FacilityNotServed", "False RolledOut", "False AsExpected"],
        ),
        (
            "a facility waits for another",
            held,
            all_ready(),
            ["False RollingOut", "True EveryFacilityServed", "True RollingOut", "False AsExpected"],
        ),
        (
            "refused",
            refused,
            all_ready(),
            ["False InvalidConfig", "False NothingThere", "False WaitingForInput", "True InvalidConfig"],
        ),
        (
            "no Secret",
            missing,
            all_ready(),
            ["False SecretNotFound", "True EveryFacilityServed", "False WaitingForInput", "True SecretNotFound"],
        ),
        (
            "a name that is taken",
            taken,
            all_ready(),
            ["False NameTaken", "True EveryFacilityServed", "False RolledOut", "True NameTaken"],
        ),
        (
            "a pod that crashes",
            fine(),
            crashing,
            ["False CrashLoopBackOff", "True EveryFacilityServed", "False RolledOut", "True CrashLoopBackOff"],
        ),
    ];
    for (about, outcome, observed, expected) in table {
        assert_eq!(words(&status(&sound, &outcome, &observed)), expected, "{about}");
    }
}

#[test]
fn every_condition_is_about_the_generation_and_says_a_sentence() {
    let sound = resource(&json!({}));
    let status = status(&sound, &applied(&sound, Applied::default()), &all_ready());
    assert_eq!(status.conditions.len(), 7);
    for condition in &status.conditions {
        assert_eq!(condition.observed_generation, Some(7));
        assert!(condition.message.ends_with('.'), "{}", condition.message);
        assert!(condition.reason.chars().all(char::is_alphanumeric), "{}", condition.reason);
    }
}

#[test]
fn suspended_facilities_do_not_count() {
    let sound = resource(&json!({}));
    let status = status(&sound, &applied(&sound, Applied::default()), &all_ready());
    assert_eq!(status.facilities_ready.as_deref(), Some("2/2"));
    assert_eq!(status.replicas_ready.as_deref(), Some("3/3"));
    assert!(status.facilities[2].suspended);
}

#[test]
fn the_time_of_a_condition_moves_only_with_its_status() {
    let sound = resource(&json!({}));
    let fine = applied(&sound, Applied::default());
    let before = of(&sound, &fine, &all_ready(), &SchedulerDeploymentStatus::default(), "then");
    let rolling = observed(&[deployment("farm-spi", 2, 1, 2), deployment("farm-lax", 1, 1, 1)]);
    let after = of(&sound, &fine, &rolling, &before, "now");
    assert_eq!(condition(&after, "Ready").last_transition_time, "now");
    assert_eq!(condition(&after, "Degraded").last_transition_time, "then");
    assert_eq!(of(&sound, &fine, &all_ready(), &before, "later"), before, "nothing new, nothing written");
}

#[test]
fn connections_are_counted_with_those_of_an_update_and_weighed() {
    // (20 + 2) × (2 + 1 + 1 + 1): two facilities, each with one pod more in an update.
    let sound = resource(&json!({}));
    let told = status(&sound, &applied(&sound, Applied::default()), &all_ready());
    assert_eq!(told.database_connections_max, Some(110));
    assert_eq!(condition(&told, "DatabaseConnections").status, "False");
    let database = json!({ "host": "p", "credentialsSecretRef": { "name": "x" }, "connectionBudget": 110 });
    let roomy =
        resource(&json!({ "database": database, "updateStrategy": { "rollingUpdate": { "maxSurge": "50%" } } }));
    let told = status(&roomy, &applied(&roomy, Applied::default()), &all_ready());
    assert_eq!(told.database_connections_max, Some(22 * (2 + 1 + 1 + 1)));
    assert_eq!(condition(&told, "DatabaseConnections").status, "True");
}

#[test]
fn what_is_asked_for_and_not_installed_is_told() {
    let keda = json!({ "serverAddress": "http://x", "query": "up", "threshold": "1" });
    let scaled =
        resource(&json!({ "facilities": [{ "name": "spi", "autoscaling": { "maxReplicas": 3, "keda": keda } }] }));
    let seen = observed(&[deployment("farm-spi", 1, 1, 1)]);
    let told = status(&scaled, &applied(&scaled, Applied::default()), &seen);
    assert_eq!(condition(&told, "Degraded").reason, "ExtensionMissing");
}

#[test]
fn another_resource_of_the_facility_is_told_without_its_name() {
    let sound = resource(&json!({}));
    let seen = Observed { shared: vec!["spi".to_owned()], ..all_ready() };
    let told = status(&sound, &applied(&sound, Applied::default()), &seen);
    let shared = condition(&told, "FacilityShared");
    assert_eq!((shared.status.as_str(), shared.reason.as_str()), ("True", "FacilityShared"));
    assert!(shared.message.contains("spi"));
}
