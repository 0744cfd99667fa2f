//! `explain`, `plan` and `/api/v1/status` through the real program, on one farm with a job for each situation: what is said
//! fits a terminal and names what is in the way, and the scheduler then does what was said.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cue_scheduler::store::Target;
use cue_scheduler_core::reason::Reason;
use serde_json::Value;
use sqlx::PgPool;
use testbed::harness::Scheduler;
use testbed::harness::scheduler::program;
use testbed::loader::description::FarmDescription;
use testbed::loader::{Loaded, load};
use testbed::postgres::{Server, free_port};
use tokio::process::Command;

/// Each job waits for something else; `runs` waits for nothing.
const FARM: &str = "
seed: 11
facilities:
  - name: local
    allocations:
      - {name: local.general, tag: general, default: true}
      - {name: local.closed, tag: closed}
      - {name: local.frozen, tag: frozen}
      - {name: local.tight, tag: tight}
      - {name: local.busy, tag: busy}
      - {name: local.locked, tag: locked}
      - {name: local.whole, tag: whole}
  - {name: other, allocations: [{name: other.pool, tag: elsewhere}]}
shows:
  - name: alpha
    folders: [{name: shots, max_cores: 1}]
    subscriptions:
      - {allocation: local.general, burst: 100}
      - {allocation: local.frozen, burst: 0}
      - {allocation: local.tight, burst: 3}
      - {allocation: local.busy, burst: 100}
      - {allocation: local.locked, burst: 100}
      - {allocation: local.whole, burst: 100}
  - {name: beta, managed: false, subscriptions: [{allocation: local.general, burst: 100}]}
  - {name: gamma, active: false, subscriptions: [{allocation: local.general, burst: 100}]}
  - {name: delta, subscriptions: [{allocation: other.pool, burst: 100}]}
limits: [{name: licence, max: 0}]
hosts:
  - {allocation: local.general, names: [general-1, general-2], cores: 8, memory: 32 GiB, manual_tags: [old]}
  - {allocation: local.closed, names: [closed-1]}
  - {allocation: local.frozen, names: [frozen-1]}
  - {allocation: local.tight, names: [tight-1]}
  - {allocation: local.busy, names: [busy-1, busy-2], cores: 8, memory: 32 GiB}
  - {allocation: local.locked, names: [locked-1, locked-2], locked: true}
  - {allocation: local.whole, names: [whole-1], thread_mode: ALL}
  - {allocation: other.pool, names: [other-1]}
jobs:
  - {name: runs, show: alpha, layers: [{name: comp, range: 1-4}]}
  - {name: paused, show: alpha, paused: true, layers: [{name: comp}]}
  - {name: unmanaged, show: beta, layers: [{name: comp}]}
  - {name: inactive, show: gamma, layers: [{name: comp}]}
  - {name: finished, show: alpha, layers: [{name: comp}]}
  - {name: abroad, show: delta, facility: other, layers: [{name: comp, tags: [elsewhere]}]}
  - {name: unsubscribed, show: alpha, layers: [{name: comp, tags: [closed]}]}
  - {name: subscribed-abroad, show: delta, layers: [{name: comp}]}
  - {name: tag-abroad, show: alpha, layers: [{name: comp, tags: [elsewhere]}]}
  - {name: ignored, show: alpha, layers: [{name: comp, tags: [old]}]}
  - {name: mistyped, show: alpha, layers: [{name: comp, tags: [genral]}]}
  - {name: untagged, show: alpha, layers: [{name: comp, tags: []}]}
  - {name: later, show: alpha, layers: [{name: comp}]}
  - {name: after, show: alpha, after_jobs: [runs], layers: [{name: comp, range: 1-3}]}
  - name: chain
    show: alpha
    max_cores: 0
    layers:
      - {name: sim, range: 1-2}
      - {name: comp, range: 1-2, after: [{kind: LAYER_ON_LAYER, layer: sim}]}
  - {name: failed, show: alpha, layers: [{name: comp, range: 1-3}]}
  - {name: unbuildable, show: alpha, layers: [{name: comp, range: 1-2}]}
  - {name: frozen, show: alpha, layers: [{name: comp, tags: [frozen]}]}
  - {name: burst, show: alpha, layers: [{name: comp, range: 1-2, tags: [tight], min_cores: 2}]}
  - {name: capped, show: alpha, max_cores: 1, layers: [{name: comp, min_cores: 2}]}
  - {name: foldered, show: alpha, folder: shots, layers: [{name: comp, min_cores: 2}]}
  - {name: limited, show: alpha, layers: [{name: comp, limits: [licence]}]}
  - {name: windows, show: alpha, os: windows, layers: [{name: comp}]}
  - {name: large, show: alpha, layers: [{name: comp, memory: 33 GiB}]}
  - {name: busy, show: alpha, layers: [{name: comp, tags: [busy], min_cores: 4}]}
  - {name: locked, show: alpha, layers: [{name: comp, tags: [locked]}]}
  - {name: unthreaded, show: alpha, layers: [{name: comp, tags: [whole], threadable: false}]}
";

/// What the loader can't describe.
const MORE: &str = "
UPDATE job SET str_state = 'FINISHED' WHERE str_name = 'finished';
UPDATE layer SET ts_start_after = now() + interval '26 hours 30 minutes' WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = 'later');
UPDATE frame SET str_state = CASE int_number WHEN 1 THEN 'DEAD' WHEN 2 THEN 'EATEN' ELSE 'CHECKPOINT' END
    WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = 'failed');
UPDATE layer SET str_range = 'nonsense' WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = 'unbuildable');
UPDATE host SET int_cores_idle = CASE str_name WHEN 'busy-1' THEN 100 ELSE 0 END WHERE str_name LIKE 'busy-%';
CREATE ROLE reader LOGIN;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
";

struct Farm {
    pool: PgPool,
    target: Target,
    loaded: Loaded,
    folder: tempfile::TempDir,
}

impl Farm {
    async fn new(role: &str) -> Self {
        let database = Server::shared().await.unwrap().database().await.unwrap();
        let pool = database.pool().await.unwrap();
        let loaded = load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(MORE.replace("reader", role))).execute(&pool).await.unwrap();
        Self { pool, target: database.target(5), loaded, folder: tempfile::tempdir().unwrap() }
    }

    fn config(&self, user: &str, metrics_port: u16) -> PathBuf {
        let file = self.folder.path().join(format!("{user}.yaml"));
        let Target { host, port, database, .. } = &self.target;
        let yaml = format!(
            "database: {{db_host: '{host}', db_port: {port}, db_name: '{database}', db_user: {user}}}\n\
             scheduler: {{facility: local, ignore_tags: [old]}}\n\
             rqd: {{dry_run_mode: true}}\n\
             queue: {{metrics_port: {metrics_port}}}\n"
        );
        std::fs::write(&file, yaml).unwrap();
        file
    }
}

/// Runs the program; exit code and standard output. Whatever it prints fits a terminal.
async fn run(file: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(program("cue-scheduler").unwrap())
        .args(["--config", &file.display().to_string()])
        .args(arguments)
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    if !arguments.contains(&"--json") {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?} is too wide: {line}");
        }
    }
    (output.status.code().unwrap(), text)
}

/// Runs the program where it has no answer; exit code and standard error.
async fn refused(file: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(program("cue-scheduler").unwrap())
        .args(["--config", &file.display().to_string()])
        .args(arguments)
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The page with its lines joined.
fn said(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each job, and what `explain` says of it.
const SAID: [(&str, &[&str]); 27] = [
    ("runs", &["Layer comp, 4 frames: 4 waiting", "4 frames would be booked now, on 1 host of local.general."]),
    ("paused", &["No pass looks at it: it is paused."]),
    ("unmanaged", &["No pass looks at it: show beta is booked by Cuebot (b_scheduler_managed is false)."]),
    ("inactive", &["No pass looks at it: show gamma is not active."]),
    ("finished", &["No pass looks at it: its state is FINISHED, and only PENDING jobs are booked."]),
    ("abroad", &["No pass looks at it: it is in facility other, and this scheduler books in local only."]),
    (
        "unsubscribed",
        &["1 frame waits: hosts with the tag closed are in local.closed, and show alpha has no subscription to that."],
    ),
    (
        "subscribed-abroad",
        &[
            "1 frame waits: show delta has no subscription in facility local; hosts with the tag general are in local.general.",
        ],
    ),
    (
        "tag-abroad",
        &["1 frame waits: hosts with the tag elsewhere are in other.pool only, and the job is in facility local."],
    ),
    ("ignored", &["1 frame waits: tag old: ignored by this scheduler (scheduler.ignore_tags)."]),
    ("mistyped", &["1 frame waits: no host has the tag genral; hosts have general."]),
    ("untagged", &["1 frame waits: the layer has no tags, so that it meets no host."]),
    ("later", &["It may not start before 2", "UTC, 26 hours from now."]),
    (
        "after",
        &[
            "Layer comp, 3 frames: 3 on a dependency",
            "3 frames wait for what must end first: job runs, 4 frames not done",
        ],
    ),
    (
        "chain",
        &[
            "2 frames wait: the job may use no cores: its maximum is 0 or less.",
            "2 frames wait for what must end first: layer sim, 2 frames not done",
        ],
    ),
    (
        "failed",
        &[
            "Layer comp, 3 frames: 1 dead, 1 eaten, 1 at a checkpoint",
            "Dead frames (1) failed too often; somebody has to retry or eat them.",
        ],
    ),
    (
        "unbuildable",
        &[
            "2 frames wait: they can't be launched as the layer is written: the frame range of layer comp of job unbuildable is unusable: ",
        ],
    ),
    (
        "frozen",
        &["1 frame waits: show alpha may use no cores of allocation local.frozen: the burst of its subscription is 0."],
    ),
    (
        "burst",
        &[
            "1 frame would be booked now, on 1 host of local.tight.",
            "1 frame waits: the subscription of show alpha to allocation local.tight is full: 2 of 3 cores booked, 2 wanted.",
        ],
    ),
    ("capped", &["1 frame waits: the job has reached its maximum of cores: 0 of 1 core booked, 2 wanted."]),
    ("foldered", &["1 frame waits: folder shots has reached its maximum of cores: 0 of 1 core booked, 2 wanted."]),
    ("limited", &["1 frame waits: limit licence is full: 0 of 0 frames run under it."]),
    ("windows", &["1 frame waits: of the 2 hosts of allocation local.general with its tags none runs windows."]),
    (
        "large",
        &[
            "1 frame waits: of the 2 hosts of allocation local.general that it may use none is large enough, even when idle: \
             general-",
            "comes nearest, with 32 GiB of the 33 GiB of memory wanted.",
        ],
    ),
    (
        "busy",
        &[
            "1 frame waits: the 2 hosts of allocation local.busy that it may use are busy: busy-1 comes nearest, with 1 of the 4 \
           cores wanted.",
        ],
    ),
    (
        "locked",
        &[
            "1 frame waits: allocation local.locked has no host that may be booked.",
            "Hosts of local.locked with its tags that may not be booked: 2 locked.",
        ],
    ),
    (
        "unthreaded",
        &[
            "1 frame waits: thread mode All gives every core of a host to one frame, the layer is not threadable, and allocation \
           local.whole has no other host for it (1 host).",
        ],
    ),
];

#[tokio::test]
async fn each_situation_is_told_in_words_by_a_role_that_may_only_read() {
    let farm = Farm::new("reader_words").await;
    let file = farm.config("reader_words", 0);
    for (job, words) in SAID {
        let (code, text) = run(&file, &["explain", job]).await;
        assert_eq!(code, 0, "{job}: {text}");
        for word in words {
            assert!(said(&text).contains(word), "{job}: `{word}` is not in:\n{text}");
        }
    }
}

#[tokio::test]
async fn a_page_reads_from_the_job_to_its_layers() {
    let farm = Farm::new("reader_page").await;
    let (_, text) = run(&farm.config("reader_page", 0), &["explain", "chain"]).await;
    let id = &farm.loaded.jobs["chain"];
    let page = format!(
        "\
Job chain
  show alpha, folder alpha, facility local, priority 1, PENDING, id
    {id}

Layer sim, 2 frames: 2 waiting
  2 frames wait: the job may use no cores: its maximum is 0 or less.

Layer comp, 2 frames: 2 on a dependency
  2 frames wait for what must end first:
    layer sim, 2 frames not done
"
    );
    assert_eq!(text, page);
}

#[tokio::test]
async fn a_job_is_found_by_name_by_id_and_by_the_beginning_of_its_name() {
    let farm = Farm::new("reader_names").await;
    let file = farm.config("reader_names", 0);
    let id = farm.loaded.jobs["mistyped"].clone();
    for asked in ["mistyped", "mist", id.as_str()] {
        let (code, text) = run(&file, &["explain", asked]).await;
        assert!(code == 0 && text.starts_with("Job mistyped\n"), "{asked}: {text}");
    }
    let (code, text) = run(&file, &["explain", "un"]).await;
    assert_eq!(code, 1);
    assert!(text.starts_with("Several jobs have a name that begins with `un`."), "{text}");
    assert!(text.contains("\n  unbuildable\n") && text.contains("\n  unthreaded\n"), "{text}");
    let (code, text) = run(&file, &["explain", "mistpyed"]).await;
    assert_eq!((code, text.as_str()), (1, "There is no job `mistpyed`.\nJobs with a name near to it:\n  mistyped\n"));
    let (code, text) = run(&file, &["explain", "something quite different"]).await;
    assert_eq!((code, text.as_str()), (1, "There is no job `something quite different`.\n"));
    let (code, text) = run(&file, &["explain", "mistpyed", "--json"]).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["error"], &answer["near"][0]), (1, &"no_such_job".into(), &"mistyped".into()));
}

#[tokio::test]
async fn while_a_maestro_leads_nothing_is_said_to_be_booked() {
    let farm = Farm::new("reader_maestro").await;
    let file = farm.config("reader_maestro", 0);
    let mut maestro = farm.pool.acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(22360104104064357)").execute(&mut *maestro).await.unwrap();
    let (code, text) = run(&file, &["explain", "runs"]).await;
    assert!(code == 0 && said(&text).contains("Nothing is booked: a Maestro leader is alive"), "{text}");
    assert!(!text.contains("would be booked"), "{text}");
    let (code, text) = run(&file, &["plan"]).await;
    assert!(code == 0 && said(&text).starts_with("Nothing is booked: a Maestro leader is alive"), "{text}");
}

#[tokio::test]
async fn older_schemas_are_answered_for_as_far_as_they_go() {
    let farm = Farm::new("reader_older").await;
    let file = farm.config("reader_older", 0);
    sqlx::query("ALTER TABLE layer DROP COLUMN ts_start_after CASCADE").execute(&farm.pool).await.unwrap();
    let (code, text) = run(&file, &["explain", "later"]).await;
    assert!(code == 0 && text.contains("1 frame would be booked now"), "{text}");
    sqlx::query("ALTER TABLE show DROP COLUMN b_scheduler_managed CASCADE").execute(&farm.pool).await.unwrap();
    for command in [&["explain", "later"][..], &["plan"]] {
        let (code, error) = refused(&file, command).await;
        assert!(code == 1 && error.contains("no show is managed"), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}

#[tokio::test]
async fn names_that_hold_anything_neither_widen_the_page_nor_move_the_cursor() {
    let farm = Farm::new("reader_odd").await;
    let file = farm.config("reader_odd", 0);
    let name = format!("odd\u{1b}[2J{}", "é".repeat(200));
    sqlx::query("UPDATE job SET str_name = $1 WHERE str_name = 'mistyped'")
        .bind(&name)
        .execute(&farm.pool)
        .await
        .unwrap();
    let (code, text) = run(&file, &["explain", "odd"]).await;
    assert_eq!(code, 0);
    assert!(!text.contains('\u{1b}') && text.matches('é').count() == 200, "{text}");
}

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
async fn a_database_that_is_not_there_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scheduler.yaml");
    let port = free_port().unwrap();
    std::fs::write(&file, format!("database: {{db_host: 127.0.0.1, db_port: {port}, db_name: x, db_user: x}}"))
        .unwrap();
    for command in [&["explain", "job"][..], &["plan"]] {
        let (code, error) = refused(&file, command).await;
        assert_eq!((code, error.trim_end().lines().count()), (1, 1), "{error}");
        assert!(error.contains("connecting failed"), "{error}");
    }
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
