//! The real render agent: it reports to whoever plays Cuebot, runs a frame, kills one, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cue_scheduler_proto::report::rqd_report_interface_server::{RqdReportInterface, RqdReportInterfaceServer};
use cue_scheduler_proto::report::{
    BootReport, FrameCompleteReport, RqdReportRqdStartupRequest, RqdReportRqdStartupResponse,
    RqdReportRunningFrameCompletionRequest, RqdReportRunningFrameCompletionResponse, RqdReportStatusRequest,
    RqdReportStatusResponse,
};
use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use cue_scheduler_proto::rqd::{
    RqdStaticKillRunningFrameRequest, RqdStaticLaunchFrameRequest, RqdStaticReportStatusRequest, RunFrame,
};
use testbed::rqd_agent::{Agent, AgentConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

/// Longer than anything takes here on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Takes every report and hands on those of starts and of ends.
struct Reports {
    boots: mpsc::Sender<BootReport>,
    ends: mpsc::Sender<FrameCompleteReport>,
}

#[tonic::async_trait]
impl RqdReportInterface for Reports {
    async fn report_rqd_startup(
        &self,
        request: Request<RqdReportRqdStartupRequest>,
    ) -> Result<Response<RqdReportRqdStartupResponse>, Status> {
        self.boots.send(request.into_inner().boot_report.unwrap()).await.unwrap();
        Ok(Response::new(RqdReportRqdStartupResponse {}))
    }

    async fn report_status(
        &self,
        _: Request<RqdReportStatusRequest>,
    ) -> Result<Response<RqdReportStatusResponse>, Status> {
        Ok(Response::new(RqdReportStatusResponse {}))
    }

    async fn report_running_frame_completion(
        &self,
        request: Request<RqdReportRunningFrameCompletionRequest>,
    ) -> Result<Response<RqdReportRunningFrameCompletionResponse>, Status> {
        self.ends.send(request.into_inner().frame_complete_report.unwrap()).await.unwrap();
        Ok(Response::new(RqdReportRunningFrameCompletionResponse {}))
    }
}

/// An agent with someone to report to.
struct Farm {
    agent: Agent,
    client: RqdInterfaceClient<Channel>,
    boot: BootReport,
    ends: mpsc::Receiver<FrameCompleteReport>,
}

impl Farm {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cuebot = listener.local_addr().unwrap();
        // An agent starts once and the tests run few frames: nobody waits for room here.
        let (boots, mut booted) = mpsc::channel(8);
        let (ends_in, ends) = mpsc::channel(8);
        let service = RqdReportInterfaceServer::new(Reports { boots, ends: ends_in });
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        let mut agent = Agent::start(AgentConfig::reporting_to(cuebot)).await.unwrap();
        let boot = within(booted.recv()).await.unwrap();
        agent.ready().await.unwrap();
        let client = RqdInterfaceClient::connect(format!("http://{}", agent.address())).await.unwrap();
        Self { agent, client, boot, ends }
    }

    async fn launch(&mut self, name: &str, command: &str) -> RunFrame {
        let id = || uuid::Uuid::new_v4().to_string();
        let frame = RunFrame {
            resource_id: id(),
            job_id: id(),
            layer_id: id(),
            frame_id: id(),
            job_name: "smoke-job".to_owned(),
            frame_name: name.to_owned(),
            show: "demo".to_owned(),
            shot: "s1".to_owned(),
            user_name: "nobody".to_owned(),
            command: command.to_owned(),
            log_dir: self.agent.frame_logs().display().to_string(),
            num_cores: 100,
            start_time: 1_700_000_000_123,
            environment: [("CUE_THREADABLE".to_owned(), "0".to_owned())].into(),
            // So that a kill in the first moments can not end the agent itself.
            pid: i32::MAX,
            ..RunFrame::default()
        };
        let request = RqdStaticLaunchFrameRequest { run_frame: Some(frame.clone()) };
        self.client.launch_frame(request).await.unwrap();
        frame
    }

    /// Waits until the agent lists a frame with its process.
    async fn is_running(&mut self, frame: &RunFrame, process: &Path) -> i32 {
        within(async {
            loop {
                let status = self.client.report_status(RqdStaticReportStatusRequest {}).await.unwrap().into_inner();
                let listed = status.host_report.unwrap().frames.iter().any(|listed| listed.frame_id == frame.frame_id);
                let process = std::fs::read_to_string(process).unwrap_or_default();
                if let (true, Ok(process)) = (listed, process.trim().parse()) {
                    return process;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.unwrap()
}

/// Waits until a process is gone.
async fn is_gone(process: i32) {
    within(async {
        // A process that was killed and not yet taken note of has no command line left.
        while std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

async fn refuses(address: SocketAddr) {
    within(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_real_agent_reports_its_start_runs_a_frame_and_kills_one() {
    let mut farm = Farm::new().await;
    let (host, cores) = (farm.boot.host.clone().unwrap(), farm.boot.core_info.clone().unwrap());
    assert_eq!((host.name.as_str(), host.facility.as_str()), ("127.0.0.1", "local"));
    assert!(host.tags.iter().any(|tag| tag == "general"), "{:?}", host.tags);
    assert_eq!((cores.total_cores, cores.idle_cores), (400, 400));

    // The agent stops reading a frame's output with its end, so the frame waits a moment.
    let hello = farm.launch("0001-smoke", "echo hello; sleep 0.3").await;
    let end = within(farm.ends.recv()).await.unwrap();
    let info = end.frame.unwrap();
    assert_eq!((info.frame_id, info.resource_id), (hello.frame_id, hello.resource_id));
    assert_eq!((end.exit_status, end.exit_signal), (0, 0), "{:#?}", farm.agent.log());
    let printed = std::fs::read_to_string(farm.agent.frame_logs().join("smoke-job.0001-smoke.rqlog")).unwrap();
    assert!(printed.lines().any(|line| line == "hello"), "{printed}");

    let file = farm.agent.work().join("process");
    let long = farm.launch("0002-smoke", &format!("echo $$ > {}; exec sleep 600", file.display())).await;
    let process = farm.is_running(&long, &file).await;
    let request =
        RqdStaticKillRunningFrameRequest { frame_id: long.frame_id.clone(), message: "smoke test".to_owned() };
    farm.client.kill_running_frame(request).await.unwrap();
    let end = within(farm.ends.recv()).await.unwrap();
    assert_eq!((end.frame.unwrap().frame_id, end.exit_status, end.exit_signal), (long.frame_id, 1, 9));
    is_gone(process).await;
    assert!(!farm.agent.log().unwrap().is_empty());
    farm.agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_agent_leaves_no_frame_and_no_listener_behind() {
    let mut farm = Farm::new().await;
    let file = farm.agent.work().join("process");
    // A frame that starts something in a session of its own, which no group kill would reach.
    let command = format!("setsid sh -c 'echo $$ > {}; exec sleep 600' & sleep 600", file.display());
    let frame = farm.launch("0001-smoke", &command).await;
    let process = farm.is_running(&frame, &file).await;
    let address = farm.agent.address();
    farm.agent.stop().await.unwrap();
    is_gone(process).await;
    refuses(address).await;
}
