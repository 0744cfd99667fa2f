//! The farm of these tests, a stand-in on it, and the agent that reports to it.

use std::time::{Duration, Instant};

use cue_scheduler_proto::report::rqd_report_interface_client::RqdReportInterfaceClient;
use cue_scheduler_proto::report::{
    BootReport, FrameCompleteReport, HostReport, RenderHost, RqdReportRqdStartupRequest,
    RqdReportRunningFrameCompletionRequest, RqdReportStatusRequest, RunningFrameInfo,
};
use sqlx::PgPool;
use testbed::auditor::audit;
use testbed::cuebot_sim::{CuebotConfig, CuebotSim};
use testbed::loader::description::FarmDescription;
use testbed::loader::{Loaded, load};
use testbed::postgres::{Database, Server};
use tonic::transport::Channel;

/// A database of the test's own, on the server that all tests of the process share.
pub async fn new_database() -> Database {
    Server::shared().await.unwrap().database().await.unwrap()
}

/// One host and a managed show with a job whose layers wait for each other in every way, and a job that waits for it.
pub const FARM: &str = "
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

pub struct Farm {
    pub pool: PgPool,
    pub loaded: Loaded,
    pub sim: CuebotSim,
    pub client: RqdReportInterfaceClient<Channel>,
}

impl Farm {
    pub async fn new(config: CuebotConfig) -> Self {
        let pool = new_database().await.pool().await.unwrap();
        let loaded = load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
        let sim = CuebotSim::start(config, pool.clone()).await.unwrap();
        let client = RqdReportInterfaceClient::connect(format!("http://{}", sim.address())).await.unwrap();
        Self { pool, loaded, sim, client }
    }

    pub fn frame(&self, layer: &str, index: usize) -> String {
        self.loaded.frames[layer][index].id.clone()
    }

    pub async fn book(&self, layer: &str, index: usize) -> Run {
        let frame = self.frame(layer, index);
        let proc = self.sim.book(&frame, "wolf").await.unwrap().expect("the frame waits");
        Run { frame, proc }
    }

    pub async fn complete(&mut self, run: &Run, exit_status: i32) {
        self.try_complete(run, exit_status).await.unwrap();
        self.sim.settle().await;
    }

    pub async fn try_complete(&mut self, run: &Run, exit_status: i32) -> Result<(), tonic::Status> {
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
    pub async fn run_layer(&mut self, layer: &str) {
        for index in 0..self.loaded.frames[layer].len() {
            let run = self.book(layer, index).await;
            self.complete(&run, 0).await;
        }
    }

    pub async fn report(&mut self, host: RenderHost, frames: Vec<RunningFrameInfo>) {
        let host_report = Some(HostReport { host: Some(host), frames, ..HostReport::default() });
        self.client.report_status(RqdReportStatusRequest { host_report }).await.unwrap();
    }

    pub async fn boot(&mut self, host: RenderHost) {
        let boot_report = Some(BootReport { host: Some(host), ..BootReport::default() });
        self.client.report_rqd_startup(RqdReportRqdStartupRequest { boot_report }).await.unwrap();
    }

    /// State, exit status, retries.
    pub async fn state(&self, frame: &str) -> (String, i64, i64) {
        sqlx::query_as("SELECT str_state, int_exit_status, int_retries FROM frame WHERE pk_frame = $1")
            .bind(frame)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn states(&self, layer: &str) -> Vec<String> {
        sqlx::query_scalar("SELECT str_state FROM frame WHERE pk_layer = $1 ORDER BY int_dispatch_order")
            .bind(&self.loaded.layers[layer])
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        number(&self.pool, sql).await
    }

    pub async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }

    pub async fn assert_clean(&self) {
        let audit = audit(&self.pool).await.unwrap();
        assert!(audit.is_clean(), "{audit}");
    }
}

pub async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

pub struct Run {
    pub frame: String,
    pub proc: String,
}

impl Run {
    pub fn info(&self) -> RunningFrameInfo {
        RunningFrameInfo { frame_id: self.frame.clone(), resource_id: self.proc.clone(), ..RunningFrameInfo::default() }
    }
}

pub fn wolf() -> RenderHost {
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

pub const COUNTERS: &str =
    "SELECT ((SELECT sum(int_cores) FROM subscription) + (SELECT sum(int_cores) FROM layer_resource)
    + (SELECT sum(int_cores) FROM job_resource) + (SELECT sum(int_cores) FROM folder_resource)
    + (SELECT sum(int_cores) FROM point))::bigint";
pub const PROCS: &str = "SELECT count(*) FROM proc";
pub const IDLE_CORES: &str = "SELECT int_cores_idle FROM host WHERE str_name = 'wolf'";

pub async fn wait_for<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(30), "waited for 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
