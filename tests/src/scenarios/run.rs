//! Puts a scenario on: parts, play, rest, judgement, end. The end comes in order whatever happened before.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::judge::{self, Evidence};
use super::logbook::Logbook;
use super::parts::{prefixed, without_prefix};
use super::reasons;
use super::stage::Stage;
use super::{Check, Parts, Report, Scenario, Setting};
use crate::auditor::{Audit, DeadlockLog, Sampler, audit};
use crate::harness::{Existing, Harness, HarnessConfig};
use crate::loader::description::FarmDescription;
use crate::postgres::Server;

/// How often caps and hosts are looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// How long counters may take to come right at rest: several rounds of the schedulers' comparison.
const RECONCILED_WITHIN: Duration = Duration::from_secs(20);

/// Where a scenario is put on.
pub enum Place<'a> {
    /// A new database on this server, a stand-in Cuebot.
    Private(&'a Server),
    /// A test farm's own database and Cuebot, and the port at which that Cuebot calls agents.
    Existing(Existing, u16),
}

/// Puts a scenario on and judges it; `None` if it was interrupted, when everything has been stopped all the same. Logs are written
/// below `folder`, and kept if it failed.
pub async fn run(
    scenario: &dyn Scenario,
    setting: Setting,
    place: &Place<'_>,
    folder: &Path,
    interrupted: &CancellationToken,
) -> Option<Report> {
    let began = Instant::now();
    let folder = folder.join(format!("{}-{}", scenario.name(), setting.generation_name()));
    let mut report = Report {
        scenario: scenario.name().to_owned(),
        generation: setting.generation_name().to_owned(),
        seed: setting.seed,
        length: setting.length,
        demanded: scenario.demanded().to_owned(),
        seen: String::new(),
        pass: false,
        seconds: 0.0,
        details: Vec::new(),
        logs: None,
    };
    match put_on(scenario, setting, place, &folder, interrupted).await {
        Ok(None) => return None,
        Ok(Some((seen, checks))) => {
            report.pass = checks.iter().all(|check| check.pass);
            report.seen = seen.join("; ");
            report.details = checks;
        }
        Err(error) => {
            "it could not be put on".clone_into(&mut report.seen);
            report.details = vec![Check {
                demanded: "the scenario can be put on".to_owned(),
                seen: format!("{error:#}"),
                pass: false,
            }];
        }
    }
    report.seconds = began.elapsed().as_secs_f64();
    if report.pass {
        // Nobody looks at the logs of what went well, and nothing depends on their being gone.
        let _ = std::fs::remove_dir_all(&folder);
    } else {
        report.logs = Some(folder.display().to_string());
    }
    Some(report)
}

/// What was seen and checked; `None` if it was interrupted.
type Told = Option<(Vec<String>, Vec<Check>)>;

async fn put_on(
    scenario: &dyn Scenario,
    setting: Setting,
    place: &Place<'_>,
    folder: &Path,
    interrupted: &CancellationToken,
) -> anyhow::Result<Told> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    let mut stage = build(scenario, setting, place, folder).await?;
    let log = DeadlockLog::from_now_on(&stage.harness.pool).await.ok();
    let sampler = Sampler::start(stage.harness.pool.clone(), SAMPLE_EVERY);
    let rest = tokio::select! {
        biased;
        () = interrupted.cancelled() => None,
        rest = play_and_rest(scenario, &mut stage) => Some(rest),
    };
    let mut codes = Vec::new();
    for scheduler in std::mem::take(&mut stage.schedulers) {
        codes.push(scheduler.stop().await?);
    }
    if let Some(rest) = rest {
        stage.demand("schedulers end in order", codes.iter().all(|code| *code == 0), format!("exit codes {codes:?}"));
        match evidence(&stage, rest, sampler, log).await {
            Ok(evidence) => judge::judge(&mut stage, &evidence),
            Err(error) => stage.demand("the farm comes to rest", false, format!("{error:#}")),
        }
        stage.logbook.save()?;
    }
    let Stage { harness, checks, seen, .. } = stage;
    let hosts: Vec<String> = harness.loaded.hosts.values().cloned().collect();
    harness.stop().await?;
    if let Place::Existing(existing, _) = place {
        remove_hosts(existing, &hosts).await?;
    }
    Ok((!interrupted.is_cancelled()).then_some((seen, checks)))
}

async fn evidence(
    stage: &Stage,
    rest: anyhow::Result<Rest>,
    sampler: Sampler,
    log: Option<DeadlockLog>,
) -> anyhow::Result<Evidence> {
    let records = sampler.finish().await.context("watching the farm")?;
    let Rest { audit, failed_passes, lost, succeeded } = rest?;
    let deadlocks = match log {
        Some(log) => Some(log.read(&stage.harness.pool, &records.scheduler_sessions).await?),
        None => None,
    };
    Ok(Evidence { records, audit, deadlocks, failed_passes, lost, succeeded })
}

/// Everything but schedulers.
async fn build(scenario: &dyn Scenario, setting: Setting, place: &Place<'_>, folder: &Path) -> anyhow::Result<Stage> {
    let Parts { farm, hosts, cuebot, schedulers, variables } = scenario.parts(&setting)?;
    let mut config = HarnessConfig { farm, hosts, agent: None, cuebot, existing: None };
    let mut prefix = String::new();
    let mut harness = match place {
        Place::Private(server) => Harness::start_on(server, config, folder, |_| {}).await?,
        Place::Existing(existing, port) => {
            // Runs on one database need different names, so the time is part of them.
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            prefix = format!("s{:x}_", now % 0x1000_0000);
            config.hosts.port = *port;
            config.hosts.hosts.iter_mut().for_each(|set| set.facility.insert_str(0, &prefix));
            // Ids follow from names and the seed, and some names bear no prefix.
            config.farm = prefixed(FarmDescription { seed: now, ..config.farm }, &prefix);
            config.existing = Some(existing.clone());
            Harness::start(config, folder, |_| {}).await?
        }
    };
    harness.loaded = without_prefix(std::mem::take(&mut harness.loaded), &prefix);
    Ok(Stage {
        setting,
        harness,
        schedulers: Vec::with_capacity(schedulers),
        schedulers_wanted: schedulers,
        kept: Vec::new(),
        logbook: Logbook::new(folder),
        variables,
        prefix,
        given_up: HashSet::new(),
        retried: Vec::new(),
        cuts_connections: false,
        no_deadlock_at_all: false,
        dry_run: false,
        checks: Vec::new(),
        seen: Vec::new(),
    })
}

async fn play_and_rest(scenario: &dyn Scenario, stage: &mut Stage) -> anyhow::Result<Rest> {
    if let Err(error) = play(scenario, stage).await {
        stage.demand("the play comes to its end", false, format!("{error:#}"));
    }
    rest(stage).await
}

async fn play(scenario: &dyn Scenario, stage: &mut Stage) -> anyhow::Result<()> {
    for n in 1..=stage.schedulers_wanted {
        stage.start_scheduler(&format!("scheduler-{n}"), &[]).await?;
    }
    scenario.play(stage).await
}
/// What is seen of a farm at rest.
struct Rest {
    audit: Audit,
    failed_passes: f64,
    lost: Vec<String>,
    succeeded: HashSet<String>,
}

/// Lets everybody tell why frames wait, then lets a person pause all jobs, and waits until nothing runs and counters have come right.
async fn rest(stage: &mut Stage) -> anyhow::Result<Rest> {
    reasons::demand(stage).await?;
    let failed_passes = stage.metric("scheduler_pass_terminated_reason_total", "reason=\"query_error\"").await?;
    let retries = stage.metric("scheduler_booking_retries_total", "").await?;
    stage.logbook.note(&format!("{retries} booking transactions were repeated"));
    let jobs = stage.jobs();
    sqlx::query("UPDATE job SET b_paused = true WHERE pk_job = ANY ($1)")
        .bind(&jobs)
        .execute(&stage.harness.pool)
        .await?;
    if !stage.dry_run {
        stage
            .until("nothing runs and every proc is released", async |stage| {
                let running: i64 = sqlx::query_scalar(
                    "SELECT (SELECT count(*) FROM proc WHERE pk_job = ANY ($1))
                          + (SELECT count(*) FROM frame WHERE pk_job = ANY ($1) AND str_state = 'RUNNING')",
                )
                .bind(stage.jobs())
                .fetch_one(&stage.harness.pool)
                .await?;
                Ok(running == 0)
            })
            .await?;
        if let Some(cuebot) = &stage.harness.cuebot {
            cuebot.settle().await;
        }
    }
    let began = Instant::now();
    let audit = loop {
        let found = audit(&stage.harness.pool).await?;
        if found.is_clean() || began.elapsed() > RECONCILED_WITHIN {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    stage.logbook.note(&format!("at rest {:.1} s after nothing ran", began.elapsed().as_secs_f64()));
    let succeeded: Vec<String> =
        sqlx::query_scalar("SELECT pk_frame FROM frame WHERE str_state = 'SUCCEEDED' AND pk_job = ANY ($1)")
            .bind(&jobs)
            .fetch_all(&stage.harness.pool)
            .await?;
    Ok(Rest { audit, failed_passes, lost: lost(stage).await?, succeeded: succeeded.into_iter().collect() })
}

/// Frames that are in no state in which they could be left, and loaded frames that are gone.
async fn lost(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(include_str!("queries/lost.sql"))
        .bind(stage.jobs())
        .bind(stage.dry_run)
        .fetch_all(&stage.harness.pool)
        .await?;
    let mut lost: Vec<String> =
        rows.into_iter().map(|(layer, what, frames)| format!("{frames} frames of {layer}: {what}")).collect();
    let loaded: usize = stage.harness.loaded.frames.values().map(Vec::len).sum();
    let there = stage.frames_of_all_states().await?;
    if there != loaded as i64 {
        lost.push(format!("{loaded} frames were loaded, {there} are there"));
    }
    Ok(lost)
}

/// Takes the hosts of a scenario out of a database that stays, so that the next one can have the same. They report no more. One
/// that still has procs, after an interruption, stays until Cuebot has given it up.
async fn remove_hosts(existing: &Existing, hosts: &[String]) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&existing.database).await.context("connecting to --database")?;
    let mut transaction = connection.begin().await?;
    for table in ["host_tag", "host_stat", "host"] {
        let sql = format!(
            "DELETE FROM {table} WHERE pk_host = ANY ($1) AND NOT EXISTS (SELECT FROM proc WHERE proc.pk_host = {table}.pk_host)"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(hosts).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
