//! The agents' gRPC services: all hosts behind one server, told apart by the connection of each call.

use std::any::Any;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use cue_scheduler_proto::rqd::rqd_interface_server::RqdInterface;
use cue_scheduler_proto::rqd::running_frame_server::RunningFrame;
use cue_scheduler_proto::rqd::{
    RqdStaticGetRunFrameRequest, RqdStaticGetRunFrameResponse, RqdStaticGetRunningFrameStatusRequest,
    RqdStaticGetRunningFrameStatusResponse, RqdStaticKillRunningFrameRequest, RqdStaticKillRunningFrameResponse,
    RqdStaticLaunchFrameRequest, RqdStaticLaunchFrameResponse, RqdStaticLockAllRequest, RqdStaticLockAllResponse,
    RqdStaticLockRequest, RqdStaticLockResponse, RqdStaticNimbyOffRequest, RqdStaticNimbyOffResponse,
    RqdStaticNimbyOnRequest, RqdStaticNimbyOnResponse, RqdStaticRebootIdleRequest, RqdStaticRebootIdleResponse,
    RqdStaticRebootNowRequest, RqdStaticRebootNowResponse, RqdStaticReportStatusRequest, RqdStaticReportStatusResponse,
    RqdStaticRestartIdleRequest, RqdStaticRestartIdleResponse, RqdStaticRestartNowRequest, RqdStaticRestartNowResponse,
    RqdStaticShutdownIdleRequest, RqdStaticShutdownIdleResponse, RqdStaticShutdownNowRequest,
    RqdStaticShutdownNowResponse, RqdStaticUnlockAllRequest, RqdStaticUnlockAllResponse, RqdStaticUnlockRequest,
    RqdStaticUnlockResponse, RunFrame, RunningFrameKillRequest, RunningFrameKillResponse, RunningFrameStatusRequest,
    RunningFrameStatusResponse,
};
use tonic::{Request, Response, Status};

use super::config::Manner;
use super::door::{Callee, HostIndex};
use super::farm::{Farm, Killed};
use super::fault::{Fault, LaunchFault, Starts};
use super::host::WhenIdle;
use super::refusal::Refusal;

type Answer<T> = Result<Response<T>, Status>;

/// Every agent of a farm.
#[derive(Clone)]
pub(super) struct Agents(pub Arc<Farm>);

impl Agents {
    /// Whom the call is for. A silent host hears nothing, and the call waits until its client gives up.
    async fn hear<T>(&self, request: Request<T>) -> Result<(Callee, T), Status> {
        let callee = request.extensions().get::<Callee>().cloned();
        let callee = callee.ok_or_else(|| Status::internal("the connection does not say which host it belongs to"))?;
        let fault = self.0.state(callee.host).fault;
        if fault == Fault::Silent {
            pending::<()>().await;
        }
        Ok((callee, request.into_inner()))
    }

    fn refuse(&self, refusal: Refusal) -> Status {
        if refusal == Refusal::Crash {
            // The real handler panics, which resets the stream without a status. Unwinding does the same, without the noise.
            resume_unwind(Box::new("the call crashes, as that of an agent in Rust does") as Box<dyn Any + Send>);
        }
        refusal.status(self.0.manner())
    }

    /// A method that one of the agents, or both, do not have.
    fn only(&self, python: Result<(), Refusal>, rust: Result<(), Refusal>) -> Result<(), Status> {
        match self.0.manner() {
            Manner::Python => python,
            Manner::Rust => rust,
        }
        .map_err(|refusal| self.refuse(refusal))
    }

    async fn launch(&self, callee: &Callee, frame: Option<RunFrame>) -> Result<(), Status> {
        let host = callee.host;
        let launch = |frame| self.0.launch(host, frame).map_err(|refusal| self.refuse(refusal));
        match self.0.strike(host) {
            None => launch(frame),
            Some(LaunchFault::Refuse(code)) => Err(Status::new(code, "refused, as ordered")),
            Some(LaunchFault::Hang { runs }) => {
                if runs {
                    launch(frame)?;
                }
                pending().await
            }
            Some(LaunchFault::Drop { runs }) => {
                if runs {
                    launch(frame)?;
                }
                callee.cut.pull();
                pending().await
            }
            Some(LaunchFault::Late { delay, starts: Starts::AtOnce }) => {
                launch(frame)?;
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Some(LaunchFault::Late { delay, starts: Starts::AtAnswer }) => {
                // A task of its own: a client that gives up must not keep the frame from starting.
                let farm = Arc::clone(&self.0);
                let started = tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    farm.launch(host, frame)
                });
                match started.await {
                    Ok(answer) => answer.map_err(|refusal| self.refuse(refusal)),
                    Err(error) => Err(Status::internal(format!("a late launch did not come about: {error}"))),
                }
            }
        }
    }

    async fn kill(&self, host: HostIndex, frame_id: &str, message: &str) -> Result<(), Status> {
        match self.0.kill(host, frame_id, message) {
            Ok(Killed::Signalled) => Ok(()),
            // The connection is reset with all others of the agent.
            Ok(Killed::AgentDied) => pending().await,
            Err(refusal) => Err(self.refuse(refusal)),
        }
    }
}

#[tonic::async_trait]
impl RqdInterface for Agents {
    async fn launch_frame(
        &self,
        request: Request<RqdStaticLaunchFrameRequest>,
    ) -> Answer<RqdStaticLaunchFrameResponse> {
        let (callee, request) = self.hear(request).await?;
        self.launch(&callee, request.run_frame).await?;
        Ok(Response::new(RqdStaticLaunchFrameResponse {}))
    }

    async fn kill_running_frame(
        &self,
        request: Request<RqdStaticKillRunningFrameRequest>,
    ) -> Answer<RqdStaticKillRunningFrameResponse> {
        let (callee, request) = self.hear(request).await?;
        self.kill(callee.host, &request.frame_id, &request.message).await?;
        Ok(Response::new(RqdStaticKillRunningFrameResponse {}))
    }

    async fn report_status(
        &self,
        request: Request<RqdStaticReportStatusRequest>,
    ) -> Answer<RqdStaticReportStatusResponse> {
        let (callee, _) = self.hear(request).await?;
        let report = self.0.host_report(callee.host, &self.0.state(callee.host));
        Ok(Response::new(RqdStaticReportStatusResponse { host_report: Some(report) }))
    }

    async fn get_running_frame_status(
        &self,
        request: Request<RqdStaticGetRunningFrameStatusRequest>,
    ) -> Answer<RqdStaticGetRunningFrameStatusResponse> {
        let (callee, request) = self.hear(request).await?;
        // An agent in Python reads a field that does not exist.
        self.only(Err(Refusal::Broken), Ok(()))?;
        let info = self.0.running_info(callee.host, &request.frame_id);
        let info = info.ok_or_else(|| self.refuse(Refusal::NotRunning))?;
        Ok(Response::new(RqdStaticGetRunningFrameStatusResponse { running_frame_info: Some(info) }))
    }

    async fn get_run_frame(
        &self,
        request: Request<RqdStaticGetRunFrameRequest>,
    ) -> Answer<RqdStaticGetRunFrameResponse> {
        self.hear(request).await?;
        self.only(Err(Refusal::NotServed), Err(Refusal::Crash))?;
        Err(self.refuse(Refusal::NotServed))
    }

    async fn lock(&self, request: Request<RqdStaticLockRequest>) -> Answer<RqdStaticLockResponse> {
        let (callee, request) = self.hear(request).await?;
        self.0.lock_cores(callee.host, request.cores.max(0));
        Ok(Response::new(RqdStaticLockResponse {}))
    }

    async fn lock_all(&self, request: Request<RqdStaticLockAllRequest>) -> Answer<RqdStaticLockAllResponse> {
        let (callee, _) = self.hear(request).await?;
        self.0.lock_cores(callee.host, i32::MAX);
        Ok(Response::new(RqdStaticLockAllResponse {}))
    }

    async fn unlock(&self, request: Request<RqdStaticUnlockRequest>) -> Answer<RqdStaticUnlockResponse> {
        let (callee, request) = self.hear(request).await?;
        self.0.lock_cores(callee.host, -request.cores.max(0));
        Ok(Response::new(RqdStaticUnlockResponse {}))
    }

    async fn unlock_all(&self, request: Request<RqdStaticUnlockAllRequest>) -> Answer<RqdStaticUnlockAllResponse> {
        let (callee, _) = self.hear(request).await?;
        self.0.lock_cores(callee.host, -i32::MAX);
        Ok(Response::new(RqdStaticUnlockAllResponse {}))
    }

    async fn nimby_off(&self, request: Request<RqdStaticNimbyOffRequest>) -> Answer<RqdStaticNimbyOffResponse> {
        let (callee, _) = self.hear(request).await?;
        self.only(Ok(()), Err(Refusal::Crash))?;
        self.0.state(callee.host).nimby_enabled = false;
        Ok(Response::new(RqdStaticNimbyOffResponse {}))
    }

    async fn nimby_on(&self, request: Request<RqdStaticNimbyOnRequest>) -> Answer<RqdStaticNimbyOnResponse> {
        let (callee, _) = self.hear(request).await?;
        self.only(Ok(()), Err(Refusal::Crash))?;
        self.0.state(callee.host).nimby_enabled = true;
        Ok(Response::new(RqdStaticNimbyOnResponse {}))
    }

    async fn reboot_idle(&self, request: Request<RqdStaticRebootIdleRequest>) -> Answer<RqdStaticRebootIdleResponse> {
        let (callee, _) = self.hear(request).await?;
        self.0.when_idle(callee.host, WhenIdle::Reboot);
        Ok(Response::new(RqdStaticRebootIdleResponse {}))
    }

    async fn reboot_now(&self, request: Request<RqdStaticRebootNowRequest>) -> Answer<RqdStaticRebootNowResponse> {
        let (callee, _) = self.hear(request).await?;
        self.only(Ok(()), Err(Refusal::Crash))?;
        self.0.go_down(callee.host);
        Ok(Response::new(RqdStaticRebootNowResponse {}))
    }

    async fn restart_rqd_idle(
        &self,
        request: Request<RqdStaticRestartIdleRequest>,
    ) -> Answer<RqdStaticRestartIdleResponse> {
        self.hear(request).await?;
        self.only(Err(Refusal::NotServed), Err(Refusal::Crash))?;
        Err(self.refuse(Refusal::NotServed))
    }

    async fn restart_rqd_now(
        &self,
        request: Request<RqdStaticRestartNowRequest>,
    ) -> Answer<RqdStaticRestartNowResponse> {
        self.hear(request).await?;
        self.only(Err(Refusal::NotServed), Err(Refusal::Crash))?;
        Err(self.refuse(Refusal::NotServed))
    }

    async fn shutdown_rqd_idle(
        &self,
        request: Request<RqdStaticShutdownIdleRequest>,
    ) -> Answer<RqdStaticShutdownIdleResponse> {
        let (callee, _) = self.hear(request).await?;
        self.only(Ok(()), Err(Refusal::Crash))?;
        self.0.when_idle(callee.host, WhenIdle::Shutdown);
        Ok(Response::new(RqdStaticShutdownIdleResponse {}))
    }

    async fn shutdown_rqd_now(
        &self,
        request: Request<RqdStaticShutdownNowRequest>,
    ) -> Answer<RqdStaticShutdownNowResponse> {
        let (callee, _) = self.hear(request).await?;
        // One in Python kills its frames; one in Rust leaves them, and finds them again at its next start.
        let fault = match self.0.manner() {
            Manner::Python => Fault::Dead,
            Manner::Rust => Fault::Partitioned,
        };
        self.0.change(callee.host, &mut self.0.state(callee.host), fault);
        pending().await
    }
}

#[tonic::async_trait]
impl RunningFrame for Agents {
    async fn kill(&self, request: Request<RunningFrameKillRequest>) -> Answer<RunningFrameKillResponse> {
        let (callee, request) = self.hear(request).await?;
        self.only(Err(Refusal::NotServed), Ok(()))?;
        let frame = request.run_frame.unwrap_or_default();
        Agents::kill(self, callee.host, &frame.frame_id, &request.message).await?;
        Ok(Response::new(RunningFrameKillResponse {}))
    }

    async fn status(&self, request: Request<RunningFrameStatusRequest>) -> Answer<RunningFrameStatusResponse> {
        let (callee, request) = self.hear(request).await?;
        self.only(Err(Refusal::NotServed), Ok(()))?;
        let frame = request.run_frame.unwrap_or_default();
        let info = self.0.running_info(callee.host, &frame.frame_id);
        let info = info.ok_or_else(|| self.refuse(Refusal::NotRunning))?;
        Ok(Response::new(RunningFrameStatusResponse { running_frame_info: Some(info) }))
    }
}
