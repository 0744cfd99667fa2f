//! A Cuebot that is replaced by one of another generation, again and again, as when two of them share a farm.

use std::time::Duration;

use crate::cuebot_sim::Generation;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Upgrade;

#[tonic::async_trait(?Send)]
impl Scenario for Upgrade {
    fn name(&self) -> &'static str {
        "UPGRADE"
    }

    fn demanded(&self) -> &'static str {
        "half of the releases count for managed shows and half don't, under caps that bind: each cap used up and none passed, work goes \
         on, counters come right within seconds"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(100, 900);
        Parts::in_two_pools(
            setting,
            &["alpha"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows:
  - {{name: alpha, subscriptions: [{{allocation: local.general, burst: 40}}], folders: [{{name: shots, max_cores: 25}}]}}
  - {{name: beta, subscriptions: [{{allocation: local.general, burst: 20}}]}}
hosts: [{{allocation: local.general, count: 10, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}]
jobs:
  - {{name: one, show: alpha, folder: shots, max_cores: 15, layers: [{{name: a, range: 1-{frames}, command: sleep 0.4, threadable: false}}]}}
  - {{name: two, show: alpha, folder: shots, layers: [{{name: a, range: 1-{frames}, command: sleep 0.4, threadable: false}}]}}
  - {{name: three, show: beta, layers: [{{name: a, range: 1-{frames}, command: sleep 0.4, min_cores: 2, threadable: false}}]}}"
            ),
        )
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        for (sql, id, cap) in [
            ("SELECT COALESCE(sum(int_cores_reserved), 0)::bigint FROM proc WHERE pk_job = $1", "one", 1500),
            (
                "SELECT COALESCE(sum(int_cores_reserved), 0)::bigint FROM proc JOIN job USING (pk_job) WHERE pk_folder = $1",
                "alpha/shots",
                2500,
            ),
            ("SELECT COALESCE(sum(int_cores_reserved), 0)::bigint FROM proc WHERE pk_show = $1", "beta", 2000),
        ] {
            let loaded = &stage.harness.loaded;
            let id =
                loaded.jobs.get(id).or(loaded.folders.get(id)).or(loaded.shows.get(id)).cloned().unwrap_or_default();
            stage
                .until(&format!("{cap} centicores of a cap are used up"), async |stage| {
                    Ok(stage.number_of(sql, &id).await? == cap)
                })
                .await?;
        }
        let mut turns = 0;
        let all = stage.frames_of_all_states().await?;
        while stage.frames("SUCCEEDED").await? < all {
            let generation = if turns % 2 == 0 { Generation::B1 } else { Generation::C };
            stage.stand_in()?.become_generation(generation);
            turns += 1;
            stage.linger(Duration::from_millis(300)).await;
            anyhow::ensure!(turns < 1000, "the work does not come to its end");
        }
        let (healed, reconciled) = (
            stage.metric("scheduler_counters_healed_total", "").await?,
            stage.metric("scheduler_counters_reconciled_total", "").await?,
        );
        stage.demand(
            "some releases did not count",
            healed + reconciled > 0.0,
            format!("{healed} healed, {reconciled} reconciled"),
        );
        stage.see(format!("{turns} turns; {healed} counters healed where they refused, {reconciled} set right beside"));
        Ok(())
    }
}
