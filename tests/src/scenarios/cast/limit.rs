//! A limit on running frames, with two schedulers that both want all of it.

use super::most_at_once;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Limit;

/// Running frames allowed.
const MAX: i64 = 50;

#[tonic::async_trait(?Send)]
impl Scenario for Limit {
    fn name(&self) -> &'static str {
        "LIMIT"
    }

    fn demanded(&self) -> &'static str {
        "a limit of 50 running frames is reached and never passed; who waits for it is told `limit`"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(150, 1500);
        Parts::in_two_pools(
            setting,
            &["alpha", "beta"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
limits: [{{name: licence, max: {MAX}}}]
shows:
  - {{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}]}}
  - {{name: beta, subscriptions: [{{allocation: local.general, burst: 1000}}]}}
hosts: [{{allocation: local.general, count: 20, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}]
jobs:
  - {{name: one, show: alpha, layers: [{{name: comp, range: 1-{frames}, command: sleep 0.5, limits: [licence], threadable: false}}]}}
  - {{name: two, show: beta, layers: [{{name: fx, range: 1-{frames}, command: sleep 0.7, limits: [licence], threadable: false}}]}}"
            ),
        )
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.until_reason("limit").await?;
        stage.until_done().await?;
        let most = most_at_once(&stage.harness.hosts.record(), |_| 1);
        stage.demand(
            "the limit is reached on the hosts and not passed there",
            most == MAX,
            format!("{most} ran at once"),
        );
        stage.see(format!("at most {most} ran at once"));
        Ok(())
    }
}
