//! Agents to call: real servers on loopback addresses, all of a test on one port, each told how to behave.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use cue_scheduler_proto::rqd::rqd_interface_server::{RqdInterface, RqdInterfaceServer};
use cue_scheduler_proto::{report, rqd};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tonic::codegen::{Service, http};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

/// What an agent does with a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Runs it and says so.
    Accept,
    /// Refuses it with a code.
    Refuse(Code),
    /// Refuses frames of the layer `bad`, and runs all others.
    RefuseBad,
    /// Runs it, and the connection breaks before the answer.
    RunAndBreak,
    /// Doesn't run it, and the connection breaks before the answer.
    Break,
    /// Doesn't run it and doesn't answer.
    Hang,
    /// Fails inside.
    Panic,
}

/// An agent, until it is dropped.
pub(super) struct Agent {
    pub(super) address: String,
    pub(super) state: Arc<AgentState>,
    _server: AbortOnDropHandle<()>,
    _wire: AbortOnDropHandle<()>,
}

pub(super) struct AgentState {
    behaviour: Behaviour,
    /// What was launched, in order.
    pub(super) launches: Mutex<Vec<rqd::RunFrame>>,
    /// Resource ids of what runs.
    pub(super) running: Mutex<Vec<String>>,
    pub(super) questions: AtomicUsize,
    pub(super) connections: AtomicUsize,
    in_call: AtomicUsize,
    pub(super) in_call_max: AtomicUsize,
    /// Breaks all connections.
    pub(super) cut: Notify,
}

/// A port, free on an address, that the agents of a test share.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts an agent on 127.0.`test`.`number`.
pub(super) async fn start(test: u8, number: u8, port: u16, behaviour: Behaviour) -> Agent {
    let address = format!("127.0.{test}.{number}");
    let listener = TcpListener::bind((address.as_str(), port)).await.unwrap();
    let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind_at = behind.local_addr().unwrap();
    let state = Arc::new(AgentState {
        behaviour,
        launches: Mutex::default(),
        running: Mutex::default(),
        questions: AtomicUsize::new(0),
        connections: AtomicUsize::new(0),
        in_call: AtomicUsize::new(0),
        in_call_max: AtomicUsize::new(0),
        cut: Notify::new(),
    });
    let server = tonic::transport::Server::builder()
        .add_service(RqdInterfaceServer::new(Rqd(state.clone())))
        .serve_with_incoming(TcpIncoming::from(behind));
    Agent {
        address,
        _server: AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() })),
        _wire: AbortOnDropHandle::new(tokio::spawn(carry(listener, behind_at, state.clone()))),
        state,
    }
}

/// Carries connections to the server behind, until they are cut.
async fn carry(listener: TcpListener, to: SocketAddr, state: Arc<AgentState>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        state.connections.fetch_add(1, Ordering::SeqCst);
        let state = state.clone();
        connections.spawn(async move {
            let mut to = TcpStream::connect(to).await.unwrap();
            tokio::select! {
                ended = tokio::io::copy_bidirectional(&mut from, &mut to) => drop(ended),
                () = state.cut.notified() => {}
            }
            // So that the other side sees a reset and not an orderly end.
            let at_once: io::Result<()> = SockRef::from(&from).set_linger(Some(std::time::Duration::ZERO));
            drop((at_once, from));
        });
    }
}

struct Rqd(Arc<AgentState>);

impl Rqd {
    async fn launch(&self, request: rqd::RqdStaticLaunchFrameRequest) -> Result<(), Status> {
        let frame = request.run_frame.unwrap();
        let resource = frame.resource_id.clone();
        let behaviour = match self.0.behaviour {
            Behaviour::RefuseBad if frame.layer_id == "bad" => Behaviour::Refuse(Code::Aborted),
            Behaviour::RefuseBad => Behaviour::Accept,
            other => other,
        };
        self.0.launches.lock().unwrap().push(frame);
        if matches!(behaviour, Behaviour::Accept | Behaviour::RunAndBreak) {
            self.0.running.lock().unwrap().push(resource);
        }
        match behaviour {
            Behaviour::Accept | Behaviour::RefuseBad => Ok(()),
            Behaviour::Refuse(code) => Err(Status::new(code, "no")),
            Behaviour::RunAndBreak | Behaviour::Break => {
                self.0.cut.notify_one();
                std::future::pending().await
            }
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Panic => panic!("the agent fails inside, as a test wants it"),
        }
    }

    fn report(&self) -> rqd::RqdStaticReportStatusResponse {
        self.0.questions.fetch_add(1, Ordering::SeqCst);
        let running = self.0.running.lock().unwrap();
        let frames = running
            .iter()
            // As an agent does that reads ids as UUIDs.
            .map(|id| report::RunningFrameInfo { resource_id: id.to_lowercase(), ..Default::default() })
            .collect();
        rqd::RqdStaticReportStatusResponse { host_report: Some(report::HostReport { frames, ..Default::default() }) }
    }
}

/// Counts a call while it lasts.
struct InCall<'a>(&'a AgentState);

impl<'a> InCall<'a> {
    fn of(state: &'a AgentState) -> Self {
        let now = state.in_call.fetch_add(1, Ordering::SeqCst) + 1;
        state.in_call_max.fetch_max(now, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        self.0.in_call.fetch_sub(1, Ordering::SeqCst);
    }
}

macro_rules! serve {
    ($($method:ident($request:ident) -> $response:ident),+ $(,)?) => {
        #[tonic::async_trait]
        impl RqdInterface for Rqd {
            async fn launch_frame(
                &self,
                request: Request<rqd::RqdStaticLaunchFrameRequest>,
            ) -> Result<Response<rqd::RqdStaticLaunchFrameResponse>, Status> {
                let _in_call = InCall::of(&self.0);
                self.launch(request.into_inner()).await.map(|()| Response::new(Default::default()))
            }

            async fn report_status(
                &self,
                _: Request<rqd::RqdStaticReportStatusRequest>,
            ) -> Result<Response<rqd::RqdStaticReportStatusResponse>, Status> {
                Ok(Response::new(self.report()))
            }

            $(async fn $method(
                &self,
                _: Request<rqd::$request>,
            ) -> Result<Response<rqd::$response>, Status> {
                Err(Status::unimplemented("nobody calls this"))
            })+
        }
    };
}

serve! {
    get_run_frame(RqdStaticGetRunFrameRequest) -> RqdStaticGetRunFrameResponse,
    get_running_frame_status(RqdStaticGetRunningFrameStatusRequest) -> RqdStaticGetRunningFrameStatusResponse,
    kill_running_frame(RqdStaticKillRunningFrameRequest) -> RqdStaticKillRunningFrameResponse,
    lock(RqdStaticLockRequest) -> RqdStaticLockResponse,
    lock_all(RqdStaticLockAllRequest) -> RqdStaticLockAllResponse,
    nimby_off(RqdStaticNimbyOffRequest) -> RqdStaticNimbyOffResponse,
    nimby_on(RqdStaticNimbyOnRequest) -> RqdStaticNimbyOnResponse,
    reboot_idle(RqdStaticRebootIdleRequest) -> RqdStaticRebootIdleResponse,
    reboot_now(RqdStaticRebootNowRequest) -> RqdStaticRebootNowResponse,
    restart_rqd_idle(RqdStaticRestartIdleRequest) -> RqdStaticRestartIdleResponse,
    restart_rqd_now(RqdStaticRestartNowRequest) -> RqdStaticRestartNowResponse,
    shutdown_rqd_idle(RqdStaticShutdownIdleRequest) -> RqdStaticShutdownIdleResponse,
    shutdown_rqd_now(RqdStaticShutdownNowRequest) -> RqdStaticShutdownNowResponse,
    unlock(RqdStaticUnlockRequest) -> RqdStaticUnlockResponse,
    unlock_all(RqdStaticUnlockAllRequest) -> RqdStaticUnlockAllResponse,
}

/// A server that answers every call with an HTTP response of the test's making.
#[derive(Clone)]
pub(super) struct Raw(pub(super) fn() -> http::Response<tonic::body::Body>);

impl tonic::server::NamedService for Raw {
    const NAME: &'static str = "rqd.RqdInterface";
}

impl Service<http::Request<tonic::body::Body>> for Raw {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<tonic::body::Body>) -> Self::Future {
        let answer = self.0();
        Box::pin(async move { Ok(answer) })
    }
}

/// Starts a raw server on 127.0.`test`.`number`.
pub(super) async fn start_raw(test: u8, number: u8, port: u16, raw: Raw) -> (String, AbortOnDropHandle<()>) {
    let address = format!("127.0.{test}.{number}");
    let listener = TcpListener::bind((address.as_str(), port)).await.unwrap();
    let server = tonic::transport::Server::builder().add_service(raw).serve_with_incoming(TcpIncoming::from(listener));
    (address, AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() })))
}
