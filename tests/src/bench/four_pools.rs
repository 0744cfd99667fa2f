//! Scenario `four-pools`: how fast one, two and four replicas book four pools of one show and of four shows, against as many
//! connections that only write the same rows.
//!
//! Replicas are real processes in dry-run mode (everything but the call to the agent), of the default configuration. They share
//! the pools out while all jobs are paused; then one statement lets all jobs go, and the time runs from its commit to the last
//! booking. With four shows replicas have nothing in common but the facility; with one they share its folder.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use sqlx::PgPool;

use super::figure::round;
use super::floor::{Rows, floor, prepare, server};
use super::{Figure, Goal, Scale, median};
use crate::harness::Scheduler;
use crate::loader::generate::{ApartShape, apart};
use crate::loader::load;
use crate::postgres::{Database, Server};

/// The ratio that one and two replicas are to reach on four shows; of the others only the rate is told.
const GOAL: Goal = Goal::RatioAtLeast(0.9);

/// Number of pools, whatever the scale.
const POOLS: usize = 4;

/// How long replicas may take to share the pools out, and to book everything.
const LIMIT: Duration = Duration::from_mins(2);

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let server = server().await?;
    let mut figures = Vec::new();
    for shows in [1, POOLS] {
        let shape = ApartShape {
            seed: 4,
            pools: POOLS,
            shows,
            hosts_per_pool: scale.of(100) as u32,
            jobs_per_pool: scale.of(150),
        };
        let loaded = server.database().await?;
        let pool = loaded.pool().await?;
        load(&pool, &apart(&shape)).await.context("loading the farm")?;
        sqlx::query("ANALYZE").execute(&pool).await?;
        pool.close().await;
        let place = Place { server: &server, loaded: &loaded, frames: shape.frames(), folder: folder.path() };

        // A first run says which rows the floor writes, and warms the machine up.
        let (copy, _) = place.book(1).await?;
        let rows = Rows::read(&copy).await?;
        copy.drop().await?;
        for replicas in [1, 2, 4] {
            let mut pairs = Vec::new();
            for pair in 0..scale.pairs.div_ceil(2) {
                let (mine, floor) = if pair % 2 == 0 {
                    let mine = place.ours(replicas).await?;
                    (mine, floor(&server, &loaded, &rows, replicas).await?)
                } else {
                    let floor = floor(&server, &loaded, &rows, replicas).await?;
                    (place.ours(replicas).await?, floor)
                };
                eprintln!("{shows} shows, {replicas} replicas: {:.0} frames/s, floor {floor:.0} frames/s", mine.rate);
                pairs.push((mine, floor));
            }
            figures.push(figure(&pairs, &shape, replicas));
        }
    }
    Ok(figures)
}

fn figure(pairs: &[(Ours, f64)], shape: &ApartShape, replicas: usize) -> Figure {
    let ratios: Vec<f64> = pairs.iter().map(|(mine, floor)| round(mine.rate / floor)).collect();
    let sum = |pick: fn(&Ours) -> f64| pairs.iter().map(|(mine, _)| pick(mine)).sum::<f64>();
    let rate = median(&pairs.iter().map(|(mine, _)| mine.rate).collect::<Vec<_>>());
    let floor = median(&pairs.iter().map(|(_, floor)| *floor).collect::<Vec<_>>());
    let what = format!("shows: {}, replicas: {replicas}", shape.shows);
    let figure = Figure::new("four-pools", what, rate, "frames/s")
        .against(floor, median(&ratios))
        .with("frames", shape.frames())
        .with("ratios", json!(ratios))
        .with("transactions", sum(|mine| mine.transactions))
        .with("transactions_lost_to_locks", sum(|mine| mine.lost_to_locks))
        .with("frames_lost_to_others", sum(|mine| mine.lost_frames));
    if replicas <= 2 && shape.shows == POOLS { figure.with_goal(GOAL) } else { figure }
}

/// What replicas did in one run.
struct Ours {
    rate: f64,
    transactions: f64,
    /// Transactions that gave up waiting for a lock.
    lost_to_locks: f64,
    /// Frames that somebody else had taken.
    lost_frames: f64,
}

struct Place<'a> {
    server: &'a Server,
    loaded: &'a Database,
    frames: usize,
    folder: &'a Path,
}

impl Place<'_> {
    async fn ours(&self, replicas: usize) -> anyhow::Result<Ours> {
        let (copy, ours) = self.book(replicas).await?;
        copy.drop().await?;
        Ok(ours)
    }

    /// Lets replicas book everything on a copy of the database.
    async fn book(&self, replicas: usize) -> anyhow::Result<(Database, Ours)> {
        let copy = self.server.copy_of(self.loaded).await?;
        let pool = prepare(&copy).await?;
        sqlx::query("UPDATE job SET b_paused = true").execute(&pool).await?;
        let mut running = Vec::new();
        for n in 0..replicas {
            let variables = [("OPENSCHEDULER_RQD__DRY_RUN_MODE", "true")];
            running.push(Scheduler::start(&format!("replica-{n}"), &copy.target(2), 1, &variables, self.folder)?);
        }
        for replica in &mut running {
            replica.ready().await?;
        }
        shared_out(&running).await?;

        sqlx::query("CHECKPOINT").execute(&pool).await?;
        sqlx::query("UPDATE job SET b_paused = false").execute(&pool).await?;
        let began = Instant::now();
        let mut seen = 0;
        while seen < self.frames {
            ensure!(began.elapsed() < LIMIT, "{seen} of {} frames are booked after {LIMIT:?}", self.frames);
            tokio::time::sleep(Duration::from_millis(10)).await;
            seen = booked(&pool).await?;
        }
        let took = began.elapsed();

        let mut ours =
            Ours { rate: seen as f64 / took.as_secs_f64(), transactions: 0.0, lost_to_locks: 0.0, lost_frames: 0.0 };
        for replica in running {
            ours.transactions += replica.metric("scheduler_booking_lock_wait_seconds_count").await?;
            ours.lost_to_locks += replica.metric("scheduler_booking_retries_total").await?;
            ours.lost_frames += replica.metric_with("scheduler_booking_refused_total", "cause=\"frame_taken\"").await?;
            ensure!(replica.stop().await? == 0, "a replica did not end in order");
        }
        pool.close().await;
        Ok((copy, ours))
    }
}

/// Waits until each replica has its share of the pools.
async fn shared_out(replicas: &[Scheduler]) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let mut owned = Vec::new();
        for replica in replicas {
            owned.push(replica.metric("scheduler_pools_owned").await? as usize);
        }
        if owned.iter().all(|pools| *pools == POOLS / replicas.len()) {
            return Ok(());
        }
        ensure!(began.elapsed() < LIMIT, "the pools are not shared out: {owned:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn booked(pool: &PgPool) -> anyhow::Result<usize> {
    // The primary key's index is all that it reads.
    let procs: i64 = sqlx::query_scalar("SELECT count(*) FROM proc").fetch_one(pool).await?;
    Ok(procs as usize)
}
