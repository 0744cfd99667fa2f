//! The scheduler does what was said, and its status says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use cue_scheduler_core::reason::Reason;
use serde_json::Value;
use testbed::harness::Scheduler;
use testbed::loader::description::FarmDescription;
use testbed::loader::load;
use testbed::postgres::{Server, free_port};

use super::farm::{Farm, run, said};
use super::words::SAID;

/// The names of all fields, but those that are labels or names themselves.
fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| {
                let inner = if ["booked", "refused"].contains(&key.as_str()) { BTreeSet::new() } else { keys(value) };
                inner.into_iter().chain([key.clone()])
            })
            .filter(|key| Reason::ALL.iter().all(|reason| reason.label() != key))
            .collect(),
        Value::Array(items) => items.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}

/// A layer, and why it waits: reason and numbers, as JSON.
type Reasons = BTreeMap<String, Value>;

fn reasons(of: &[Value], job: &str, layer: &str) -> Reasons {
    of.iter().map(|entry| (format!("{}/{}", text(entry, job), text(entry, layer)), entry["why"].clone())).collect()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

#[tokio::test]
async fn the_scheduler_does_what_explain_and_plan_said_and_its_status_says_so() {
    let farm = Farm::new("reader_plan").await;
    let port = free_port().unwrap();
    let reader = farm.config("reader_plan", port);

    // What plan says, by a role that may only read.
    let (code, page) = run(&reader, &["plan"]).await;
    assert_eq!(code, 0);
    let words = said(&page);
    for word in [
        "would be booked",
        "runs / comp: 4 frames on 1 host",
        "windows / comp: 1 waiting: of the 2 hosts of allocation local.general with its tags none runs windows.",
        "unbuildable / comp: 2 waiting: they can't be launched as the layer is written",
    ] {
        assert!(words.contains(word), "`{word}` is not in:\n{page}");
    }
    let (_, json) = run(&reader, &["plan", "--json"]).await;
    let plan: Value = serde_json::from_str(&json).unwrap();
    let pools = list(&plan["pools"]);
    let planned: Vec<Value> = pools.iter().flat_map(|pool| list(&pool["waiting"]).to_vec()).collect();
    let planned = reasons(&planned, "job", "layer");
    let mut would_book: BTreeMap<String, u64> = BTreeMap::new();
    for booking in pools.iter().flat_map(|pool| list(&pool["would_book"])) {
        *would_book.entry(text(booking, "job")).or_default() += booking["frames"].as_u64().unwrap();
    }
    assert_eq!(would_book, BTreeMap::from([("burst".to_owned(), 1), ("runs".to_owned(), 4)]));

    // What explain says of each job.
    let mut explained = Reasons::new();
    for (job, _) in SAID {
        let (_, json) = run(&reader, &["explain", job, "--json"]).await;
        let answer: Value = serde_json::from_str(&json).unwrap();
        for layer in list(&answer["layers"]) {
            let key = format!("{job}/{}", text(layer, "name"));
            let booked: u64 =
                list(&layer["pools"]).iter().map(|pool| pool["would_book"]["frames"].as_u64().unwrap()).sum();
            assert_eq!(booked, would_book.get(job).copied().unwrap_or(0), "{key}");
            for pool in list(&layer["pools"]).iter().filter(|pool| !pool["waiting"].is_null()) {
                explained.insert(key.clone(), pool["waiting"]["why"].clone());
            }
            if let Some(error) = layer["unbuildable"].as_str() {
                explained.insert(key, serde_json::json!({"reason": "unbuildable", "error": error}));
            }
        }
    }
    assert_eq!(explained, planned);

    // What the scheduler does. Nothing is launched, so what it books stays booked.
    let arguments = ["--config", &farm.config("postgres", port).display().to_string()];
    let mut scheduler = Scheduler::start_with(&arguments, &[], port, farm.folder.path().join("log")).unwrap();
    scheduler.ready().await.unwrap();
    let began = Instant::now();
    let status = loop {
        let (code, body) = scheduler.get("/api/v1/status").await.unwrap();
        assert_eq!(code, 200);
        let status: Value = serde_json::from_str(&body).unwrap();
        let awake = list(&status["pools"]).iter().filter(|pool| pool["awake"] == true);
        let all_passed = awake.clone().count() == pools.iter().filter(|pool| pool["layers"] != 0).count()
            && awake.clone().all(|pool| !pool["last_pass"].is_null());
        if all_passed && status["waiting"]["layers"] == planned.len() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{status:#}\n{}", scheduler.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(reasons(list(&status["waiting"]["first_layers"]), "job", "layer"), planned);
    let booked: Vec<(String, i64)> = sqlx::query_as(
        "SELECT job.str_name, count(*) FROM frame JOIN job USING (pk_job) WHERE frame.str_state = 'RUNNING' GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(&farm.pool)
    .await
    .unwrap();
    assert_eq!(booked, [("burst".to_owned(), 1), ("runs".to_owned(), 4)]);

    // The rest of the status, and the gauge beside it.
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/api.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    for key in keys(&status) {
        let told = [format!("`{key}`"), format!("\"{key}\"")].iter().any(|quoted| reference.contains(quoted));
        assert!(told, "docs/reference/api.md does not tell of `{key}`");
    }
    assert_eq!(
        (&status["facility"], &status["ready"], &status["dry_run"]),
        (&"local".into(), &true.into(), &true.into())
    );
    assert_eq!(status["ignored_tags"], serde_json::json!(["old"]));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["quarantined"]["hosts"], 0);
    let by_reason = list(&status["waiting"]["by_reason"]);
    let sum = |key: &str| by_reason.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("frames"), status["waiting"]["frames"].as_u64().unwrap());
    let (_, metrics) = scheduler.get("/metrics").await.unwrap();
    for row in by_reason {
        let series = format!(
            "scheduler_waiting_frames{{reason=\"{}\",show_name=\"{}\"}} {}",
            text(row, "reason"),
            text(row, "show"),
            row["frames"]
        );
        assert!(metrics.lines().any(|line| line == series), "{series}");
    }
    let unserved = by_reason.iter().find(|row| row["show"] == "alpha" && row["reason"] == "no_host_with_tag").unwrap();
    // closed, elsewhere, old, genral and none; and locked.
    assert_eq!(unserved["frames"], 6, "what no pool could run is counted too: {status:#}");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
}

#[tokio::test]
async fn a_host_whose_agent_does_not_answer_is_shown_with_what_waits_for_it() {
    const FARM: &str = "
facilities: [{name: local, allocations: [{name: local.general, tag: general, default: true}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 100}]}]
hosts: [{allocation: local.general, names: [127.9.0.1]}]
jobs: [{name: waits, show: alpha, priority: 50, layers: [{name: comp, range: 1-2}]}]
";
    let database = Server::shared().await.unwrap().database().await.unwrap();
    load(&database.pool().await.unwrap(), &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens at that port.
    let agents = free_port().unwrap();
    let mut scheduler = Scheduler::start("alone", &database.target(5), agents, &[], folder.path()).unwrap();
    scheduler.ready().await.unwrap();
    let began = Instant::now();
    let status = loop {
        let (_, body) = scheduler.get("/api/v1/status").await.unwrap();
        let status: Value = serde_json::from_str(&body).unwrap();
        if status["waiting"]["first_layers"][0]["why"]["reason"] == "hosts_quarantined" {
            break status;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{status:#}\n{}", scheduler.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let layer = &status["waiting"]["first_layers"][0];
    assert_eq!(layer["why"], serde_json::json!({"reason": "hosts_quarantined", "hosts": 1, "host": "127.9.0.1"}));
    assert_eq!((&layer["job"], &layer["priority"], &layer["frames"]), (&"waits".into(), &50.into(), &2.into()));
    let host = &status["quarantined"]["first_hosts"][0];
    assert_eq!((&status["quarantined"]["hosts"], &host["host"]), (&1.into(), &"127.9.0.1".into()));
    assert!(!text(host, "why").is_empty() && text(host, "until") > text(&status, "now"), "{status:#}");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
}
