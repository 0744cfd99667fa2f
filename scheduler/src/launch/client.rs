//! Calls to agents, over connections that are kept for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cue_scheduler_core::run_frame::RunFrame;
use cue_scheduler_proto::rqd;
use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use thiserror::Error;
use tonic::transport::Channel;

use super::channels::{Channels, Kept};
use super::connection::{Dial, DialError, Witness, dial};
use super::message::launch_request;
use super::outcome::{self, Outcome, chain};

/// How agents are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// The port of all agents: `rqd.grpc_port`.
    pub port: u16,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for an answer.
    pub call_timeout: Duration,
    /// Most connections kept. One costs some 40 kB.
    pub channels_max: usize,
    /// How long a connection is kept without use.
    pub channel_idle_max: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            port: 8444,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(10),
            channels_max: 1000,
            channel_idle_max: Duration::from_secs(30),
        }
    }
}

/// Why an agent didn't say what runs on it.
#[derive(Debug, Error)]
pub(super) enum AskError {
    #[error("not asked")]
    Dial(#[from] DialError),
    #[error("no answer from {0} within {1:?}")]
    Slow(Arc<str>, Duration),
    #[error("no report from {0}")]
    Status(Arc<str>, #[source] tonic::Status),
    #[error("an empty report from {0}")]
    Empty(Arc<str>),
}

/// Calls agents by the name of their host.
pub(super) struct AgentClient {
    settings: ClientSettings,
    dial: Dial,
    channels: Mutex<Channels<Channel>>,
}

impl AgentClient {
    /// `user_timeout` is the time after which a request that was not delivered never will be.
    pub(super) fn new(settings: ClientSettings, user_timeout: Duration) -> Self {
        let ClientSettings { port, connect_timeout, channels_max, channel_idle_max, .. } = settings;
        Self {
            settings,
            dial: Dial { port, connect_timeout, user_timeout },
            channels: Mutex::new(Channels::new(channels_max, channel_idle_max)),
        }
    }

    /// Launches a frame, once. `may_send` is asked right before the send; `None` when it said no.
    pub(super) async fn launch(
        &self,
        host: &Arc<str>,
        frame: &RunFrame,
        may_send: impl Fn() -> bool,
    ) -> Option<Outcome> {
        let request = launch_request(frame);
        let mut again = true;
        loop {
            let (kept, fresh) = match self.channel(host).await {
                Ok(channel) => channel,
                Err(error) => {
                    return Some(Outcome::NotSent { message: chain(&error) });
                }
            };
            if !may_send() {
                return None;
            }
            let (witness, sent) = Witness::new(kept.channel.clone());
            // No deadline is sent along: an agent that cut its handler off for it would answer as if it had refused.
            let call = async { RqdInterfaceClient::new(witness).launch_frame(request.clone()).await };
            let outcome = match tokio::time::timeout(self.settings.call_timeout, call).await {
                Ok(result) => outcome::of(result.map(drop), &sent),
                Err(_) => Outcome::Unknown { message: format!("no answer within {:?}", self.settings.call_timeout) },
            };
            if matches!(outcome, Outcome::NotSent { .. } | Outcome::Unknown { .. }) {
                self.lock().drop_failed(host, &kept);
            }
            // A kept connection may have been closed by the agent since its last use. Then nothing was sent, and a new
            // connection is as good as the first.
            if matches!(outcome, Outcome::NotSent { .. }) && !fresh && again {
                again = false;
                continue;
            }
            return Some(outcome);
        }
    }

    /// The resource ids of the frames that run on a host.
    pub(super) async fn report(&self, host: &Arc<str>) -> Result<Vec<String>, AskError> {
        let (kept, _) = self.channel(host).await?;
        let call = async {
            RqdInterfaceClient::new(kept.channel.clone())
                .report_status(rqd::RqdStaticReportStatusRequest::default())
                .await
        };
        let answer = match tokio::time::timeout(self.settings.call_timeout, call).await {
            Ok(Ok(answer)) => answer.into_inner(),
            failed => {
                self.lock().drop_failed(host, &kept);
                return Err(match failed {
                    Ok(Err(status)) => AskError::Status(host.clone(), status),
                    _ => AskError::Slow(host.clone(), self.settings.call_timeout),
                });
            }
        };
        let report = answer.host_report.ok_or_else(|| AskError::Empty(host.clone()))?;
        Ok(report.frames.into_iter().map(|frame| frame.resource_id).collect())
    }

    /// Closes connections that lie idle.
    pub(super) fn close_idle(&self) {
        self.lock().drop_idle(Instant::now());
    }

    /// How many connections are kept.
    pub(super) fn connections(&self) -> usize {
        self.lock().len()
    }

    /// A connection to a host, and whether it was made for this call. Several calls may connect to one host at a time; the
    /// last one's connection is kept, the others end with their calls.
    async fn channel(&self, host: &Arc<str>) -> Result<(Kept<Channel>, bool), DialError> {
        let kept = self.lock().get(host, Instant::now());
        if let Some(kept) = kept {
            return Ok((kept, false));
        }
        let channel = dial(host, self.dial).await?;
        Ok((self.lock().keep(host.clone(), channel, Instant::now()), true))
    }

    fn lock(&self) -> MutexGuard<'_, Channels<Channel>> {
        // Whoever panicked with the lock left at worst a connection too many.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
