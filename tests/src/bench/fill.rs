//! Filling a farm: how fast frames are booked, against how fast PostgreSQL could take the same rows.
//!
//! One half of a pair runs the scheduler's own engine in dry-run mode (everything but the call to the agent) from its start, with
//! reading and planning, until the last frame is booked. The other half writes the very rows that were booked: one connection,
//! only the write statements of the bookings and the commits, in chunks of a hundred. Each half has a fresh copy of the same
//! loaded database. Pairs are interleaved and change sides, since two like runs on a small machine differ by a third.

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
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::figure::round;
use super::floor::{Rows, floor, prepare, server};
use super::{Figure, Machine, Scale, machine, median};
use crate::loader::description::FarmDescription;
use crate::loader::load;
use crate::postgres::{Database, Server};

/// A run that books nothing for so long is over.
const STALL: Duration = Duration::from_secs(5);

/// What pairs of runs came to.
pub(super) struct Filled {
    /// Frames that a run books.
    pub bookable: usize,
    pairs: Vec<(Ours, f64)>,
    postgres: String,
}

/// Fills a farm on which `waiting` frames wait, again and again.
pub(super) async fn fill(farm: &FarmDescription, waiting: usize, scale: Scale) -> anyhow::Result<Filled> {
    let server = server().await?;
    let loaded = server.database().await?;
    let pool = loaded.pool().await?;
    load(&pool, farm).await.context("loading the farm")?;
    sqlx::query("ANALYZE").execute(&pool).await?;
    let postgres = sqlx::query_scalar("SHOW server_version").fetch_one(&pool).await?;
    pool.close().await;

    // A first run says which rows the floor writes, and warms the machine up.
    let copy = server.copy_of(&loaded).await?;
    schedule(&copy, waiting).await?;
    let rows = Rows::read(&copy).await?;
    copy.drop().await?;
    ensure!(!rows.0.is_empty(), "nothing was booked at all");
    let bookable = rows.0.len();

    let mut pairs = Vec::new();
    for pair in 0..scale.pairs {
        let (mine, floor) = if pair % 2 == 0 {
            let mine = ours(&server, &loaded, bookable).await?;
            (mine, floor(&server, &loaded, &rows, 1).await?)
        } else {
            let floor = floor(&server, &loaded, &rows, 1).await?;
            (ours(&server, &loaded, bookable).await?, floor)
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
    Ok(Filled { bookable, pairs, postgres })
}

impl Filled {
    /// The rate against the floor.
    pub(super) fn rate(&self, scenario: &'static str) -> Figure {
        let ratios: Vec<f64> = self.pairs.iter().map(|(mine, floor)| round(mine.rate / floor)).collect();
        let spread = |by: fn(f64, f64) -> f64| ratios.iter().copied().reduce(by).unwrap_or(f64::NAN);
        let floor = median(&self.pairs.iter().map(|(_, floor)| *floor).collect::<Vec<_>>());
        Figure::new(scenario, "frames booked", self.of(|mine| mine.rate), "frames/s")
            .against(floor, median(&ratios))
            .with("ratios", json!(ratios))
            .with("ratio_spread", json!([spread(f64::min), spread(f64::max)]))
            .with("frames", self.bookable)
            .with("peak_memory_mib", machine::peak_memory_mib())
            .with("machine", json!(Machine::here(self.postgres.clone())))
    }

    /// How long a run took until the last frame was booked.
    pub(super) fn seconds(&self, scenario: &'static str) -> Figure {
        Figure::new(scenario, "time to fill", self.of(|mine| mine.seconds), "s")
    }

    /// Top-level statements for each booked frame.
    pub(super) fn statements(&self, scenario: &'static str) -> Figure {
        Figure::new(scenario, "statements a frame", self.of(|mine| mine.statements_per_frame), "1")
    }

    fn of(&self, pick: fn(&Ours) -> f64) -> f64 {
        median(&self.pairs.iter().map(|(mine, _)| pick(mine)).collect::<Vec<_>>())
    }
}

/// One run of the scheduler.
struct Ours {
    rate: f64,
    seconds: f64,
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
    let seconds = (last - began).as_secs_f64();
    Ok(Ours { rate: total as f64 / seconds, seconds, statements_per_frame: statements })
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
