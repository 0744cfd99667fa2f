//! What Cuebot tells agents: to kill a frame.

use std::time::Duration;

use cue_scheduler_proto::rqd::RqdStaticKillRunningFrameRequest;
use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use tonic::Code;
use tonic::transport::Endpoint;

/// An agent that does not answer in this time is taken for out of reach.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The agents of a farm, all at one port.
pub(super) struct Agents {
    port: u16,
}

/// What came of a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// It runs there no more, or never did.
    Confirmed,
    /// Nobody knows.
    Unconfirmed,
}

impl Agents {
    pub fn new(port: u16) -> Self {
        Self { port }
    }

    /// Asks the agent on this host to kill the frame.
    pub async fn kill(&self, host: &str, frame: &str, reason: &str) -> Kill {
        let Ok(endpoint) = Endpoint::from_shared(format!("http://{host}:{}", self.port)) else {
            return Kill::Unconfirmed;
        };
        let Ok(channel) = endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).connect().await else {
            return Kill::Unconfirmed;
        };
        let request = RqdStaticKillRunningFrameRequest { frame_id: frame.to_owned(), message: reason.to_owned() };
        match RqdInterfaceClient::new(channel).kill_running_frame(request).await {
            Ok(_) => Kill::Confirmed,
            Err(status) if status.code() == Code::NotFound => Kill::Confirmed,
            Err(_) => Kill::Unconfirmed,
        }
    }
}
