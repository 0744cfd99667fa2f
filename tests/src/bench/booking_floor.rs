//! Scenario `booking-floor`: how fast frames are booked, against how fast PostgreSQL could take the same rows.
//!
//! The farm is the *drain* shape: 1,200 hosts, 300 jobs × 4 layers × 5 frames. One half of a pair runs the scheduler's own
//! engine in dry-run mode (everything but the call to the agent) from its start, with reading and planning, until the last
//! frame is booked. The other half writes the very rows that were booked: one connection, only the write statements of the
//! bookings and the commits, in chunks of a hundred. Each half has a fresh copy of the same loaded database. Pairs are
//! interleaved and change sides, since two like runs on a small machine differ by a third.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cue_scheduler::booking::Refusals;
use cue_scheduler::engine::Observer;
use cue_scheduler::feed::FeedCounts;
use cue_scheduler::pass::PassReport;
use cue_scheduler::store::booking::{ApplyColumns, CounterColumns, ProcColumns, StartColumns};
use cue_scheduler::store::{Store, StoreError};
use cue_scheduler_config::Config;
use serde_json::{Map, json};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Figure, Machine, Scale, machine, median};
use crate::loader::generate::{DrainShape, drain};
use crate::loader::load;
use crate::postgres::{Database, Options, Server};

/// The ratio that this scenario is to reach.
const GOAL: f64 = 0.7;

/// Frames of one transaction, on both sides.
const CHUNK: usize = 100;

/// A run that books nothing for so long is over.
const STALL: Duration = Duration::from_secs(5);

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let shape = DrainShape::default().scaled(scale.size);
    let server = Server::start(Options {
        fsync: true,
        settings: [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "1h")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..Options::default()
    })
    .await?;
    let loaded = server.database().await?;
    let pool = loaded.pool().await?;
    load(&pool, &drain(&shape)).await.context("loading the farm")?;
    sqlx::query("ANALYZE").execute(&pool).await?;
    pool.close().await;

    // A first run says which rows the floor writes, and warms the machine up.
    let copy = server.copy_of(&loaded).await?;
    schedule(&copy, shape.frames()).await?;
    let rows = Rows::read(&copy).await?;
    copy.drop().await?;
    ensure!(!rows.0.is_empty(), "nothing was booked at all");

    let mut pairs = Vec::new();
    for pair in 0..scale.pairs {
        let (mine, floor) = if pair % 2 == 0 {
            let mine = ours(&server, &loaded, shape.frames()).await?;
            (mine, floor(&server, &loaded, &rows).await?)
        } else {
            let floor = floor(&server, &loaded, &rows).await?;
            (ours(&server, &loaded, shape.frames()).await?, floor)
        };
        eprintln!(
            "pair {} of {}: {:.0} frames/s, floor {floor:.0} frames/s, ratio {:.2}",
            pair + 1,
            scale.pairs,
            mine.rate,
            mine.rate / floor
        );
        pairs.push((mine, floor));
    }
    let version: String = {
        let pool = loaded.pool().await?;
        sqlx::query_scalar("SHOW server_version").fetch_one(&pool).await?
    };
    Ok(vec![figure(&pairs, &shape, rows.0.len(), version)])
}

fn figure(pairs: &[(Ours, f64)], shape: &DrainShape, bookable: usize, postgres: String) -> Figure {
    let ratios: Vec<f64> = pairs.iter().map(|(mine, floor)| mine.rate / floor).collect();
    let ratio = median(&ratios);
    let of = |pick: fn(&Ours) -> f64| median(&pairs.iter().map(|(mine, _)| pick(mine)).collect::<Vec<_>>());
    let spread = |by: fn(f64, f64) -> f64| ratios.iter().copied().reduce(by).unwrap_or(f64::NAN);
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let mut details = Map::new();
    details.insert("ratios".to_owned(), json!(ratios.iter().map(|ratio| round(*ratio)).collect::<Vec<_>>()));
    details.insert("ratio_spread".to_owned(), json!([round(spread(f64::min)), round(spread(f64::max))]));
    details.insert("hosts".to_owned(), json!(shape.hosts));
    details.insert("frames".to_owned(), json!({"waiting": shape.frames(), "booked_first_run": bookable}));
    details.insert("statements_per_frame".to_owned(), json!(round(of(|mine| mine.statements_per_frame))));
    details.insert("peak_memory_mib".to_owned(), json!(machine::peak_memory_mib()));
    details.insert("machine".to_owned(), json!(Machine::here(postgres)));
    Figure {
        scenario: "booking-floor",
        figure: of(|mine| mine.rate),
        unit: "frames/s",
        baseline: median(&pairs.iter().map(|(_, floor)| *floor).collect::<Vec<_>>()),
        ratio: round(ratio),
        goal: GOAL,
        pass: ratio >= GOAL,
        details,
    }
}

/// One run of the scheduler.
struct Ours {
    rate: f64,
    statements_per_frame: f64,
}

async fn ours(server: &Server, loaded: &Database, frames: usize) -> anyhow::Result<Ours> {
    let copy = server.copy_of(loaded).await?;
    let ours = schedule(&copy, frames).await?;
    copy.drop().await?;
    Ok(ours)
}

/// Counts what passes book, and when the last frame was.
struct Counter {
    booked: watch::Sender<(usize, Instant)>,
    refusals: Mutex<Refusals>,
}

impl Observer for Counter {
    fn pass_ended(&self, result: &Result<PassReport, StoreError>, took: Duration) {
        match result {
            Ok(report) if report.frames() > 0 => {
                tracing::debug!(
                    "pool {}: {} frames in {took:?} (read, plan, book: {:?}); refused: {}",
                    report.pool,
                    report.frames(),
                    report.took,
                    report.refusals
                );
                if let Ok(mut refusals) = self.refusals.lock() {
                    refusals.merge(&report.refusals);
                }
                self.booked.send_modify(|(frames, last)| {
                    *frames += report.frames();
                    *last = Instant::now();
                });
            }
            Ok(_) => {}
            Err(error) => tracing::error!("{error:?}"),
        }
    }

    fn scanned(&self, _: &Result<FeedCounts, StoreError>, _: Duration) {}
}

async fn schedule(database: &Database, frames: usize) -> anyhow::Result<Ours> {
    let pool = prepare(database).await?;
    let config = Config::default();
    let store = Store::new(&database.target(config.database.pool_size));
    store.warm().await?;
    let statements = Statements::start(&pool).await?;

    let began = Instant::now();
    let (booked, mut seen) = watch::channel((0, began));
    let counter = Arc::new(Counter { booked, refusals: Mutex::default() });
    let policy = cue_scheduler::app::policy(&config);
    let engine = cue_scheduler::app::engine(&config, policy, store.clone(), None, counter.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.run(stop.clone()));
    while seen.borrow_and_update().0 < frames {
        if tokio::time::timeout(STALL, seen.changed()).await.is_err() {
            break;
        }
    }
    stop.cancel();
    running.await?;
    let (total, last) = *seen.borrow();
    ensure!(total > 0, "nothing was booked within {STALL:?}");
    let statements = statements.per(total).await?;
    store.close().await;
    pool.close().await;
    Ok(Ours { rate: total as f64 / (last - began).as_secs_f64(), statements_per_frame: statements })
}

/// Fresh reports of all hosts (an old report means that a host is not used) and nothing left to write from before.
async fn prepare(database: &Database) -> anyhow::Result<PgPool> {
    let pool = database.pool().await?;
    sqlx::query("UPDATE host_stat SET ts_ping = now() + interval '1 hour'").execute(&pool).await?;
    sqlx::query("CHECKPOINT").execute(&pool).await?;
    Ok(pool)
}

/// Top-level statements, from `pg_stat_statements`; not a number where that extension is missing.
struct Statements(Option<PgPool>);

impl Statements {
    async fn start(pool: &PgPool) -> anyhow::Result<Self> {
        let made = sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(pool).await;

        if made.is_err() || sqlx::query("SELECT pg_stat_statements_reset()").execute(pool).await.is_err() {
            return Ok(Self(None));
        }
        Ok(Self(Some(pool.clone())))
    }

    async fn per(&self, frames: usize) -> anyhow::Result<f64> {
        let Some(pool) = &self.0 else { return Ok(f64::NAN) };
        let calls: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements
             WHERE toplevel AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(pool)
        .await?;
        Ok(calls as f64 / frames as f64)
    }
}

/// A booking, as a run left it.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Row {
    pk_proc: String,
    pk_host: String,
    host_name: String,
    pk_show: String,
    pk_alloc: String,
    pk_folder: String,
    pk_dept: String,
    has_point: bool,
    pk_job: String,
    pk_layer: String,
    pk_frame: String,
    cores: i64,
    memory: i64,
}

struct Rows(Vec<Row>);

impl Rows {
    /// In the order in which they were booked, so that the floor's chunks are as local as the scheduler's.
    async fn read(database: &Database) -> anyhow::Result<Self> {
        let pool = database.pool().await?;
        let rows = sqlx::query_as(
            "SELECT p.pk_proc, p.pk_host, h.str_name AS host_name, p.pk_show, h.pk_alloc, j.pk_folder, j.pk_dept,
                    EXISTS (SELECT FROM point WHERE point.pk_show = j.pk_show AND point.pk_dept = j.pk_dept) AS has_point,
                    p.pk_job, p.pk_layer, p.pk_frame, p.int_cores_reserved AS cores, p.int_mem_reserved AS memory
             FROM proc p JOIN host h USING (pk_host) JOIN job j ON j.pk_job = p.pk_job
             ORDER BY p.ts_booked, p.pk_job, p.pk_layer, p.pk_frame",
        )
        .fetch_all(&pool)
        .await?;
        pool.close().await;
        Ok(Self(rows))
    }
}

/// Writes the rows, and nothing else: frames/s.
async fn floor(server: &Server, loaded: &Database, rows: &Rows) -> anyhow::Result<f64> {
    let copy = server.copy_of(loaded).await?;
    let pool = prepare(&copy).await?;
    let store = Store::new(&copy.target(2));
    store.warm().await?;
    let mut booked = Booked::default();
    let began = Instant::now();
    for chunk in rows.0.chunks(CHUNK) {
        write(&store, chunk, &mut booked).await?;
    }
    let took = began.elapsed();
    store.close().await;
    pool.close().await;
    copy.drop().await?;
    Ok(rows.0.len() as f64 / took.as_secs_f64())
}

/// Counters as they grow; the farm starts empty.
#[derive(Default)]
struct Booked {
    subscriptions: BTreeMap<String, i64>,
    jobs: BTreeMap<String, i64>,
    folders: BTreeMap<String, i64>,
}

async fn write(store: &Store, chunk: &[Row], booked: &mut Booked) -> anyhow::Result<()> {
    let mut tx = store.begin().await?;
    let mut start = StartColumns::default();
    let mut procs = ProcColumns::default();
    for row in chunk {
        start.frame.push(&row.pk_frame);
        start.version.push(Some(0));
        start.host.push(&row.host_name);
        start.cores.push(i32::try_from(row.cores)?);
        start.memory.push(row.memory);
        start.gpus.push(0);
        start.gpu_memory.push(0);
        procs.proc.push(&row.pk_proc);
        procs.host.push(&row.pk_host);
        procs.layer.push(&row.pk_layer);
        procs.job.push(&row.pk_job);
        procs.frame.push(&row.pk_frame);
        procs.cores.push(row.cores);
        procs.memory.push(row.memory);
        procs.gpus.push(0);
        procs.gpu_memory.push(0);
    }
    let show = chunk.first().map_or("", |row| row.pk_show.as_str());
    let started = tx.start_frames(&start, &[]).await?;
    ensure!(started.len() == chunk.len(), "{} of {} frames of the floor started", started.len(), chunk.len());
    tx.insert_procs(show, &procs, 262_144).await?;

    let mut apply = ApplyColumns::default();
    let mut hosts: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for row in chunk {
        let (cores, memory) = hosts.entry(&row.pk_host).or_default();
        *cores += row.cores;
        *memory += row.memory;
    }
    for (host, (cores, memory)) in hosts {
        apply.host.push(host);
        apply.host_cores.push(cores);
        apply.host_memory.push(memory);
        apply.host_gpus.push(0);
        apply.host_gpu_memory.push(0);
    }
    added(&mut apply.layers, chunk, |row| Some(&row.pk_layer));
    added(&mut apply.points, chunk, |row| row.has_point.then_some(&row.pk_dept));
    grown(&mut apply.subscriptions, &mut booked.subscriptions, chunk, |row| &row.pk_alloc);
    grown(&mut apply.jobs, &mut booked.jobs, chunk, |row| &row.pk_job);
    grown(&mut apply.folders, &mut booked.folders, chunk, |row| &row.pk_folder);
    tx.apply(show, &apply).await?;
    tx.commit().await?;
    Ok(())
}

fn added<'r>(columns: &mut CounterColumns<'r>, chunk: &'r [Row], key: impl Fn(&'r Row) -> Option<&'r String>) {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for row in chunk {
        if let Some(key) = key(row) {
            *sums.entry(key).or_default() += row.cores;
        }
    }
    for (key, cores) in sums {
        columns.push(key, cores, 0);
    }
}

fn grown<'r>(
    columns: &mut CounterColumns<'r>,
    booked: &mut BTreeMap<String, i64>,
    chunk: &'r [Row],
    key: impl Fn(&'r Row) -> &'r String,
) {
    let mut keys: BTreeMap<&str, i64> = BTreeMap::new();
    for row in chunk {
        let sum = booked.entry(key(row).clone()).or_default();
        *sum += row.cores;
        keys.insert(key(row), *sum);
    }
    for (key, cores) in keys {
        columns.push(key, cores, 0);
    }
}
