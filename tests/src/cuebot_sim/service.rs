//! The three reports of agents. Each is answered with OK whatever came of it, unless the stand-in was told to refuse: an agent
//! of the Rust kind exits when a report of its host is refused, and one of the Python kind loses a completion for good.

use std::sync::Arc;

use cue_scheduler_proto::report::rqd_report_interface_server::{RqdReportInterface, RqdReportInterfaceServer};
use cue_scheduler_proto::report::{
    RqdReportRqdStartupRequest, RqdReportRqdStartupResponse, RqdReportRunningFrameCompletionRequest,
    RqdReportRunningFrameCompletionResponse, RqdReportStatusRequest, RqdReportStatusResponse,
};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Cuebot, completion, lock, reports};

/// Reports that are dealt with at once; more wait here, in order and without end, rather than for a connection to the database,
/// which they would wait for with a time-out and then be lost.
const REPORTS_AT_ONCE: usize = 16;

pub(super) async fn serve(cuebot: Arc<Cuebot>, listener: TcpListener, stop: CancellationToken) {
    let service = Service { cuebot, at_once: Arc::new(Semaphore::new(REPORTS_AT_ONCE)) };
    let served = Server::builder()
        .add_service(RqdReportInterfaceServer::new(service))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the report service ended: {error}");
    }
}

struct Service {
    cuebot: Arc<Cuebot>,
    at_once: Arc<Semaphore>,
}

impl Service {
    fn admit(&self) -> Result<(), Status> {
        match *lock(&self.cuebot.refusal) {
            Some(code) => Err(Status::new(code, "the stand-in was told to refuse reports")),
            None => Ok(()),
        }
    }

    /// Does the work in a task of its own, so that an agent which hangs up in the middle doesn't undo half of it.
    async fn finish(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<(), sqlx::Error>> + Send + 'static,
    ) -> Result<(), Status> {
        let permit = self.at_once.clone().acquire_owned().await;
        let work = async move {
            let _permit = permit;
            work.await
        };
        let outcome = match tokio::spawn(work).await {
            Ok(outcome) => outcome,
            Err(error) => return Err(Status::internal(format!("dealing with a {what} ended badly: {error}"))),
        };
        if let Err(error) = outcome {
            self.cuebot.counts.failures.one();
            tracing::error!(%error, "a {what} was not dealt with: {error}");
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl RqdReportInterface for Service {
    async fn report_rqd_startup(
        &self,
        request: Request<RqdReportRqdStartupRequest>,
    ) -> Result<Response<RqdReportRqdStartupResponse>, Status> {
        self.admit()?;
        let cuebot = self.cuebot.clone();
        self.finish("boot report", async move {
            match request.into_inner().boot_report {
                Some(report) => reports::boot(&cuebot, &report).await,
                None => Ok(()),
            }
        })
        .await?;
        Ok(Response::new(RqdReportRqdStartupResponse {}))
    }

    async fn report_running_frame_completion(
        &self,
        request: Request<RqdReportRunningFrameCompletionRequest>,
    ) -> Result<Response<RqdReportRunningFrameCompletionResponse>, Status> {
        self.admit()?;
        let cuebot = self.cuebot.clone();
        self.finish("completion report", async move {
            match request.into_inner().frame_complete_report {
                Some(report) => completion::complete(&cuebot, &report).await,
                None => Ok(()),
            }
        })
        .await?;
        Ok(Response::new(RqdReportRunningFrameCompletionResponse {}))
    }

    async fn report_status(
        &self,
        request: Request<RqdReportStatusRequest>,
    ) -> Result<Response<RqdReportStatusResponse>, Status> {
        self.admit()?;
        let cuebot = self.cuebot.clone();
        self.finish("host report", async move {
            match request.into_inner().host_report {
                Some(report) => reports::status(&cuebot, &report).await,
                None => Ok(()),
            }
        })
        .await?;
        Ok(Response::new(RqdReportStatusResponse {}))
    }
}
