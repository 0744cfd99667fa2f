//! What people change on a running farm is followed by a running scheduler: shows that come and go, hosts that come and move,
//! tags, subscriptions. No restart.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{FarmConfig, HostSet};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::add_job;
use testbed::loader::description::{FarmDescription, JobDescription, LayerDescription};

/// Two hosts in the allocation `one`, none in `two`; a third host is not known to the database yet and will be put into `spare`,
/// to which nobody has a right.
const FARM: &str = "
seed: 11
facilities:
  - name: local
    allocations:
      - {name: local.one, tag: one}
      - {name: local.two, tag: two}
      - {name: local.spare, tag: spare, default: true}
shows:
  - {name: alpha, subscriptions: [{allocation: local.one, burst: 100}, {allocation: local.two, burst: 100}]}
  - {name: beta, managed: false, subscriptions: [{allocation: local.one, burst: 100}]}
hosts: [{allocation: local.one, count: 2, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
";

const LIMIT: Duration = Duration::from_mins(1);

struct Farm {
    harness: Harness,
    scheduler: Scheduler,
    jobs: u64,
}

impl Farm {
    async fn start(folder: &std::path::Path) -> Self {
        let config = HarnessConfig {
            farm: FarmDescription::from_yaml(FARM).unwrap(),
            hosts: FarmConfig {
                hosts: vec![HostSet { count: 3, ..HostSet::default() }],
                first_report: Some(Duration::from_millis(100)),
                report_interval: Some(Duration::from_secs(5)),
                ..FarmConfig::default()
            },
            agent: None,
            cuebot: CuebotConfig::default(),
            existing: None,
        };
        let harness = Harness::start(config, folder, |_| {}).await.unwrap();
        let reload = ("OPENSCHEDULER_QUEUE__CLUSTER_RELOAD_INTERVAL", "500ms");
        let mut scheduler = harness.scheduler("scheduler", &[reload]).unwrap();
        scheduler.ready().await.unwrap();
        Self { harness, scheduler, jobs: 0 }
    }

    async fn change(&self, sql: &'static str) {
        let changed = sqlx::query(sql).execute(&self.harness.pool).await.unwrap();
        assert!(changed.rows_affected() > 0, "{sql}");
    }

    /// Submits a job of two frames for hosts with a tag; its name.
    async fn submit(&mut self, show: &str, tag: &str) -> String {
        self.jobs += 1;
        let name = format!("{show}-{}", self.jobs);
        let layer = LayerDescription {
            name: "comp".to_owned(),
            command: "sleep 0.05".to_owned(),
            range: "1-2".to_owned(),
            tags: vec![tag.to_owned()],
            ..LayerDescription::default()
        };
        let job = JobDescription {
            name: name.clone(),
            show: show.to_owned(),
            layers: vec![layer],
            ..JobDescription::default()
        };
        add_job(&self.harness.pool, self.jobs, &job).await.unwrap();
        name
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !condition().await {
            assert!(began.elapsed() < LIMIT, "after {LIMIT:?} still not: {what}; the log:\n{}", self.scheduler.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Frames of a job in a state.
    async fn frames(&self, job: &str, state: &str) -> i64 {
        let sql = "SELECT count(*) FROM frame JOIN job USING (pk_job) WHERE job.str_name = $1 AND frame.str_state = $2";
        sqlx::query_scalar(sql).bind(job).bind(state).fetch_one(&self.harness.pool).await.unwrap()
    }

    async fn until_done(&self, job: &str) {
        self.until(&format!("{job} is done"), async || self.frames(job, "SUCCEEDED").await == 2).await;
    }

    /// The scheduler has gone on booking, and left these frames alone all the while.
    async fn assert_waits(&mut self, job: &str) {
        let other = self.submit("alpha", "one").await;
        self.until_done(&other).await;
        assert_eq!(self.frames(job, "WAITING").await, 2, "{job}");
    }

    /// The hosts on which a job's frames ran.
    async fn hosts_of(&self, job: &str) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT DISTINCT split_part(frame.str_host, '/', 1) FROM frame JOIN job USING (pk_job)
             WHERE job.str_name = $1 ORDER BY 1",
        )
        .bind(job)
        .fetch_all(&self.harness.pool)
        .await
        .unwrap()
    }

    async fn clusters(&self) -> f64 {
        self.scheduler.metric("scheduler_clusters_total").await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_scheduler_follows_what_people_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut farm = Farm::start(folder.path()).await;

    // A show is given to the scheduler, and taken back.
    let early = farm.submit("beta", "one").await;
    farm.assert_waits(&early).await;
    farm.change("UPDATE show SET b_scheduler_managed = true WHERE str_name = 'beta'").await;
    farm.until_done(&early).await;
    farm.change("UPDATE show SET b_scheduler_managed = false WHERE str_name = 'beta'").await;
    let late = farm.submit("beta", "one").await;
    farm.assert_waits(&late).await;

    // It comes back, is put to rest, and wakes up.
    farm.change("UPDATE show SET b_scheduler_managed = true, b_active = false WHERE str_name = 'beta'").await;
    farm.assert_waits(&late).await;
    farm.change("UPDATE show SET b_active = true WHERE str_name = 'beta'").await;
    farm.until_done(&late).await;

    // A host moves to an allocation that had none, and its tag with it.
    let moved = farm.submit("alpha", "two").await;
    farm.assert_waits(&moved).await;
    farm.change(
        "UPDATE host SET pk_alloc = (SELECT pk_alloc FROM alloc WHERE str_name = 'local.two') WHERE str_name = '127.1.0.1'",
    )
    .await;
    farm.change(
        "UPDATE host_tag SET str_tag = 'two' WHERE str_tag = 'one'
         AND pk_host = (SELECT pk_host FROM host WHERE str_name = '127.1.0.1')",
    )
    .await;
    farm.until_done(&moved).await;
    assert_eq!(farm.hosts_of(&moved).await, ["127.1.0.1"]);
    let stays = farm.submit("alpha", "one").await;
    farm.until_done(&stays).await;
    assert_eq!(farm.hosts_of(&stays).await, ["127.1.0.2"]);

    // A tag is added to a host, and taken away.
    let tagged = farm.submit("alpha", "fx").await;
    farm.assert_waits(&tagged).await;
    let before = farm.clusters().await;
    farm.change(
        "INSERT INTO host_tag (pk_host_tag, pk_host, str_tag, str_tag_type)
         SELECT 'fx', pk_host, 'fx', 'MANUAL' FROM host WHERE str_name = '127.1.0.1'",
    )
    .await;
    farm.until_done(&tagged).await;
    assert_eq!(farm.hosts_of(&tagged).await, ["127.1.0.1"]);
    farm.change("DELETE FROM host_tag WHERE str_tag = 'fx'").await;
    farm.until("the tag makes no cluster any more", async || farm.clusters().await <= before).await;
    let untagged = farm.submit("alpha", "fx").await;
    farm.assert_waits(&untagged).await;

    // A host that nobody knew has reported; then a show gets a right to it.
    let spare = farm.submit("alpha", "spare").await;
    farm.assert_waits(&spare).await;
    farm.change(
        "INSERT INTO subscription (pk_subscription, pk_alloc, pk_show, int_size, int_burst)
         SELECT 'new', pk_alloc, pk_show, 0, 800 FROM alloc, show
         WHERE alloc.str_name = 'local.spare' AND show.str_name = 'alpha'",
    )
    .await;
    farm.until_done(&spare).await;
    assert_eq!(farm.hosts_of(&spare).await, ["127.1.0.3"]);

    assert_eq!(farm.scheduler.stop().await.unwrap(), 0);
    farm.harness.stop().await.unwrap();
}
