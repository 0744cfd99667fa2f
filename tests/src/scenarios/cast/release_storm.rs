//! Procs are released faster than anywhere else, while schedulers, users and Cuebot's own booking write the same rows.

use std::time::{Duration, Instant};

use crate::cuebot_sim::{CuebotCounts, CuebotSim, LegacyBooking};
use crate::loader::description::FarmDescription;
use crate::loader::seeded::Draws;
use crate::scenarios::edits::{Edit, Editor, Scope};
use crate::scenarios::judge::some;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct ReleaseStorm;

/// Releases a second. The short form, which runs wherever tests do and beside whatever else, demands a quarter.
const RELEASES_MIN: f64 = 100.0;

/// Transactions of ours that may be repeated, for each frame that is booked.
const RETRIES_MAX: f64 = 0.02;

/// The schedulers' histogram of statements that wait for what others hold.
const LOCK_WAIT: &str = "scheduler_booking_lock_wait_seconds";

/// Jobs whose caps, tags, folders and frames are edited.
const EDITED: usize = 4;

/// Jobs that nobody edits, so that there is always something to release. Many, as on a farm: frames of one layer stop one at a time.
const STEADY: usize = 16;

/// Jobs that Cuebot books: more than one for the same reason.
const LEGACY: usize = 8;

#[tonic::async_trait(?Send)]
impl Scenario for ReleaseStorm {
    fn name(&self) -> &'static str {
        "RELEASESTORM"
    }

    fn demanded(&self) -> &'static str {
        "two schedulers, 100 releases a second, edits of everything and Cuebot's own bookings on the same hosts at once: Cuebot is never \
         the victim of a deadlock, ours in none, our own transactions are repeated at most twice in a hundred bookings"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let mut parts = Parts::new(setting, farm(setting)?)?;
        parts.cuebot.release_workers = 6;
        parts.cuebot.legacy = Some(LegacyBooking {
            bookers: 2,
            pause: Duration::from_millis(50),
            run_for: Some(Duration::from_millis(300)),
            ..LegacyBooking::default()
        });
        Ok(parts.with_variable("OPENSCHEDULER_RQD__MAX_LAUNCHES_PER_HOST", "8"))
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.no_deadlock_at_all = true;
        let lasts = stage.setting.pick(Duration::from_secs(8), Duration::from_mins(1));
        let scope = scope(stage);
        let mut draws = Draws::new(stage.setting.seed);
        let mut editor = Editor::default();
        // Everybody is at work before anybody looks at the clock.
        stage.until_succeeded(300).await?;
        let (began, before) = (Instant::now(), ended(stage).await?);
        while began.elapsed() < lasts {
            let edit = Edit::draw(&mut draws, &scope);
            editor.make(stage, &edit).await?;
            stage.linger(Duration::from_millis(draws.between(60, 150).unsigned_abs())).await;
        }
        let rate = (ended(stage).await? - before) as f64 / began.elapsed().as_secs_f64();
        let wanted = stage.setting.pick(RELEASES_MIN / 4.0, RELEASES_MIN);
        stage.demand(&format!("at least {wanted} releases a second"), rate >= wanted, format!("{rate:.0}"));
        stage.demand("no edit is rejected", editor.rejected.is_empty(), some(&editor.rejected));
        let lost = editor.lost(stage).await?;
        stage.demand("no edit of a cap is lost", lost.is_empty(), some(&lost));

        let mut by_each = Vec::new();
        for scheduler in &stage.schedulers {
            by_each.push(scheduler.metric("scheduler_frames_dispatched_total").await?);
        }
        stage.demand(
            "both schedulers book",
            by_each.iter().all(|frames| *frames > 100.0),
            format!("{by_each:?} frames"),
        );
        let booked: f64 = by_each.iter().sum();
        let [locks, circles] = ["55P03", "40P01"].map(|code| format!("sqlstate=\"{code}\""));
        let locks = stage.metric("scheduler_booking_retries_total", &locks).await?;
        let circles = stage.metric("scheduler_booking_retries_total", &circles).await?;
        stage.demand(
            "none of our transactions is a victim either",
            circles == 0.0,
            format!("{circles} repeated for 40P01"),
        );
        stage.demand(
            "few of our transactions are repeated because a lock was not to be had",
            locks <= booked * RETRIES_MAX,
            format!("{locks} beside {booked} bookings"),
        );
        let waits = stage.metric(&format!("{LOCK_WAIT}_count"), "").await?;
        let mean_ms = stage.metric(&format!("{LOCK_WAIT}_sum"), "").await? / waits.max(1.0) * 1000.0;
        let soon = stage.metric(&format!("{LOCK_WAIT}_bucket"), "le=\"0.1\"").await? / waits.max(1.0) * 100.0;
        stage.demand("waits for locks are measured", waits > 0.0, format!("{waits} of {mean_ms:.1} ms in the mean"));
        let mut line = format!(
            "{rate:.0} releases/s beside {} edits; {booked} bookings, {locks} repeated for 55P03; locks were had after {mean_ms:.0} ms in \
             the mean, {soon:.0} % within 100 ms",
            editor.made
        );
        if let Some(CuebotCounts { deadlocks, bookings, .. }) = stage.harness.cuebot.as_ref().map(CuebotSim::counts) {
            stage.demand("Cuebot is never the victim of a deadlock", deadlocks == 0, format!("{deadlocks} times"));
            stage.demand("Cuebot books beside us", bookings > 20, format!("{bookings} bookings"));
            line = format!("{line}; Cuebot: {bookings} bookings, victim of {deadlocks} deadlocks");
        }
        stage.see(line);
        Ok(())
    }
}

/// Procs that have been released, whoever booked them; where Cuebot can't be asked, frames that are done.
async fn ended(stage: &Stage) -> anyhow::Result<u64> {
    match &stage.harness.cuebot {
        Some(cuebot) => Ok(cuebot.counts().releases),
        None => Ok(stage.frames("SUCCEEDED").await?.unsigned_abs()),
    }
}

fn farm(setting: &Setting) -> anyhow::Result<FarmDescription> {
    let hosts = setting.pick(12, 16);
    let (steady, edited) = setting.pick((150, 100), (900, 500));
    let mut jobs = Vec::new();
    for (show, count, frames, place) in
        [("alpha", EDITED, edited, "folder: shots, max_cores: 40, "), ("beta", STEADY, steady, "")]
    {
        for n in 0..count {
            let layer = |name: &str, limits: &str| {
                format!(
                    "{{name: {name}, range: 1-{frames}, command: sleep 0.4, tags: [a, b], {limits}threadable: false}}"
                )
            };
            let layers = [layer("l0", ""), layer("l1", if show == "alpha" { "limits: [arnold], " } else { "" })];
            jobs.push(format!(
                "  - {{name: {show}-{n}, show: {show}, {place}max_retries: 3, layers: [{}]}}",
                layers.join(", ")
            ));
        }
    }
    let (flipped, old) = setting.pick((1500, 200), (8000, 1000));
    let single = "tags: [a, b], threadable: false";
    for n in 0..LEGACY {
        jobs.push(format!("  - {{name: old-{n}, show: legacy, layers: [{{name: l0, range: 1-{old}, {single}}}]}}"));
    }
    let jobs = jobs.join("\n");
    let mut farm = FarmDescription::from_yaml(&format!(
        "
facilities: [{{name: local, allocations: [{{name: local.a, tag: a}}, {{name: local.b, tag: b}}]}}]
limits: [{{name: arnold, max: 20}}]
shows:
  - name: alpha
    subscriptions: [{{allocation: local.a, burst: 60}}, {{allocation: local.b, burst: 60}}]
    folders: [{{name: shots, max_cores: 50}}, {{name: assets}}]
  - {{name: beta, subscriptions: [{{allocation: local.a, burst: 1000}}, {{allocation: local.b, burst: 1000}}]}}
  - {{name: gamma, subscriptions: [{{allocation: local.a, burst: 10}}, {{allocation: local.b, burst: 10}}]}}
  - {{name: legacy, managed: false, subscriptions: [{{allocation: local.a, burst: 20}}, {{allocation: local.b, burst: 20}}]}}
hosts:
  - {{allocation: local.a, count: {hosts}, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}
  - {{allocation: local.b, count: {hosts}, first_address: 127.1.1.1, cores: 8, memory: 32 GiB}}
jobs:
{jobs}
  - {{name: gamma-0, show: gamma, layers: [{{name: l0, range: 1-{flipped}, command: sleep 0.4, {single}}}]}}"
    ))?;
    farm.seed = setting.seed;
    Ok(farm)
}

fn scope(stage: &Stage) -> Scope {
    let jobs: Vec<(String, bool)> = (0..EDITED).map(|n| (format!("alpha-{n}"), true)).collect();
    Scope {
        limits: vec!["arnold"],
        shows: vec!["alpha"],
        flipped: vec!["gamma"],
        folders: vec!["alpha/shots", "alpha/assets"],
        layers: jobs.iter().map(|(job, _)| format!("{job}/l0")).collect(),
        jobs,
        tags: vec!["a".to_owned(), "b".to_owned()],
        // Few, so that most of the farm goes on.
        hosts: stage.harness.loaded.hosts.keys().take(4).cloned().collect(),
        frames: stage.setting.pick(100, 500),
    }
}
