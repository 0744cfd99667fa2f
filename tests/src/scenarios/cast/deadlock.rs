//! Everybody writes the same rows at once, and reports make reservations grow all the time.

use std::time::Duration;

use crate::cuebot_sim::LegacyBooking;
use crate::loader::seeded::Draws;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Deadlock;

#[tonic::async_trait(?Send)]
impl Scenario for Deadlock {
    fn name(&self) -> &'static str {
        "DEADLOCK"
    }

    fn demanded(&self) -> &'static str {
        "reports that raise reservations and reset idle memory all the time, releases, Cuebot's own bookings, users who edit caps, two \
         schedulers: not one deadlock"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(400, 3000);
        let mut parts = Parts::in_two_pools(
            setting,
            &["alpha", "legacy"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows:
  - {{name: alpha, subscriptions: [{{allocation: local.general, burst: 60}}], folders: [{{name: shots, max_cores: 40}}]}}
  - {{name: legacy, managed: false, subscriptions: [{{allocation: local.general, burst: 20}}]}}
hosts: [{{allocation: local.general, count: 6, first_address: 127.1.0.1, cores: 16, memory: 64 GiB}}]
jobs:
  - name: one
    show: alpha
    folder: shots
    layers:
      - {{name: a, range: 1-{frames}, command: sleep 0.5 rss=2200000, threadable: false}}
      - {{name: b, range: 1-{frames}, command: sleep 0.4 rss=1600000, threadable: false}}
  - {{name: two, show: alpha, folder: shots, layers: [{{name: a, range: 1-{frames}, command: sleep 0.6 rss=1300000, threadable: false}}]}}
  - {{name: old, show: legacy, layers: [{{name: a, range: 1-{frames}, threadable: false}}]}}"
            ),
        )?;
        parts.hosts.report_interval = Some(Duration::from_millis(200));
        parts.hosts.report_on_events = true;
        parts.cuebot.idle_memory_reset = Some(Duration::from_millis(100));
        parts.cuebot.release_workers = 6;
        parts.cuebot.legacy = Some(LegacyBooking {
            bookers: 2,
            pause: Duration::from_millis(20),
            run_for: Some(Duration::from_millis(300)),
            ..LegacyBooking::default()
        });
        Ok(parts)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.no_deadlock_at_all = true;
        let frames = stage.setting.pick(250, 3000);
        // Most of them may be Cuebot's.
        let runs_min = stage.setting.pick(120, 1000);
        let mut draws = Draws::new(stage.setting.seed);
        let (folder, job, show) = {
            let loaded = &stage.harness.loaded;
            (loaded.folders["alpha/shots"].clone(), loaded.jobs["one"].clone(), loaded.shows["alpha"].clone())
        };
        let (mut edits, mut grown) = (0, 0);
        let runs = |stage: &Stage| stage.harness.hosts.record().len();
        while stage.frames("SUCCEEDED").await? < frames || runs(stage) < runs_min {
            let value = draws.between(20, 60) * 100;
            let (sql, id) = match draws.below(3) {
                0 => ("UPDATE folder_resource SET int_max_cores = VALUE WHERE pk_folder = $1", &folder),
                1 => ("UPDATE job_resource SET int_max_cores = VALUE WHERE pk_job = $1", &job),
                _ => ("UPDATE subscription SET int_burst = VALUE WHERE pk_show = $1", &show),
            };
            stage.change(&sql.replace("VALUE", &value.to_string()), id).await?;
            edits += 1;
            // At each look, since a proc is gone with its frame.
            let now = "SELECT count(*) FROM proc WHERE int_mem_reserved > int_mem_pre_reserved";
            grown = stage.number(now).await?.max(grown);
            stage.linger(Duration::from_millis(100)).await;
        }
        let retries = stage.metric("scheduler_booking_retries_total", "").await?;
        stage.demand("reservations grew", grown > 0, format!("{grown} procs at once"));
        stage.see(format!("{frames} frames beside {edits} edits; {retries} of our transactions were repeated"));
        Ok(())
    }
}
