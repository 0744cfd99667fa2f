//! The real render agent, from its Python package, on loopback unless it is given another address.
//!
//! It listens on one address only, which is also its name in reports. More than one at a time needs different ports and is one
//! host to whoever reads the reports. It runs frames as the user who starts it, never makes accounts, and ends with the process
//! that started it, frames included.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::postgres::free_port;
use crate::python::Venv;

/// The program between us and the agent; its own words say why it is there.
const KEEPER: &str = include_str!("keep_agent.py");

/// The host's name in the agent's reports, and its address, unless it is given another.
pub const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// How long the agent may take to open its port, on a busy machine.
const START_MAX: Duration = Duration::from_mins(1);

/// How long the keeper may take to end everything: the agent has ten seconds of these.
const STOP_MAX: Duration = Duration::from_secs(30);

/// The end of the line that it prints as its last step of starting.
const STARTED: &str = "RQD Started";

/// How an agent is to run.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Whom to report to. It should listen before the agent starts: the agent reports its start once it can.
    pub cuebot: SocketAddr,
    /// Its address, and the interface that has it and no other.
    pub host: (Ipv4Addr, &'static str),
    /// Where to listen; `None` takes a free port.
    pub port: Option<u16>,
    /// Cores to claim, whole ones. More than the machine has is fine for frames that are not pinned.
    pub cores: u32,
    /// Tags beside those that Cuebot gives every host.
    pub tags: Vec<String>,
    /// The facility's name.
    pub facility: String,
    /// An existing folder for configuration, temporary files and logs, kept afterwards; `None` makes one that goes with the agent.
    pub work: Option<PathBuf>,
}

impl AgentConfig {
    /// An agent of four cores in facility `local` with the tag `general`.
    pub fn reporting_to(cuebot: SocketAddr) -> Self {
        Self {
            cuebot,
            host: (HOST, "lo"),
            port: None,
            cores: 4,
            tags: vec!["general".to_owned()],
            facility: "local".to_owned(),
            work: None,
        }
    }

    /// The agent's own configuration file.
    fn file(&self, port: u16) -> String {
        let settings = [
            ("OVERRIDE_CUEBOT", self.cuebot.ip().to_string()),
            ("CUEBOT_GRPC_PORT", self.cuebot.port().to_string()),
            ("RQD_GRPC_PORT", port.to_string()),
            // Without an interface it would listen on all of them.
            ("RQD_NETWORK_INTERFACE", self.host.1.to_owned()),
            ("OVERRIDE_HOSTNAME", self.host.0.to_string()),
            ("OVERRIDE_NIMBY", "False".to_owned()),
            // Otherwise it would make accounts for the users of jobs.
            ("RQD_BECOME_JOB_USER", "False".to_owned()),
            ("OVERRIDE_CORES", self.cores.to_string()),
            ("DEFAULT_FACILITY", self.facility.clone()),
            ("RQD_TAGS", self.tags.join(" ")),
            ("CONSOLE_LOG_LEVEL", "INFO".to_owned()),
        ];
        settings.iter().fold("[Override]\n".to_owned(), |mut file, (key, value)| {
            let _ = writeln!(file, "{key} = {value}");
            file
        })
    }
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    address: SocketAddr,
    /// The keeper; closing its standard input makes it end everything.
    keeper: Child,
    work: PathBuf,
    _own_folder: Option<TempDir>,
}

impl Agent {
    /// Starts an agent and waits until it listens; frames are for after [`Agent::ready`]. The first time the package is fetched, which takes half a minute.
    pub async fn start(config: AgentConfig) -> anyhow::Result<Self> {
        let venv = tokio::task::spawn_blocking(Venv::with_agent).await??;
        let own_folder = match config.work {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("cue-agent-").tempdir()?),
        };
        let work = match (&config.work, &own_folder) {
            (Some(given), _) => std::path::absolute(given)?,
            (None, own) => own.as_ref().map(|own| own.path().to_owned()).unwrap_or_default(),
        };
        let port = config.port.map_or_else(free_port, Ok)?;
        let settings = work.join("rqd.conf");
        std::fs::write(&settings, config.file(port)).with_context(|| format!("writing {}", settings.display()))?;
        std::fs::create_dir_all(work.join("logs"))?;
        let log = std::fs::File::create(work.join("rqd.out"))?;
        let keeper = Command::new(venv.python())
            .args(["-c", KEEPER])
            .arg(own_folder.as_ref().map_or(Path::new(""), |own| own.path()))
            .arg(venv.python())
            .args(["-m", "rqd", "--nimbyoff", "-c"])
            .arg(&settings)
            .current_dir(&work)
            .env("TMPDIR", &work)
            // A configuration of the machine's own must not be taken instead.
            .env_remove("RQD_CONFIG_FILE")
            .env_remove("CUEBOT_HOSTNAME")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the render agent")?;
        let address = SocketAddr::from((config.host.0, port));
        let mut agent = Self { address, keeper, work, _own_folder: own_folder };
        agent
            .wait_until("does not listen", async |agent| Ok(TcpStream::connect(agent.address()).await.is_ok()))
            .await?;
        Ok(agent)
    }

    /// Waits until it can be given frames, which needs a Cuebot that has answered its report of the start.
    ///
    /// That report alone is too early: a frame that arrives in the moment between the answer to it and the agent's own last step
    /// of starting ends at once with status 256, since the agent then looks for a timer that it has not made yet.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let started = async |agent: &mut Self| Ok(agent.log()?.iter().any(|line| line.ends_with(STARTED)));
        self.wait_until("has not started", started).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// A folder for the logs of frames, for `RunFrame.log_dir`.
    pub fn frame_logs(&self) -> PathBuf {
        self.work.join("logs")
    }

    /// The lines it has printed so far.
    pub fn log(&self) -> anyhow::Result<Vec<String>> {
        let bytes = std::fs::read(self.work.join("rqd.out"))?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }

    /// Kills its frames and ends it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.keeper.stdin.take());
        let Ok(status) = timeout(STOP_MAX, self.keeper.wait()).await else {
            bail!("the render agent has not ended within {} s", STOP_MAX.as_secs());
        };
        let status = status?;
        ensure!(status.success(), "the render agent ended with {status}; it printed:\n{}", self.log()?.join("\n"));
        Ok(())
    }

    /// Waits for a condition that a starting agent comes to, for as long as it runs.
    async fn wait_until(
        &mut self,
        otherwise: &str,
        condition: impl AsyncFn(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + START_MAX;
        while !condition(self).await? {
            if let Some(status) = self.keeper.try_wait()? {
                bail!("the render agent ended at its start with {status}; it printed:\n{}", self.log()?.join("\n"));
            }
            if Instant::now() > until {
                bail!("the render agent at {} {otherwise}; it printed:\n{}", self.address(), self.log()?.join("\n"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The folder goes next, so whoever writes there gets a moment to end.
        for _ in 0..100 {
            if !matches!(self.keeper.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_told_to_stay_on_loopback_and_to_make_no_accounts() {
        let mut config = AgentConfig::reporting_to(SocketAddr::from(([127, 0, 0, 1], 8443)));
        config.tags = vec!["general".to_owned(), "gpu".to_owned()];
        let file = config.file(9000);
        assert_eq!(
            file,
            "[Override]\nOVERRIDE_CUEBOT = 127.0.0.1\nCUEBOT_GRPC_PORT = 8443\nRQD_GRPC_PORT = 9000\n\
             RQD_NETWORK_INTERFACE = lo\nOVERRIDE_HOSTNAME = 127.0.0.1\nOVERRIDE_NIMBY = False\nRQD_BECOME_JOB_USER = False\n\
             OVERRIDE_CORES = 4\nDEFAULT_FACILITY = local\nRQD_TAGS = general gpu\nCONSOLE_LOG_LEVEL = INFO\n"
        );
    }
}
