//! What the agents tell Cuebot, and how hard they try.
//!
//! Two loops for the whole farm: one sends boot and host reports as they fall due, one sends completions as frames end. Each has
//! its bound of calls under way, so that reports of ten thousand hosts don't keep a completion waiting.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_proto::report::rqd_report_interface_client::RqdReportInterfaceClient;
use cue_scheduler_proto::report::{
    BootReport, FrameCompleteReport, RqdReportRqdStartupRequest, RqdReportRunningFrameCompletionRequest,
    RqdReportStatusRequest,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::config::Manner;
use super::door::HostIndex;
use super::farm::{Farm, Outgoing};
use super::host::HostState;
use super::queue::Queue;
use super::record::{Completion, RunId};

/// How a host starts a report.
enum Turn {
    /// Cuebot has to hear of its start first.
    Boot(Box<BootReport>),
    /// Completions that wait, then a host report.
    Report(Vec<(RunId, FrameCompleteReport)>),
}

/// Sends for a whole farm.
#[derive(Clone)]
pub(super) struct Reporter {
    farm: Arc<Farm>,
    cuebot: RqdReportInterfaceClient<Channel>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Reporter {
    /// Connects when something is first sent, and again whenever the connection is lost.
    pub fn new(farm: Arc<Farm>, cuebot: &str, stop: CancellationToken, tasks: TaskTracker) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let endpoint = Endpoint::from_shared(format!("http://{cuebot}"))
            .with_context(|| format!("cuebot `{cuebot}` is no address; give host:port"))?
            .connect_timeout(farm.config.cuebot_timeout);
        Ok(Self { farm, cuebot: RqdReportInterfaceClient::new(endpoint.connect_lazy()), stop, tasks })
    }

    /// Sends each host's reports when they fall due.
    pub async fn report(self, mut due: Queue<HostIndex>) {
        let permits = Arc::new(Semaphore::new(self.farm.config.concurrent_reports));
        let stop = self.stop.clone();
        stop.run_until_cancelled(async {
            while let Some((at, host)) = due.next().await {
                let Some((start, turn)) = self.turn(host, at) else { continue };
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                let this = self.clone();
                self.tasks.spawn(async move {
                    let stop = this.stop.clone();
                    stop.run_until_cancelled(Box::pin(this.take(host, start, turn))).await;
                    drop(permit);
                });
            }
        })
        .await;
    }

    /// Sends completions as frames end, each once: an agent in Python forgets a frame before it reports it.
    pub async fn complete(self, mut outbox: mpsc::UnboundedReceiver<Outgoing>) {
        let permits = Arc::new(Semaphore::new(self.farm.config.concurrent_reports));
        let stop = self.stop.clone();
        stop.run_until_cancelled(async {
            while let Some(Outgoing { host, run, report }) = outbox.recv().await {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                let this = self.clone();
                self.tasks.spawn(async move {
                    let stop = this.stop.clone();
                    stop.run_until_cancelled(async {
                        let reachable = this.farm.state(host).fault.is_reachable();
                        if !reachable || !this.send_completion(run, report).await {
                            this.farm.recorded(|record| record.complete(run, Completion::Lost));
                        }
                    })
                    .await;
                    drop(permit);
                });
            }
        })
        .await;
    }

    /// What the host has to say and in which start of its agent, if this is still the time at which it wants to.
    fn turn(&self, host: HostIndex, at: Instant) -> Option<(u32, Turn)> {
        let mut state = self.farm.state(host);
        if state.next_report != at {
            return None;
        }
        // One that can't be heard, or is still speaking, is asked again later.
        if !state.fault.is_reachable() || state.reporting {
            let later = Instant::now() + self.pause();
            self.farm.report_at(host, &mut state, later);
            return None;
        }
        state.reporting = true;
        let turn = if state.booted {
            Turn::Report(std::mem::take(&mut state.unsent))
        } else {
            Turn::Boot(Box::new(self.farm.boot_report(host, &state)))
        };
        Some((state.start, turn))
    }

    async fn take(&self, host: HostIndex, start: u32, turn: Turn) {
        match turn {
            Turn::Boot(report) => {
                let answer = self
                    .ask(|mut cuebot| async move {
                        let request = RqdReportRqdStartupRequest { boot_report: Some(*report) };
                        cuebot.report_rqd_startup(request).await.map(drop)
                    })
                    .await;
                // A refusal ends the agent, and whatever watches over it starts it anew: a pause, and another boot report.
                let wait = if answer.is_ok() { self.farm.config.first_report() } else { self.farm.config.boot_retry };
                self.rest(host, start, wait, |state| state.booted = answer.is_ok());
                self.farm.recorded(|record| match answer {
                    Ok(()) => record.counts.boots += 1,
                    Err(_) => record.counts.reports_failed += 1,
                });
            }
            Turn::Report(unsent) => {
                let kept = self.send_unsent(unsent).await;
                let report = self.farm.host_report(host, &self.farm.state(host));
                let answer = self
                    .ask(|mut cuebot| async move {
                        let request = RqdReportStatusRequest { host_report: Some(report) };
                        cuebot.report_status(request).await.map(drop)
                    })
                    .await;
                let exits = self.farm.manner() == Manner::Rust && answer.as_ref().is_err_and(is_from_cuebot);
                let wait = if exits { self.farm.config.boot_retry } else { self.pause() };
                self.keep(host, start, kept, exits);
                self.rest(host, start, wait, |state| state.booted &= !exits);
                self.farm.recorded(|record| match answer {
                    Ok(()) => record.counts.reports += 1,
                    Err(_) => record.counts.reports_failed += 1,
                });
            }
        }
    }

    /// Gives back what was not answered.
    async fn send_unsent(&self, unsent: Vec<(RunId, FrameCompleteReport)>) -> Vec<(RunId, FrameCompleteReport)> {
        let mut kept = Vec::new();
        for (run, report) in unsent {
            if !self.send_completion(run, report.clone()).await {
                kept.push((run, report));
            }
        }
        kept
    }

    /// Puts completions back for the next time, unless there is none: a dead host, or an agent that exits, forgets them.
    fn keep(&self, host: HostIndex, start: u32, mut kept: Vec<(RunId, FrameCompleteReport)>, exits: bool) {
        let mut state = self.farm.state(host);
        if exits || state.start != start {
            if exits && state.start == start {
                kept.append(&mut state.unsent);
            }
            self.farm.recorded(|record| kept.iter().for_each(|(run, _)| record.complete(*run, Completion::Lost)));
        } else {
            kept.append(&mut state.unsent);
            state.unsent = kept;
        }
    }

    async fn send_completion(&self, run: RunId, report: FrameCompleteReport) -> bool {
        let answer = self
            .ask(|mut cuebot| async move {
                let request = RqdReportRunningFrameCompletionRequest { frame_complete_report: Some(report) };
                cuebot.report_running_frame_completion(request).await.map(drop)
            })
            .await;
        self.farm.recorded(|record| {
            if answer.is_ok() {
                let at_us = record.at_us(Instant::now());
                record.complete(run, Completion::Delivered(at_us));
            } else {
                record.counts.completions_failed += 1;
            }
        });
        answer.is_ok()
    }

    async fn ask<F: Future<Output = Result<(), Status>>>(
        &self,
        call: impl FnOnce(RqdReportInterfaceClient<Channel>) -> F,
    ) -> Result<(), Status> {
        let limit = self.farm.config.cuebot_timeout;
        match timeout(limit, call(self.cuebot.clone())).await {
            Ok(answer) => answer,
            Err(late) => Err(Status::from_error(Box::new(late))),
        }
    }

    /// The host has spoken and speaks again after a while. If its agent died meanwhile, the next start is planned already.
    fn rest(&self, host: HostIndex, start: u32, wait: Duration, with: impl FnOnce(&mut HostState)) {
        let mut state = self.farm.state(host);
        if state.start != start {
            return;
        }
        state.reporting = false;
        with(&mut state);
        // An event may have asked for an earlier report in the meantime.
        let now = Instant::now();
        let at = if state.next_report > now { state.next_report.min(now + wait) } else { now + wait };
        self.farm.report_at(host, &mut state, at);
    }

    fn pause(&self) -> Duration {
        self.farm.config.report_interval().mul_f64(self.farm.share())
    }
}

/// Whether Cuebot itself sent the status; one made on the way has a cause.
fn is_from_cuebot(status: &Status) -> bool {
    status.source().is_none()
}
