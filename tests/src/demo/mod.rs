//! `make demo`: the product at work on a farm of one's own.
//!
//! Two real scheduler processes book three thousand frames of two shows onto two hundred simulated hosts and a real render
//! agent, with a stand-in for Cuebot. At the end everything is counted anew: it is a success only if every frame ran exactly
//! once and succeeded, no cap was passed, and every counter is what it should be.

mod progress;
mod summary;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use tokio_util::sync::CancellationToken;

use crate::auditor::{Sampler, audit};
use crate::cuebot_sim::CuebotConfig;
use crate::farm_sim::{FarmConfig, HostSet};
use crate::harness::{Existing, Harness, HarnessConfig, Scheduler};
use crate::loader::add_job;
use crate::loader::amount::{Cores, Memory};
use crate::loader::description::{FarmDescription, JobDescription, LayerDescription};
use progress::Progress;
pub use summary::Summary;

/// The farm without its jobs.
const FARM: &str = include_str!("farm.yaml");

/// Simulated hosts.
const HOSTS: u32 = 200;

/// Cores that the real agent claims. Cuebot takes a host's load off its idle cores, and the machine is busy with all this.
const REAL_CORES: u32 = 32;

/// After this the demo has failed.
const LIMIT: Duration = Duration::from_mins(3);

/// Frames of the job that is submitted to the running farm.
const LATE_FRAMES: usize = 20;

/// What the demo may be told.
#[derive(Clone, Debug)]
pub struct DemoConfig {
    /// What to use instead of private parts.
    pub existing: Option<Existing>,
    /// Where logs and `summary.json` go.
    pub folder: PathBuf,
}

/// Runs the demo to its end, or until it is interrupted: then everything that was started is stopped in order, and there is no
/// summary.
pub async fn run(config: DemoConfig, interrupted: CancellationToken) -> anyhow::Result<Option<Summary>> {
    let mut farm = FarmDescription::from_yaml(FARM)?;
    let logs = config.folder.join("frame-logs");
    farm.jobs = jobs(&logs.display().to_string());
    let frames: usize = farm.jobs.iter().map(frames_of).sum::<usize>() + LATE_FRAMES;
    let progress = Progress::new(frames);
    let hosts = FarmConfig {
        hosts: vec![HostSet { count: HOSTS, ..HostSet::default() }],
        first_report: Some(Duration::from_millis(200)),
        report_interval: Some(Duration::from_secs(10)),
        ..FarmConfig::default()
    };
    let mut harness = Harness::start(
        HarnessConfig {
            farm,
            hosts,
            agent: Some((REAL_CORES, vec!["real".to_owned()])),
            cuebot: CuebotConfig { default_allocation: Some("local.real".to_owned()), ..CuebotConfig::default() },
            existing: config.existing,
        },
        &config.folder,
        |step| progress.say(step),
    )
    .await?;
    harness.agent_is_ready().await?;
    let sampler = Sampler::start(harness.pool.clone(), Duration::from_millis(250));

    progress.say("starting two schedulers");
    let began = Instant::now();
    let mut schedulers = [harness.scheduler("scheduler-1", &[])?, harness.scheduler("scheduler-2", &[])?];
    let watched = tokio::select! {
        () = interrupted.cancelled() => None,
        watched = async {
            for scheduler in &mut schedulers {
                scheduler.ready().await?;
            }
            watch(&harness, &progress, began).await
        } => Some(watched),
    };
    let took = began.elapsed();
    let Some(Ok(late)) = watched else {
        progress.say("stopping everything");
        for scheduler in schedulers {
            scheduler.stop().await?;
        }
        harness.stop().await?;
        return watched.transpose().map(|_| None);
    };

    progress.say("all frames are done; counting anew");
    settled(&harness).await?;
    let caps = sampler.finish().await?;
    let audit = audit(&harness.pool).await?;
    let summary = summary::make(&harness, &schedulers, &caps, &audit, frames, took, late, &logs).await?;
    for scheduler in schedulers {
        let code = scheduler.stop().await?;
        ensure!(code == 0, "a scheduler ended with exit code {code}");
    }
    harness.stop().await?;
    Ok(Some(summary))
}

/// Waits until all frames are done; a few seconds in, a job is submitted to the running farm. Answers how long it took from
/// its commit to its first launched frame.
async fn watch(harness: &Harness, progress: &Progress, began: Instant) -> anyhow::Result<Duration> {
    let mut late: Option<(String, SystemTime)> = None;
    loop {
        ensure!(
            began.elapsed() < LIMIT,
            "not all frames were done after {LIMIT:?}; look at the logs in {}",
            harness.folder.display()
        );
        let states = states(harness).await?;
        let of = |state: &str| states.get(state).copied().unwrap_or(0);
        let (done, running) = (of("SUCCEEDED"), of("RUNNING"));
        let total: i64 = states.values().sum();
        progress.show(done, running, total - done - running);
        ensure!(of("DEAD") == 0, "{} frames are dead; look at the logs in {}", of("DEAD"), harness.folder.display());
        if late.is_none() && done * 4 > total {
            let job = late_job();
            let loaded = add_job(&harness.pool, 4, &job).await?;
            late = Some((loaded.jobs[&job.name].clone(), SystemTime::now()));
            continue;
        }
        if done == total
            && let Some((job, committed)) = late
        {
            let runs = harness.hosts.record();
            let first = runs.iter().filter(|run| run.job_id == job).map(crate::farm_sim::Run::started).min();
            let first = first.context("the job that was submitted last never ran")?;
            return Ok(first.duration_since(committed).unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn states(harness: &Harness) -> anyhow::Result<BTreeMap<String, i64>> {
    let jobs: Vec<&String> = harness.loaded.jobs.values().collect();
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT f.str_state, count(*) FROM frame f JOIN job j USING (pk_job) WHERE pk_job = ANY($1) OR j.str_name = $2 GROUP BY 1",
    )
    .bind(jobs)
    .bind(late_job().name)
    .fetch_all(&harness.pool)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Waits until Cuebot has released the last procs.
async fn settled(harness: &Harness) -> anyhow::Result<()> {
    for _ in 0..100 {
        let procs: i64 = sqlx::query_scalar("SELECT count(*) FROM proc").fetch_one(&harness.pool).await?;
        if procs == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The audit will say what is left.
    Ok(())
}

/// Twenty jobs of simulated frames and two of real ones.
fn jobs(logs: &str) -> Vec<JobDescription> {
    let mut jobs = Vec::new();
    for n in 0..20 {
        let (show, folder) = match n % 4 {
            0 => ("alpha", Some("shots")),
            1 => ("alpha", Some("assets")),
            _ => ("beta", None),
        };
        let layer = LayerDescription {
            name: "render".to_owned(),
            command: format!("sleep {}", 0.4 + 0.1 * f64::from(n % 8)),
            range: "1-143".to_owned(),
            min_cores: Cores::whole(1 + i64::from(n % 3)),
            memory: Memory::gib(2),
            limits: if n % 5 == 0 { vec!["licence".to_owned()] } else { Vec::new() },
            ..LayerDescription::default()
        };
        jobs.push(JobDescription {
            name: format!("{show}-{n:02}"),
            show: show.to_owned(),
            folder: folder.map(str::to_owned),
            priority: 1 + n * 7 % 20,
            max_cores: Cores::whole(60),
            layers: vec![layer],
            ..JobDescription::default()
        });
    }
    for show in ["alpha", "beta"] {
        let layer = LayerDescription {
            name: "shell".to_owned(),
            // The agent in Python stops reading as soon as the command is gone, so the line is followed by a moment.
            command: "echo frame #IFRAME# of $CUE_JOB with $CUE_THREADS core; sleep 0.2".to_owned(),
            range: "1-60".to_owned(),
            memory: Memory::gib(1),
            tags: vec!["real".to_owned()],
            threadable: false,
            ..LayerDescription::default()
        };
        jobs.push(JobDescription {
            name: format!("{show}-real"),
            show: show.to_owned(),
            log_dir: logs.to_owned(),
            uid: None,
            layers: vec![layer],
            ..JobDescription::default()
        });
    }
    jobs
}

/// Submitted while the farm is busy.
fn late_job() -> JobDescription {
    let layer = LayerDescription {
        name: "render".to_owned(),
        command: "sleep 0.3".to_owned(),
        range: format!("1-{LATE_FRAMES}"),
        ..LayerDescription::default()
    };
    JobDescription {
        name: "beta-late".to_owned(),
        show: "beta".to_owned(),
        priority: 100,
        layers: vec![layer],
        ..JobDescription::default()
    }
}

fn frames_of(job: &JobDescription) -> usize {
    let last =
        |layer: &LayerDescription| layer.range.rsplit('-').next().and_then(|last| last.parse().ok()).unwrap_or(0);
    job.layers.iter().map(last).sum()
}

/// How often each frame ran on the simulated hosts.
fn runs_per_frame(harness: &Harness) -> HashMap<String, usize> {
    let mut runs: HashMap<String, usize> = HashMap::new();
    for run in harness.hosts.record() {
        *runs.entry(run.frame_id).or_default() += 1;
    }
    runs
}

/// What the schedulers say that they booked.
async fn dispatched(schedulers: &[Scheduler]) -> anyhow::Result<Vec<f64>> {
    let mut frames = Vec::new();
    for scheduler in schedulers {
        frames.push(scheduler.metric("scheduler_frames_dispatched_total").await?);
    }
    Ok(frames)
}
