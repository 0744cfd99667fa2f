//! A farm with healthy work, to which a test adds sick things; and the loop that is let loose on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cue_scheduler::booking::Refusals;
use cue_scheduler::engine::{Observer, chain};
use cue_scheduler::feed::FeedCounts;
use cue_scheduler::pass::PassReport;
use cue_scheduler::store::{Store, StoreError};
use cue_scheduler_config::Config;
use sqlx::{Connection as _, PgConnection, PgPool};
use testbed::loader::description::FarmDescription;
use testbed::loader::load;
use testbed::postgres::{Database, Server};
use tokio_util::sync::CancellationToken;

/// On a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// So many passes are waited for while anything waits, since sick things are met again in each.
const PASSES: usize = 4;

/// Frames of the healthy jobs: two layers, one of them under a limit.
pub const HEALTHY: i64 = 60;

/// Of each sick thing there is one with this many frames.
pub const SICK: u32 = 4;

/// What a test wants besides the healthy work. Each name makes things of its own, called by it.
#[derive(Default)]
pub struct Sick {
    /// Hosts.
    pub hosts: Vec<String>,
    /// Jobs of the show `ill`, each in a folder of its own and under a limit of its own.
    pub jobs: Vec<String>,
    /// Shows with a job each.
    pub shows: Vec<String>,
}

/// A loaded farm.
pub struct World {
    pub pool: PgPool,
    database: Database,
}

/// What passes and scans reported.
#[derive(Default)]
pub struct Heard {
    pub refusals: Refusals,
    pub errors: Vec<String>,
    pub retries: Vec<&'static str>,
    /// Passes that ended.
    pub passes: usize,
}

struct Listener(Mutex<Heard>);

impl Observer for Listener {
    fn pass_ended(&self, result: &Result<PassReport, StoreError>, _: Duration) {
        let mut heard = self.0.lock().unwrap();
        heard.passes += 1;
        match result {
            Ok(report) => {
                heard.refusals.merge(&report.refusals);
                heard.retries.extend(&report.retries);
                heard.errors.extend(report.failed.iter().map(|error| chain(error)));
            }
            Err(error) => heard.errors.push(chain(error)),
        }
    }

    fn scanned(&self, result: &Result<FeedCounts, StoreError>, _: Duration) {
        let mut heard = self.0.lock().unwrap();
        heard.errors.extend(result.as_ref().err().map(|error| chain(error)));
    }
}

fn farm(sick: &Sick) -> String {
    let mut yaml = format!(
        "seed: 77\n\
         facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]\n\
         limits:\n- {{name: healthy, max: 1000}}\n{}\
         shows:\n\
         - {{name: well, subscriptions: [{{allocation: local.general, burst: 100000}}]}}\n\
         - name: ill\n  subscriptions: [{{allocation: local.general, burst: 100000}}]\n  folders:\n  - {{name: none}}\n{}{}\
         hosts:\n\
         - {{allocation: local.general, count: 30, first_address: 127.1.0.1, cores: 64, memory: 256 GiB}}\n",
        lines(&sick.jobs, |name| format!("- {{name: {name}, max: 1000}}")),
        lines(&sick.jobs, |name| format!("  - {{name: {name}}}")),
        lines(&sick.shows, |name| format!(
            "- {{name: {name}, subscriptions: [{{allocation: local.general, burst: 100000}}]}}"
        )),
    );
    if !sick.hosts.is_empty() {
        let names = sick.hosts.join(", ");
        let _ = writeln!(yaml, "- {{allocation: local.general, names: [{names}], cores: 8, memory: 32 GiB}}");
    }
    let layer = "threadable: false, memory: 1 MiB";
    let _ = writeln!(
        yaml,
        "jobs:\n- {{name: well-1, show: well, priority: 0, layers: [{{name: a, range: 1-40, {layer}}}]}}\n\
         - {{name: well-2, show: well, priority: 0, layers: [{{name: a, range: 1-20, limits: [healthy], {layer}}}]}}"
    );
    yaml.push_str(&lines(&sick.jobs, |name| {
        format!("- {{name: {name}, show: ill, folder: {name}, layers: [{{name: a, range: 1-{SICK}, limits: [{name}], {layer}}}]}}")
    }));
    yaml.push_str(&lines(&sick.shows, |name| {
        format!("- {{name: {name}-job, show: {name}, layers: [{{name: a, range: 1-{SICK}, {layer}}}]}}")
    }));
    yaml
}

fn lines(names: &[String], line: impl Fn(&str) -> String) -> String {
    names.iter().map(|name| line(name) + "\n").collect()
}

/// Writes past triggers and foreign keys, as whoever made the poison did. Each statement must find its row.
pub async fn write(pool: &PgPool, statements: &[String]) {
    for (statement, rows) in statements.iter().zip(execute(pool, statements).await) {
        assert!(rows > 0 || statement.starts_with("DO"), "{statement} touched nothing");
    }
}

async fn execute(pool: &PgPool, statements: &[String]) -> Vec<u64> {
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await.unwrap();
    sqlx::raw_sql("SET session_replication_role = replica").execute(&mut connection).await.unwrap();
    let mut rows = Vec::new();
    for statement in statements {
        let result = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.as_str())).execute(&mut connection).await;
        rows.push(result.unwrap_or_else(|error| panic!("{statement}: {error}")).rows_affected());
    }
    connection.close().await.unwrap();
    rows
}

impl World {
    pub async fn new(sick: &Sick) -> Self {
        let database = Server::shared().await.unwrap().database().await.unwrap();
        let pool = database.pool().await.unwrap();
        load(&pool, &FarmDescription::from_yaml(&farm(sick)).unwrap()).await.unwrap();
        Self { pool, database }
    }

    /// [`write`] to the world's database.
    pub async fn write(&self, statements: &[String]) {
        write(&self.pool, statements).await;
    }

    /// The same, whether or not the rows are still there.
    pub async fn vanish(&self, statements: &[String]) {
        execute(&self.pool, statements).await;
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Frames that run, by job.
    pub async fn running(&self) -> BTreeMap<String, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT job.str_name, count(*) FROM frame JOIN job USING (pk_job) WHERE frame.str_state = 'RUNNING' GROUP BY 1",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter().collect()
    }

    /// Lets the scheduler's loop work, without launching, until all healthy frames are booked and `done` holds.
    pub async fn schedule_until(&self, done: impl AsyncFn(&Self) -> bool) -> Heard {
        let config = Config::default();
        let listener = Arc::new(Listener(Mutex::default()));
        let store = Store::new(&self.database.target(6));
        let policy = cue_scheduler::app::policy(&config);
        let engine = cue_scheduler::app::engine(&config, policy, store.clone(), None, listener.clone());
        let stop = CancellationToken::new();
        let running = tokio::spawn(engine.run(stop.clone()));
        let began = Instant::now();
        loop {
            let healthy = self
                .number(
                    "SELECT count(*) FROM frame JOIN job USING (pk_job)
                     WHERE frame.str_state = 'RUNNING' AND job.str_name LIKE 'well-%'",
                )
                .await;
            let passes = listener.0.lock().unwrap().passes;
            let over =
                passes >= PASSES || self.number("SELECT count(*) FROM frame WHERE str_state = 'WAITING'").await == 0;
            if healthy == HEALTHY && over && done(self).await {
                break;
            }
            if began.elapsed() > LIMIT || running.is_finished() {
                let heard = listener.0.lock().unwrap();
                panic!(
                    "{healthy} of {HEALTHY} healthy frames are booked; refused: {}; errors: {:#?}; ended: {}",
                    heard.refusals,
                    heard.errors,
                    running.is_finished()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.cancel();
        running.await.unwrap();
        store.close().await;
        std::mem::take(&mut *listener.0.lock().unwrap())
    }

    /// Until all healthy frames are booked.
    pub async fn schedule(&self) -> Heard {
        self.schedule_until(async |_| true).await
    }
}
