//! Scenario `booking-floor`: how fast frames are booked, against how fast PostgreSQL could take the same rows.
//!
//! The farm is the *drain* shape: 1,200 hosts, 300 jobs × 4 layers × 5 frames. One half of a pair runs the scheduler's own
//! engine in dry-run mode (everything but the call to the agent) from its start, with reading and planning, until the last
//! frame is booked. The other half writes the very rows that were booked: one connection, only the write statements of the
//! bookings and the commits, in chunks of a hundred. Each half has a fresh copy of the same loaded database. Pairs are
//! interleaved and change sides, since two like runs on a small machine differ by a third.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cue_scheduler::booking::Refusals;
use cue_scheduler::engine::Observer;
use cue_scheduler::feed::FeedCounts;
use cue_scheduler::pass::PassReport;
use cue_scheduler::store::{Store, StoreError};
use cue_scheduler_config::Config;
use serde_json::{Map, json};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::floor::{Rows, floor, prepare, server};
use super::{Figure, Machine, Scale, machine, median};
use crate::loader::generate::{DrainShape, drain};
use crate::loader::load;
use crate::postgres::{Database, Server};

/// The ratio that this scenario is to reach.
const GOAL: f64 = 0.7;

/// A run that books nothing for so long is over.
const STALL: Duration = Duration::from_secs(5);

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let shape = DrainShape::default().scaled(scale.size);
    let server = server().await?;
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
            (mine, floor(&server, &loaded, &rows, 1).await?)
        } else {
            let floor = floor(&server, &loaded, &rows, 1).await?;
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
