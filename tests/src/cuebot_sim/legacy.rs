//! Cuebot's own bookings, for shows that it keeps to itself: one frame, one transaction, its own order of locks.

use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_proto::report::{FrameCompleteReport, RunningFrameInfo};
use sqlx::FromRow;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::config::LegacyBooking;
use super::{Cuebot, completion, lock, retry};

/// How many bookings are chosen by one reading. They are stale soon, so there are few.
const CANDIDATES: i64 = 10;

#[derive(FromRow)]
struct Candidate {
    pk_frame: String,
    int_version: Option<i32>,
    pk_layer: String,
    pk_job: String,
    pk_show: String,
    pk_host: String,
    pk_alloc: String,
    host_name: String,
    cores: i64,
    memory: i64,
    gpus: i32,
    gpu_memory: i64,
}

/// Books until told to stop. `tasks` takes the frames that the stand-in ends itself.
pub(super) async fn run(cuebot: Arc<Cuebot>, legacy: LegacyBooking, stop: CancellationToken, tasks: TaskTracker) {
    while !stop.is_cancelled() {
        let candidates: Result<Vec<Candidate>, _> = sqlx::query_as(include_str!("queries/legacy/candidates.sql"))
            .bind(legacy.managed_too)
            .bind(CANDIDATES)
            .fetch_all(&cuebot.pool)
            .await;
        match candidates {
            Err(error) => tracing::error!(%error, "choosing frames to book failed: {error}"),
            Ok(candidates) => {
                for candidate in candidates {
                    if let Some(proc) = try_book(&cuebot, &candidate).await
                        && let Some(run_for) = legacy.run_for
                    {
                        let stop = stop.clone();
                        tasks.spawn(end(cuebot.clone(), candidate.pk_frame, proc, run_for, stop));
                    }
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(legacy.pause) => {}
        }
    }
}

/// Books one frame on one host with the layer's minimum, whoever's show it is. `None`: there is no such frame or host, or the
/// frame does not wait, or a limit or a start time keeps it back.
pub(super) async fn book_named(cuebot: &Cuebot, frame: &str, host: &str) -> Result<Option<String>, sqlx::Error> {
    let candidate: Option<Candidate> = sqlx::query_as(include_str!("queries/legacy/candidate.sql"))
        .bind(frame)
        .bind(host)
        .fetch_optional(&cuebot.pool)
        .await?;
    let Some(candidate) = candidate else { return Ok(None) };
    let booked = book(cuebot, &candidate).await?;
    if booked.is_some() {
        cuebot.counts.bookings.one();
    }
    Ok(booked)
}

/// The proc, if the booking came about.
async fn try_book(cuebot: &Cuebot, candidate: &Candidate) -> Option<String> {
    match book(cuebot, candidate).await {
        Ok(Some(proc)) => {
            cuebot.counts.bookings.one();
            Some(proc)
        }
        Ok(None) => {
            cuebot.counts.bookings_refused.one();
            None
        }
        Err(error) => {
            // A lock that is held (55P03), a cap or an empty host (P0001), a deadlock: the next round chooses anew.
            retry::note_deadlock(&cuebot.counts, &error);
            cuebot.counts.bookings_refused.one();
            tracing::debug!(%error, "a booking was refused: {error}");
            None
        }
    }
}

async fn book(cuebot: &Cuebot, candidate: &Candidate) -> Result<Option<String>, sqlx::Error> {
    let Candidate { pk_frame, int_version, pk_layer, pk_job, pk_show, pk_host, .. } = candidate;
    let Candidate { cores, memory, gpus, gpu_memory, .. } = candidate;
    let proc = Uuid::new_v4().to_string();
    let mut transaction = cuebot.pool.begin().await?;
    let locked = sqlx::query(include_str!("queries/legacy/book_01_lock_frame.sql"))
        .bind(pk_frame)
        .bind(int_version)
        .fetch_optional(&mut *transaction)
        .await?;
    if locked.is_none() {
        return Ok(None);
    }
    let started = sqlx::query(include_str!("queries/legacy/book_02_frame.sql"))
        .bind(pk_frame)
        .bind(int_version)
        .bind(&candidate.host_name)
        .bind(*cores as i32)
        .bind(memory)
        .bind(gpus)
        .bind(gpu_memory)
        .execute(&mut *transaction)
        .await?;
    if started.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query(include_str!("queries/legacy/book_03_retries.sql")).bind(pk_frame).execute(&mut *transaction).await?;
    sqlx::query(include_str!("queries/legacy/book_04_proc.sql"))
        .bind(&proc)
        .bind(pk_host)
        .bind(pk_show)
        .bind(pk_job)
        .bind(pk_layer)
        .bind(pk_frame)
        .bind(cores)
        .bind(memory)
        .bind(gpus)
        .bind(gpu_memory)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(include_str!("queries/legacy/book_05_host.sql"))
        .bind(pk_host)
        .bind(cores)
        .bind(memory)
        .bind(i64::from(*gpus))
        .bind(gpu_memory)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(include_str!("queries/legacy/book_06_subscription.sql"))
        .bind(pk_show)
        .bind(&candidate.pk_alloc)
        .bind(cores)
        .bind(gpus)
        .execute(&mut *transaction)
        .await?;
    for (query, key) in [
        (include_str!("queries/legacy/book_07_layer_resource.sql"), pk_layer),
        (include_str!("queries/legacy/book_08_job_resource.sql"), pk_job),
        (include_str!("queries/legacy/book_09_folder_resource.sql"), pk_job),
        (include_str!("queries/legacy/book_10_point.sql"), pk_job),
    ] {
        sqlx::query(query).bind(key).bind(cores).bind(gpus).execute(&mut *transaction).await?;
    }
    // Known before anybody can see it.
    lock(&cuebot.booked).insert(proc.clone());
    transaction.commit().await?;
    Ok(Some(proc))
}

/// Ends a frame of our own as an agent's report would.
async fn end(cuebot: Arc<Cuebot>, frame_id: String, resource_id: String, run_for: Duration, stop: CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => return,
        () = tokio::time::sleep(run_for) => {}
    }
    let frame = RunningFrameInfo { frame_id, resource_id, ..RunningFrameInfo::default() };
    let report = FrameCompleteReport { frame: Some(frame), ..FrameCompleteReport::default() };
    if let Err(error) = completion::complete(&cuebot, &report).await {
        cuebot.counts.failures.one();
        tracing::error!(%error, "a frame of our own was not ended: {error}");
    }
}
