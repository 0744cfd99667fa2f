//! A farm with a job for each situation, and the program that is asked about them.

use std::path::{Path, PathBuf};

use cue_scheduler::store::Target;
use sqlx::PgPool;
use testbed::harness::scheduler::program;
use testbed::loader::description::FarmDescription;
use testbed::loader::{Loaded, load};
use testbed::postgres::Server;
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

pub struct Farm {
    pub pool: PgPool,
    pub target: Target,
    pub loaded: Loaded,
    pub folder: tempfile::TempDir,
}

impl Farm {
    pub async fn new(role: &str) -> Self {
        let database = Server::shared().await.unwrap().database().await.unwrap();
        let pool = database.pool().await.unwrap();
        let loaded = load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(MORE.replace("reader", role))).execute(&pool).await.unwrap();
        Self { pool, target: database.target(5), loaded, folder: tempfile::tempdir().unwrap() }
    }

    pub fn config(&self, user: &str, metrics_port: u16) -> PathBuf {
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
pub async fn run(file: &Path, arguments: &[&str]) -> (i32, String) {
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
pub async fn refused(file: &Path, arguments: &[&str]) -> (i32, String) {
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
pub fn said(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
