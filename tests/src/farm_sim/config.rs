//! What a simulated farm is made of: hosts, the manner of its agents, how long frames run.
//!
//! A configuration is read from YAML by the program and built in code by tests. Everything has a default except the hosts.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cue_scheduler_proto::rqd::RunFrame;
use serde::{Deserialize, Deserializer};

use super::fault::LaunchFault;
use super::outcome::Outcome;

/// Which of the two agents the farm behaves like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    /// Every refusal is `UNKNOWN`; a completion is sent once, at the end of the frame, and lost if that fails.
    #[default]
    Python,
    /// Refusals have codes of their own; a completion waits for the next report and is repeated until it is answered.
    Rust,
}

/// How connections reach the hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listen {
    /// One listener on 0.0.0.0 for all hosts. A dead host's connections are taken by the kernel and reset before a byte is read.
    #[default]
    Shared,
    /// A listener for each host. A dead host's is closed, so a client's connection is refused. For small farms: a task and a
    /// descriptor for each host.
    #[serde(rename = "per-host")]
    PerHost,
    /// A listener for each host on 0.0.0.0, at a port of its own: the farm's for the first, the next for the second, and so on. For
    /// hosts that are called at another address than these of the machine, through something that leads to their ports.
    #[serde(rename = "port-per-host")]
    PortPerHost,
}

/// A run of hosts that are alike, at successive addresses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSet {
    /// Address, and thereby name, of the first one.
    pub first: Ipv4Addr,
    /// How many.
    pub count: u32,
    /// Whole cores of each.
    pub cores: u32,
    /// Memory of each, KB.
    pub memory_kb: u64,
    /// GPUs of each.
    pub gpus: u32,
    /// Memory of all GPUs of a host together, KB.
    pub gpu_memory_kb: u64,
    /// Name of the operating system, reported as `SP_OS`.
    pub os: String,
    /// Facility.
    pub facility: String,
    /// Tags that the agent claims.
    pub tags: Vec<String>,
}

impl Default for HostSet {
    fn default() -> Self {
        Self {
            first: Ipv4Addr::new(127, 1, 0, 1),
            count: 1,
            cores: 8,
            memory_kb: 32 * 1024 * 1024,
            gpus: 0,
            gpu_memory_kb: 0,
            os: "linux".to_owned(),
            facility: "local".to_owned(),
            tags: Vec::new(),
        }
    }
}

/// How long a frame runs when its command does not say so: anything between the two, equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Durations {
    /// The shortest.
    #[serde(deserialize_with = "duration")]
    pub min: Duration,
    /// The longest.
    #[serde(deserialize_with = "duration")]
    pub max: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(3) }
    }
}

/// A fault that strikes a launch now and then.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    /// Share of launches, 0 to 1.
    pub probability: f64,
    /// What happens to them.
    pub fault: LaunchFault,
}

/// Decides how a launch ends: the frame, and how often it was launched before on this farm. `None` leaves it to the command.
pub type Script = dyn Fn(&RunFrame, u32) -> Option<Outcome> + Send + Sync;

/// A farm.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FarmConfig {
    /// Port of all hosts; 0 for a free one.
    pub port: u16,
    /// How connections reach the hosts.
    pub listen: Listen,
    /// Where reports go, `host:port`; none for a farm that reports to nobody.
    pub cuebot: Option<String>,
    /// Hosts.
    pub hosts: Vec<HostSet>,
    /// Which agent the hosts behave like.
    pub manner: Manner,
    /// Everything random is drawn from it.
    pub seed: u64,
    /// How long frames run whose command does not say so.
    pub durations: Durations,
    /// Share of frames, 0 to 1, that exit with 1 although their command does not say so.
    pub failures: f64,
    /// Longest time between two reports of a host; each pause is drawn from the upper half of it. By default 30 s as of an agent
    /// in Python, 5 s as of one in Rust.
    #[serde(deserialize_with = "maybe_duration")]
    pub report_interval: Option<Duration>,
    /// Time from the boot report to the first host report. By default 5 s in Python's manner, none in Rust's.
    #[serde(deserialize_with = "maybe_duration")]
    pub first_report: Option<Duration>,
    /// Pause before a boot report is tried again.
    #[serde(deserialize_with = "duration")]
    pub boot_retry: Duration,
    /// Whether a host reports at once after a frame ended or its locks changed, as an agent in Python does.
    pub report_on_events: bool,
    /// Reports under way at once; as many completions again.
    pub concurrent_reports: usize,
    /// How long an answer of Cuebot is waited for.
    #[serde(deserialize_with = "duration")]
    pub cuebot_timeout: Duration,
    /// Time from an accepted launch until there is a process: before it, an agent in Python does not list the frame, a kill has no
    /// effect, and a kill of a frame that was launched with pid 0 ends that agent itself.
    #[serde(deserialize_with = "duration")]
    pub process_start: Duration,
    /// Memory that a frame uses unless its command says so, KB.
    pub rss_kb: u64,
    /// Faults by chance.
    pub chances: Vec<Chance>,
    /// Decides before the command is looked at.
    #[serde(skip)]
    pub script: Option<Arc<Script>>,
}

impl Default for FarmConfig {
    fn default() -> Self {
        Self {
            port: 0,
            listen: Listen::default(),
            cuebot: None,
            hosts: Vec::new(),
            manner: Manner::default(),
            seed: 1,
            durations: Durations::default(),
            failures: 0.0,
            report_interval: None,
            first_report: None,
            boot_retry: Duration::from_secs(15),
            report_on_events: false,
            concurrent_reports: 64,
            cuebot_timeout: Duration::from_secs(10),
            process_start: Duration::from_millis(50),
            rss_kb: 64 * 1024,
            chances: Vec::new(),
            script: None,
        }
    }
}

impl fmt::Debug for FarmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarmConfig")
            .field("port", &self.port)
            .field("cuebot", &self.cuebot)
            .field("hosts", &self.hosts)
            .field("manner", &self.manner)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl FarmConfig {
    /// Reads a YAML text. Durations are written as `300ms`, `5s`, `2m`.
    pub fn from_yaml(text: &str) -> anyhow::Result<Self> {
        serde_saphyr::from_str(text).context("the farm's description is not what it should be")
    }

    /// Every host, in the order of the sets; or why the farm can't be.
    pub(super) fn expand(&self) -> anyhow::Result<Vec<HostSpec>> {
        let mut hosts = Vec::new();
        for set in &self.hosts {
            let Some(last) = u32::from(set.first).checked_add(set.count.saturating_sub(1)) else {
                bail!("hosts from {}: {} addresses go past 255.255.255.255", set.first, set.count)
            };
            ensure!(set.cores > 0, "hosts from {}: cores must be at least 1", set.first);
            let shared = Arc::new(set.clone());
            let addresses = u32::from(set.first)..=last;
            hosts.extend(
                addresses
                    .take(set.count as usize)
                    .map(|address| HostSpec { address: Ipv4Addr::from(address), set: Arc::clone(&shared) }),
            );
        }
        ensure!(!hosts.is_empty(), "a farm needs at least one host: give `hosts` with a first address and a count");
        ensure!(
            self.durations.min <= self.durations.max,
            "durations: min {:?} is above max {:?}",
            self.durations.min,
            self.durations.max
        );
        let shares = self.chances.iter().map(|chance| chance.probability).chain([self.failures]);
        for share in shares {
            ensure!((0.0..=1.0).contains(&share), "{share} is not a share: give a number from 0 to 1");
        }
        ensure!(self.concurrent_reports > 0, "concurrent_reports must be at least 1");
        Ok(hosts)
    }

    pub(super) fn report_interval(&self) -> Duration {
        self.report_interval.unwrap_or(match self.manner {
            Manner::Python => Duration::from_secs(30),
            Manner::Rust => Duration::from_secs(5),
        })
    }

    pub(super) fn first_report(&self) -> Duration {
        self.first_report.unwrap_or(match self.manner {
            Manner::Python => Duration::from_secs(5),
            Manner::Rust => Duration::ZERO,
        })
    }
}

/// One host.
#[derive(Clone, Debug)]
pub(super) struct HostSpec {
    /// Its address, and as text its name.
    pub address: Ipv4Addr,
    /// What it shares with the others of its set.
    pub set: Arc<HostSet>,
}

fn duration<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(source)?;
    humantime::parse_duration(&text)
        .map_err(|error| serde::de::Error::custom(format!("`{text}` is no duration such as 300ms or 5s: {error}")))
}

fn maybe_duration<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Duration>, D::Error> {
    duration(source).map(Some)
}
