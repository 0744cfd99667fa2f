//! The end of a run: the frame stops at once, in a transaction of its own; everything else follows from the queue.
//!
//! The proc is found by the report's resource id and must still hold the report's frame; the stop is guarded by state and
//! version. So of two reports of one run, or of reports of two runs, exactly the right one ends a frame.

use std::time::{SystemTime, UNIX_EPOCH};

use cue_scheduler_proto::report::FrameCompleteReport;
use sqlx::FromRow;
use tokio::time::Instant;

use super::depends::{self, Ended};
use super::release::{self, LoadedProc};
use super::retry::Retry;
use super::verdict::{Ending, FrameFacts, Verdict, died_of_memory, verdict};
use super::work::Work;
use super::{AcceptedCompletion, Cuebot, lock};

#[derive(FromRow)]
struct Found {
    pk_proc: String,
    pk_job: Option<String>,
    pk_layer: Option<String>,
    pk_frame: Option<String>,
    pk_alloc: String,
    int_mem_reserved: i64,
    str_state: Option<String>,
    int_version: Option<i32>,
    int_retries: Option<i64>,
    int_exit_status: Option<i64>,
    int_max_retries: Option<i16>,
    b_autoeat: Option<bool>,
    int_timeout: Option<i32>,
    int_timeout_llu: Option<i32>,
}

#[derive(FromRow)]
struct Orphan {
    pk_frame: String,
    pk_layer: String,
    pk_job: String,
    int_version: Option<i32>,
    int_retries: i64,
    int_exit_status: i64,
    int_max_retries: i16,
    b_autoeat: bool,
    int_timeout: i32,
    int_timeout_llu: i32,
}

/// What is left to do once a frame has stopped.
#[derive(Debug)]
pub(super) struct Aftermath {
    ended: Ended,
    verdict: Verdict,
    /// KB that the layer should ask for from now on.
    memory_wanted: Option<i64>,
    proc: Option<LoadedProc>,
    stopped_at: Instant,
}

/// A run that is about to be stopped.
struct Stop<'a> {
    ended: Ended,
    version: i32,
    /// The proc that holds the frame; none if the frame runs without one.
    proc: Option<&'a str>,
    facts: FrameFacts,
}

/// Takes a report: stops its run if it is the one going on, and queues the rest.
pub(super) async fn complete(cuebot: &Cuebot, report: &FrameCompleteReport) -> Result<(), sqlx::Error> {
    cuebot.counts.completion_reports.one();
    let Some(frame) = &report.frame else {
        cuebot.counts.stale_completions.one();
        return Ok(());
    };
    let found: Option<Found> = sqlx::query_as(include_str!("queries/completion/find_proc.sql"))
        .bind(&frame.resource_id)
        .fetch_optional(&cuebot.pool)
        .await?;
    let Some(found) = found else { return complete_without_proc(cuebot, report, &frame.frame_id).await };
    let memory_reserved = found.int_mem_reserved;
    let proc = LoadedProc { id: found.pk_proc.clone(), alloc: found.pk_alloc.clone() };
    if found.pk_frame.as_deref() != Some(frame.frame_id.as_str()) {
        cuebot.counts.stale_completions.one();
        // One that holds another frame is left to the reports of that frame.
        if found.pk_frame.is_none() {
            cuebot.work.push(Work::Release(proc)).await;
        }
        return Ok(());
    }
    let stop = Stop {
        ended: Ended {
            frame: frame.frame_id.clone(),
            layer: found.pk_layer.unwrap_or_default(),
            job: found.pk_job.unwrap_or_default(),
        },
        version: found.int_version.unwrap_or_default(),
        proc: Some(&proc.id),
        facts: FrameFacts {
            retries: found.int_retries.unwrap_or_default(),
            max_retries: found.int_max_retries.unwrap_or_default().into(),
            auto_eat: found.b_autoeat.unwrap_or_default(),
            exit_status_before: found.int_exit_status.unwrap_or(-1),
            timeout_minutes: found.int_timeout.unwrap_or_default(),
            silence_minutes: found.int_timeout_llu.unwrap_or_default(),
        },
    };
    let stopped = match found.str_state.as_deref() {
        Some("RUNNING") => stop_frame(cuebot, report, &stop).await?,
        _ => None,
    };
    let Some(verdict) = stopped else {
        // A person or a sweep was faster: the frame stays as it is, the proc goes.
        cuebot.counts.stale_completions.one();
        cuebot.work.push(Work::Release(proc)).await;
        return Ok(());
    };
    // Only for a run that is tried again: the mark of an earlier death stays on the frame while its next run ends well.
    let memory_wanted = (verdict == Verdict::Waiting && died_of_memory(&stop.facts, &ending(report)))
        .then(|| memory_reserved.saturating_add(cuebot.config.memory_raise));
    let Stop { ended, .. } = stop;
    cuebot
        .work
        .push(Work::Ended(Aftermath { ended, verdict, memory_wanted, proc: Some(proc), stopped_at: Instant::now() }))
        .await;
    Ok(())
}

/// A report whose proc is gone ends a frame that runs although no proc holds it, and nothing else.
async fn complete_without_proc(cuebot: &Cuebot, report: &FrameCompleteReport, frame: &str) -> Result<(), sqlx::Error> {
    let orphan: Option<Orphan> = sqlx::query_as(include_str!("queries/completion/find_orphan.sql"))
        .bind(frame)
        .fetch_optional(&cuebot.pool)
        .await?;
    let Some(orphan) = orphan else {
        cuebot.counts.stale_completions.one();
        return Ok(());
    };
    let stop = Stop {
        ended: Ended { frame: orphan.pk_frame, layer: orphan.pk_layer, job: orphan.pk_job },
        version: orphan.int_version.unwrap_or_default(),
        proc: None,
        facts: FrameFacts {
            retries: orphan.int_retries,
            max_retries: orphan.int_max_retries.into(),
            auto_eat: orphan.b_autoeat,
            exit_status_before: orphan.int_exit_status,
            timeout_minutes: orphan.int_timeout,
            silence_minutes: orphan.int_timeout_llu,
        },
    };
    match stop_frame(cuebot, report, &stop).await? {
        None => cuebot.counts.stale_completions.one(),
        Some(verdict) => {
            let Stop { ended, .. } = stop;
            cuebot
                .work
                .push(Work::Ended(Aftermath {
                    ended,
                    verdict,
                    memory_wanted: None,
                    proc: None,
                    stopped_at: Instant::now(),
                }))
                .await;
        }
    }
    Ok(())
}

fn ending(report: &FrameCompleteReport) -> Ending {
    let llu_time = report.frame.as_ref().map_or(0, |frame| frame.llu_time);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    Ending {
        exit_status: report.exit_status,
        exit_signal: report.exit_signal,
        run_seconds: report.run_time,
        nimby_locked: report.host.as_ref().is_some_and(|host| host.nimby_locked),
        silent_seconds: (llu_time > 0).then(|| now - llu_time),
    }
}

/// The transaction of the stop: the frame with its counts, the memory figures, the proc. `None`: the run had ended already.
async fn stop_frame(
    cuebot: &Cuebot,
    report: &FrameCompleteReport,
    stop: &Stop<'_>,
) -> Result<Option<Verdict>, sqlx::Error> {
    let verdict = verdict(&stop.facts, &ending(report));
    let mut retry = Retry::new(&cuebot.counts);
    let stopped = loop {
        match stop_frame_once(cuebot, report, stop, verdict).await {
            Ok(stopped) => break stopped,
            Err(error) => retry.again(error).await?,
        }
    };
    if !stopped {
        return Ok(None);
    }
    lock(&cuebot.accepted).push(AcceptedCompletion {
        frame: stop.ended.frame.clone(),
        resource: report.frame.as_ref().map_or_else(String::new, |frame| frame.resource_id.clone()),
        exit_status: report.exit_status,
        at: SystemTime::now(),
    });
    cuebot.counts.completions.one();
    match verdict {
        Verdict::Waiting => cuebot.counts.retries.one(),
        Verdict::Dead => cuebot.counts.dead.one(),
        Verdict::Succeeded | Verdict::Eaten => {}
    }
    Ok(Some(verdict))
}

async fn stop_frame_once(
    cuebot: &Cuebot,
    report: &FrameCompleteReport,
    stop: &Stop<'_>,
    verdict: Verdict,
) -> Result<bool, sqlx::Error> {
    let max_rss = report.frame.as_ref().map_or(0, |frame| frame.max_rss);
    // The history that a trigger writes holds 16 bits only.
    let exit_status = report.exit_status.clamp(i16::MIN.into(), i16::MAX.into());
    let mut transaction = cuebot.pool.begin().await?;
    let frames = sqlx::query(include_str!("queries/completion/stop_1_frame.sql"))
        .bind(&stop.ended.frame)
        .bind(verdict.column())
        .bind(i64::from(exit_status))
        .bind(max_rss)
        .bind(stop.version)
        .execute(&mut *transaction)
        .await?;
    if frames.rows_affected() == 0 {
        return Ok(false);
    }
    for (query, key) in [
        (include_str!("queries/completion/stop_2_layer_mem.sql"), &stop.ended.layer),
        (include_str!("queries/completion/stop_3_job_mem.sql"), &stop.ended.job),
    ] {
        sqlx::query(query).bind(key).bind(max_rss).execute(&mut *transaction).await?;
    }
    if let Some(proc) = stop.proc {
        sqlx::query(include_str!("queries/completion/stop_4_proc.sql"))
            .bind(proc)
            .bind(&stop.ended.frame)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// What follows, in Cuebot's order: dependencies, the end of the job, the layer's memory, the proc. A managed show's proc is
/// always released, never given the next frame.
pub(super) async fn see_to(cuebot: &Cuebot, aftermath: Aftermath) -> Result<(), sqlx::Error> {
    if aftermath.verdict.ended_well() {
        depends::satisfy(cuebot, &aftermath.ended).await?;
        let finished = finish_job(cuebot, &aftermath.ended.job).await?;
        cuebot.counts.jobs_finished.add(finished);
    }
    if let Some(memory) = aftermath.memory_wanted {
        sqlx::query(include_str!("queries/completion/raise_layer_memory.sql"))
            .bind(&aftermath.ended.layer)
            .bind(memory)
            .execute(&cuebot.pool)
            .await?;
    }
    if let Some(proc) = aftermath.proc {
        // The queue keeps the order, so whatever is behind this one is due later.
        tokio::time::sleep_until(aftermath.stopped_at + cuebot.config.release_delay).await;
        release::release(cuebot, &proc).await?;
    }
    Ok(())
}

async fn finish_job(cuebot: &Cuebot, job: &str) -> Result<u64, sqlx::Error> {
    let mut retry = Retry::new(&cuebot.counts);
    loop {
        let finished = sqlx::query(include_str!("queries/completion/finish_job.sql")).bind(job);
        match finished.execute(&cuebot.pool).await {
            Ok(finished) => return Ok(finished.rows_affected()),
            Err(error) => retry.again(error).await?,
        }
    }
}
