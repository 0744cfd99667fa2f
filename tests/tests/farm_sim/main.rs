//! The simulated farm, seen through a gRPC client and a small Cuebot.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that can not go on has failed")]

mod cuebot;
mod faults;
mod hosts;
mod manners;
mod program;

use std::error::Error as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use cue_scheduler_proto::report::HostReport;
use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use cue_scheduler_proto::rqd::{
    RqdStaticKillRunningFrameRequest, RqdStaticLaunchFrameRequest, RqdStaticReportStatusRequest, RunFrame,
};
use testbed::farm_sim::{FarmConfig, FarmSim, HostSet};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 2);
/// Far more than anything here takes; only a failure waits so long.
const LIMIT: Duration = Duration::from_secs(30);

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
    let request = RqdStaticLaunchFrameRequest { run_frame: Some(frame.clone()) };
    within(limit, client.launch_frame(request)).await.map(drop)
}

/// Gives a call up by the client's clock alone. A deadline in the request would have the agent's server answer at the same moment.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|elapsed| Err(Status::from_error(Box::new(elapsed))))
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
