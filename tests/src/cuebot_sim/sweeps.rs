//! The sweeps: hosts that went silent, procs that nobody reports, frames that nobody runs, dependencies that were overlooked.
//!
//! A lost proc is dealt with in three steps, each a transaction of its own: the agent is asked to kill; the proc is released;
//! the frame is cleared. An agent that can't be asked puts it off, until it has been silent for so long that the frame is parked
//! as DEAD, since it may still run.

use std::sync::Arc;
use std::time::Duration;

use sqlx::FromRow;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::agents::Kill;
use super::config::Sweeps;
use super::release::{self, LoadedProc};
use super::{Cuebot, depends};

const EXIT_ORPHANED: i64 = 301;
const EXIT_HOST_DOWN: i64 = 399;

/// Sweeps by time until told to stop.
pub(super) async fn run(cuebot: Arc<Cuebot>, sweeps: Sweeps, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(sweeps.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = once(&cuebot, &sweeps).await {
            cuebot.counts.failures.one();
            tracing::error!(%error, "a sweep was given up: {error}");
        }
    }
}

/// One round.
pub(super) async fn once(cuebot: &Cuebot, sweeps: &Sweeps) -> Result<(), sqlx::Error> {
    let down: Vec<String> = sqlx::query_scalar(include_str!("queries/sweeps/hosts_down.sql"))
        .bind(sweeps.host_down_after.as_secs_f64())
        .fetch_all(&cuebot.pool)
        .await?;
    if !down.is_empty() {
        let procs: Vec<String> = sqlx::query_scalar(include_str!("queries/sweeps/procs_of_hosts.sql"))
            .bind(&down)
            .fetch_all(&cuebot.pool)
            .await?;
        for proc in procs {
            lose(cuebot, &proc, Cause::HostDown).await?;
        }
    }
    let orphans: Vec<(String, bool)> = sqlx::query_as(include_str!("queries/sweeps/orphaned_procs.sql"))
        .bind(sweeps.orphan_proc_after.as_secs_f64())
        .bind(sweeps.lost_proc_max_defer.as_secs_f64())
        .fetch_all(&cuebot.pool)
        .await?;
    for (proc, given_up) in orphans {
        lose(cuebot, &proc, Cause::Silent { given_up }).await?;
    }
    clear_frames(cuebot, sweeps.orphan_frame_after).await?;
    depends::satisfy_stuck(cuebot).await
}

#[derive(Clone, Copy)]
enum Cause {
    /// Its host is known to be dead.
    HostDown,
    /// Nobody has reported it; for so long that asking is given up.
    Silent { given_up: bool },
}

#[derive(FromRow)]
struct Lost {
    pk_alloc: String,
    host_name: String,
    pk_frame: Option<String>,
    int_version: Option<i32>,
}

async fn lose(cuebot: &Cuebot, proc: &str, cause: Cause) -> Result<(), sqlx::Error> {
    let lost: Option<Lost> = sqlx::query_as(include_str!("queries/completion/find_proc.sql"))
        .bind(proc)
        .fetch_optional(&cuebot.pool)
        .await?;
    let Some(lost) = lost else { return Ok(()) };
    let killed = match (&cuebot.agents, &lost.pk_frame) {
        (Some(agents), Some(frame)) => {
            cuebot.counts.kills.one();
            agents.kill(&lost.host_name, frame, "the booking was given up").await
        }
        _ => Kill::Confirmed,
    };
    let (state, exit_status) = match (cause, killed) {
        (Cause::HostDown, _) => ("WAITING", EXIT_HOST_DOWN),
        (Cause::Silent { .. }, Kill::Confirmed) => ("WAITING", EXIT_ORPHANED),
        (Cause::Silent { given_up: true }, Kill::Unconfirmed) => ("DEAD", EXIT_ORPHANED),
        (Cause::Silent { given_up: false }, Kill::Unconfirmed) => return Ok(()),
    };
    // A proc that somebody else released meanwhile is not lost, and its frame is left alone.
    if !release::release(cuebot, &LoadedProc { id: proc.to_owned(), alloc: lost.pk_alloc }).await? {
        return Ok(());
    }
    cuebot.counts.lost_procs.one();
    if let Some(frame) = lost.pk_frame {
        clear(cuebot, &frame, lost.int_version, state, exit_status).await?;
    }
    Ok(())
}

async fn clear_frames(cuebot: &Cuebot, after: Duration) -> Result<(), sqlx::Error> {
    let frames: Vec<(String, Option<i32>)> = sqlx::query_as(include_str!("queries/sweeps/orphaned_frames.sql"))
        .bind(after.as_secs_f64())
        .fetch_all(&cuebot.pool)
        .await?;
    for (frame, version) in frames {
        let cleared = clear(cuebot, &frame, version, "WAITING", EXIT_ORPHANED).await?;
        cuebot.counts.orphaned_frames.add(cleared);
    }
    Ok(())
}

async fn clear(
    cuebot: &Cuebot,
    frame: &str,
    version: Option<i32>,
    state: &str,
    exit_status: i64,
) -> Result<u64, sqlx::Error> {
    let cleared = sqlx::query(include_str!("queries/sweeps/clear_frame.sql"))
        .bind(frame)
        .bind(state)
        .bind(exit_status)
        .bind(version)
        .execute(&cuebot.pool)
        .await?;
    Ok(cleared.rows_affected())
}
