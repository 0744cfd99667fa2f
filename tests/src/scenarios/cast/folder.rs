//! A folder's maximum over several jobs.

use super::most_at_once;
use crate::farm_sim::Run;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Folder;

#[tonic::async_trait(?Send)]
impl Scenario for Folder {
    fn name(&self) -> &'static str {
        "FOLDER"
    }

    fn demanded(&self) -> &'static str {
        "a folder's maximum of 50 cores and 4 GPUs over three jobs is reached and never passed; who waits for it is told \
         `folder_cores`"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        // They run for longer than a busy machine takes from one's end to the next one's start, so that what is booked runs at once.
        let frames = setting.pick(50, 700);
        Parts::in_two_pools(
            setting,
            &["alpha"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows:
  - {{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}], folders: [{{name: shots, max_cores: 50, max_gpus: 4}}]}}
hosts: [{{allocation: local.general, count: 16, first_address: 127.1.0.1, cores: 8, memory: 32 GiB, gpus: 1, gpu_memory: 8 GiB}}]
jobs:
  - {{name: wide, show: alpha, folder: shots, priority: 3, layers: [{{name: a, range: 1-{frames}, command: sleep 1.2, min_cores: 3, threadable: false}}]}}
  - {{name: small, show: alpha, folder: shots, layers: [{{name: a, range: 1-{frames}, command: sleep 1, threadable: false}}]}}
  - {{name: gpu, show: alpha, folder: shots, priority: 5, layers: [{{name: a, range: 1-40, command: sleep 0.5, gpus: 1, gpu_memory: 1 GiB, threadable: false}}]}}"
            ),
        )
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.until_reason("folder_cores").await?;
        stage.until_done().await?;
        let runs = stage.harness.hosts.record();
        let cores = most_at_once(&runs, |run: &Run| i64::from(run.cores));
        let gpus = most_at_once(&stage.runs_of("gpu"), |_| 1);
        stage.demand(
            "50 cores are reached and not passed on the hosts",
            cores == 5000,
            format!("{cores} centicores at once"),
        );
        stage.demand("4 GPUs are reached and not passed on the hosts", gpus == 4, format!("{gpus} GPUs at once"));
        stage.see(format!("at most {} cores and {gpus} GPUs at once", cores / 100));
        Ok(())
    }
}
