//! The simulated farm, seen through a gRPC client and a small Cuebot.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that can not go on has failed")]

use std::collections::BTreeSet;
use std::error::Error as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cue_scheduler_proto::host::HardwareState;
use cue_scheduler_proto::report::rqd_report_interface_server::{RqdReportInterface, RqdReportInterfaceServer};
use cue_scheduler_proto::report::{
    BootReport, FrameCompleteReport, HostReport, RqdReportRqdStartupRequest, RqdReportRqdStartupResponse,
    RqdReportRunningFrameCompletionRequest, RqdReportRunningFrameCompletionResponse, RqdReportStatusRequest,
    RqdReportStatusResponse,
};
use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use cue_scheduler_proto::rqd::running_frame_client::RunningFrameClient;
use cue_scheduler_proto::rqd::{
    RqdStaticGetRunFrameRequest, RqdStaticGetRunningFrameStatusRequest, RqdStaticKillRunningFrameRequest,
    RqdStaticLaunchFrameRequest, RqdStaticLockRequest, RqdStaticReportStatusRequest, RqdStaticShutdownIdleRequest,
    RunFrame, RunningFrameStatusRequest,
};
use futures::StreamExt as _;
use testbed::farm_sim::{
    Cause, Chance, Completion, FarmConfig, FarmSim, Fault, HostSet, Hosts, LaunchFault, Listen, Manner, Starts,
};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 2);
/// Far more than anything here takes; only a failure waits so long.
const LIMIT: Duration = Duration::from_secs(30);

/// What a small Cuebot heard.
#[derive(Clone, Default)]
struct Heard {
    boots: Vec<BootReport>,
    reports: Vec<HostReport>,
    completions: Vec<FrameCompleteReport>,
}

/// Answers every report, unless told to refuse completions or all.
#[derive(Clone)]
struct Cuebot {
    heard: Arc<watch::Sender<Heard>>,
    refuses_completions: Arc<Mutex<bool>>,
    refuses_reports: Arc<Mutex<bool>>,
    port: u16,
    _stops_when_dropped: Arc<DropGuard>,
}

impl Cuebot {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = CancellationToken::new();
        let this = Self {
            heard: Arc::default(),
            refuses_completions: Arc::default(),
            refuses_reports: Arc::default(),
            port: listener.local_addr().unwrap().port(),
            _stops_when_dropped: Arc::new(stop.clone().drop_guard()),
        };
        let ears = Ears {
            heard: Arc::clone(&this.heard),
            refuses_completions: Arc::clone(&this.refuses_completions),
            refuses_reports: Arc::clone(&this.refuses_reports),
        };
        let server = Server::builder()
            .add_service(RqdReportInterfaceServer::new(ears))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned());
        tokio::spawn(server);
        this
    }

    fn address(&self) -> Option<String> {
        Some(format!("127.0.0.1:{}", self.port))
    }

    async fn hears(&self, what: impl FnMut(&Heard) -> bool) -> Heard {
        let mut heard = self.heard.subscribe();
        tokio::time::timeout(LIMIT, heard.wait_for(what)).await.expect("Cuebot did not hear it").unwrap().clone()
    }
}

struct Ears {
    heard: Arc<watch::Sender<Heard>>,
    refuses_completions: Arc<Mutex<bool>>,
    refuses_reports: Arc<Mutex<bool>>,
}

#[tonic::async_trait]
impl RqdReportInterface for Ears {
    async fn report_rqd_startup(
        &self,
        request: Request<RqdReportRqdStartupRequest>,
    ) -> Result<Response<RqdReportRqdStartupResponse>, Status> {
        let report = request.into_inner().boot_report.unwrap();
        self.heard.send_modify(|heard| heard.boots.push(report));
        Ok(Response::new(RqdReportRqdStartupResponse {}))
    }

    async fn report_status(
        &self,
        request: Request<RqdReportStatusRequest>,
    ) -> Result<Response<RqdReportStatusResponse>, Status> {
        if *self.refuses_reports.lock().unwrap() {
            return Err(Status::internal("not now"));
        }
        let report = request.into_inner().host_report.unwrap();
        self.heard.send_modify(|heard| heard.reports.push(report));
        Ok(Response::new(RqdReportStatusResponse {}))
    }

    async fn report_running_frame_completion(
        &self,
        request: Request<RqdReportRunningFrameCompletionRequest>,
    ) -> Result<Response<RqdReportRunningFrameCompletionResponse>, Status> {
        if *self.refuses_completions.lock().unwrap() {
            return Err(Status::internal("not now"));
        }
        let report = request.into_inner().frame_complete_report.unwrap();
        self.heard.send_modify(|heard| heard.completions.push(report));
        Ok(Response::new(RqdReportRunningFrameCompletionResponse {}))
    }
}

fn config() -> FarmConfig {
    FarmConfig {
        hosts: vec![HostSet { first: FIRST, count: 2, cores: 4, ..HostSet::default() }],
        process_start: Duration::ZERO,
        first_report: Some(Duration::ZERO),
        report_interval: Some(Duration::from_millis(100)),
        boot_retry: Duration::from_millis(100),
        ..FarmConfig::default()
    }
}

async fn farm(change: impl FnOnce(&mut FarmConfig)) -> FarmSim {
    let mut config = config();
    change(&mut config);
    FarmSim::start(config).await.unwrap()
}

fn channel(sim: &FarmSim, host: Ipv4Addr) -> Channel {
    Endpoint::from_shared(format!("http://{host}:{}", sim.port())).unwrap().connect_lazy()
}

fn agent(sim: &FarmSim, host: Ipv4Addr) -> RqdInterfaceClient<Channel> {
    RqdInterfaceClient::new(channel(sim, host))
}

fn frame(command: &str) -> RunFrame {
    RunFrame {
        resource_id: Uuid::new_v4().to_string(),
        job_id: Uuid::new_v4().to_string(),
        job_name: "show-shot-job".to_owned(),
        frame_id: Uuid::new_v4().to_string(),
        frame_name: "0001-layer".to_owned(),
        layer_id: Uuid::new_v4().to_string(),
        command: command.to_owned(),
        num_cores: 100,
        pid: i32::MAX,
        ..RunFrame::default()
    }
}

async fn launch(client: &mut RqdInterfaceClient<Channel>, frame: &RunFrame) -> Result<(), Status> {
    client.launch_frame(RqdStaticLaunchFrameRequest { run_frame: Some(frame.clone()) }).await.map(drop)
}

async fn launch_within(
    client: &mut RqdInterfaceClient<Channel>,
    frame: &RunFrame,
    limit: Duration,
) -> Result<(), Status> {
    let mut request = Request::new(RqdStaticLaunchFrameRequest { run_frame: Some(frame.clone()) });
    request.set_timeout(limit);
    client.launch_frame(request).await.map(drop)
}

async fn kill(client: &mut RqdInterfaceClient<Channel>, frame_id: &str, message: &str) -> Result<(), Status> {
    let request = RqdStaticKillRunningFrameRequest { frame_id: frame_id.to_owned(), message: message.to_owned() };
    client.kill_running_frame(request).await.map(drop)
}

async fn listed(client: &mut RqdInterfaceClient<Channel>) -> HostReport {
    client.report_status(RqdStaticReportStatusRequest {}).await.unwrap().into_inner().host_report.unwrap()
}

/// A status that the agent sent has no cause; one made on the way has one.
fn is_from_agent(status: &Status) -> bool {
    status.source().is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_addresses_at_one_port_are_two_hosts() {
    let sim = farm(|_| {}).await;
    let (mut first, mut second) = (agent(&sim, FIRST), agent(&sim, SECOND));
    let run = frame("sleep 60");
    launch(&mut first, &run).await.unwrap();

    let report = listed(&mut first).await;
    assert_eq!(report.host.unwrap().name, "127.1.0.1");
    assert_eq!(report.frames[0].resource_id, run.resource_id);
    let cores = report.core_info.unwrap();
    assert_eq!((cores.total_cores, cores.idle_cores, cores.booked_cores), (400, 300, 100));

    let other = listed(&mut second).await;
    assert_eq!(other.host.unwrap().name, "127.1.0.2");
    assert!(other.frames.is_empty());
    assert_eq!(sim.running()[0].host, FIRST);
    assert!(sim.open_files() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_no_host_is_hung_up_on() {
    let sim = farm(|_| {}).await;
    let stranger = Ipv4Addr::new(127, 9, 9, 9);
    let status = launch(&mut agent(&sim, stranger), &frame("true")).await.unwrap_err();
    assert!(!is_from_agent(&status), "{status:?}");
    assert_eq!(sim.launched_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_runs_and_its_completion_reaches_cuebot() {
    for manner in [Manner::Python, Manner::Rust] {
        let cuebot = Cuebot::start().await;
        let sim = farm(|config| {
            config.cuebot = cuebot.address();
            config.manner = manner;
            config.hosts[0].tags = vec!["general".to_owned()];
        })
        .await;
        let heard = cuebot.hears(|heard| heard.boots.len() == 2 && heard.reports.len() >= 2).await;
        let host = heard.boots[0].host.clone().unwrap();
        assert_eq!((host.num_procs, host.cores_per_proc, host.state()), (1, 400, HardwareState::Up));
        assert_eq!((host.tags, host.facility), (vec!["general".to_owned()], "local".to_owned()));
        assert_eq!(host.attributes["SP_OS"], "linux");

        let run = frame("sleep 0.2; exit 7");
        launch(&mut agent(&sim, SECOND), &run).await.unwrap();
        let heard = cuebot.hears(|heard| !heard.completions.is_empty()).await;
        let completion = &heard.completions[0];
        let info = completion.frame.as_ref().unwrap();
        assert_eq!(
            (info.frame_id.as_str(), info.resource_id.as_str()),
            (run.frame_id.as_str(), run.resource_id.as_str())
        );
        assert_eq!(completion.host.as_ref().unwrap().name, "127.1.0.2");
        assert_eq!((completion.exit_status, completion.exit_signal, completion.run_time), (7, 0, 0));

        assert!(sim.wait_until(LIMIT, |sim| sim.counts().completions == 1).await);
        let runs = sim.record();
        let end = runs[0].end.unwrap();
        assert!(end.at_us - runs[0].started_us >= 200_000);
        assert_eq!((end.cause, end.exit_status), (Cause::Finished, 7));
        assert!(matches!(runs[0].completion, Completion::Delivered(at_us) if at_us >= end.at_us));
        assert_eq!(sim.shutdown().await.running, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_runs_there_already_is_refused() {
    for (manner, code) in [(Manner::Python, Code::Unknown), (Manner::Rust, Code::InvalidArgument)] {
        let sim = farm(|config| config.manner = manner).await;
        let mut client = agent(&sim, FIRST);
        let run = frame("sleep 60");
        launch(&mut client, &run).await.unwrap();
        let status = launch(&mut client, &run).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert!(is_from_agent(&status));
        assert_eq!((sim.launched_count(), sim.counts().refused["duplicate"]), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_frame_ends_and_an_unknown_one_is_not_found() {
    for (manner, signal) in [(Manner::Python, 9), (Manner::Rust, 15)] {
        let cuebot = Cuebot::start().await;
        let sim = farm(|config| {
            config.manner = manner;
            config.cuebot = cuebot.address();
        })
        .await;
        cuebot.hears(|heard| heard.boots.len() == 2).await;
        assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 2).await);
        let mut client = agent(&sim, FIRST);
        let run = frame("sleep 60");
        launch(&mut client, &run).await.unwrap();
        kill(&mut client, &run.frame_id, "no longer wanted").await.unwrap();
        let heard = cuebot.hears(|heard| !heard.completions.is_empty()).await;
        assert_eq!((heard.completions[0].exit_status, heard.completions[0].exit_signal), (1, signal));
        assert_eq!(sim.record()[0].end.unwrap().cause, Cause::Killed);

        let status = kill(&mut client, &run.frame_id, "again").await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert!(is_from_agent(&status));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_before_there_is_a_process_does_what_each_agent_does() {
    let early = |manner| farm(move |config| (config.manner, config.process_start) = (manner, Duration::from_secs(60)));

    let sim = early(Manner::Rust).await;
    let mut client = agent(&sim, FIRST);
    let run = frame("sleep 60");
    launch(&mut client, &run).await.unwrap();
    assert_eq!(kill(&mut client, &run.frame_id, "early").await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(sim.running().len(), 1);

    let sim = early(Manner::Python).await;
    let mut client = agent(&sim, FIRST);
    launch(&mut client, &run).await.unwrap();
    assert!(listed(&mut client).await.frames.is_empty(), "an agent in Python lists a frame later than it accepts it");
    kill(&mut client, &run.frame_id, "early").await.unwrap();
    assert_eq!(sim.running().len(), 1, "the answer was fine, and nothing was killed");

    let run = RunFrame { pid: 0, ..frame("sleep 60") };
    launch(&mut client, &run).await.unwrap();
    let status = kill(&mut client, &run.frame_id, "early").await.unwrap_err();
    assert!(!is_from_agent(&status), "the agent killed itself: {status:?}");
    assert!(sim.running().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_on_command_is_sent_by_the_agent_and_nothing_runs() {
    let sim = farm(|_| {}).await;
    assert_eq!(sim.set_fault(FIRST, Fault::Launch(LaunchFault::Refuse(Code::Aborted))).await.unwrap(), 1);
    let mut client = agent(&sim, FIRST);
    let status = launch(&mut client, &frame("true")).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(is_from_agent(&status));
    launch(&mut agent(&sim, SECOND), &frame("true")).await.unwrap();
    assert_eq!((sim.launched_count(), sim.counts().faults["refuse"]), (1, 1));

    sim.set_fault(Hosts::All, Fault::Healthy).await.unwrap();
    launch(&mut client, &frame("true")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_that_hangs_ends_by_the_clients_clock_and_runs_or_not() {
    let sim = farm(|_| {}).await;
    for (runs, expected) in [(false, 0), (true, 1)] {
        sim.set_fault(FIRST, Fault::Launch(LaunchFault::Hang { runs })).await.unwrap();
        let mut client = agent(&sim, FIRST);
        let status = launch_within(&mut client, &frame("sleep 60"), Duration::from_millis(300)).await.unwrap_err();
        assert!(!is_from_agent(&status), "{status:?}");
        assert_eq!(sim.launched_count(), expected);
        assert_eq!(listed(&mut client).await.frames.len() as u64, expected, "other calls are answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_host_answers_nothing_and_reports_on() {
    let cuebot = Cuebot::start().await;
    let sim = farm(|config| config.cuebot = cuebot.address()).await;
    sim.set_fault(FIRST, Fault::Silent).await.unwrap();
    let mut request = Request::new(RqdStaticReportStatusRequest {});
    request.set_timeout(Duration::from_millis(300));
    let status = agent(&sim, FIRST).report_status(request).await.unwrap_err();
    assert!(!is_from_agent(&status));
    let before = sim.counts().reports;
    assert!(sim.wait_until(LIMIT, |sim| sim.counts().reports > before + 4).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_comes_late_and_the_frame_starts_before_or_after_the_delay() {
    let delay = Duration::from_millis(400);
    let sim = farm(|_| {}).await;
    let late = |starts| Fault::Launch(LaunchFault::Late { delay, starts });

    sim.set_fault(FIRST, late(Starts::AtOnce)).await.unwrap();
    let began = Instant::now();
    launch(&mut agent(&sim, FIRST), &frame("sleep 60")).await.unwrap();
    assert!(began.elapsed() >= delay);
    let started = sim.record()[0].started();
    assert!(started.elapsed().unwrap() >= delay.mul_f64(0.9));

    sim.set_fault(FIRST, late(Starts::AtAnswer)).await.unwrap();
    let mut client = agent(&sim, FIRST);
    let status = launch_within(&mut client, &frame("sleep 60"), Duration::from_millis(100)).await.unwrap_err();
    assert!(!is_from_agent(&status));
    assert_eq!(sim.launched_count(), 1, "the client has given up, and nothing runs yet");
    assert!(sim.wait_until(LIMIT, |sim| sim.launched_count() == 2).await, "the frame starts all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_answer_is_a_transport_error_although_the_frame_runs() {
    let sim = farm(|_| {}).await;
    for (runs, expected) in [(true, 1), (false, 1)] {
        sim.set_fault(FIRST, Fault::Launch(LaunchFault::Drop { runs })).await.unwrap();
        let mut client = agent(&sim, FIRST);
        let status = launch(&mut client, &frame("sleep 60")).await.unwrap_err();
        assert!(!is_from_agent(&status), "{status:?}");
        assert_eq!(sim.running().len(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_host_loses_its_frames_and_comes_back_with_a_boot_report() {
    let cuebot = Cuebot::start().await;
    let sim = farm(|config| config.cuebot = cuebot.address()).await;
    cuebot.hears(|heard| heard.boots.len() == 2).await;
    let mut client = agent(&sim, FIRST);
    launch(&mut client, &frame("sleep 60")).await.unwrap();

    sim.set_fault(FIRST, Fault::Dead).await.unwrap();
    let run = &sim.record()[0];
    assert_eq!((run.end.unwrap().cause, run.completion), (Cause::Lost, Completion::Unsent));
    for _ in 0..2 {
        let status = launch(&mut client, &frame("true")).await.unwrap_err();
        assert!(!is_from_agent(&status), "{status:?}");
    }

    sim.set_fault(FIRST, Fault::Healthy).await.unwrap();
    let heard = cuebot.hears(|heard| heard.boots.len() == 3).await;
    assert_eq!(heard.boots[2].host.as_ref().unwrap().name, "127.1.0.1");
    assert!(listed(&mut client).await.frames.is_empty());
    assert!(heard.completions.is_empty());
    assert_eq!(sim.launched_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_host_comes_back_with_its_frames_and_without_a_boot_report() {
    for (manner, completions) in [(Manner::Python, 1), (Manner::Rust, 2)] {
        let cuebot = Cuebot::start().await;
        let sim = farm(|config| {
            config.cuebot = cuebot.address();
            config.manner = manner;
        })
        .await;
        assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 2).await);
        let mut client = agent(&sim, FIRST);
        let (short, long) = (frame("sleep 0.3"), frame("sleep 60"));
        launch(&mut client, &short).await.unwrap();
        launch(&mut client, &long).await.unwrap();
        sim.set_fault(FIRST, Fault::Partitioned).await.unwrap();
        assert!(!is_from_agent(&launch(&mut client, &frame("true")).await.unwrap_err()));
        assert!(sim.wait_until(LIMIT, |sim| sim.running().len() == 1).await, "frames end behind a partition too");
        if manner == Manner::Python {
            assert!(sim.wait_until(LIMIT, |sim| sim.record()[0].completion == Completion::Lost).await);
        }

        sim.set_fault(FIRST, Fault::Healthy).await.unwrap();
        let report = listed(&mut client).await;
        assert_eq!(report.frames.iter().map(|frame| &frame.frame_id).collect::<Vec<_>>(), [&long.frame_id]);
        kill(&mut client, &long.frame_id, "the test is over").await.unwrap();
        let heard = cuebot.hears(|heard| heard.completions.len() == completions).await;
        assert_eq!(heard.boots.len(), 2, "the agent was never away");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_of_its_own_refuses_connections_while_the_host_is_dead() {
    let sim = farm(|config| config.listen = Listen::PerHost).await;
    let target = |host| (host, sim.port());
    tokio::net::TcpStream::connect(target(FIRST)).await.unwrap();
    sim.set_fault(FIRST, Fault::Dead).await.unwrap();
    let error = tokio::net::TcpStream::connect(target(FIRST)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    launch(&mut agent(&sim, SECOND), &frame("true")).await.unwrap();
    sim.set_fault(FIRST, Fault::Healthy).await.unwrap();
    launch(&mut agent(&sim, FIRST), &frame("true")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_that_cuebot_refuses_is_lost_in_python_and_repeated_in_rust() {
    for manner in [Manner::Python, Manner::Rust] {
        let cuebot = Cuebot::start().await;
        *cuebot.refuses_completions.lock().unwrap() = true;
        let sim = farm(|config| {
            config.cuebot = cuebot.address();
            config.manner = manner;
        })
        .await;
        assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 2).await);
        launch(&mut agent(&sim, FIRST), &frame("sleep 0")).await.unwrap();
        assert!(sim.wait_until(LIMIT, |sim| sim.counts().completions_failed >= 1).await);
        *cuebot.refuses_completions.lock().unwrap() = false;
        match manner {
            Manner::Python => {
                assert!(sim.wait_until(LIMIT, |sim| sim.counts().completions_lost == 1).await);
                let before = sim.counts().reports;
                assert!(sim.wait_until(LIMIT, |sim| sim.counts().reports > before + 2).await);
                assert_eq!(sim.counts().completions, 0);
            }
            Manner::Rust => {
                cuebot.hears(|heard| heard.completions.len() == 1).await;
                assert!(sim.wait_until(LIMIT, |sim| sim.counts().completions == 1).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_host_report_ends_an_agent_in_rust_which_boots_again_with_its_frames() {
    let cuebot = Cuebot::start().await;
    let sim = farm(|config| {
        config.cuebot = cuebot.address();
        config.manner = Manner::Rust;
        config.hosts[0].count = 1;
    })
    .await;
    assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 1).await);
    launch(&mut agent(&sim, FIRST), &frame("sleep 60")).await.unwrap();
    *cuebot.refuses_reports.lock().unwrap() = true;
    cuebot.hears(|heard| heard.boots.len() == 2).await;
    *cuebot.refuses_reports.lock().unwrap() = false;
    cuebot.hears(|heard| heard.reports.last().is_some_and(|report| report.frames.len() == 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_boots_once_cuebot_is_there() {
    // A port that was free a moment ago; the farm starts before anybody listens at it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sim = farm(|config| config.cuebot = Some(address.to_string())).await;
    assert!(sim.wait_until(LIMIT, |sim| sim.counts().reports_failed >= 2).await);

    let ears = Ears { heard: Arc::default(), refuses_completions: Arc::default(), refuses_reports: Arc::default() };
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = Server::builder()
        .add_service(RqdReportInterfaceServer::new(ears))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 2).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_that_an_agent_lacks_fail_as_they_do_there() {
    for manner in [Manner::Python, Manner::Rust] {
        let sim = farm(|config| config.manner = manner).await;
        let mut client = agent(&sim, FIRST);
        let run = frame("sleep 60");
        launch(&mut client, &run).await.unwrap();

        let obsolete = client.get_run_frame(RqdStaticGetRunFrameRequest::default()).await.unwrap_err();
        let request = RqdStaticGetRunningFrameStatusRequest { frame_id: run.frame_id.clone() };
        let status = client.get_running_frame_status(request).await;
        let request = RunningFrameStatusRequest { run_frame: Some(run.clone()) };
        let other = RunningFrameClient::new(channel(&sim, FIRST)).status(request).await;
        // One core in Rust's unit, one hundredth in Python's.
        client.lock(RqdStaticLockRequest { cores: 1 }).await.unwrap();
        let locked = listed(&mut client).await.core_info.unwrap().locked_cores;
        match manner {
            Manner::Python => {
                assert_eq!(obsolete.code(), Code::Unimplemented);
                assert_eq!(status.unwrap_err().code(), Code::Unknown);
                assert_eq!(other.unwrap_err().code(), Code::Unimplemented);
                assert_eq!(locked, 1);
            }
            Manner::Rust => {
                assert_eq!(obsolete.code(), Code::Cancelled);
                assert!(!is_from_agent(&obsolete), "the stream was reset: {obsolete:?}");
                let info = status.unwrap().into_inner().running_frame_info.unwrap();
                assert_eq!(info.resource_id, run.resource_id);
                assert_eq!(other.unwrap().into_inner().running_frame_info.unwrap().frame_id, run.frame_id);
                assert_eq!(locked, 100);
                assert_eq!(listed(&mut client).await.frames.len(), 1, "the agent survives the crash of a call");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_waits_for_idle_takes_nothing_more_and_goes_down_after_its_last_frame() {
    let sim = farm(|_| {}).await;
    let mut client = agent(&sim, FIRST);
    launch(&mut client, &frame("sleep 0.3")).await.unwrap();
    client.shutdown_rqd_idle(RqdStaticShutdownIdleRequest {}).await.unwrap();
    assert_eq!(launch(&mut client, &frame("true")).await.unwrap_err().code(), Code::Unknown);
    assert!(sim.wait_until(LIMIT, |sim| sim.running().is_empty()).await);
    assert_eq!(sim.record()[0].end.unwrap().cause, Cause::Finished);
    let gone = tokio::time::timeout(LIMIT, async {
        while client.report_status(RqdStaticReportStatusRequest {}).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert!(gone.await.is_ok(), "the agent should be gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_sits_down_ends_the_frames_and_locks_the_host() {
    let cuebot = Cuebot::start().await;
    let sim = farm(|config| config.cuebot = cuebot.address()).await;
    cuebot.hears(|heard| heard.boots.len() == 2).await;
    let mut client = agent(&sim, FIRST);
    launch(&mut client, &frame("sleep 60")).await.unwrap();
    sim.set_nimby(FIRST, true);
    let heard = cuebot.hears(|heard| !heard.completions.is_empty()).await;
    assert_eq!(heard.completions[0].exit_status, 286);
    assert!(heard.completions[0].host.as_ref().unwrap().nimby_locked);
    assert_eq!(launch(&mut client, &frame("true")).await.unwrap_err().code(), Code::Unknown);
    sim.set_nimby(FIRST, false);
    sim.set_hardware(FIRST, HardwareState::Repair);
    assert_eq!(launch(&mut client, &frame("true")).await.unwrap_err().code(), Code::Unknown);
    sim.set_hardware(FIRST, HardwareState::Up);
    launch(&mut client, &frame("true")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_by_chance_strike_about_as_often_as_wanted() {
    let fault = LaunchFault::Refuse(Code::Aborted);
    let sim = farm(|config| {
        config.hosts[0].cores = 1000;
        config.chances = vec![Chance { probability: 0.3, fault }];
    })
    .await;
    let mut client = agent(&sim, FIRST);
    for _ in 0..300 {
        let answer = launch(&mut client, &frame("sleep 60")).await;
        assert!(answer.is_ok() || answer.unwrap_err().code() == Code::Aborted);
    }
    let struck = sim.counts().faults["refuse"];
    assert!((50..140).contains(&struck), "{struck} of 300");
    assert_eq!(sim.launched_count(), 300 - struck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_catches_a_frame_that_runs_twice_at_once_and_no_other() {
    let sim = farm(|_| {}).await;
    let twice = frame("sleep 60");
    let again = RunFrame { resource_id: Uuid::new_v4().to_string(), ..twice.clone() };
    let once = frame("sleep 0");
    launch(&mut agent(&sim, FIRST), &once).await.unwrap();
    assert!(sim.wait_until(LIMIT, |sim| sim.running().is_empty()).await);
    launch(&mut agent(&sim, SECOND), &once).await.unwrap();
    launch(&mut agent(&sim, FIRST), &twice).await.unwrap();
    launch(&mut agent(&sim, SECOND), &again).await.unwrap();

    let overlaps = sim.overlaps();
    assert_eq!(overlaps.len(), 1);
    assert_eq!(overlaps[0].first.resource_id, twice.resource_id);
    assert_eq!(overlaps[0].second.resource_id, again.resource_id);
    assert_eq!((overlaps[0].first.host, overlaps[0].second.host), (FIRST, SECOND));
    assert_eq!(sim.shutdown().await.overlaps.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hosts_boot_within_seconds_and_two_thousand_of_them_run_a_frame() {
    let cuebot = Cuebot::start().await;
    let began = Instant::now();
    let sim = farm(|config| {
        config.hosts[0].count = 10_000;
        config.cuebot = cuebot.address();
        config.first_report = None;
        config.report_interval = None;
    })
    .await;
    assert!(sim.wait_until(LIMIT * 4, |sim| sim.counts().boots == 10_000).await, "{:?}", sim.counts());
    let names: BTreeSet<_> =
        cuebot.heard.borrow().boots.iter().map(|boot| boot.host.as_ref().unwrap().name.clone()).collect();
    assert_eq!(names.len(), 10_000);
    println!("10000 boot reports: {:?}", began.elapsed());

    let began = Instant::now();
    let hosts: Vec<_> = sim.hosts().into_iter().step_by(5).collect();
    futures::stream::iter(hosts)
        .for_each_concurrent(64, |host| {
            let mut client = agent(&sim, host);
            async move { launch(&mut client, &frame("sleep 1")).await.unwrap() }
        })
        .await;
    println!("2000 launches, a connection each: {:?}", began.elapsed());
    assert!(sim.wait_until(LIMIT * 4, |sim| sim.counts().completions == 2000).await, "{:?}", sim.counts());
    println!("2000 completions: {:?}", began.elapsed());
    let ran_on: BTreeSet<_> = sim.record().iter().map(|run| run.host).collect();
    assert_eq!(ran_on.len(), 2000);
    assert!(sim.overlaps().is_empty());
}
