//! The running farm of a scenario, and what a play can ask and note.

use std::any::Any;
use std::collections::HashSet;
use std::fmt::Display;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sqlx::AssertSqlSafe;

use super::logbook::Logbook;
use super::parts::without_prefix;
use super::{Check, Setting};
use crate::cuebot_sim::CuebotSim;
use crate::farm_sim::Run;
use crate::harness::{Harness, Scheduler};
use crate::loader::description::JobDescription;
use crate::loader::{Loaded, add_job};

/// Longest wait for something that comes within seconds on an idle machine.
pub(super) const LIMIT: Duration = Duration::from_mins(2);

/// A running farm.
pub struct Stage {
    /// How the scenario is run.
    pub setting: Setting,
    /// PostgreSQL, Cuebot, hosts.
    pub harness: Harness,
    /// The schedulers.
    pub schedulers: Vec<Scheduler>,
    /// What was done, for people.
    pub logbook: Logbook,
    /// Hosts that Cuebot took for dead although their frames ran on. That they run twice then is Cuebot's decision.
    pub given_up: HashSet<Ipv4Addr>,
    /// Frames that a person sent round again after they were done: `frame.pk_frame`, once for each time.
    pub retried: Vec<String>,
    /// Whether connections are cut on purpose, so that passes fail.
    pub cuts_connections: bool,
    /// Whether nothing may wait in a circle at all, not even Cuebot's own sessions.
    pub no_deadlock_at_all: bool,
    /// Whether agents are not called.
    pub dry_run: bool,
    /// Things of a play that have to live as long as the schedulers.
    pub(super) kept: Vec<Box<dyn Any>>,
    pub(super) schedulers_wanted: usize,
    pub(super) prefix: String,
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) checks: Vec<Check>,
    pub(super) seen: Vec<String>,
}

impl Stage {
    /// Notes something for the table.
    pub fn see(&mut self, what: impl Display) {
        self.logbook.note(&format!("seen: {what}"));
        self.seen.push(what.to_string());
    }

    /// Notes whether something that is demanded was seen.
    pub fn demand(&mut self, demanded: &str, pass: bool, seen: impl Display) {
        let check = Check { demanded: demanded.to_owned(), seen: seen.to_string(), pass };
        self.logbook.note(&format!("{}: {demanded}: {}", if pass { "right" } else { "WRONG" }, check.seen));
        self.checks.push(check);
    }

    /// Starts one more scheduler, with more settings, and waits for it to be ready.
    pub async fn start_scheduler(&mut self, name: &str, more: &[(&str, &str)]) -> anyhow::Result<()> {
        let common = self.variables.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<(&str, &str)> = common.chain(more.iter().copied()).collect();
        let mut scheduler = self.harness.scheduler(name, &variables)?;
        let ready = scheduler.ready().await;
        self.schedulers.push(scheduler);
        ready
    }

    /// The stand-in; an error where a real Cuebot is used, which can't be told to misbehave.
    pub fn stand_in(&self) -> anyhow::Result<&CuebotSim> {
        self.harness.cuebot.as_ref().context("this scenario needs the stand-in Cuebot")
    }

    /// Keeps something of the play until the schedulers have ended.
    pub fn keep(&mut self, thing: impl Any) {
        self.kept.push(Box::new(thing));
    }

    /// Lets some time pass in which something must *not* happen. What must happen is waited for.
    pub async fn linger(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Submits a job to the running farm; its ids are then among the loaded ones. It names its show and its limits as the farm's
    /// description does, and waits for no other job.
    pub async fn submit(&mut self, mut job: JobDescription) -> anyhow::Result<()> {
        for name in [&mut job.name, &mut job.show].into_iter().chain(job.facility.as_mut()) {
            name.insert_str(0, &self.prefix);
        }
        let limits = job.layers.iter_mut().flat_map(|layer| &mut layer.limits);
        limits.for_each(|limit| limit.insert_str(0, &self.prefix));
        let Loaded { jobs, layers, frames, .. } =
            without_prefix(add_job(&self.harness.pool, self.setting.seed, &job).await?, &self.prefix);
        let all = &mut self.harness.loaded;
        all.jobs.extend(jobs);
        all.layers.extend(layers);
        all.frames.extend(frames);
        Ok(())
    }

    /// What stands before all names in the database; nothing on a private one.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Ids of the loaded jobs.
    pub fn jobs(&self) -> Vec<String> {
        self.harness.loaded.jobs.values().cloned().collect()
    }

    /// A single number from the database.
    pub async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&self.harness.pool).await?)
    }

    /// A single number about a thing.
    pub async fn number_of(&self, sql: &str, id: &str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).bind(id).fetch_one(&self.harness.pool).await?)
    }

    /// A change that a person or Cuebot makes; how many rows it changed.
    pub async fn change(&self, sql: &str, id: &str) -> anyhow::Result<u64> {
        Ok(sqlx::query(AssertSqlSafe(sql.to_owned())).bind(id).execute(&self.harness.pool).await?.rows_affected())
    }

    /// Waits until it holds.
    pub async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let began = Instant::now();
        while !holds(self).await? {
            ensure!(began.elapsed() < LIMIT, "after {LIMIT:?} still not: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// How many frames of the loaded jobs are in a state.
    pub async fn frames(&self, state: &str) -> anyhow::Result<i64> {
        let sql = "SELECT count(*) FROM frame WHERE str_state = $1 AND pk_job = ANY ($2)";
        Ok(sqlx::query_scalar(sql).bind(state).bind(self.jobs()).fetch_one(&self.harness.pool).await?)
    }

    /// How many frames the loaded jobs have.
    pub async fn frames_of_all_states(&self) -> anyhow::Result<i64> {
        let sql = "SELECT count(*) FROM frame WHERE pk_job = ANY ($1)";
        Ok(sqlx::query_scalar(sql).bind(self.jobs()).fetch_one(&self.harness.pool).await?)
    }

    /// Waits until so many frames have succeeded.
    pub async fn until_succeeded(&self, frames: i64) -> anyhow::Result<()> {
        self.until(&format!("{frames} frames succeeded"), async |stage| Ok(stage.frames("SUCCEEDED").await? >= frames))
            .await
    }

    /// Waits until every frame of the loaded jobs is done, as long as some come to their end; how fast is the machine's business.
    pub async fn until_done(&self) -> anyhow::Result<()> {
        let open =
            "SELECT count(*) FROM frame WHERE str_state NOT IN ('SUCCEEDED', 'EATEN', 'DEAD') AND pk_job = ANY ($1)";
        let (mut least, mut since) = (i64::MAX, Instant::now());
        while least > 0 {
            let left: i64 = sqlx::query_scalar(open).bind(self.jobs()).fetch_one(&self.harness.pool).await?;
            if left < least {
                (least, since) = (left, Instant::now());
            }
            ensure!(since.elapsed() < LIMIT, "{left} frames are not done, and none came to its end for {LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The sum over all schedulers of a metric, over the labels that hold this text.
    pub async fn metric(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for scheduler in &self.schedulers {
            sum += scheduler.metric_with(name, label).await?;
        }
        Ok(sum)
    }

    /// Waits until frames wait for this reason, by a scheduler's own word.
    pub async fn until_reason(&mut self, reason: &str) -> anyhow::Result<()> {
        let label = format!("reason=\"{reason}\"");
        let told = self
            .until(&format!("frames wait with the reason `{reason}`"), async |stage| {
                Ok(stage.metric("scheduler_waiting_frames", &label).await? > 0.0)
            })
            .await;
        let seen = told.as_ref().err().map_or_else(|| "told".to_owned(), ToString::to_string);
        self.demand(&format!("frames that wait are told to wait for `{reason}`"), told.is_ok(), seen);
        Ok(())
    }

    /// What the procs of a job hold, in centicores.
    pub async fn centicores_of(&self, job: &str) -> anyhow::Result<i64> {
        self.number_of(
            "SELECT COALESCE(sum(int_cores_reserved), 0)::bigint FROM proc WHERE pk_job = $1",
            &self.harness.loaded.jobs[job],
        )
        .await
    }

    /// Runs on the hosts so far, of a job.
    pub fn runs_of(&self, job: &str) -> Vec<Run> {
        let id = self.harness.loaded.jobs.get(job);
        self.harness.hosts.record().into_iter().filter(|run| id == Some(&run.job_id)).collect()
    }

    /// Runs on the hosts so far, of a layer (`job/layer`).
    pub fn runs_of_layer(&self, layer: &str) -> Vec<Run> {
        let id = self.harness.loaded.layers.get(layer);
        self.harness.hosts.record().into_iter().filter(|run| id == Some(&run.layer_id)).collect()
    }
}
