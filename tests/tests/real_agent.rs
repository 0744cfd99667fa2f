//! From a waiting frame to a finished one, with real parts at both ends: PostgreSQL and the real render agent, the scheduler as
//! a process between them.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

use std::time::Duration;

use cue_scheduler_proto::rqd::RqdStaticReportStatusRequest;
use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use testbed::auditor::audit;
use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{FarmConfig, HostSet};
use testbed::harness::{Harness, HarnessConfig};
use testbed::loader::description::FarmDescription;
use testbed::rqd_agent::HOST;

/// Frame 1 tells what it got and takes a moment; frame 7 of the other job fails each time.
const FARM: &str = r#"
seed: 11
facilities: [{name: local, allocations: [{name: local.real, tag: real, default: true}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.real, burst: 32}]}]
jobs:
  - name: alpha-tells
    show: alpha
    shot: sh010
    user: artist
    uid: null
    log_dir: LOGS
    env: {WHERE: job, ONLY_JOB: "yes"}
    layers:
      - name: comp
        range: 1-1
        command: "echo told $CUE_FRAME $CUE_LAYER $CUE_SHOW $CUE_SHOT $CUE_IFRAME $CUE_THREADS $CUE_MEMORY $WHERE $ONLY_JOB #ZFRAME#; sleep 4"
        tags: [real]
        threadable: false
        memory: 1 GiB
        env: {WHERE: layer}
  - name: alpha-fails
    show: alpha
    uid: null
    log_dir: LOGS
    max_retries: 1
    paused: true
    layers: [{name: comp, range: 7-7, command: "sleep 0.2; exit 7", tags: [real], threadable: false, memory: 1 GiB}]
"#;

async fn wait_until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..900 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("after 90 s still not: {what}");
}

#[tokio::test]
async fn a_job_runs_on_a_real_agent_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let farm = FarmDescription::from_yaml(&FARM.replace("LOGS", &logs.display().to_string())).unwrap();
    let config = HarnessConfig {
        farm,
        // The real agent answers at 127.0.0.1; the one simulated host is in no allocation that anybody may use.
        hosts: FarmConfig { hosts: vec![HostSet::default()], ..FarmConfig::default() },
        agent: Some((32, vec!["real".to_owned()])),
        cuebot: CuebotConfig { default_allocation: Some("local.real".to_owned()), ..CuebotConfig::default() },
        existing: None,
    };
    let mut harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
    harness.agent_is_ready().await.unwrap();
    sqlx::query("UPDATE host SET str_lock_state = 'LOCKED' WHERE str_name <> '127.0.0.1'")
        .execute(&harness.pool)
        .await
        .unwrap();
    let mut scheduler = harness.scheduler("scheduler", &[]).unwrap();
    scheduler.ready().await.unwrap();

    // While it runs: the proc is there, and the agent knows the frame by the proc's id.
    let pool = &harness.pool;
    let proc = || async move {
        let row: Option<(String, String, i64, i64, String)> = sqlx::query_as(
            "SELECT p.pk_proc, h.str_name, p.int_cores_reserved, p.int_mem_reserved, f.str_state
             FROM proc p JOIN host h USING (pk_host) JOIN frame f ON f.pk_frame = p.pk_frame JOIN job j ON j.pk_job = p.pk_job
             WHERE j.str_name = 'alpha-tells'",
        )
        .fetch_optional(pool)
        .await
        .unwrap();
        row
    };
    wait_until("the frame is booked", || async { proc().await.is_some() }).await;
    let (resource, host, cores, memory, state) = proc().await.unwrap();
    assert_eq!((host.as_str(), cores, memory, state.as_str()), ("127.0.0.1", 100, 1 << 20, "RUNNING"));
    let mut agent = RqdInterfaceClient::connect(format!("http://{HOST}:{}", harness.hosts.port())).await.unwrap();
    let mut listed = None;
    for _ in 0..40 {
        let status = agent.report_status(RqdStaticReportStatusRequest {}).await.unwrap().into_inner();
        let frames = status.host_report.unwrap().frames;
        listed = frames.into_iter().find(|frame| frame.resource_id == resource);
        if listed.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(listed.unwrap().num_cores, 100);
    // Not before: an agent in Python that starts two frames in the same moment can fail to execute one of them.
    sqlx::query("UPDATE job SET b_paused = false").execute(pool).await.unwrap();

    // Afterwards: the frame has done what its command says, and nothing is left of the booking.
    let state = |job: &'static str| async move {
        let state: (String, i64, i64) = sqlx::query_as(
            "SELECT f.str_state, f.int_exit_status, f.int_retries FROM frame f JOIN job j USING (pk_job) WHERE j.str_name = $1",
        )
        .bind(job)
        .fetch_one(pool)
        .await
        .unwrap();
        state
    };
    wait_until("the frame succeeds", || async { state("alpha-tells").await.0 == "SUCCEEDED" }).await;
    wait_until("the other one is dead", || async { state("alpha-fails").await.0 == "DEAD" }).await;
    assert_eq!(state("alpha-fails").await, ("DEAD".to_owned(), 7, 1), "one retry, then dead");
    wait_until("the procs are released", || async {
        let procs: i64 = sqlx::query_scalar("SELECT count(*) FROM proc").fetch_one(pool).await.unwrap();
        procs == 0
    })
    .await;
    let log = std::fs::read_to_string(logs.join("alpha-tells.0001-comp.rqlog")).unwrap();
    let told = log.lines().find(|line| line.starts_with("told ")).unwrap_or_else(|| panic!("{log}"));
    assert_eq!(told, "told 0001-comp comp alpha sh010 1 1 1048576 layer yes 0001");
    let audit = audit(pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");

    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}
