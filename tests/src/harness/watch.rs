//! Waiting for what a farm comes to, on a machine that may be busy: conditions with generous limits, and an error that says
//! how far it got.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::Harness;

/// How many frames are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States(BTreeMap<String, i64>);

impl States {
    /// Frames in this state.
    pub fn of(&self, state: &str) -> i64 {
        self.0.get(state).copied().unwrap_or(0)
    }

    /// All frames.
    pub fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// Whether every frame is in this state.
    pub fn are_all(&self, state: &str) -> bool {
        self.of(state) == self.total()
    }
}

impl fmt::Display for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<String> = self.0.iter().map(|(state, frames)| format!("{frames} {state}")).collect();
        f.write_str(&states.join(", "))
    }
}

impl Harness {
    /// How many frames are in each state, over all jobs of the database.
    pub async fn states(&self) -> anyhow::Result<States> {
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT str_state, count(*) FROM frame GROUP BY 1")
            .fetch_all(&self.pool)
            .await
            .context("counting frames")?;
        Ok(States(rows.into_iter().collect()))
    }

    /// Waits until the frames are as wanted. The error says what was waited for and how they are.
    pub async fn until_states(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&States) -> bool,
    ) -> anyhow::Result<States> {
        let began = Instant::now();
        loop {
            let states = self.states().await?;
            if wanted(&states) {
                return Ok(states);
            }
            ensure!(began.elapsed() < limit, "after {limit:?} still not: {what}; frames: {states}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until Cuebot has released every proc.
    pub async fn until_released(&self, limit: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let procs: i64 = sqlx::query_scalar("SELECT count(*) FROM proc").fetch_one(&self.pool).await?;
            if procs == 0 {
                return Ok(());
            }
            ensure!(began.elapsed() < limit, "after {limit:?} {procs} procs are not released");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How often each frame ran on the simulated hosts, by its id.
    pub fn runs_per_frame(&self) -> HashMap<String, usize> {
        let mut runs: HashMap<String, usize> = HashMap::new();
        for run in self.hosts.record() {
            *runs.entry(run.frame_id).or_default() += 1;
        }
        runs
    }
}
