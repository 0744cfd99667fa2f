//! A whole farm for demo, tests, and whatever runs scenarios: PostgreSQL with a loaded farm, a Cuebot, render hosts, real
//! schedulers.
//!
//! By default everything is private and simulated or started here. Pointed at an existing database and Cuebot, the harness
//! loads its shows there and uses them, so that a studio can try it on its own test farm.

pub mod scheduler;
mod simulated;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cue_scheduler::store::{Direct, Password, Target, Tls};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::cuebot_sim::{CuebotConfig, CuebotSim};
use crate::farm_sim::{FarmConfig, FarmSim};
use crate::loader::description::FarmDescription;
use crate::loader::{Loaded, load};
use crate::postgres::{Database, Options, Server};
use crate::rqd_agent::{Agent, AgentConfig};

pub use scheduler::Scheduler;
pub use simulated::simulated;
pub use watch::States;

/// An existing installation to use.
#[derive(Clone, Debug)]
pub struct Existing {
    /// `postgres://USER:PASSWORD@HOST:PORT/NAME`
    pub database: String,
    /// Where its Cuebot takes reports.
    pub cuebot: SocketAddr,
}

/// What a harness is made of.
pub struct HarnessConfig {
    /// The farm's rows.
    pub farm: FarmDescription,
    /// Simulated hosts; port and Cuebot are filled in.
    pub hosts: FarmConfig,
    /// A real agent: whole cores, tags.
    pub agent: Option<(u32, Vec<String>)>,
    /// How the stand-in Cuebot behaves.
    pub cuebot: CuebotConfig,
    /// What to use instead of private parts.
    pub existing: Option<Existing>,
}

/// The running parts. Dropping it ends all that was started.
pub struct Harness {
    /// Ids of what was loaded, by name.
    pub loaded: Loaded,
    /// Connections to the database.
    pub pool: PgPool,
    /// How schedulers reach the database.
    pub target: Target,
    /// The simulated hosts.
    pub hosts: FarmSim,
    /// The real agent.
    pub agent: Option<Agent>,
    /// The stand-in Cuebot; `None` with an existing one.
    pub cuebot: Option<CuebotSim>,
    /// Where files go.
    pub folder: PathBuf,
    /// The private server; `None` with an existing one.
    pub server: Option<Server>,
}

impl Harness {
    /// Starts everything but schedulers; `say` is told each step.
    pub async fn start(config: HarnessConfig, folder: &Path, say: impl Fn(&str)) -> anyhow::Result<Self> {
        if config.existing.is_some() {
            return Self::assemble(config, None, folder, say).await;
        }
        say("starting PostgreSQL");
        let server = Server::start(Options::default()).await?;
        let database = server.database().await?;
        let harness = Self::assemble(config, Some(database), folder, say).await?;
        Ok(Self { server: Some(server), ..harness })
    }

    /// The same with a new database on a server that runs, which takes less time.
    pub async fn start_on(
        server: &Server,
        config: HarnessConfig,
        folder: &Path,
        say: impl Fn(&str),
    ) -> anyhow::Result<Self> {
        Self::assemble(config, Some(server.database().await?), folder, say).await
    }

    async fn assemble(
        config: HarnessConfig,
        database: Option<Database>,
        folder: &Path,
        say: impl Fn(&str),
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let (pool, target) = match (&config.existing, database) {
            (Some(existing), _) => {
                say("using an existing database");
                existing_database(&existing.database).await?
            }
            (None, Some(database)) => (database.pool().await?, database.target(20)),
            (None, None) => bail!("neither an existing database nor a new one was given"),
        };
        say("loading the farm");
        let loaded = load(&pool, &config.farm).await?;
        let (cuebot, address) = if let Some(existing) = &config.existing {
            (None, existing.cuebot)
        } else {
            let cuebot = CuebotSim::start(config.cuebot, pool.clone()).await?;
            let address = cuebot.address();
            (Some(cuebot), address)
        };
        say("starting simulated hosts");
        let hosts = FarmSim::start(FarmConfig { cuebot: Some(address.to_string()), ..config.hosts }).await?;
        let agent = match config.agent {
            Some((cores, tags)) => {
                say("starting a real render agent");
                let config =
                    AgentConfig { port: Some(hosts.port()), cores, tags, ..AgentConfig::reporting_to(address) };
                Some(Agent::start(config).await?)
            }
            None => None,
        };
        Ok(Self { loaded, pool, target, hosts, agent, cuebot, folder: folder.to_owned(), server: None })
    }

    /// Starts a real scheduler process; wait for it to be ready.
    pub fn scheduler(&self, name: &str, variables: &[(&str, &str)]) -> anyhow::Result<Scheduler> {
        Scheduler::start(name, &self.target, self.hosts.port(), variables, &self.folder)
    }

    /// Waits until Cuebot knows the real agent's host, and the agent can be given frames: its report of the start comes a moment
    /// too early for that.
    pub async fn agent_is_ready(&mut self) -> anyhow::Result<()> {
        let Some(agent) = &mut self.agent else { return Ok(()) };
        agent.ready().await?;
        let name = agent.address().ip().to_string();
        for _ in 0..600 {
            let known: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM host JOIN host_stat USING (pk_host) WHERE str_name = $1 AND str_state = 'UP')",
            )
            .bind(&name)
            .fetch_one(&self.pool)
            .await?;
            if known {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the render agent did not report to Cuebot within a minute")
    }

    /// Ends everything in order: agents first, so that nobody reports to nobody.
    pub async fn stop(self) -> anyhow::Result<()> {
        if let Some(agent) = self.agent {
            agent.stop().await?;
        }
        self.hosts.shutdown().await;
        if let Some(cuebot) = self.cuebot {
            cuebot.shutdown().await;
        }
        self.pool.close().await;
        Ok(())
    }
}

async fn existing_database(url: &str) -> anyhow::Result<(PgPool, Target)> {
    let options: PgConnectOptions =
        url.parse().context("--database must be postgres://USER:PASSWORD@HOST:PORT/NAME")?;
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let password =
        rest.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map_or("", |(_, password)| password);
    let target = Target {
        host: options.get_host().to_owned(),
        port: options.get_port(),
        database: options.get_database().unwrap_or_default().to_owned(),
        user: options.get_username().to_owned(),
        password: Password::Text(password.to_owned()),
        direct: Direct::default(),
        tls: Tls::default(),
        pool_size: 20,
        booking_connections: 3,
        member: String::new(),
    };
    ensure!(!target.database.is_empty(), "--database names no database: postgres://USER:PASSWORD@HOST:PORT/NAME");
    let pool =
        PgPoolOptions::new().max_connections(20).connect_with(options).await.context("connecting to --database")?;
    Ok((pool, target))
}
