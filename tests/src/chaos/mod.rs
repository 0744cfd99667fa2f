//! Everything goes wrong at once, and nothing may be lost, doubled or overdrawn.
//!
//! One run is one seed: a farm with three replicas, real processes on a real PostgreSQL, simulated hosts and a stand-in Cuebot; a
//! [`Schedule`] of faults, a pure function of the seed; and a [`checker`] that shares no code with the scheduler, watches the database
//! all the time and judges at the end. The schedule is the same whenever the seed is; what threads and networks make of it is not.
//!
//! ```text
//! seed ──► schedule ──► stage (does faults, heals them) ──► all work ends ──► evidence ──► checker ──► report
//!     └──► farm, manners
//! ```
//!
//! What is simulated is simulated strictly: each concession is told where it is made ([`farm::orphan_after`], [`stage::Stage::sweep`],
//! the limits of what is drawn in [`schedule`]).

pub mod checker;
pub mod mischief;

mod cuebot;
mod farm;
mod replica;
mod report;
mod schedule;
mod stage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auditor::{Audit, DeadlockLog, Sampler, audit};
use crate::farm_sim::{Cause, Run};
use crate::postgres::Server;
use crate::scenarios::{Check, Length};

use checker::{ENDS_MAX, Evidence, check};
use farm::{ALLOCATIONS, Manners};
use mischief::Mischief;
use schedule::REPLICAS;
use stage::Stage;

pub use report::Report;
pub use schedule::{Fault, Planned, Schedule};

/// Seeds that have failed once. They come first.
///
/// 7: a job that ended between the turn of its layers and its own was forgotten by the comparison of counters.
pub const REGRESSIONS: [u64; 1] = [7];

/// How often caps and hosts are looked at. No frame is shorter than four times that.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// How long counters may take to come right at rest: several rounds of the comparison that replicas make every second.
const RECONCILED_WITHIN: Duration = Duration::from_secs(20);

/// How long replicas may take to share the pools again.
const SHARED_WITHIN: Duration = Duration::from_mins(1);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The farm follows from its seed.
    pub schedule: Schedule,
    /// Of the schedule.
    pub length: Length,
    /// Somebody else does wrong.
    pub mischief: Vec<Mischief>,
}

impl Plan {
    /// That of a seed.
    pub fn of(seed: u64, length: Length) -> Self {
        Self { schedule: Schedule::of(seed, length), length, mischief: Vec::new() }
    }
}

/// Carries a plan out and judges what came of it; `None` if it was interrupted, when everything has been stopped all the same. Logs
/// are written below `folder`, and kept if it failed.
pub async fn run(
    server: &mut Server,
    plan: &Plan,
    folder: &Path,
    interrupted: &CancellationToken,
) -> anyhow::Result<Option<Report>> {
    let began = Instant::now();
    let Plan { schedule, length, .. } = plan;
    let folder: PathBuf = folder.join(format!("seed-{}", schedule.seed));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    let manners = Manners::of(schedule.seed);
    let stage = Stage::build(server, schedule.seed, *length, manners, &folder).await?;
    let outcome = tokio::select! {
        biased;
        () = interrupted.cancelled() => None,
        outcome = play(&stage, plan) => Some(outcome),
    };
    let stopped_with = stage.stop_replicas().await?;
    let Some(outcome) = outcome else {
        stage.end().await?;
        return Ok(None);
    };
    let (evidence, details) = match gather(&stage, outcome).await {
        Ok(evidence) => {
            let evidence = Evidence { stopped_with, ..evidence };
            let details = check(&evidence);
            (evidence, details)
        }
        Err(error) => {
            let (demanded, seen) = ("the run comes to its end".to_owned(), format!("{error:#}"));
            (Evidence::default(), vec![Check { demanded, seen, pass: false }])
        }
    };
    let figures = figures(&stage, &evidence).await;
    let cuebot = stage.cuebot.lock().await.counts().iter().map(ToString::to_string).collect();
    stage.end().await?;
    let pass = details.iter().all(|check| check.pass);
    if pass {
        // Nobody looks at the logs of what went well, and nothing depends on their being gone.
        let _ = std::fs::remove_dir_all(&folder);
    }
    let mut faults = BTreeMap::new();
    for planned in &schedule.faults {
        *faults.entry(planned.fault.label()).or_default() += 1;
    }
    Ok(Some(Report {
        seed: schedule.seed,
        length: *length,
        drawn: format!("Cuebot {:?}, agents {:?}", manners.generation, manners.agents),
        schedule: schedule.faults.iter().map(Planned::to_string).collect(),
        faults,
        figures,
        cuebot,
        ended_after: evidence.ended_after.map(|after| after.as_secs_f64()),
        pass,
        seconds: began.elapsed().as_secs_f64(),
        details,
        logs: (!pass).then(|| folder.display().to_string()),
    }))
}

/// What is known before replicas are stopped.
struct Outcome {
    errors: Vec<String>,
    sampler: Sampler,
    log: DeadlockLog,
    ended_after: Option<Duration>,
    unshared: Option<String>,
    audit: Audit,
}

/// From the first replica's start to rest.
async fn play(stage: &Stage<'_>, plan: &Plan) -> anyhow::Result<Outcome> {
    let log = DeadlockLog::from_now_on(&stage.pool).await.context("reading the server's log")?;
    let sampler = Sampler::through_outages(stage.pool.clone(), SAMPLE_EVERY);
    stage.start_replicas().await?;
    let playing = async {
        let began = Instant::now();
        let mischief = join_all(plan.mischief.iter().map(|mischief| mischief.done_to(stage)));
        let faults = join_all(plan.schedule.by_thing().into_iter().map(|faults| stage.carry_out(faults, began)));
        let over = CancellationToken::new();
        let done = async {
            let done = tokio::join!(faults, mischief);
            over.cancel();
            done
        };
        let ((faults, mischief), ()) = tokio::join!(done, stage.feed(&over));
        let errors = faults.into_iter().chain(mischief).filter_map(Result::err).map(|error| format!("{error:#}"));
        let errors: Vec<String> = errors.collect();
        stage.note("all faults are healed");
        let ended_after = until_done(stage).await;
        let unshared = until_shared(stage).await;
        let audit = until_right(stage).await?;
        anyhow::Ok((errors, ended_after, unshared, audit))
    };
    let (errors, ended_after, unshared, audit) = tokio::select! {
        played = playing => played?,
        () = stage.sweep() => anyhow::bail!("sweeps have no end"),
    };
    Ok(Outcome { errors, sampler, log, ended_after, unshared, audit })
}

/// Waits until all frames have succeeded and all procs are released; how long that took.
async fn until_done(stage: &Stage<'_>) -> Option<Duration> {
    let sql = "SELECT (SELECT count(*) FROM frame WHERE str_state <> 'SUCCEEDED'), (SELECT count(*) FROM proc)";
    let began = Instant::now();
    let mut noted = None;
    while began.elapsed() < ENDS_MAX {
        if let Ok((frames, procs)) = sqlx::query_as::<_, (i64, i64)>(sql).fetch_one(&stage.pool).await {
            if (frames, procs) == (0, 0) {
                return Some(began.elapsed());
            }
            if noted != Some(began.elapsed().as_secs()) {
                noted = Some(began.elapsed().as_secs());
                stage.note(format_args!("{frames} frames are not done, {procs} procs not released"));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

/// Waits until the replicas of the start, and no others, share all pools; what is wrong if they don't.
async fn until_shared(stage: &Stage<'_>) -> Option<String> {
    let began = Instant::now();
    loop {
        let mut told = Vec::new();
        for replica in &stage.replicas[..REPLICAS] {
            told.push(replica.lock().await.share().await);
        }
        let members = told.iter().flatten().all(|(members, _)| *members == REPLICAS);
        let owned: usize = told.iter().flatten().map(|(_, owned)| owned).sum();
        if told.iter().all(Option::is_some) && members && owned == ALLOCATIONS {
            return None;
        }
        if began.elapsed() > SHARED_WITHIN {
            return Some(format!("members and own pools as each tells: {told:?}"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until the books are right; they as they are in the end.
async fn until_right(stage: &Stage<'_>) -> anyhow::Result<Audit> {
    let began = Instant::now();
    loop {
        let found = audit(&stage.pool).await?;
        if found.is_clean() || began.elapsed() > RECONCILED_WITHIN {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Everything that can be seen once the replicas have stopped, but for their exit codes.
async fn gather(stage: &Stage<'_>, outcome: anyhow::Result<Outcome>) -> anyhow::Result<Evidence> {
    let cuebot = stage.cuebot.lock().await;
    cuebot.settle().await;
    let Outcome { errors, sampler, log, ended_after, unshared, audit } = outcome?;
    let records = sampler.finish().await.context("watching the farm")?;
    let deadlocks = log.read(&stage.pool, &records.scheduler_sessions).await?;
    let states: Vec<(String, String)> =
        sqlx::query_as("SELECT pk_frame, str_state FROM frame").fetch_all(&stage.pool).await?;
    Ok(Evidence {
        errors,
        records,
        audit,
        deadlocks,
        runs: stage.harness.hosts.record(),
        accepted: cuebot.accepted(),
        loaded: stage.loaded(),
        states: states.into_iter().collect(),
        ended_after,
        unshared,
        left_with: stage.left_with(),
        stopped_with: Vec::new(),
    })
}

async fn figures(stage: &Stage<'_>, evidence: &Evidence) -> BTreeMap<String, f64> {
    let mut figures: BTreeMap<String, f64> = BTreeMap::new();
    for replica in &stage.replicas {
        for (name, value) in replica.lock().await.figures() {
            *figures.entry((*name).to_owned()).or_default() += value;
        }
    }
    let ended = |cause| {
        let by = |run: &&Run| run.end.is_some_and(|end| end.cause == cause);
        evidence.runs.iter().filter(by).count()
    };
    let (unsent, unanswered) = stage
        .proxies
        .iter()
        .map(crate::pg_proxy::PgProxy::cuts)
        .fold((0, 0), |sum, cuts| (sum.0 + cuts.0, sum.1 + cuts.1));
    let counted = [
        ("frames", evidence.loaded.len()),
        ("runs", evidence.runs.len()),
        ("runs killed", ended(Cause::Killed)),
        ("runs lost with their host", ended(Cause::Lost)),
        ("completions accepted", evidence.accepted.len()),
        ("commits cut before the server had them", unsent),
        ("commits cut before the answer", unanswered),
        ("deadlocks", evidence.deadlocks.all),
        ("deadlocks with a replica", evidence.deadlocks.with_them.len()),
        ("looks", evidence.records.samples as usize),
        ("looks failed", evidence.records.failed as usize),
    ];
    figures.extend(counted.map(|(name, count)| (name.to_owned(), count as f64)));
    figures
}
