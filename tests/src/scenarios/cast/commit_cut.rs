//! Connections that break at the very moment of a commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pg_proxy::PgProxy;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct CommitCut;

/// Of so many commits one is cut.
const EVERY: usize = 5;

/// Cuts that have to be met, of both kinds together.
const CUTS_MIN: usize = 10;

#[tonic::async_trait(?Send)]
impl Scenario for CommitCut {
    fn name(&self) -> &'static str {
        "COMMITCUT"
    }

    fn demanded(&self) -> &'static str {
        "every fifth commit's connection breaks, before the server has it or before its answer comes back: every frame runs once, no proc \
         is left without its run, counters are right"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(160, 900);
        let mut parts = Parts::from_yaml(
            setting,
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 60}}]}}]
hosts: [{{allocation: local.general, count: 10, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}]
jobs:
  - {{name: one, show: alpha, layers: [{{name: a, range: 1-{frames}, command: sleep 0.5, threadable: false}}]}}
  - {{name: two, show: alpha, layers: [{{name: a, range: 1-{frames}, command: sleep 0.4, threadable: false}}]}}"
            ),
        )?;
        parts.schedulers = 0;
        Ok(parts.with_variable("OPENSCHEDULER_BOOKING__CHUNK_FRAMES", "5"))
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.cuts_connections = true;
        let target = &mut stage.harness.target;
        let proxy = Arc::new(PgProxy::start(&target.host, target.port).await?);
        proxy.cut_commits(EVERY);
        (target.host, target.port) = ("127.0.0.1".to_owned(), proxy.port());
        stage.keep(proxy.clone());
        stage.start_scheduler("scheduler-1", &[]).await?;
        stage.start_scheduler("scheduler-2", &[]).await?;
        let done = stage.until_done().await;
        let (unsent, unanswered) = proxy.cuts();
        // From here on nothing is cut, so that the farm can come to rest.
        proxy.cut_commits(0);
        done?;
        let mut times: BTreeMap<usize, usize> = BTreeMap::new();
        for runs in stage.harness.runs_per_frame().into_values() {
            *times.entry(runs).or_default() += 1;
        }
        stage.demand("every frame runs once", times.keys().eq([&1]), format!("frames by number of runs: {times:?}"));
        stage.demand(
            "commits were cut",
            unsent + unanswered >= CUTS_MIN && unsent > 0 && unanswered > 0,
            format!("{unsent} unsent, {unanswered} unanswered"),
        );
        stage.see(format!("{unsent} commits cut before the server had them, {unanswered} before the answer"));
        Ok(())
    }
}
