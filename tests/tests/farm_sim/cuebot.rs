//! A Cuebot that listens, and refuses when told to.

use std::sync::{Arc, Mutex};

use cue_scheduler_proto::report::rqd_report_interface_server::{RqdReportInterface, RqdReportInterfaceServer};
use cue_scheduler_proto::report::{
    BootReport, FrameCompleteReport, HostReport, RqdReportRqdStartupRequest, RqdReportRqdStartupResponse,
    RqdReportRunningFrameCompletionRequest, RqdReportRunningFrameCompletionResponse, RqdReportStatusRequest,
    RqdReportStatusResponse,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::LIMIT;

/// What a small Cuebot heard.
#[derive(Clone, Default)]
pub struct Heard {
    pub boots: Vec<BootReport>,
    pub reports: Vec<HostReport>,
    pub completions: Vec<FrameCompleteReport>,
}

/// Answers every report, unless told to refuse completions or all.
#[derive(Clone)]
pub struct Cuebot {
    pub heard: Arc<watch::Sender<Heard>>,
    pub refuses_completions: Arc<Mutex<bool>>,
    pub refuses_reports: Arc<Mutex<bool>>,
    /// While true, boot reports are heard and not answered.
    pub holds_boots: Arc<watch::Sender<bool>>,
    port: u16,
    _stops_when_dropped: Arc<DropGuard>,
}

impl Cuebot {
    pub async fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn serve(listener: TcpListener) -> Self {
        let stop = CancellationToken::new();
        let this = Self {
            heard: Arc::default(),
            refuses_completions: Arc::default(),
            refuses_reports: Arc::default(),
            holds_boots: Arc::default(),
            port: listener.local_addr().unwrap().port(),
            _stops_when_dropped: Arc::new(stop.clone().drop_guard()),
        };
        let ears = Ears {
            heard: Arc::clone(&this.heard),
            refuses_completions: Arc::clone(&this.refuses_completions),
            refuses_reports: Arc::clone(&this.refuses_reports),
            holds_boots: Arc::clone(&this.holds_boots),
        };
        let server = Server::builder()
            .add_service(RqdReportInterfaceServer::new(ears))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned());
        tokio::spawn(server);
        this
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub async fn hears(&self, what: impl FnMut(&Heard) -> bool) -> Heard {
        let mut heard = self.heard.subscribe();
        tokio::time::timeout(LIMIT, heard.wait_for(what)).await.expect("Cuebot did not hear it").unwrap().clone()
    }
}

struct Ears {
    heard: Arc<watch::Sender<Heard>>,
    refuses_completions: Arc<Mutex<bool>>,
    refuses_reports: Arc<Mutex<bool>>,
    holds_boots: Arc<watch::Sender<bool>>,
}

#[tonic::async_trait]
impl RqdReportInterface for Ears {
    async fn report_rqd_startup(
        &self,
        request: Request<RqdReportRqdStartupRequest>,
    ) -> Result<Response<RqdReportRqdStartupResponse>, Status> {
        let report = request.into_inner().boot_report.unwrap();
        self.heard.send_modify(|heard| heard.boots.push(report));
        let mut holds = self.holds_boots.subscribe();
        holds.wait_for(|holds| !holds).await.map_err(|_| Status::unavailable("the test is over"))?;
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
