//! What nobody should do, done by somebody else to a farm on which nothing goes wrong: it shows that the checker would see it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use cue_scheduler_proto::rqd::run_frame::UidOptional;
use cue_scheduler_proto::rqd::{RqdStaticLaunchFrameRequest, RunFrame};
use tokio::time::Instant;

use super::stage::Stage;
use crate::farm_sim::Run;

/// How long a chance is waited for.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// A wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// A frame that runs is launched on another host too, as by a replica that knows no fence.
    LaunchesAgain,
    /// A frame that is done is set back to WAITING, as by an undo that is not guarded.
    UndoesWhatIsDone,
}

impl Mischief {
    /// Waits for a chance and does it.
    pub(super) async fn done_to(self, stage: &Stage<'_>) -> anyhow::Result<()> {
        let done = match self {
            Self::LaunchesAgain => launch_again(stage).await,
            Self::UndoesWhatIsDone => {
                let sql = "UPDATE frame SET str_state = 'WAITING', int_version = int_version + 1 WHERE pk_frame =
                           (SELECT min(pk_frame) FROM frame WHERE str_state = 'SUCCEEDED')";
                until_changed(stage, sql).await
            }
        };
        done.with_context(|| format!("{self:?}"))
    }
}

async fn until_changed(stage: &Stage<'_>, sql: &'static str) -> anyhow::Result<()> {
    let began = Instant::now();
    while sqlx::query(sql).execute(&stage.pool).await?.rows_affected() == 0 {
        ensure!(began.elapsed() < WAIT_MAX, "there was no chance to");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn launch_again(stage: &Stage<'_>) -> anyhow::Result<()> {
    let hosts = &stage.harness.hosts;
    hosts.wait_until(WAIT_MAX, |hosts| !hosts.running().is_empty()).await;
    let began = Instant::now();
    loop {
        // The one that began last has the longest time to go.
        let Run { frame_id, job_id, layer_id, host, .. } = hosts.running().pop().context("nothing runs")?;
        for other in hosts.hosts().into_iter().filter(|other| *other != host) {
            let frame = RunFrame {
                frame_id: frame_id.clone(),
                job_id: job_id.clone(),
                layer_id: layer_id.clone(),
                resource_id: uuid::Uuid::new_v4().to_string(),
                num_cores: 100,
                command: "sleep 1".to_owned(),
                uid_optional: Some(UidOptional::Uid(1000)),
                ..RunFrame::default()
            };
            let mut agent = RqdInterfaceClient::connect(format!("http://{other}:{}", hosts.port())).await?;
            if agent.launch_frame(RqdStaticLaunchFrameRequest { run_frame: Some(frame) }).await.is_ok() {
                return Ok(());
            }
        }
        ensure!(began.elapsed() < WAIT_MAX, "every host refuses");
    }
}
