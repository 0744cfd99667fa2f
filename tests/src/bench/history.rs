//! Scenario `snapshot`: what the reads of a pass cost with more and more finished frames in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cue_scheduler::snapshot::{PoolReader, ReadSettings};
use cue_scheduler::store::Store;
use cue_scheduler_core::cluster::Pool;
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::slicing::Slice;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::figure::round;
use super::floor::server;
use super::{Figure, Goal, Scale, median};
use crate::loader::generate::{ApartShape, apart};
use crate::loader::load;

/// Finished frames, from few to many.
const HISTORY: [usize; 3] = [10_000, 100_000, 1_000_000];

/// How often a pool is read at each.
const READS: usize = 15;

/// A finished job of 1,000 frames in ten layers for each number from `$1` to `$2`; it looks like the first job that waits. No trigger
/// counts what ended long ago.
const FINISHED: &str = "
WITH model AS (SELECT * FROM job ORDER BY pk_job LIMIT 1),
jobs AS (
    INSERT INTO job (pk_job, pk_folder, pk_show, pk_facility, pk_dept, str_name, str_visible_name, str_shot, str_user, str_state)
    SELECT 'done-' || n, pk_folder, pk_show, pk_facility, pk_dept, 'done' || n, 'done' || n, 'shot', 'user', 'FINISHED'
    FROM model, generate_series($1::int, $2) n RETURNING pk_job
), layers AS (
    INSERT INTO layer (pk_layer, pk_job, str_name, str_cmd, str_range, str_type, str_tags)
    SELECT pk_job || '-' || l, pk_job, 'layer' || l, 'true', '1-100', 'RENDER', 'general' FROM jobs, generate_series(1, 10) l
    RETURNING pk_layer, pk_job
), stats AS (
    INSERT INTO layer_stat (pk_layer_stat, pk_layer, pk_job, int_total_count, int_succeeded_count)
    SELECT pk_layer, pk_layer, pk_job, 100, 100 FROM layers
)
INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, str_state, int_number, int_layer_order, int_dispatch_order)
SELECT pk_layer || '-' || n, pk_layer, pk_job, n || '-' || pk_layer, 'SUCCEEDED', n, 1, n FROM layers, generate_series(1, 100) n";

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let server = server().await?;
    let database = server.database().await?;
    let pool = database.pool().await?;
    let shape =
        ApartShape { seed: 8, pools: 1, shows: 1, hosts_per_pool: scale.of(500) as u32, jobs_per_pool: scale.of(250) };
    let loaded = load(&pool, &apart(&shape)).await.context("loading the farm")?;
    let (alloc_name, alloc) = loaded.allocations.first_key_value().context("there is an allocation")?;
    let facility = loaded.facilities.values().next().context("there is a facility")?;
    let of_pool = Pool {
        facility: facility.as_str().into(),
        alloc: alloc.as_str().into(),
        slice: Slice::WHOLE,
        name: alloc_name.as_str().into(),
        shows: BTreeSet::new(),
        tags: BTreeMap::from([(alloc_name.as_str().into(), TagKind::Alloc)]),
    };
    let mut took = Vec::new();
    let mut jobs = 0;
    for frames in HISTORY {
        let wanted = scale.of(frames).div_ceil(1000);
        finish(&pool, jobs + 1, wanted).await?;
        jobs = wanted;
        took.push((wanted * 1000, read(&pool, &of_pool).await?));
    }
    pool.close().await;
    let (few, many) = (took[0].1, took[2].1);
    let each: Vec<_> = took.iter().map(|(frames, ms)| json!({"finished_frames": frames, "ms": round(*ms)})).collect();
    Ok(vec![
        Figure::new("snapshot", "reads of a pass, most history", many, "ms")
            .against(few, many / few)
            .with("history", json!(each))
            .with_goal(Goal::RatioAtMost(1.3)),
    ])
}

async fn finish(pool: &PgPool, first: usize, last: usize) -> anyhow::Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query("SET LOCAL session_replication_role = replica").execute(&mut *tx).await?;
    sqlx::query(FINISHED).bind(i32::try_from(first)?).bind(i32::try_from(last)?).execute(&mut *tx).await?;
    tx.commit().await?;
    sqlx::query("ANALYZE").execute(pool).await?;
    sqlx::query("CHECKPOINT").execute(pool).await?;
    Ok(())
}

/// Milliseconds of a reading by a reader that remembers nothing, with connections that have read before.
async fn read(pool: &PgPool, of_pool: &Pool) -> anyhow::Result<f64> {
    let store = Store::on(pool.clone());
    let settings = Arc::new(ReadSettings {
        host_staleness: Duration::from_hours(24),
        host_interval: Duration::ZERO,
        ignored_tags: BTreeSet::new(),
        host_reads: Semaphore::new(1),
    });
    let mut times = Vec::new();
    for _ in 0..READS {
        let mut reader = PoolReader::new(of_pool.clone(), settings.clone());
        let began = Instant::now();
        let snapshot = reader.read(&store).await?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(!snapshot.layers.is_empty() && !snapshot.hosts.is_empty(), "the pool is read as empty");
    }
    Ok(median(&times))
}
