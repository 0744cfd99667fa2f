//! Two shows on the same hosts, one ours and one Cuebot's, and a person who changes that.

use std::time::{Duration, SystemTime};

use crate::cuebot_sim::LegacyBooking;
use crate::scenarios::judge::some;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Migrate;

/// How late after a show was given to Cuebot a frame of it may still start: it was booked before.
const LANDS_WITHIN: Duration = Duration::from_secs(2);

/// How old a proc may get; frames end in less than a second.
const PROC_AGE_MAX: &str = "SELECT count(*) FROM proc WHERE ts_booked < now() - interval '30 seconds'";

#[tonic::async_trait(?Send)]
impl Scenario for Migrate {
    fn name(&self) -> &'static str {
        "MIGRATE"
    }

    fn demanded(&self) -> &'static str {
        "a show of ours and one of Cuebot's on the same hosts, then changed over and back: each is booked by its own booker only, \
         both go on, no proc gets older than 30 s, counters come right although Cuebot learns late"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(500, 3000);
        let mut parts = Parts::in_two_pools(
            setting,
            &["alpha", "beta"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows:
  - {{name: alpha, subscriptions: [{{allocation: local.general, size: 30, burst: 30}}]}}
  - {{name: beta, managed: false, subscriptions: [{{allocation: local.general, size: 30, burst: 30}}]}}
hosts: [{{allocation: local.general, count: 6, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}]
jobs:
  - {{name: a, show: alpha, max_cores: 25, layers: [{{name: x, range: 1-{frames}, command: sleep 0.4, threadable: false}}]}}
  - {{name: b, show: beta, max_cores: 25, layers: [{{name: x, range: 1-{frames}, command: sleep 0.4, threadable: false}}]}}"
            ),
        )?;
        // Cuebot learns of a flag as late as it does, in full.
        parts.cuebot.flag_cache = setting.pick(Duration::from_secs(2), Duration::from_secs(30));
        parts.cuebot.legacy = Some(LegacyBooking {
            bookers: 2,
            pause: Duration::from_millis(20),
            run_for: Some(Duration::from_millis(400)),
            ..LegacyBooking::default()
        });
        Ok(parts)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        // When each show was given to Cuebot and when taken back.
        let mut ours: Vec<(&str, SystemTime, SystemTime)> = Vec::new();
        // The first scheduler books before the second one is ready.
        let mut began = SystemTime::UNIX_EPOCH;
        let turns = [("a", "b"), ("b", "a"), ("a", "b")];
        for (turn, (our_job, cuebots_job)) in turns.into_iter().enumerate() {
            if turn > 0 {
                began = SystemTime::now();
                self.change_over(stage).await?;
            }
            for job in [our_job, cuebots_job] {
                let before = done(stage, job).await?;
                let wanted = stage.setting.pick(30, 300);
                stage
                    .until(&format!("{wanted} frames of job {job} are done in turn {turn}"), async |stage| {
                        Ok(done(stage, job).await? >= before + wanted)
                    })
                    .await?;
            }
            ours.push((our_job, began, SystemTime::now()));
        }
        let mut strangers = Vec::new();
        for job in ["a", "b"] {
            let spans: Vec<_> = ours.iter().filter(|span| span.0 == job).collect();
            let strange = |at: SystemTime| !spans.iter().any(|(_, from, to)| *from <= at && at <= *to + LANDS_WITHIN);
            let runs = stage.runs_of(job).into_iter().filter(|run| strange(run.started()));
            strangers.extend(runs.map(|run| format!("frame {} of {job} on {}", run.frame_id, run.host)));
        }
        let old = stage.number(PROC_AGE_MAX).await?;
        stage.demand("no frame of Cuebot's show is started by us", strangers.is_empty(), some(&strangers));
        stage.demand("no proc gets older than 30 s", old == 0, format!("{old} procs"));
        let by_cuebot = stage.harness.cuebot.as_ref().map(|cuebot| cuebot.counts().bookings);
        stage.see(format!(
            "changed over twice; {} frames by us, {} by Cuebot, {} by the wrong one",
            stage.harness.hosts.launched_count(),
            by_cuebot.map_or_else(|| "others".to_owned(), |count| count.to_string()),
            strangers.len()
        ));
        Ok(())
    }
}

impl Migrate {
    /// Gives our show to Cuebot and takes its own, one after the other as a person does.
    async fn change_over(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let shows = [stage.harness.loaded.shows["alpha"].clone(), stage.harness.loaded.shows["beta"].clone()];
        for show in shows {
            stage
                .change("UPDATE show SET b_scheduler_managed = NOT b_scheduler_managed WHERE pk_show = $1", &show)
                .await?;
        }
        stage.logbook.note("both shows have changed hands");
        Ok(())
    }
}

async fn done(stage: &Stage, job: &str) -> anyhow::Result<i64> {
    let id = stage.harness.loaded.jobs[job].clone();
    stage.number_of("SELECT count(*) FROM frame WHERE pk_job = $1 AND str_state = 'SUCCEEDED'", &id).await
}
