//! Layers that may not start before their time.

use std::time::{Duration, SystemTime};

use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct StartAfter;

/// How long after its time a delayed layer may begin on an idle farm.
const BEGINS_WITHIN: Duration = Duration::from_secs(3);

#[tonic::async_trait(?Send)]
impl Scenario for StartAfter {
    fn name(&self) -> &'static str {
        "STARTAFTER"
    }

    fn demanded(&self) -> &'static str {
        "a layer whose time lies ahead does not start before it and begins within 3 s of it, by itself; one whose time has passed runs at \
         once"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let mut parts = Parts::from_yaml(
            setting,
            "
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 1000}]}]
hosts: [{allocation: local.general, count: 10, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs:
  - name: one
    show: alpha
    layers:
      - {name: free, range: 1-60, command: sleep 0.3, threadable: false}
      - {name: past, range: 1-30, command: sleep 0.3, threadable: false}
      - {name: ahead, range: 1-30, command: sleep 0.3, threadable: false}",
        )?;
        parts.schedulers = 0;
        Ok(parts)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let delay: i64 = stage.setting.pick(6, 20);
        let set = "UPDATE layer SET ts_start_after = now() + make_interval(secs => SECONDS) WHERE pk_layer = $1";
        for (layer, seconds) in [("one/past", -60), ("one/ahead", delay)] {
            let id = stage.harness.loaded.layers[layer].clone();
            stage.change(&set.replace("SECONDS", &seconds.to_string()), &id).await?;
        }
        let due = SystemTime::now() + Duration::from_secs(delay.unsigned_abs());
        stage.start_scheduler("scheduler-1", &[]).await?;
        stage.start_scheduler("scheduler-2", &[]).await?;
        stage.until_done().await?;
        let first = |layer: &str| stage.runs_of_layer(layer).iter().map(crate::farm_sim::Run::started).min();
        let (past, ahead) = (first("one/past"), first("one/ahead"));
        // The server's clock and this one are the same, but for the time that the change took.
        let waited = ahead.is_some_and(|at| at.duration_since(due - Duration::from_millis(300)).is_ok());
        let late = ahead.and_then(|at| at.duration_since(due).ok()).unwrap_or_default();
        stage.demand("nothing starts before its time", waited, format!("due {due:?}, started {ahead:?}"));
        stage.demand("it begins within 3 s of its time", late <= BEGINS_WITHIN, format!("{late:?} after it"));
        stage.demand("what was due runs before", past < ahead, format!("{past:?}"));
        stage.see(format!("the delayed layer began {late:.1?} after its time"));
        Ok(())
    }
}
