//! What the operator sends, in which order, and how it meets faults: against an API server in memory.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod api;

use std::sync::Arc;
use std::time::Duration;

use api::{Api, Fault};
use cue_scheduler_operator::cluster::caches::Scope;
use cue_scheduler_operator::cluster::watch::Limits;
use cue_scheduler_operator::controller::{self, Settings};
use cue_scheduler_operator::metrics::Metrics;
use cue_scheduler_operator::readiness::Readiness;
use cue_scheduler_operator::reconcile::validate::Defaults;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// On a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

const RESOURCES: &str = "/apis/scheduler.opencue.io/v1alpha1/namespaces/opencue/schedulerdeployments";
const SECRETS: &str = "/api/v1/namespaces/opencue/secrets";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/opencue/deployments";

/// The operator at work on an API server.
struct Operator {
    stop: CancellationToken,
    task: JoinHandle<()>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

impl Operator {
    fn start(api: &Api) -> Self {
        let settings = Settings {
            scope: Scope::default(),
            concurrency: 4,
            refresh: Duration::from_hours(6),
            defaults: Defaults { repository: "cue-scheduler".to_owned(), tag: "1".to_owned() },
            instance: "test".to_owned(),
            limits: Limits { list: Duration::from_secs(2), watch: Duration::from_secs(10) },
        };
        let (stop, readiness, metrics) =
            (CancellationToken::new(), Readiness::default(), Arc::new(Metrics::new().unwrap()));
        let run = controller::run(api.client(), settings, Arc::clone(&metrics), readiness.clone(), stop.clone());
        Self { task: tokio::spawn(run), stop, readiness, metrics }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("it stops").unwrap();
    }

    /// Ends at once, as by a kill.
    fn kill(self) {
        self.task.abort();
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn farm(spec: &Value) -> Value {
    let mut whole = json!({
        "database": { "host": "postgres", "credentialsSecretRef": { "name": "cuebot-db" } },
        "facilities": [{ "name": "spi" }],
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({ "apiVersion": "scheduler.opencue.io/v1alpha1", "kind": "SchedulerDeployment", "metadata": { "name": "farm" }, "spec": whole })
}

fn secret() -> Value {
    // c2VjcmV0 is `secret`.
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "cuebot-db" }, "data": { "username": "c2VjcmV0", "password": "c2VjcmV0" } })
}

/// An API server with a resource and its Secret.
fn with_farm(spec: &Value) -> Api {
    let api = Api::default();
    api.put(SECRETS, secret());
    api.put(RESOURCES, farm(spec));
    api
}

fn condition(api: &Api, kind: &str) -> Value {
    condition_of(api, "farm", kind)
}

fn condition_of(api: &Api, name: &str, kind: &str) -> Value {
    let status =
        api.object(&format!("schedulerdeployments/{name}")).map(|farm| farm["status"].clone()).unwrap_or_default();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// The status is about the newest generation, and nothing is degraded.
fn is_settled(api: &Api) -> bool {
    let farm = api.object("schedulerdeployments/farm").unwrap();
    farm["status"]["observedGeneration"] == farm["metadata"]["generation"]
        && condition(api, "Degraded")["status"] == "False"
}

/// Sets the status of a Deployment as its controller would.
fn roll_out(api: &Api, name: &str) {
    let mut deployment = api.object(&format!("deployments/{name}")).unwrap();
    let (generation, replicas) = (deployment["metadata"]["generation"].clone(), deployment["spec"]["replicas"].clone());
    deployment["status"] = json!({ "observedGeneration": generation.as_i64().unwrap() + 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas });
    api.put(DEPLOYMENTS, deployment);
}

#[tokio::test]
async fn objects_are_applied_in_order_each_once_and_then_nothing_more_is_sent() {
    let api = with_farm(&json!({}));
    let operator = Operator::start(&api);
    until("the status", || is_settled(&api)).await;
    let writes = api.writes();
    let expected = [
        "apply serviceaccounts/farm",
        "apply configmaps/farm-spi-",
        "apply services/farm-spi",
        "apply poddisruptionbudgets/farm-spi",
        "apply deployments/farm-spi",
        "apply schedulerdeployments/farm/status",
        "create events",
    ];
    for (write, expected) in writes.iter().zip(expected) {
        assert!(write.starts_with(expected), "{writes:?}");
    }
    until("the look that a watch of our own writes might cause", || operator.readiness.missing().is_none()).await;
    roll_out(&api, "farm-spi");
    until("ready", || condition(&api, "Ready")["status"] == "True").await;
    let (calls, version) = (api.calls().len(), api.version());
    // A watch that begins anew is the only thing that happens to a farm at rest.
    api.close_watches(true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let more: Vec<String> = api.calls().split_off(calls).into_iter().filter(|call| !call.contains("events")).collect();
    assert_eq!(more, [""; 0]);
    let events = api.writes().iter().filter(|write| write.contains("events")).count() as u64;
    assert!(api.version() - version <= events, "something was written");
    operator.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_call_is_got_over() {
    let writes =
        ["serviceaccounts/farm", "services/farm-spi", "deployments/farm-spi", "schedulerdeployments/farm/status"];
    for path in writes {
        for code in [409, 429, 500, 503, 504] {
            let api = with_farm(&json!({}));
            api.fault("apply", path, Fault::Code(code));
            let operator = Operator::start(&api);
            until(&format!("settled after {code} for {path}"), || api.all_faults_met() && is_settled(&api)).await;
            operator.stop().await;
        }
    }
}

#[tokio::test]
async fn a_list_that_fails_is_tried_again_and_told_meanwhile() {
    let api = with_farm(&json!({}));
    for _ in 0..2 {
        api.fault("list", "/schedulerdeployments", Fault::Code(404));
    }
    let operator = Operator::start(&api);
    let told = "watching SchedulerDeployments: refused with 404 (404)";
    until("it says what it waits for", || operator.readiness.missing().as_deref() == Some(told)).await;
    until("it gets over it", || operator.readiness.missing().is_none() && is_settled(&api)).await;
    operator.stop().await;
}

/// With the limits of [`Operator::start`]; a call under way would take half a minute to be given up.
#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_told_and_got_over() {
    let api = with_farm(&json!({}));
    api.fall_silent(true);
    let operator = Operator::start(&api);
    let is_told = |words: &str| operator.readiness.missing().is_some_and(|missing| missing.contains(words));
    until("a list that is not answered is told", || is_told("no answer within 2 s")).await;
    api.fall_silent(false);
    until("it works", || operator.readiness.missing().is_none() && is_settled(&api)).await;
    // And under way: the watches are open, and nothing comes of them.
    api.fall_silent(true);
    api.put(RESOURCES, farm(&json!({ "facilities": [{ "name": "spi" }, { "name": "lax" }] })));
    until("a watch that is silent for too long is told", || is_told("no answer within 10 s")).await;
    api.fall_silent(false);
    until("what happened meanwhile is done", || api.object("deployments/farm-lax").is_some()).await;
    until("it works again", || operator.readiness.missing().is_none() && is_settled(&api)).await;
    operator.stop().await;
}

/// Nobody can do this to others: the server takes it, since it knows nothing of what is in a scheduler.yaml.
#[tokio::test]
async fn a_resource_that_nobody_can_read_is_told_and_stops_no_other() {
    let api = with_farm(&json!({}));
    let deep = (0..300).fold(json!(1), |inner, _| json!({ "a": inner }));
    let mut odd = farm(&json!({ "config": { "queue": deep } }));
    odd["metadata"]["name"] = json!("odd");
    api.put(RESOURCES, odd);
    let operator = Operator::start(&api);
    until("the other is settled", || is_settled(&api)).await;
    until("it is told", || condition_of(&api, "odd", "Degraded")["reason"] == "InvalidSpec").await;
    let message = condition_of(&api, "odd", "Degraded")["message"].clone();
    assert!(message.as_str().unwrap().contains("nested deeper than 100 levels"), "{message}");
    operator.stop().await;
}

#[tokio::test]
async fn an_event_is_told_once_for_each_cause() {
    let api = Api::default();
    api.put(RESOURCES, farm(&json!({})));
    let of = |reason: &str| -> Vec<Value> {
        api.snapshot_events().into_iter().filter(|event| event["reason"] == reason).collect()
    };
    let settled = |degraded: &'static str| {
        let farm = api.object("schedulerdeployments/farm").unwrap();
        farm["status"]["observedGeneration"] == farm["metadata"]["generation"]
            && condition(&api, "Degraded")["status"] == degraded
    };
    // The same cause, whatever else is changed, and whoever looks.
    for replicas in 1..4 {
        let operator = Operator::start(&api);
        api.put(RESOURCES, farm(&json!({ "facilities": [{ "name": "spi", "replicas": replicas }] })));
        until("no Secret", || settled("True")).await;
        operator.stop().await;
    }
    assert_eq!(of("SecretNotFound").len(), 1);
    assert!(of("SecretNotFound")[0]["series"].is_null());
    // The same cause again, after it had gone, is counted on the event that is there.
    let operator = Operator::start(&api);
    for _ in 0..3 {
        api.put(SECRETS, secret());
        until("recovered", || settled("False")).await;
        api.take("/api/v1/namespaces/opencue/secrets/cuebot-db");
        until("no Secret", || settled("True")).await;
    }
    let counted = || of("SecretNotFound").iter().map(|event| event["series"]["count"].clone()).collect::<Vec<_>>();
    until("counted", || counted() == [json!(null), json!(3)]).await;
    assert_eq!(of("Recovered").len(), 1);
    operator.stop().await;
}

#[tokio::test]
async fn what_happens_while_watches_are_closed_is_found() {
    for gone in [false, true] {
        let api = with_farm(&json!({}));
        let operator = Operator::start(&api);
        until("settled", || is_settled(&api)).await;
        api.close_watches(gone);
        api.put(RESOURCES, farm(&json!({ "facilities": [{ "name": "spi" }, { "name": "lax" }] })));
        until("the new facility", || api.object("deployments/farm-lax").is_some()).await;
        operator.stop().await;
    }
}

#[tokio::test]
async fn what_the_server_refuses_for_good_is_told_and_the_rest_is_done() {
    let api = with_farm(&json!({}));
    api.fault("apply", "services/farm-spi", Fault::Code(422));
    let operator = Operator::start(&api);
    until("told", || condition(&api, "Degraded")["reason"] == "ApplyFailed").await;
    assert!(
        condition(&api, "Degraded")["message"]
            .as_str()
            .unwrap()
            .contains("applying Service farm-spi: refused with 422")
    );
    assert!(api.object("deployments/farm-spi").is_some());
    operator.stop().await;
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_touched() {
    for owners in
        [json!([]), json!([{ "apiVersion": "v1", "kind": "Other", "name": "x", "uid": "other", "controller": true }])]
    {
        let api = with_farm(&json!({}));
        let theirs = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "farm-spi", "ownerReferences": owners }, "spec": { "replicas": 9 } });
        api.put(DEPLOYMENTS, theirs);
        let before = api.object("deployments/farm-spi");
        let operator = Operator::start(&api);
        until("told", || condition(&api, "Degraded")["reason"] == "NameTaken").await;
        assert_eq!(api.object("deployments/farm-spi"), before);
        operator.stop().await;
    }
}

#[tokio::test]
async fn a_missing_secret_makes_no_pods_and_its_coming_is_noticed_at_once() {
    let api = Api::default();
    api.put(RESOURCES, farm(&json!({})));
    let operator = Operator::start(&api);
    until("told", || condition(&api, "Degraded")["reason"] == "SecretNotFound").await;
    assert!(api.object("deployments/farm-spi").is_none());
    let mut half = secret();
    half["data"].as_object_mut().unwrap().remove("password");
    api.put(SECRETS, half);
    until("the key is named", || condition(&api, "Degraded")["message"].as_str().unwrap().contains("no key password"))
        .await;
    assert!(api.object("deployments/farm-spi").is_none());
    api.put(SECRETS, secret());
    until("it goes on", || is_settled(&api) && api.object("deployments/farm-spi").is_some()).await;
    let template = |api: &Api| api.object("deployments/farm-spi").unwrap()["spec"]["template"].clone();
    let before = template(&api);
    api.put(SECRETS, secret());
    until("a new version of the Secret makes new pods", || template(&api) != before).await;
    operator.stop().await;
}

#[tokio::test]
async fn what_is_removed_or_changed_by_hand_comes_back() {
    let api = with_farm(&json!({}));
    let operator = Operator::start(&api);
    until("settled", || is_settled(&api)).await;
    api.take("/api/v1/namespaces/opencue/services/farm-spi");
    until("the Service is back", || api.object("services/farm-spi").is_some()).await;
    let mut deployment = api.object("deployments/farm-spi").unwrap();
    deployment["spec"]["replicas"] = json!(7);
    deployment["metadata"]["managedFields"] = json!([{ "manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": { "f:spec": { "f:replicas": {} } } }]);
    api.put(DEPLOYMENTS, deployment);
    until("the number is back", || api.object("deployments/farm-spi").unwrap()["spec"]["replicas"] == 1).await;
    let told = || {
        api.snapshot_events().into_iter().any(|event| {
            event["reason"] == "OverwroteManualChange"
                && event["note"].as_str().unwrap().contains("spec.replicas by kubectl")
        })
    };
    until("it is told who changed what", told).await;
    operator.stop().await;
}

#[tokio::test]
async fn paused_leaves_everything_alone_and_says_so() {
    let api = with_farm(&json!({}));
    let operator = Operator::start(&api);
    until("settled", || is_settled(&api)).await;
    api.put(RESOURCES, farm(&json!({ "paused": true, "facilities": [{ "name": "spi", "replicas": 5 }] })));
    until("it says so", || condition(&api, "Paused")["status"] == "True").await;
    api.take("/api/v1/namespaces/opencue/services/farm-spi");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(api.object("services/farm-spi").is_none());
    assert_eq!(api.object("deployments/farm-spi").unwrap()["spec"]["replicas"], 1);
    api.put(RESOURCES, farm(&json!({ "facilities": [{ "name": "spi", "replicas": 5 }] })));
    until("it goes on", || {
        api.object("services/farm-spi").is_some()
            && api.object("deployments/farm-spi").unwrap()["spec"]["replicas"] == 5
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_common_change_goes_from_facility_to_facility() {
    let facilities = json!([{ "name": "a" }, { "name": "b" }]);
    let api = with_farm(&json!({ "facilities": facilities }));
    let operator = Operator::start(&api);
    until("settled", || is_settled(&api)).await;
    for name in ["farm-a", "farm-b"] {
        roll_out(&api, name);
    }
    until("ready", || condition(&api, "Ready")["status"] == "True").await;
    api.put(RESOURCES, farm(&json!({ "facilities": facilities, "image": { "tag": "2" } })));
    let image = |name: &str| {
        api.object(&format!("deployments/{name}")).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"]
            .clone()
    };
    until("the first has it", || image("farm-a") == "cue-scheduler:2").await;
    until("the second waits, and says so", || {
        condition(&api, "Progressing")["message"]
            .as_str()
            .is_some_and(|text| text.contains("waits until facility a has rolled out"))
    })
    .await;
    assert_eq!(image("farm-b"), "cue-scheduler:1");
    roll_out(&api, "farm-a");
    until("the second has it", || image("farm-b") == "cue-scheduler:2").await;
    operator.stop().await;
}

/// The first facility has an image that does not start, of its own; the second is changed, of its own, and later all are.
#[tokio::test]
async fn a_change_of_one_facility_does_not_wait_for_another_that_fails() {
    let facilities = |first: &str, threads: u32| json!([{ "name": "a", "image": { "tag": first } }, { "name": "b", "config": { "queue": { "worker_threads": threads } } }]);
    let put = |api: &Api, spec: &Value| api.put(RESOURCES, farm(spec));
    let api = with_farm(&json!({ "facilities": facilities("1", 4) }));
    let operator = Operator::start(&api);
    until("settled", || is_settled(&api)).await;
    for name in ["farm-a", "farm-b"] {
        roll_out(&api, name);
    }
    until("ready", || condition(&api, "Ready")["status"] == "True").await;
    let pod = |name: &str| api.object(&format!("deployments/{name}")).unwrap()["spec"]["template"]["spec"].clone();
    let image = |name: &str| pod(name)["containers"][0]["image"].clone();
    let config = |name: &str| pod(name)["volumes"][0]["configMap"]["name"].clone();
    put(&api, &json!({ "facilities": facilities("broken", 4) }));
    until("the first has it, and never gets ready", || image("farm-a") == "cue-scheduler:broken").await;
    let before = config("farm-b");
    put(&api, &json!({ "facilities": facilities("broken", 8) }));
    until("the second is changed all the same", || config("farm-b") != before).await;
    roll_out(&api, "farm-b");
    put(&api, &json!({ "facilities": facilities("broken", 8), "image": { "tag": "2" } }));
    until("what concerns all waits for the first", || {
        condition(&api, "Progressing")["message"]
            .as_str()
            .is_some_and(|text| text.contains("waits until facility a has rolled out"))
    })
    .await;
    assert_eq!(image("farm-b"), "cue-scheduler:1");
    put(&api, &json!({ "facilities": facilities("3", 8), "image": { "tag": "2" } }));
    until("the first is mended", || image("farm-a") == "cue-scheduler:3").await;
    roll_out(&api, "farm-a");
    until("the second has it", || image("farm-b") == "cue-scheduler:2").await;
    operator.stop().await;
}

#[tokio::test]
async fn killed_after_any_write_and_started_again_it_ends_the_same() {
    let spec = json!({
        "facilities": [{ "name": "spi", "autoscaling": { "maxReplicas": 3 } }, { "name": "Los Angeles", "replicas": 2 }],
        "networkPolicy": { "enabled": true },
    });
    let api = with_farm(&spec);
    let operator = Operator::start(&api);
    until("settled", || is_settled(&api)).await;
    let writes = api.writes().iter().filter(|write| !write.contains("events")).count();
    let expected = api.snapshot();
    operator.stop().await;
    assert!(writes >= 12, "{writes}");
    for after in 1..=writes {
        let api = with_farm(&spec);
        api.die_after(Some(after));
        let operator = Operator::start(&api);
        until(&format!("dead after {after} writes"), || api.writes().len() >= after).await;
        operator.kill();
        api.die_after(None);
        let operator = Operator::start(&api);
        until(&format!("settled after a death at write {after}"), || is_settled(&api) && api.snapshot() == expected)
            .await;
        operator.stop().await;
    }
}

#[tokio::test]
async fn a_stop_is_over_at_once_and_its_own_metrics_tell_what_was_done() {
    let api = with_farm(&json!({}));
    let operator = Operator::start(&api);
    until("settled", || is_settled(&api)).await;
    let metrics = Arc::clone(&operator.metrics);
    until("counted", || metrics.text().contains("cue_scheduler_operator_managed_objects 5")).await;
    let text = metrics.text();
    for line in [
        "cue_scheduler_operator_applies_total{kind=\"Deployment\"} 1",
        "cue_scheduler_operator_managed_resources 1",
        "cue_scheduler_operator_reconcile_duration_seconds_count{result=\"success\"}",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    operator.stop().await;
}
