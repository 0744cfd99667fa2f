//! A farm on which frames really are launched: simulated hosts, a stand-in Cuebot, real scheduler processes.

use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;

use super::floor::server;
use crate::cuebot_sim::CuebotConfig;
use crate::farm_sim::{FarmConfig, HostSet};
use crate::harness::{Harness, HarnessConfig, Scheduler, simulated};
use crate::loader::description::FarmDescription;
use crate::postgres::Server;

/// How long anything may take before a scenario gives up.
pub(super) const LIMIT: Duration = Duration::from_mins(5);

/// The farm.
pub(super) struct Live {
    pub harness: Harness,
    // After the harness, which asks it to its end.
    _server: Server,
    folder: tempfile::TempDir,
}

impl Live {
    /// Starts all but schedulers.
    pub(super) async fn start(farm: FarmDescription) -> anyhow::Result<Self> {
        let hosts = simulated(&farm)?;
        Self::assemble(farm, hosts, None).await
    }

    /// With hosts that are rows only, but for one, and heard of for an hour.
    pub(super) async fn of_rows(farm: FarmDescription) -> anyhow::Result<Self> {
        let one = simulated(&farm)?.into_iter().take(1).map(|hosts| HostSet { count: 1, ..hosts }).collect();
        let live = Self::assemble(farm, one, None).await?;
        sqlx::query("UPDATE host_stat SET ts_ping = now() + interval '1 hour'").execute(&live.harness.pool).await?;
        Ok(live)
    }

    /// With a real agent beside them, of so many cores.
    pub(super) async fn with_agent(farm: FarmDescription, cores: u32, tag: &str) -> anyhow::Result<Self> {
        let hosts = simulated(&farm)?;
        Self::assemble(farm, hosts, Some((cores, vec![tag.to_owned()]))).await
    }

    async fn assemble(
        farm: FarmDescription,
        hosts: Vec<HostSet>,
        agent: Option<(u32, Vec<String>)>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = server().await?;
        let config = HarnessConfig {
            hosts: FarmConfig {
                hosts,
                first_report: Some(Duration::from_millis(200)),
                report_interval: Some(Duration::from_secs(30)),
                ..FarmConfig::default()
            },
            cuebot: CuebotConfig {
                default_allocation: farm
                    .facilities
                    .first()
                    .and_then(|facility| Some(facility.allocations.first()?.name.clone())),
                ..CuebotConfig::default()
            },
            farm,
            agent,
            existing: None,
        };
        let mut harness = Harness::start_on(&server, config, folder.path(), |_| {}).await?;
        sqlx::query("ANALYZE").execute(&harness.pool).await?;
        if harness.agent.is_some() {
            harness.agent_is_ready().await?;
        }
        Ok(Self { harness, _server: server, folder })
    }

    /// A scheduler that is ready, of the default configuration but for these variables.
    pub(super) async fn scheduler(&self, variables: &[(&str, &str)]) -> anyhow::Result<Scheduler> {
        let target = &self.harness.target;
        let mut scheduler =
            Scheduler::start("scheduler", target, self.harness.hosts.port(), variables, self.folder.path())?;
        scheduler.ready().await?;
        Ok(scheduler)
    }

    /// Lets all jobs go at once, which were loaded paused; the moment of the commit.
    pub(super) async fn let_go(&self) -> anyhow::Result<SystemTime> {
        sqlx::query("CHECKPOINT").execute(&self.harness.pool).await?;
        sqlx::query("UPDATE job SET b_paused = false").execute(&self.harness.pool).await?;
        Ok(SystemTime::now())
    }

    /// Waits until the hosts have taken so many launches.
    pub(super) async fn launched(&self, launches: usize) -> anyhow::Result<()> {
        let all = self.harness.hosts.wait_until(LIMIT, |hosts| hosts.launched_count() >= launches as u64).await;
        ensure!(all, "{} of {launches} frames are launched after {LIMIT:?}", self.harness.hosts.launched_count());
        Ok(())
    }

    /// Waits until this statement answers zero.
    pub(super) async fn until_none(&self, what: &str, count: &'static str) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let left: i64 = sqlx::query_scalar(count).fetch_one(&self.harness.pool).await?;
            if left == 0 {
                return Ok(());
            }
            ensure!(began.elapsed() < LIMIT, "{left} {what} after {LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends all in order.
    pub(super) async fn stop(self, scheduler: Scheduler) -> anyhow::Result<()> {
        let code = scheduler.stop().await?;
        ensure!(code == 0, "the scheduler ended with {code}");
        self.harness.stop().await
    }
}

/// How long after `earlier` something was; no time if it was before, as what is told of a commit comes after it.
pub(super) fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}
