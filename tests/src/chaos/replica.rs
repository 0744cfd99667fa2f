//! A replica over all its lives, each a process of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use cue_scheduler::store::Target;
use rustix::process::Signal;

use super::farm::SETTINGS;
use crate::harness::Scheduler;
use crate::pg_proxy::PgProxy;

/// Whoever does not tell its metrics in this time is busy or stopped; its figures are then missing.
const METRICS_MAX: Duration = Duration::from_secs(1);

/// Figures of replicas, summed over their labels, by name and label.
pub type Figures = BTreeMap<&'static str, f64>;

/// Figures that are told: name, metric, what the labels hold.
const METRICS: [(&str, &str, &str); 12] = [
    ("frames booked", "scheduler_frames_dispatched_total", ""),
    ("bookings repeated", "scheduler_booking_retries_total", ""),
    ("frames lost to another booking", "scheduler_booking_refused_total", "frame_taken"),
    ("frames refused at the booking", "scheduler_booking_refused_total", ""),
    ("frames given up", "scheduler_booking_refused_total", "given_up"),
    ("launches unknown", "scheduler_launch_outcomes_total", "unknown"),
    ("launches past the fence", "scheduler_launch_outcomes_total", "fenced"),
    ("bookings undone", "scheduler_launch_outcomes_total", "undone"),
    ("bookings adopted", "scheduler_launch_outcomes_total", "adopted"),
    ("bookings left behind", "scheduler_procs_left_behind_total", ""),
    ("members ended", "scheduler_members_ended_total", ""),
    ("pools handed over", "scheduler_pool_hand_overs_total", ""),
];

/// A replica.
pub struct Replica {
    name: String,
    target: Target,
    rqd_port: u16,
    folder: PathBuf,
    running: Option<Scheduler>,
    lives: u32,
    figures: Figures,
}

impl Replica {
    /// One that does not run yet, and will reach the database through a proxy.
    pub fn new(n: usize, target: &Target, proxy: &PgProxy, rqd_port: u16, folder: &Path) -> Self {
        let target = Target { host: "127.0.0.1".to_owned(), port: proxy.port(), ..target.clone() };
        let name = format!("replica-{n}");
        Self { name, target, rqd_port, folder: folder.to_owned(), running: None, lives: 0, figures: Figures::new() }
    }

    /// Starts a new process, if there is none.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.running.is_none() {
            self.lives += 1;
            let name = format!("{}.{}", self.name, self.lives);
            self.running = Some(Scheduler::start(&name, &self.target, self.rqd_port, &SETTINGS, &self.folder)?);
        }
        Ok(())
    }

    /// The process.
    pub fn process(&mut self) -> anyhow::Result<&mut Scheduler> {
        self.running.as_mut().with_context(|| format!("{} does not run", self.name))
    }

    /// Sends the process a signal, once it has begun.
    pub async fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        let name = self.name.clone();
        let process = self.process()?;
        process.begun().await?;
        process.signal(signal).with_context(|| format!("sending {signal:?} to {name}"))
    }

    /// Kills the process.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.read_figures().await;
        self.signal(Signal::KILL).await?;
        if let Some(mut killed) = self.running.take() {
            killed.wait().await?;
        }
        Ok(())
    }

    /// Sends SIGTERM and waits for the end; the exit code. None where nothing ran.
    pub async fn terminate(&mut self) -> anyhow::Result<Option<i32>> {
        self.read_figures().await;
        match self.running.take() {
            Some(running) => Ok(Some(running.stop().await.with_context(|| format!("stopping {}", self.name))?)),
            None => Ok(None),
        }
    }

    /// Lets the process go on, in case that it is stopped.
    pub async fn wake(&mut self) {
        // One that has ended needs no waking.
        let _ = self.signal(Signal::CONT).await;
    }

    /// How many members it knows, and how many pools it works on; none if it does not tell.
    pub async fn share(&self) -> Option<(usize, usize)> {
        let running = self.running.as_ref()?;
        let asked = async {
            let members = running.metric("scheduler_members").await?;
            anyhow::Ok((members as usize, running.metric("scheduler_pools_owned").await? as usize))
        };
        tokio::time::timeout(METRICS_MAX, asked).await.ok()?.ok()
    }

    /// What all its lives did, as far as it could be asked.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    async fn read_figures(&mut self) {
        let Some(running) = &self.running else { return };
        for (name, metric, label) in METRICS {
            let value = tokio::time::timeout(METRICS_MAX, running.metric_with(metric, label)).await;
            // One that can't answer won't answer the next question either.
            let Ok(Ok(value)) = value else { return };
            *self.figures.entry(name).or_default() += value;
        }
    }
}
