//! The farm, outside the cluster: two facilities with the same tags, so that only the facility tells their hosts apart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::Instant;

use crate::auditor::{Audit, DeadlockLog, Sampler, audit};
use crate::authority::Authority;
use crate::cuebot_sim::{CuebotConfig, Sweeps};
use crate::farm_sim::{FarmConfig, Listen, Run};
use crate::harness::{Harness, HarnessConfig, simulated};
use crate::kubernetes::node::AGENT;
use crate::loader::add_job;
use crate::loader::amount::Cores;
use crate::loader::description::{FarmDescription, JobDescription, LayerDescription};
use crate::postgres::{Options, Server};
use crate::rqd_agent::{Agent, AgentConfig};

/// The facilities.
pub const FACILITIES: [&str; 2] = ["spi", "lax"];

/// Allocations of each, which are pools; the tags of their hosts are the same in both.
pub const TAGS: [&str; 4] = ["general", "comp", "lighting", "fx"];

/// The facility with the real agent, which is in an allocation of its own.
pub const OF_AGENT: &str = FACILITIES[0];

/// Hosts of an allocation, and their cores.
const HOSTS: usize = 2;
const CORES: u32 = 4;

/// Simulated hosts of both facilities: those of the first come first.
pub const HOSTS_OF_ALL: usize = HOSTS_OF_ONE * FACILITIES.len();

const HOSTS_OF_ONE: usize = HOSTS * TAGS.len();

/// The role of the schedulers.
pub const ROLE: &str = "cuebot";

/// The allocation, and tag, of the real agent.
const REAL: &str = "real";

/// Cores that the real agent claims. Cuebot takes a host's load off its idle cores, and the machine is busy with all this.
const REAL_CORES: u32 = 32;

/// So many waiting frames of a facility are enough.
const ENOUGH: i64 = 40;

/// Frames of a job.
pub const FRAMES: u32 = 30;

/// From a proc's last report to the sweep that takes it for lost: 300 s with Cuebot. Longer than a launch may be late, and than
/// replicas need to find what one of them left behind.
const LOST_AFTER: Duration = Duration::from_secs(25);

/// How often caps and hosts are looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// Where the farm is, as pods see it.
#[derive(Clone, Debug)]
pub struct Site {
    /// The address of PostgreSQL.
    pub address: Ipv4Addr,
    /// Networks that pods come from, as PostgreSQL has them.
    pub pods: &'static str,
    /// The port of all hosts.
    pub port: u16,
    /// The simulated hosts' addresses.
    pub hosts: Vec<Ipv4Addr>,
    /// Whether these addresses are this machine's, as that of a real agent is; or each leads to a port of its own.
    pub is_node: bool,
}

/// All that runs outside the cluster.
pub struct Farm {
    /// Where it is.
    pub site: Site,
    /// The database, Cuebot and the hosts.
    pub harness: Harness,
    /// PostgreSQL.
    pub server: tokio::sync::Mutex<Server>,
    /// The certificate authority of PostgreSQL's certificate, PEM.
    pub authority: String,
    /// What was seen of caps and hosts so far.
    pub sampler: Mutex<Option<Sampler>>,
    /// PostgreSQL's log from the beginning on.
    pub deadlocks: DeadlockLog,
    /// Every frame that was submitted, `frame.pk_frame`, with its facility.
    submitted: Mutex<BTreeMap<String, &'static str>>,
    jobs: Mutex<u64>,
}

impl Farm {
    /// Starts everything, with no work yet.
    pub async fn start(site: Site, folder: &Path) -> anyhow::Result<Self> {
        let (address, port) = (site.address, site.port);
        let authority = Authority::new("studio")?;
        let certified = authority.certify("postgres", None, &[address])?;
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let server = Server::start(Options {
            settings: vec![setting("listen_addresses", &format!("127.0.0.1,{address}")), setting("ssl", "on")],
            files: vec![
                setting("server.crt", &certified.certificate),
                setting("server.key", &certified.key),
                setting(
                    "pg_hba.conf",
                    &format!("host all postgres 127.0.0.1/32 trust\nhostssl all {ROLE} {} scram-sha-256\n", site.pods),
                ),
            ],
            ..Options::default()
        })
        .await?;
        let description = FarmDescription::from_yaml(&describe(&site)?)?;
        let hosts = FarmConfig {
            port,
            listen: if site.is_node { Listen::Shared } else { Listen::PortPerHost },
            hosts: simulated(&description)?,
            first_report: Some(Duration::from_millis(200)),
            report_interval: Some(Duration::from_secs(2)),
            ..FarmConfig::default()
        };
        let cuebot = CuebotConfig {
            agent_port: Some(port),
            default_allocation: site.is_node.then(|| format!("{OF_AGENT}.{REAL}")),
            // What Cuebot was told while the database was away is lost, as with the real one, until its sweeps; these come sooner.
            sweeps: Some(Sweeps {
                interval: Duration::from_secs(1),
                orphan_proc_after: LOST_AFTER,
                orphan_frame_after: LOST_AFTER,
                ..Sweeps::default()
            }),
            ..CuebotConfig::default()
        };
        let config = HarnessConfig { farm: description, hosts, agent: None, cuebot, existing: None };
        let mut harness = Harness::start_on(&server, config, folder, |_| {}).await?;
        if site.is_node {
            harness.agent = Some(agent(&harness).await?);
            harness.agent_is_ready().await?;
        }
        let farm = Self {
            site,
            sampler: Mutex::new(Some(Sampler::through_outages(harness.pool.clone(), SAMPLE_EVERY))),
            deadlocks: DeadlockLog::from_now_on(&harness.pool).await?,
            harness,
            server: tokio::sync::Mutex::new(server),
            authority: authority.certificate,
            submitted: Mutex::default(),
            jobs: Mutex::default(),
        };
        let rights = format!(
            "CREATE ROLE {ROLE} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}; \
             GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE}; GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO {ROLE}"
        );
        sqlx::raw_sql(AssertSqlSafe(rights)).execute(farm.pool()).await.context("making the role")?;
        Ok(farm)
    }

    /// Connections to the database.
    pub fn pool(&self) -> &PgPool {
        &self.harness.pool
    }

    /// Changes the password of the schedulers' role.
    pub async fn set_password(&self, password: &str) -> anyhow::Result<()> {
        let sql = format!("ALTER ROLE {ROLE} PASSWORD '{password}'");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.pool()).await.context("changing the password")?;
        Ok(())
    }

    /// Submits a job of simulated frames that need a tag, or one of all tags.
    pub async fn submit(&self, facility: &'static str, tags: &[&str]) -> anyhow::Result<()> {
        let n = self.next_job();
        let layer = LayerDescription {
            name: "render".to_owned(),
            command: format!("sleep {}", 0.8 + 0.2 * (n % 5) as f64),
            range: format!("1-{FRAMES}"),
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            threadable: false,
            ..LayerDescription::default()
        };
        let show = ["alpha", "beta"][n as usize % 2];
        let job = JobDescription { show: show.to_owned(), layers: vec![layer], ..job(facility, n) };
        self.add(facility, n, &job).await
    }

    /// Submits a job whose frames the real agent runs.
    pub async fn submit_real(&self, frames: u32) -> anyhow::Result<()> {
        let n = self.next_job();
        let agent = self.harness.agent.as_ref().context("there is a real agent")?;
        let layer = LayerDescription {
            name: "shell".to_owned(),
            // The agent in Python stops reading as soon as the command is gone, so the line is followed by a moment.
            command: "echo frame #IFRAME# of $CUE_JOB; sleep 0.2".to_owned(),
            range: format!("1-{frames}"),
            tags: vec![REAL.to_owned()],
            threadable: false,
            ..LayerDescription::default()
        };
        let job = JobDescription {
            show: "alpha".to_owned(),
            log_dir: agent.frame_logs().display().to_string(),
            uid: None,
            layers: vec![layer],
            ..job(OF_AGENT, n)
        };
        self.add(OF_AGENT, n, &job).await
    }

    fn next_job(&self) -> u64 {
        let mut jobs = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *jobs += 1;
        *jobs
    }

    async fn add(&self, facility: &'static str, n: u64, job: &JobDescription) -> anyhow::Result<()> {
        let frames = add_job(self.pool(), n, job).await?.frames;
        let mut submitted = self.submitted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        submitted.extend(frames.into_values().flatten().map(|frame| (frame.id, facility)));
        Ok(())
    }

    /// Keeps work waiting in both facilities, until it is dropped. While the database is away nothing is submitted.
    pub async fn feed(&self) {
        loop {
            for facility in FACILITIES {
                let waiting = "SELECT count(*) FROM frame JOIN job USING (pk_job) JOIN facility USING (pk_facility) \
                               WHERE facility.str_name = $1 AND frame.str_state = 'WAITING'";
                let waiting = sqlx::query_scalar::<_, i64>(waiting).bind(facility).fetch_one(self.pool()).await;
                if waiting.is_ok_and(|waiting| waiting < ENOUGH) {
                    // It is submitted at the next turn otherwise.
                    let _ = self.submit(facility, &TAGS).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Every frame that was submitted, with its facility.
    pub fn submitted(&self) -> BTreeMap<String, &'static str> {
        self.submitted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Waits until every frame has succeeded and every proc is released.
    pub async fn until_done(&self, limit: Duration) -> anyhow::Result<()> {
        self.harness.until_states("all frames have succeeded", limit, |states| states.are_all("SUCCEEDED")).await?;
        self.harness.until_released(limit).await
    }

    /// Waits until the books are right; they as they are in the end.
    pub async fn audited(&self, limit: Duration) -> anyhow::Result<Audit> {
        let began = Instant::now();
        loop {
            let found = audit(self.pool()).await?;
            if found.is_clean() || began.elapsed() > limit {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether a simulated host is one of a facility's.
    pub fn is_host_of(&self, host: Ipv4Addr, facility: &str) -> bool {
        let at = self.site.hosts.iter().position(|address| *address == host);
        at.is_some_and(|at| FACILITIES[at / HOSTS_OF_ONE] == facility)
    }

    /// Runs that started on a facility's hosts within a time.
    pub fn started(&self, facility: &str, from: SystemTime, to: SystemTime) -> Vec<Run> {
        let runs = self.harness.hosts.record().into_iter();
        runs.filter(|run| self.is_host_of(run.host, facility) && run.started() >= from && run.started() <= to).collect()
    }

    /// The longest time without a start in a facility, from a moment until now.
    pub fn longest_pause(&self, facility: &str, from: SystemTime) -> Duration {
        let now = SystemTime::now();
        let mut moments = vec![from, now];
        moments.extend(self.started(facility, from, now).iter().map(Run::started));
        moments.sort_unstable();
        moments.windows(2).map(|pair| pair[1].duration_since(pair[0]).unwrap_or_default()).max().unwrap_or_default()
    }

    /// Waits until a frame has started in each facility after a moment.
    pub async fn until_started(&self, limit: Duration, from: SystemTime) -> anyhow::Result<()> {
        let has_started = |facility: &str| !self.started(facility, from, SystemTime::now()).is_empty();
        let both = self.harness.hosts.wait_until(limit, |_| FACILITIES.iter().all(|facility| has_started(facility)));
        ensure!(both.await, "within {limit:?} no frame has started in each facility");
        Ok(())
    }
}

/// On an address of its own, at the port of all hosts: the simulated ones listen at any address, and the kernel prefers who says
/// which.
async fn agent(harness: &Harness) -> anyhow::Result<Agent> {
    let cuebot = harness.cuebot.as_ref().context("the harness has a stand-in")?.address();
    let config = AgentConfig {
        host: AGENT,
        port: Some(harness.hosts.port()),
        cores: REAL_CORES,
        tags: vec![REAL.to_owned()],
        facility: OF_AGENT.to_owned(),
        ..AgentConfig::reporting_to(cuebot)
    };
    Agent::start(config).await
}

fn job(facility: &str, n: u64) -> JobDescription {
    JobDescription {
        name: format!("{facility}-{n}"),
        facility: Some(facility.to_owned()),
        priority: 1 + (n % 50) as i32,
        max_cores: Cores::whole(100),
        // No frame fails by itself here, and none may die of how often it was interrupted.
        max_retries: 1000,
        ..JobDescription::default()
    }
}

fn describe(site: &Site) -> Result<String, std::fmt::Error> {
    let mut yaml = String::from("seed: 8\nfacilities:\n");
    for facility in FACILITIES {
        writeln!(yaml, "  - name: {facility}\n    allocations:")?;
        for tag in TAGS {
            writeln!(yaml, "      - {{name: {facility}.{tag}, tag: {tag}}}")?;
        }
        if facility == OF_AGENT && site.is_node {
            writeln!(yaml, "      - {{name: {facility}.{REAL}, tag: {REAL}, default: true}}")?;
        }
    }
    yaml.push_str("shows:\n");
    // Less than the hosts have, so that caps are in use.
    for (show, burst) in [("alpha", 6), ("beta", 5)] {
        writeln!(yaml, "  - name: {show}\n    subscriptions:")?;
        for facility in FACILITIES {
            for tag in TAGS {
                writeln!(yaml, "      - {{allocation: {facility}.{tag}, burst: {burst}}}")?;
            }
        }
        if site.is_node {
            writeln!(yaml, "      - {{allocation: {OF_AGENT}.{REAL}, burst: 8}}")?;
        }
    }
    yaml.push_str("hosts:\n");
    let allocations = FACILITIES.iter().flat_map(|facility| TAGS.map(|tag| format!("{facility}.{tag}")));
    for (allocation, hosts) in allocations.zip(site.hosts.chunks(HOSTS)) {
        for host in hosts {
            writeln!(
                yaml,
                "  - {{allocation: {allocation}, count: 1, first_address: {host}, cores: {CORES}, memory: 32 GiB}}"
            )?;
        }
    }
    Ok(yaml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_facility_has_hosts_of_its_own_and_the_tags_of_both() {
        let hosts = (1..).map(|n| Ipv4Addr::new(10, 1, 2, n)).take(HOSTS_OF_ALL).collect();
        let site = Site { address: Ipv4Addr::LOCALHOST, pods: "", port: 1, hosts, is_node: true };
        let farm = FarmDescription::from_yaml(&describe(&site).unwrap()).unwrap();
        let sets = simulated(&farm).unwrap();
        assert_eq!(sets.iter().map(|set| set.first).collect::<Vec<_>>(), site.hosts);
        for (facility, sets) in FACILITIES.iter().zip(sets.chunks(HOSTS_OF_ONE)) {
            assert!(sets.iter().all(|set| set.facility == *facility && set.count == 1), "{sets:?}");
        }
    }
}
