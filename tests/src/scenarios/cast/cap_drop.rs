//! A person lowers every kind of cap below its use, and raises it again.

use std::time::Duration;

use crate::auditor::audit;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct CapDrop;

/// A cap, what takes of it, and where it goes.
struct Drop {
    what: &'static str,
    /// `$1` is the thing's id; `VALUE` is replaced.
    set: &'static str,
    /// What is in use, in the cap's unit.
    used: &'static str,
    high: i64,
    low: i64,
}

const DROPS: [Drop; 4] = [
    Drop {
        what: "job maximum",
        set: "UPDATE job_resource SET int_max_cores = VALUE WHERE pk_job = $1",
        used: "SELECT COALESCE(sum(int_cores_reserved), 0)::bigint FROM proc WHERE pk_job = $1",
        high: 2400,
        low: 500,
    },
    Drop {
        what: "burst",
        set: "UPDATE subscription SET int_burst = VALUE WHERE pk_show = $1",
        used: "SELECT COALESCE(sum(int_cores_reserved), 0)::bigint FROM proc WHERE pk_show = $1",
        high: 2000,
        low: 400,
    },
    Drop {
        what: "folder maximum",
        set: "UPDATE folder_resource SET int_max_cores = VALUE WHERE pk_folder = $1",
        used: "SELECT COALESCE(sum(int_cores_reserved), 0)::bigint FROM proc JOIN job USING (pk_job) WHERE pk_folder = $1",
        high: 2000,
        low: 300,
    },
    Drop {
        what: "limit",
        set: "UPDATE limit_record SET int_max_value = VALUE WHERE pk_limit_record = $1",
        used: "SELECT count(*) FROM frame JOIN layer_limit USING (pk_layer) WHERE str_state = 'RUNNING' AND pk_limit_record = $1",
        high: 15,
        low: 4,
    },
];

#[tonic::async_trait(?Send)]
impl Scenario for CapDrop {
    fn name(&self) -> &'static str {
        "CAPDROP"
    }

    fn demanded(&self) -> &'static str {
        "job maximum, burst, folder maximum and limit go below their use: nothing starts above them, the use falls to them, counters \
         follow, and work goes on when they rise"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(70, 400);
        Parts::in_two_pools(
            setting,
            &["alpha"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
limits: [{{name: licence, max: 15}}]
shows:
  - {{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}], folders: [{{name: shots, max_cores: 20}}]}}
  - {{name: beta, subscriptions: [{{allocation: local.general, burst: 20}}]}}
hosts: [{{allocation: local.general, count: 12, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}]
jobs:
  - {{name: capped, show: alpha, max_cores: 24, layers: [{{name: a, range: 1-{frames}, command: sleep 1.2, threadable: false}}]}}
  - {{name: burst, show: beta, layers: [{{name: a, range: 1-{frames}, command: sleep 1, threadable: false}}]}}
  - {{name: foldered, show: alpha, folder: shots, layers: [{{name: a, range: 1-{frames}, command: sleep 1.1, threadable: false}}]}}
  - {{name: licensed, show: alpha, layers: [{{name: a, range: 1-{frames}, command: sleep 0.9, threadable: false, limits: [licence]}}]}}"
            ),
        )
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let loaded = &stage.harness.loaded;
        let ids = [
            loaded.jobs["capped"].clone(),
            loaded.shows["beta"].clone(),
            loaded.folders["alpha/shots"].clone(),
            loaded.limits["licence"].clone(),
        ];
        let rounds = stage.setting.pick(1, 4);
        for round in 1..=rounds {
            for (Drop { what, used, high, .. }, id) in DROPS.iter().zip(&ids) {
                stage
                    .until(&format!("the {what} is used up"), async |stage| {
                        Ok(stage.number_of(used, id).await? >= *high)
                    })
                    .await?;
            }
            for (Drop { set, low, .. }, id) in DROPS.iter().zip(&ids) {
                stage.change(&set.replace("VALUE", &low.to_string()), id).await?;
            }
            stage.logbook.note(&format!("round {round}: all caps are lowered"));
            for (Drop { what, used, low, .. }, id) in DROPS.iter().zip(&ids) {
                stage
                    .until(&format!("the use falls to the {what}"), async |stage| {
                        Ok(stage.number_of(used, id).await? <= *low)
                    })
                    .await?;
            }
            // Under the lowered caps, so that a start above them had its chance.
            stage.linger(Duration::from_secs(1)).await;
            stage
                .until("counters have followed the procs down", async |stage| {
                    Ok(audit(&stage.harness.pool).await?.counters.is_empty())
                })
                .await?;
            for (Drop { set, high, .. }, id) in DROPS.iter().zip(&ids) {
                stage.change(&set.replace("VALUE", &high.to_string()), id).await?;
            }
        }
        stage.until_done().await?;
        stage.see(format!("{rounds} drops of four caps below their use, each came down to them"));
        Ok(())
    }
}
