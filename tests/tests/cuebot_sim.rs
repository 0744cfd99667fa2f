//! The stand-in Cuebot against a real PostgreSQL: what it writes is what Cuebot writes, and its faults are faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cue_scheduler_proto::report::rqd_report_interface_client::RqdReportInterfaceClient;
use cue_scheduler_proto::report::{
    BootReport, FrameCompleteReport, HostReport, RenderHost, RqdReportRqdStartupRequest,
    RqdReportRunningFrameCompletionRequest, RqdReportStatusRequest, RunningFrameInfo,
};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use testbed::auditor::audit;
use testbed::cuebot_sim::faults::reconcile_in_one_statement;
use testbed::cuebot_sim::{CuebotConfig, CuebotSim, Generation, LegacyBooking, ReleaseOrder, Sweeps};
use testbed::loader::description::FarmDescription;
use testbed::loader::{Loaded, load};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tonic::Code;
use tonic::transport::Channel;

/// One host and a managed show with a job whose layers wait for each other in every way, and a job that waits for it.
const FARM: &str = "
seed: 1
facilities:
  - {name: local, allocations: [{name: local.general, tag: general}, {name: local.lobby, tag: lobby, default: true}]}
shows:
  - name: alpha
    subscriptions: [{allocation: local.general, size: 100, burst: 100}]
  - name: legacy
    managed: false
    subscriptions: [{allocation: local.general, size: 100, burst: 100}]
hosts: [{allocation: local.general, names: [wolf], cores: 16, memory: 64 GiB, gpus: 4, gpu_memory: 16 GiB}]
jobs:
  - name: plain
    show: alpha
    max_retries: 1
    layers: [{name: comp, range: 1-2, min_cores: 2, memory: 2 GiB, gpus: 1, gpu_memory: 1 GiB}]
  - name: chain
    show: alpha
    layers:
      - {name: sim, range: 1-4}
      - {name: mesh, range: 1-4, chunk: 2, after: [{kind: FRAME_BY_FRAME, layer: sim}]}
      - {name: comp, range: 1-2, after: [{kind: LAYER_ON_LAYER, layer: sim}]}
  - {name: later, show: alpha, after_jobs: [plain], layers: [{name: a, range: 1-2}, {name: b, range: 1-1}]}
  - {name: old, show: legacy, layers: [{name: comp, range: 1-1, min_cores: 2}]}
";

struct Farm {
    pool: PgPool,
    loaded: Loaded,
    sim: CuebotSim,
    client: RqdReportInterfaceClient<Channel>,
}

impl Farm {
    async fn new(config: CuebotConfig) -> Self {
        let pool = common::database().await;
        let loaded = load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
        let sim = CuebotSim::start(config, pool.clone()).await.unwrap();
        let client = RqdReportInterfaceClient::connect(format!("http://{}", sim.address())).await.unwrap();
        Self { pool, loaded, sim, client }
    }

    fn frame(&self, layer: &str, index: usize) -> String {
        self.loaded.frames[layer][index].id.clone()
    }

    async fn book(&self, layer: &str, index: usize) -> Run {
        let frame = self.frame(layer, index);
        let proc = self.sim.book(&frame, "wolf").await.unwrap().expect("the frame waits");
        Run { frame, proc }
    }

    async fn complete(&mut self, run: &Run, exit_status: i32) {
        self.try_complete(run, exit_status).await.unwrap();
        self.sim.settle().await;
    }

    async fn try_complete(&mut self, run: &Run, exit_status: i32) -> Result<(), tonic::Status> {
        let frame_complete_report = Some(FrameCompleteReport {
            host: Some(wolf()),
            frame: Some(RunningFrameInfo { max_rss: 1000, ..run.info() }),
            exit_status,
            ..FrameCompleteReport::default()
        });
        self.client
            .report_running_frame_completion(RqdReportRunningFrameCompletionRequest { frame_complete_report })
            .await
            .map(|_| ())
    }

    /// Books and ends well all frames of a layer, in order.
    async fn run_layer(&mut self, layer: &str) {
        for index in 0..self.loaded.frames[layer].len() {
            let run = self.book(layer, index).await;
            self.complete(&run, 0).await;
        }
    }

    async fn report(&mut self, host: RenderHost, frames: Vec<RunningFrameInfo>) {
        let host_report = Some(HostReport { host: Some(host), frames, ..HostReport::default() });
        self.client.report_status(RqdReportStatusRequest { host_report }).await.unwrap();
    }

    async fn boot(&mut self, host: RenderHost) {
        let boot_report = Some(BootReport { host: Some(host), ..BootReport::default() });
        self.client.report_rqd_startup(RqdReportRqdStartupRequest { boot_report }).await.unwrap();
    }

    /// State, exit status, retries.
    async fn state(&self, frame: &str) -> (String, i64, i64) {
        sqlx::query_as("SELECT str_state, int_exit_status, int_retries FROM frame WHERE pk_frame = $1")
            .bind(frame)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    async fn states(&self, layer: &str) -> Vec<String> {
        sqlx::query_scalar("SELECT str_state FROM frame WHERE pk_layer = $1 ORDER BY int_dispatch_order")
            .bind(&self.loaded.layers[layer])
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        number(&self.pool, sql).await
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }

    async fn assert_clean(&self) {
        let audit = audit(&self.pool).await.unwrap();
        assert!(audit.is_clean(), "{audit}");
    }
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

struct Run {
    frame: String,
    proc: String,
}

impl Run {
    fn info(&self) -> RunningFrameInfo {
        RunningFrameInfo { frame_id: self.frame.clone(), resource_id: self.proc.clone(), ..RunningFrameInfo::default() }
    }
}

fn wolf() -> RenderHost {
    RenderHost {
        name: "wolf".to_owned(),
        facility: "local".to_owned(),
        num_procs: 2,
        cores_per_proc: 800,
        total_mem: 64 << 20,
        free_mem: 60 << 20,
        num_gpus: 4,
        total_gpu_mem: 16 << 20,
        free_gpu_mem: 16 << 20,
        ..RenderHost::default()
    }
}

const COUNTERS: &str = "SELECT ((SELECT sum(int_cores) FROM subscription) + (SELECT sum(int_cores) FROM layer_resource)
    + (SELECT sum(int_cores) FROM job_resource) + (SELECT sum(int_cores) FROM folder_resource)
    + (SELECT sum(int_cores) FROM point))::bigint";
const PROCS: &str = "SELECT count(*) FROM proc";
const IDLE_CORES: &str = "SELECT int_cores_idle FROM host WHERE str_name = 'wolf'";

#[tokio::test]
async fn a_completion_ends_the_frame_and_gives_everything_back() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.assert_clean().await;
    assert_eq!(farm.number(IDLE_CORES).await, 1400);
    assert_eq!(farm.number(COUNTERS).await, 5 * 200);
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "SUCCEEDED");
    assert_eq!(farm.number(PROCS).await, 0);
    assert_eq!(farm.number(IDLE_CORES).await, 1600);
    assert_eq!(farm.number(COUNTERS).await, 0);
    assert_eq!(farm.number("SELECT int_max_rss FROM layer_mem ORDER BY 1 DESC LIMIT 1").await, 1000);
    farm.assert_clean().await;
    let accepted = farm.sim.accepted();
    assert_eq!((accepted[0].frame.as_str(), accepted[0].resource.as_str()), (run.frame.as_str(), run.proc.as_str()));
    let counts = farm.sim.shutdown().await;
    assert_eq!((counts.completions, counts.releases, counts.notifications, counts.failures), (1, 1, 0, 0));
}

#[tokio::test]
async fn generation_b1_leaves_the_counters_of_managed_shows_alone_and_says_so() {
    let mut farm = Farm::new(CuebotConfig { generation: Generation::B1, ..CuebotConfig::default() }).await;
    let mut listener = PgListener::connect_with(&farm.pool).await.unwrap();
    listener.listen("acct_release").await.unwrap();
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 0).await;
    assert_eq!((farm.number(PROCS).await, farm.number(IDLE_CORES).await), (0, 1600));
    assert_eq!(farm.number(COUNTERS).await, 5 * 200);
    let message = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await.unwrap().unwrap();
    let message: serde_json::Value = serde_json::from_str(message.payload()).unwrap();
    assert_eq!(message["show"], farm.loaded.shows["alpha"]);
    assert_eq!(message["alloc"], farm.loaded.allocations["local.general"]);
    assert_eq!(message["folder"], farm.loaded.folders["alpha/alpha"]);
    assert_eq!(message["job"], farm.loaded.jobs["plain"]);
    assert_eq!(message["layer"], farm.loaded.layers["plain/comp"]);
    assert!(message["dept"].is_string());
    assert_eq!((&message["cores"], &message["gpus"]), (&(-2).into(), &(-1).into()));
    let audit = audit(&farm.pool).await.unwrap();
    assert!(!audit.is_clean() && audit.is_clean_but_for_high_counters(), "{audit}");
}

#[tokio::test]
async fn generation_b1_decrements_the_counters_of_its_own_shows() {
    let mut farm = Farm::new(CuebotConfig { generation: Generation::B1, ..CuebotConfig::default() }).await;
    let run = farm.book("old/comp", 0).await;
    farm.complete(&run, 0).await;
    farm.assert_clean().await;
    assert_eq!(farm.sim.counts().notifications, 0);
}

#[tokio::test]
async fn a_flag_that_is_switched_is_seen_when_the_memory_of_it_is_old() {
    for (flag_cache, expected) in [(Duration::from_hours(1), 2 * 5 * 200), (Duration::ZERO, 5 * 200)] {
        let config = CuebotConfig { generation: Generation::B1, flag_cache, ..CuebotConfig::default() };
        let mut farm = Farm::new(config).await;
        let run = farm.book("plain/comp", 0).await;
        farm.complete(&run, 0).await;
        farm.execute("UPDATE show SET b_scheduler_managed = false").await;
        let run = farm.book("plain/comp", 1).await;
        farm.complete(&run, 0).await;
        assert_eq!(farm.number(COUNTERS).await, expected, "{flag_cache:?}");
    }
}

#[tokio::test]
async fn a_frame_that_fails_is_tried_again_until_its_retries_are_used_up() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 7).await;
    assert_eq!(farm.state(&run.frame).await, ("WAITING".to_owned(), 7, 0));
    let run = farm.book("plain/comp", 0).await;
    assert_eq!(farm.state(&run.frame).await, ("RUNNING".to_owned(), 7, 1));
    farm.complete(&run, 7).await;
    assert_eq!(farm.state(&run.frame).await, ("DEAD".to_owned(), 7, 1));
    farm.assert_clean().await;
    let counts = farm.sim.counts();
    assert_eq!((counts.retries, counts.dead), (1, 1));
}

#[tokio::test]
async fn a_death_of_memory_raises_the_layer_above_what_was_reserved() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 33).await;
    assert_eq!(farm.state(&run.frame).await.0, "WAITING");
    let asked = farm.number("SELECT int_mem_min FROM layer WHERE int_gpus_min > 0").await;
    assert_eq!(asked, 4 << 20, "2 GiB that were reserved and 2 GiB more");
}

#[tokio::test]
async fn a_completion_of_another_run_changes_nothing() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let first = farm.book("plain/comp", 0).await;
    farm.complete(&first, 7).await;
    let second = farm.book("plain/comp", 0).await;
    // The first run's report comes again; then reports that mix up frame and resource.
    let other = farm.book("plain/comp", 1).await;
    let mixed = Run { frame: other.frame.clone(), proc: second.proc.clone() };
    let unknown = Run { frame: second.frame.clone(), proc: "no such proc".to_owned() };
    for run in [&first, &mixed, &unknown] {
        farm.complete(run, 0).await;
        assert_eq!(farm.state(&second.frame).await.0, "RUNNING");
        assert_eq!(farm.state(&other.frame).await.0, "RUNNING");
        assert_eq!(farm.number(PROCS).await, 2);
    }
    farm.complete(&second, 0).await;
    farm.complete(&second, 7).await;
    assert_eq!(farm.state(&second.frame).await.0, "SUCCEEDED");
    farm.assert_clean().await;
    assert_eq!((farm.sim.counts().completions, farm.sim.counts().stale_completions), (2, 4));
}

#[tokio::test]
async fn reports_of_one_run_that_come_together_end_it_once() {
    let farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    let reports = (0..8).map(|_| {
        let mut client = farm.client.clone();
        let frame = Some(run.info());
        let report = FrameCompleteReport { frame, ..FrameCompleteReport::default() };
        async move {
            let request = RqdReportRunningFrameCompletionRequest { frame_complete_report: Some(report) };
            client.report_running_frame_completion(request).await.unwrap();
        }
    });
    futures::future::join_all(reports).await;
    farm.sim.settle().await;
    farm.assert_clean().await;
    let counts = farm.sim.counts();
    assert_eq!((counts.completions, counts.stale_completions, counts.releases), (1, 7, 1));
}

#[tokio::test]
async fn a_running_frame_without_proc_is_ended_by_its_report() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("old/comp", 0).await;
    farm.execute("DELETE FROM proc").await;
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "SUCCEEDED");
    assert_eq!(farm.sim.counts().jobs_finished, 1);
}

#[tokio::test]
async fn frames_go_on_when_what_they_wait_for_has_ended() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    assert_eq!(farm.states("chain/mesh").await, ["DEPEND", "DEPEND"]);
    for index in 0..4 {
        let run = farm.book("chain/sim", index).await;
        farm.complete(&run, 0).await;
        let mesh = farm.states("chain/mesh").await;
        let comp = farm.states("chain/comp").await;
        // A frame of mesh stands for two numbers; comp waits for all of sim.
        let ready = |done: usize| if index + 1 >= done { "WAITING" } else { "DEPEND" };
        assert_eq!(mesh, [ready(2), ready(4)], "after {} frames of sim", index + 1);
        assert_eq!(comp, [ready(4), ready(4)], "after {} frames of sim", index + 1);
    }
    let open = farm.number("SELECT count(*) FROM depend WHERE b_active AND str_type <> 'JOB_ON_JOB'").await;
    assert_eq!(open, 0, "the composite dependency ends with its last part");
    farm.assert_clean().await;
}

#[tokio::test]
async fn a_frame_that_failed_lets_nobody_go_on() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("chain/sim", 0).await;
    farm.complete(&run, 7).await;
    assert_eq!(farm.states("chain/mesh").await, ["DEPEND", "DEPEND"]);
    assert_eq!(farm.sim.counts().dependencies_satisfied, 0);
}

#[tokio::test]
async fn a_job_finishes_with_its_last_frame_and_lets_the_layers_of_another_go_on() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    farm.run_layer("plain/comp").await;
    let finished = "SELECT count(*) FROM job WHERE str_state = 'FINISHED' AND str_visible_name IS NULL";
    assert_eq!(farm.number(finished).await, 1);
    assert_eq!(farm.states("later/a").await, ["WAITING", "WAITING"]);
    assert_eq!(farm.states("later/b").await, ["WAITING"]);
    farm.assert_clean().await;
    assert_eq!(farm.sim.counts().jobs_finished, 1);
}

#[tokio::test]
async fn a_job_with_a_dead_frame_does_not_finish() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    farm.execute("UPDATE job SET int_max_retries = 0").await;
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 7).await;
    let run = farm.book("plain/comp", 1).await;
    farm.complete(&run, 0).await;
    assert_eq!(farm.states("plain/comp").await, ["DEAD", "SUCCEEDED"]);
    assert_eq!(farm.sim.counts().jobs_finished, 0);
}

#[tokio::test]
async fn between_stop_and_release_the_proc_stands_without_a_frame_and_still_counts() {
    let config = CuebotConfig { release_delay: Duration::from_millis(500), ..CuebotConfig::default() };
    let mut farm = Farm::new(config).await;
    let run = farm.book("plain/comp", 0).await;
    farm.try_complete(&run, 0).await.unwrap();
    assert_eq!(farm.number("SELECT count(*) FROM proc WHERE pk_frame IS NULL").await, 1);
    assert_eq!(farm.number(COUNTERS).await, 5 * 200);
    farm.assert_clean().await;
    farm.sim.settle().await;
    assert_eq!(farm.number(PROCS).await, 0);
    farm.assert_clean().await;
}

#[tokio::test]
async fn a_refused_report_changes_nothing_and_may_come_again() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.sim.refuse(Some(Code::Unavailable));
    assert_eq!(farm.try_complete(&run, 0).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(farm.state(&run.frame).await.0, "RUNNING");
    farm.sim.refuse(None);
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "SUCCEEDED");
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_created_with_its_tags_where_strangers_go() {
    for (allocation, named) in [("local.lobby", None), ("local.general", Some("local.general".to_owned()))] {
        let config = CuebotConfig { default_allocation: named, ..CuebotConfig::default() };
        let mut farm = Farm::new(config).await;
        let attributes = [("SP_OS".to_owned(), "rocky9".to_owned())].into();
        let fox = RenderHost { name: "fox".to_owned(), tags: vec!["fast".to_owned()], attributes, ..wolf() };
        farm.boot(fox.clone()).await;
        farm.report(fox.clone(), Vec::new()).await;
        farm.boot(RenderHost { tags: vec!["slow".to_owned()], ..fox }).await;
        let host: (String, i64, i64, i64, String, String, String) = sqlx::query_as(
            "SELECT alloc.str_name, int_cores_idle, int_mem_idle, int_gpus_idle, str_lock_state, str_state, str_os
             FROM host JOIN alloc USING (pk_alloc) JOIN host_stat USING (pk_host) WHERE host.str_name = 'fox'",
        )
        .fetch_one(&farm.pool)
        .await
        .unwrap();
        let (open, up, os) = ("OPEN".to_owned(), "UP".to_owned(), "rocky9".to_owned());
        assert_eq!(host, (allocation.to_owned(), 1600, 64 << 20, 4, open, up, os));
        let tags: Vec<(String, String)> = sqlx::query_as(
            "SELECT str_tag_type, str_tag FROM host_tag JOIN host USING (pk_host) WHERE str_name = 'fox' ORDER BY 1",
        )
        .fetch_all(&farm.pool)
        .await
        .unwrap();
        let pool_tag = allocation.trim_start_matches("local.");
        let expected = [("ALLOC", pool_tag), ("HARDWARE", "slow"), ("HOSTNAME", "fox")];
        assert_eq!(tags, expected.map(|(kind, tag)| (kind.to_owned(), tag.to_owned())));
        assert_eq!(farm.sim.counts().hosts_created, 1);
        farm.assert_clean().await;
    }
}

#[tokio::test]
async fn a_boot_heals_an_empty_host_and_spares_one_that_is_booked() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    farm.execute("UPDATE host SET int_cores_idle = 100").await;
    farm.boot(wolf()).await;
    assert_eq!(farm.number(IDLE_CORES).await, 1600);
    farm.book("plain/comp", 0).await;
    farm.boot(wolf()).await;
    assert_eq!(farm.number(IDLE_CORES).await, 1400);
    farm.assert_clean().await;
}

#[tokio::test]
async fn a_host_report_tells_that_host_and_frames_live_and_what_they_use() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.execute("UPDATE host_stat SET ts_ping = ts_ping - interval '1 h', str_state = 'DOWN'").await;
    farm.execute("UPDATE proc SET ts_ping = ts_ping - interval '1 h'").await;
    let frame = RunningFrameInfo { rss: 3 << 20, max_rss: 3 << 20, llu_time: 1_700_000_000, ..run.info() };
    farm.report(RenderHost { nimby_locked: true, ..wolf() }, vec![frame]).await;
    let fresh = "SELECT count(*) FROM proc JOIN host_stat USING (pk_host)
                 WHERE proc.ts_ping > now() - interval '1 min' AND host_stat.ts_ping > now() - interval '1 min'
                   AND host_stat.str_state = 'UP'";
    assert_eq!(farm.number(fresh).await, 1);
    assert_eq!(farm.number("SELECT int_mem_used FROM frame WHERE str_state = 'RUNNING'").await, 3 << 20);
    // It asked for 2 GiB and uses 3: the host has less idle from now on.
    assert_eq!(farm.number("SELECT int_mem_reserved FROM proc").await, 3 << 20);
    assert_eq!(farm.number("SELECT int_mem_idle FROM host").await, 61 << 20);
    assert_eq!(farm.number("SELECT count(*) FROM host WHERE str_lock_state = 'NIMBY_LOCKED'").await, 1);
    farm.report(wolf(), Vec::new()).await;
    assert_eq!(farm.number("SELECT count(*) FROM host WHERE str_lock_state = 'OPEN'").await, 1);
    farm.complete(&run, 0).await;
    farm.assert_clean().await;
}

#[tokio::test]
async fn idle_memory_that_was_lost_is_found_by_a_report() {
    let config = CuebotConfig { idle_memory_reset: Some(Duration::from_hours(1)), ..CuebotConfig::default() };
    let mut farm = Farm::new(config).await;
    farm.book("plain/comp", 0).await;
    farm.execute("UPDATE host SET int_mem_idle = int_mem_idle - 1000").await;
    farm.report(wolf(), Vec::new()).await;
    farm.assert_clean().await;
    farm.execute("UPDATE host SET int_mem_idle = int_mem_idle - 1000").await;
    farm.report(wolf(), Vec::new()).await;
    assert_eq!(audit(&farm.pool).await.unwrap().hosts.len(), 1, "the next window is an hour away");
}

#[tokio::test]
async fn a_frame_that_runs_without_a_booking_is_noticed() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let start_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let stranger = Run { frame: farm.frame("plain/comp", 0), proc: "no such proc".to_owned() };
    farm.report(wolf(), vec![RunningFrameInfo { start_time, ..stranger.info() }]).await;
    let counts = farm.sim.counts();
    assert_eq!((counts.strangers_running, counts.kills), (1, 0));
}

#[tokio::test]
async fn sweeps_give_up_what_nobody_reports() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let silent = farm.book("plain/comp", 0).await;
    let alive = farm.book("plain/comp", 1).await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.number(PROCS).await, 2, "nothing is old yet");
    sqlx::query("UPDATE proc SET ts_ping = ts_ping - interval '301 s' WHERE pk_proc = $1")
        .bind(&silent.proc)
        .execute(&farm.pool)
        .await
        .unwrap();
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&silent.frame).await, ("WAITING".to_owned(), 301, 0));
    assert_eq!(farm.state(&alive.frame).await.0, "RUNNING");
    farm.assert_clean().await;

    farm.execute("UPDATE host_stat SET ts_ping = ts_ping - interval '301 s'").await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&alive.frame).await, ("WAITING".to_owned(), 399, 0));
    assert_eq!(farm.number("SELECT count(*) FROM host_stat WHERE str_state = 'DOWN'").await, 1);
    farm.assert_clean().await;

    let orphan = farm.book("old/comp", 0).await;
    farm.execute("UPDATE frame SET ts_updated = now() - interval '301 s' WHERE str_state = 'RUNNING'").await;
    farm.execute("UPDATE host SET int_cores_idle = int_cores, int_mem_idle = int_mem").await;
    farm.execute("DELETE FROM proc").await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&orphan.frame).await, ("WAITING".to_owned(), 301, 0));
    let counts = farm.sim.counts();
    assert_eq!((counts.lost_procs, counts.orphaned_frames), (2, 1));
    farm.complete(&silent, 0).await;
    assert_eq!(farm.state(&silent.frame).await.0, "WAITING", "a late report of a lost proc ends nothing");
}

#[tokio::test]
async fn a_sweep_runs_by_time_and_finds_dependencies_that_were_overlooked() {
    let interval = Duration::from_millis(20);
    let sweeps = Some(Sweeps { interval, ..Sweeps::default() });
    let farm = Farm::new(CuebotConfig { sweeps, ..CuebotConfig::default() }).await;
    farm.execute("UPDATE frame SET str_state = 'SUCCEEDED' WHERE str_name LIKE '%-sim'").await;
    wait_for("mesh goes on", || async { farm.states("chain/mesh").await == ["WAITING", "WAITING"] }).await;
    farm.assert_clean().await;
}

#[tokio::test]
async fn a_lost_proc_whose_agent_cannot_be_asked_is_kept_and_its_frame_parked_in_the_end() {
    // Nobody listens at this port.
    let mut farm = Farm::new(CuebotConfig { agent_port: Some(9), ..CuebotConfig::default() }).await;
    let run = farm.book("plain/comp", 0).await;
    farm.execute("UPDATE host SET str_name = '127.0.0.1'").await;
    farm.execute("UPDATE proc SET ts_ping = ts_ping - interval '301 s'").await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&run.frame).await.0, "RUNNING");
    farm.execute("UPDATE proc SET ts_ping = ts_ping - interval '20 min'").await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&run.frame).await, ("DEAD".to_owned(), 301, 0));
    farm.assert_clean().await;
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "DEAD");
}

#[tokio::test]
async fn own_bookings_serve_the_shows_that_are_not_managed_and_only_those() {
    let legacy =
        LegacyBooking { pause: Duration::from_millis(10), run_for: Some(Duration::ZERO), ..Default::default() };
    let farm = Farm::new(CuebotConfig { legacy: Some(legacy), ..CuebotConfig::default() }).await;
    wait_for("the job of Cuebot's own show ends", || async { farm.sim.counts().jobs_finished == 1 }).await;
    farm.sim.settle().await;
    farm.assert_clean().await;
    assert_eq!(farm.states("old/comp").await, ["SUCCEEDED"]);
    assert_eq!(farm.sim.counts().bookings, 1);
}

/// Enough small frames on two hosts that bookings and releases meet all the time.
const CROWD: &str = "
seed: 2
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, managed: false, subscriptions: [{allocation: local.general, burst: 1000}]}]
hosts: [{allocation: local.general, count: 2, cores: 64, memory: 256 GiB}]
jobs:
  - {name: one, show: alpha, layers: [{name: a, range: 1-1000, memory: 1 MiB}, {name: b, range: 1-1000, memory: 1 MiB}]}
  - {name: two, show: alpha, layers: [{name: a, range: 1-1000, memory: 1 MiB}, {name: b, range: 1-1000, memory: 1 MiB}]}
";

/// Runs until the farm has booked so many, or the stand-in met so many deadlocks.
async fn crowd(
    release_order: ReleaseOrder,
    bookings: u64,
    deadlocks: u64,
) -> (PgPool, testbed::cuebot_sim::CuebotCounts) {
    let database = common::new_database().await;
    let setup = database.pool().await.unwrap();
    // The default of a second would make every deadlock a second of standstill.
    sqlx::query(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''50ms''', current_database()); END $$",
    )
    .execute(&setup)
    .await
    .unwrap();
    setup.close().await;
    let pool = database.pool().await.unwrap();
    load(&pool, &FarmDescription::from_yaml(CROWD).unwrap()).await.unwrap();
    let legacy = LegacyBooking { bookers: 4, pause: Duration::ZERO, run_for: Some(Duration::ZERO), managed_too: false };
    let config = CuebotConfig { release_order, legacy: Some(legacy), ..CuebotConfig::default() };
    let sim = CuebotSim::start(config, pool.clone()).await.unwrap();
    wait_for("bookings or deadlocks", || async {
        let counts = sim.counts();
        counts.bookings >= bookings || counts.deadlocks >= deadlocks
    })
    .await;
    (pool, sim.shutdown().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_in_cuebots_order_never_wait_in_a_circle_with_its_bookings() {
    let (pool, counts) = crowd(ReleaseOrder::HostFirst, 600, 1).await;
    assert_eq!((counts.deadlocks, counts.failures), (0, 0), "{counts}");
    assert!(counts.bookings >= 600, "{counts}");
    let audit = audit(&pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_that_take_the_counters_first_do() {
    let start = Instant::now();
    let (pool, counts) = crowd(ReleaseOrder::CountersFirst, 4000, 25).await;
    println!("{:.1} s: {counts}", start.elapsed().as_secs_f64());
    assert!(counts.deadlocks > 0, "{counts}");
    let audit = audit(&pool).await.unwrap();
    assert!(audit.is_clean(), "a deadlock costs time, not truth: {audit}");
}

#[tokio::test]
async fn a_reconcile_in_one_statement_loses_a_booking_that_commits_while_it_waits() {
    let farm = Farm::new(CuebotConfig::default()).await;
    // A booking in Cuebot's order, halted before its commit: the proc is there, the counters are locked.
    let mut booking = farm.pool.begin().await.unwrap();
    for step in [
        "INSERT INTO proc (pk_proc, pk_host, pk_show, pk_job, pk_layer, int_cores_reserved, int_mem_reserved)
         SELECT 'p', pk_host, job.pk_show, job.pk_job, pk_layer, 100, 1024 FROM layer JOIN job USING (pk_job), host
         WHERE job.str_name = 'old'",
        "UPDATE host SET int_cores_idle = int_cores_idle - 100, int_mem_idle = int_mem_idle - 1024",
        "UPDATE subscription SET int_cores = int_cores + 100 FROM proc WHERE subscription.pk_show = proc.pk_show",
        "UPDATE layer_resource SET int_cores = int_cores + 100 FROM proc WHERE layer_resource.pk_layer = proc.pk_layer",
        "UPDATE job_resource SET int_cores = int_cores + 100 FROM proc WHERE job_resource.pk_job = proc.pk_job",
        "UPDATE folder_resource SET int_cores = int_cores + 100
         FROM proc JOIN job USING (pk_job) WHERE folder_resource.pk_folder = job.pk_folder",
        "UPDATE point SET int_cores = int_cores + 100 FROM proc WHERE point.pk_show = proc.pk_show",
    ] {
        sqlx::query(step).execute(&mut *booking).await.unwrap();
    }
    let reconcile = tokio::spawn({
        let pool = farm.pool.clone();
        async move { reconcile_in_one_statement(&pool).await }
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    wait_for("the reconcile waits for the booking", || async { farm.number(waiting).await > 0 }).await;
    booking.commit().await.unwrap();
    reconcile.await.unwrap().unwrap();
    let audit = audit(&farm.pool).await.unwrap();
    let wrong: Vec<&str> = audit.counters.iter().map(|counter| counter.what.as_str()).collect();
    assert_eq!(wrong, ["job_resource cores"], "{audit}");
    assert_eq!((audit.counters[0].found, audit.counters[0].expected), (0, 100), "too low: the dangerous direction");
}

#[tokio::test]
async fn the_program_serves_the_database_that_it_is_given_and_ends_when_told() {
    let database = common::new_database().await;
    let pool = database.pool().await.unwrap();
    load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
    let target = database.target(1);
    let url = format!("postgres://{}@{}:{}/{}", target.user, target.host, target.port, target.database);
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_cuebot-sim"))
        .args(["--listen", "127.0.0.1:0", "--generation", "b1", "--bookers", "1", "--run-for", "0"])
        .env("DATABASE_URL", url)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let listening = lines.next_line().await.unwrap().unwrap();
    let address = listening.strip_prefix("listening on ").unwrap();
    let mut client = RqdReportInterfaceClient::connect(format!("http://{address}")).await.unwrap();
    let boot_report = Some(BootReport { host: Some(wolf()), ..BootReport::default() });
    client.report_rqd_startup(RqdReportRqdStartupRequest { boot_report }).await.unwrap();
    wait_for("the program's own booking", || async { number(&pool, "SELECT count(*) FROM proc").await == 1 }).await;
    let pid = rustix::process::Pid::from_raw(program.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let summary = lines.next_line().await.unwrap().unwrap();
    assert!(program.wait().await.unwrap().success());
    assert!(summary.contains("boot reports 1") && summary.contains("bookings 1"), "{summary}");
}

async fn wait_for<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(30), "waited for 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
