//! Cuebot over all its lives.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::cuebot_sim::{AcceptedCompletion, Crashed, CuebotConfig, CuebotCounts, CuebotSim};

/// How long its address may be taken by what is left of its former life.
const START_MAX: Duration = Duration::from_secs(10);

/// A stand-in that can die and come back at the same address.
pub struct Cuebot {
    config: CuebotConfig,
    pool: PgPool,
    running: Option<CuebotSim>,
    past: Vec<Crashed>,
}

impl Cuebot {
    /// One that runs.
    pub fn new(running: CuebotSim, config: CuebotConfig, pool: PgPool) -> Self {
        let config = CuebotConfig { listen: running.address(), ..config };
        Self { config, pool, running: Some(running), past: Vec::new() }
    }

    /// Its process dies, with all it had in hand.
    pub fn crash(&mut self) {
        self.past.extend(self.running.take().map(CuebotSim::crash));
    }

    /// Starts it again, if it does not run.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let began = tokio::time::Instant::now();
        while self.running.is_none() {
            match CuebotSim::start(self.config.clone(), self.pool.clone()).await {
                Ok(running) => self.running = Some(running),
                Err(error) if began.elapsed() > START_MAX => return Err(error).context("starting Cuebot again"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        Ok(())
    }

    /// Refuses all reports from now on, or none.
    pub fn refuse(&self, refuse: bool) {
        if let Some(running) = &self.running {
            running.refuse(refuse.then_some(Code::Unavailable));
        }
    }

    /// One round of its sweeps, which comes to its end whatever becomes of Cuebot or of who waits for it: a transaction that is dropped
    /// halfway may leave its connection unfit for the next. None if it does not run.
    pub fn sweep(&self) -> Option<JoinHandle<Result<(), sqlx::Error>>> {
        self.running.as_ref().map(|running| tokio::spawn(running.sweep()))
    }

    /// Every completion that ended a run.
    pub fn accepted(&self) -> Vec<AcceptedCompletion> {
        let now = self.running.iter().flat_map(CuebotSim::accepted);
        self.past.iter().flat_map(Crashed::accepted).chain(now).collect()
    }

    /// What each life did, the present one last.
    pub fn counts(&self) -> Vec<CuebotCounts> {
        self.past.iter().map(Crashed::counts).chain(self.running.as_ref().map(CuebotSim::counts)).collect()
    }

    /// Waits until everything that was reported has been dealt with.
    pub async fn settle(&self) {
        for past in &self.past {
            past.ended().await;
        }
        if let Some(running) = &self.running {
            running.settle().await;
        }
    }

    /// Ends it in order.
    pub async fn shutdown(self) {
        if let Some(running) = self.running {
            running.shutdown().await;
        }
    }
}
