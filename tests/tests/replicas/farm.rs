//! A farm with many small pools, and what is asked of replicas.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::PgPool;
use testbed::auditor::audit;
use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{FarmConfig, HostSet};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::description::FarmDescription;

/// How long anything may take on a busy machine.
pub const LIMIT: Duration = Duration::from_mins(2);

/// What a farm has: facilities with so many allocations each, and in each allocation as many hosts of two cores, and frames
/// that take so long.
pub struct Sizes {
    pub facilities: &'static [&'static str],
    pub allocations: usize,
    pub hosts: usize,
    pub frames: usize,
    pub sleep: &'static str,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { facilities: &["local"], allocations: 6, hosts: 1, frames: 30, sleep: "0.5" }
    }
}

impl Sizes {
    pub fn total(&self) -> usize {
        self.facilities.len() * self.allocations * self.frames
    }

    fn yaml(&self) -> String {
        let Self { facilities, allocations, hosts, frames, sleep } = self;
        let mut yaml = "seed: 3\nfacilities:\n".to_owned();
        for facility in *facilities {
            let names = (0..*allocations).map(|at| format!("{{name: {facility}.a{at}, tag: {facility}{at}}}"));
            writeln!(yaml, "  - {{name: {facility}, allocations: [{}]}}", names.collect::<Vec<_>>().join(", "))
                .unwrap();
        }
        let each = || facilities.iter().flat_map(|facility| (0..*allocations).map(move |at| (*facility, at)));
        let shares = each().map(|(facility, at)| format!("{{allocation: {facility}.a{at}, burst: 1000}}"));
        writeln!(yaml, "shows:\n  - name: alpha\n    subscriptions: [{}]", shares.collect::<Vec<_>>().join(", "))
            .unwrap();
        yaml.push_str("hosts:\n");
        for (n, (facility, at)) in each().enumerate() {
            let first = n * hosts + 1;
            writeln!(
                yaml,
                "  - {{allocation: {facility}.a{at}, count: {hosts}, first_address: 127.1.0.{first}, cores: 2, memory: 8 GiB}}"
            )
            .unwrap();
        }
        yaml.push_str("jobs:\n");
        for (facility, at) in each() {
            writeln!(
                yaml,
                "  - {{name: job-{facility}-{at}, show: alpha, facility: {facility}, layers: [{{name: work, range: 1-{frames}, \
                 tags: [{facility}{at}], command: sleep {sleep}}}]}}"
            )
            .unwrap();
        }
        yaml
    }

    pub async fn start(&self) -> (tempfile::TempDir, Harness) {
        let folder = tempfile::tempdir().unwrap();
        let count = self.facilities.len() * self.allocations * self.hosts;
        let hosts = HostSet { count: count as u32, cores: 2, memory_kb: 8 << 20, ..HostSet::default() };
        let config = HarnessConfig {
            farm: FarmDescription::from_yaml(&self.yaml()).unwrap(),
            hosts: FarmConfig {
                hosts: vec![hosts],
                first_report: Some(Duration::from_millis(100)),
                report_interval: Some(Duration::from_secs(5)),
                ..FarmConfig::default()
            },
            agent: None,
            cuebot: CuebotConfig::default(),
            existing: None,
        };
        let harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
        (folder, harness)
    }
}

pub async fn replicas<const N: usize>(harness: &Harness, names: [&str; N]) -> [Scheduler; N] {
    let mut replicas = names.map(|name| harness.scheduler(name, &[]).unwrap());
    for replica in &mut replicas {
        replica.ready().await.unwrap();
    }
    replicas
}

/// Waits for a condition of these replicas.
pub async fn until(what: &str, replicas: &[&Scheduler], condition: impl AsyncFn() -> bool) -> Duration {
    let began = Instant::now();
    while !condition().await {
        let logs = || replicas.iter().map(|replica| replica.log()).collect::<Vec<_>>().join("\n");
        assert!(began.elapsed() < LIMIT, "after {LIMIT:?} still not: {what}; the logs:\n{}", logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

pub async fn status(replica: &Scheduler) -> Value {
    let (code, body) = replica.get("/api/v1/status").await.unwrap();
    assert_eq!(code, 200);
    serde_json::from_str(&body).unwrap()
}

/// How many pools each of them says are its own.
pub async fn owned(replicas: &[&Scheduler]) -> Vec<usize> {
    let mut owned = Vec::new();
    for replica in replicas {
        owned.push(replica.metric("scheduler_pools_owned").await.unwrap() as usize);
    }
    owned
}

/// The owner of each pool, as one of them sees it.
pub async fn owners(replica: &Scheduler) -> BTreeMap<String, Option<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let status = status(replica).await;
    let pools = status["pools"].as_array().unwrap();
    pools.iter().map(|pool| (text(&pool["pool"]).unwrap(), text(&pool["owner"]))).collect()
}

/// The name of a replica among its like.
pub async fn name(replica: &Scheduler) -> String {
    status(replica).await["coordination"]["me"].as_str().unwrap().to_owned()
}

/// Waits until all frames have run, each once, and everything is given back; the books are right.
pub async fn finish(harness: &Harness, replicas: &[&Scheduler], sizes: &Sizes) {
    let done = harness.until_states("all frames succeeded", LIMIT, |states| states.are_all("SUCCEEDED")).await;
    let logs = || replicas.iter().map(|replica| replica.log()).collect::<Vec<_>>().join("\n");
    let states = done.unwrap_or_else(|error| panic!("{error}\n{}", logs()));
    assert_eq!(states.total() as usize, sizes.total());
    harness.until_released(LIMIT).await.unwrap();
    assert_eq!(harness.hosts.overlaps(), []);
    let runs = harness.runs_per_frame();
    assert_eq!((runs.len(), runs.values().filter(|times| **times > 1).count()), (sizes.total(), 0), "frames ran twice");
    let audit = audit(&harness.pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
}

/// Now, by the database's clock, in seconds.
pub async fn database_time(pool: &PgPool) -> f64 {
    sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8").fetch_one(pool).await.unwrap()
}

/// How long after an instant of the database's clock a frame was booked on a host of each of these allocations; all of them.
pub async fn booked_again(harness: &Harness, allocations: &[String], since: f64, replicas: &[&Scheduler]) -> Vec<f64> {
    let after = RefCell::new(Vec::new());
    until("all pools are booked again", replicas, async || {
        let seconds: Vec<f64> = sqlx::query_scalar(
            "SELECT min(extract(epoch FROM f.ts_started)::float8 - $2) FROM frame f
             JOIN host h ON h.str_name = split_part(f.str_host, '/', 1) JOIN alloc a USING (pk_alloc)
             WHERE a.str_name = ANY($1) AND extract(epoch FROM f.ts_started)::float8 > $2 GROUP BY a.pk_alloc",
        )
        .bind(allocations)
        .bind(since)
        .fetch_all(&harness.pool)
        .await
        .unwrap();
        let all = seconds.len() == allocations.len();
        after.replace(seconds);
        all
    })
    .await;
    after.into_inner()
}

/// The allocations that belong to a replica.
pub async fn pools_of(replica: &Scheduler) -> Vec<String> {
    let me = name(replica).await;
    owners(replica).await.into_iter().filter(|(_, owner)| owner.as_ref() == Some(&me)).map(|(pool, _)| pool).collect()
}
