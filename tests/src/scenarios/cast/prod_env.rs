//! A production at work: everything is edited all the time.

use std::time::{Duration, Instant};

use crate::cuebot_sim::LegacyBooking;
use crate::loader::amount::{Cores, Memory};
use crate::loader::description::{
    FarmDescription, JobDescription, LayerDependency, LayerDependencyKind, LayerDescription,
};
use crate::loader::seeded::Draws;
use crate::scenarios::edits::{Edit, Editor, Scope};
use crate::scenarios::parts::two_pools;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct ProdEnv;

const TAGS: usize = 8;
const SHOWS: [&str; 4] = ["alpha", "beta", "gamma", "legacy"];
const LAYERS: usize = 3;

#[tonic::async_trait(?Send)]
impl Scenario for ProdEnv {
    fn name(&self) -> &'static str {
        "PRODENV"
    }

    fn demanded(&self) -> &'static str {
        "limits, folder caps, tags, job maxima, bursts, host locks, flags, folders, priorities edited at random, jobs and frames killed, \
         paused and sent round again (120 s in full): no edit rejected or lost, nothing starts above a cap"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let mut parts = Parts::new(setting, two_pools(farm(setting)?, &SHOWS)?)?;
        parts.hosts.failures = 0.03;
        parts.cuebot.legacy = Some(LegacyBooking {
            bookers: 1,
            pause: Duration::from_millis(50),
            run_for: Some(Duration::from_millis(700)),
            ..LegacyBooking::default()
        });
        Ok(parts)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let lasts = stage.setting.pick(Duration::from_secs(10), Duration::from_mins(2));
        let scope = scope(stage);
        let mut draws = Draws::new(stage.setting.seed);
        let mut editor = Editor::default();
        // Work is there before anybody edits.
        stage.until_succeeded(20).await?;
        let began = Instant::now();
        while began.elapsed() < lasts {
            let edit = Edit::draw(&mut draws, &scope);
            editor.make(stage, &edit).await?;
            // Longer than the time between two looks at the caps.
            stage.linger(Duration::from_millis(draws.between(80, 200).unsigned_abs())).await;
        }
        stage.demand("no edit is rejected", editor.rejected.is_empty(), format!("{:?}", editor.rejected));
        let lost = editor.lost(stage).await?;
        stage.demand("no edit of a cap is lost", lost.is_empty(), format!("{lost:?}"));
        let booked = stage.metric("scheduler_frames_dispatched_total", "").await?;
        let retries = stage.metric("scheduler_booking_retries_total", "").await?;
        stage.see(format!(
            "{} edits in {:.0} s beside {booked} bookings, {retries} of our transactions repeated, {} frames sent round again",
            editor.made,
            began.elapsed().as_secs_f64(),
            stage.retried.len()
        ));
        Ok(())
    }
}

fn farm(setting: &Setting) -> anyhow::Result<FarmDescription> {
    let hosts_of_tag = setting.pick(3, 8);
    let hosts: Vec<String> = (0..TAGS)
        .map(|tag| {
            let gpus = if tag % 4 == 0 { "gpus: 2, gpu_memory: 16 GiB" } else { "gpus: 0" };
            format!(
                "  - {{allocation: local.general, count: {hosts_of_tag}, first_address: 127.1.{tag}.1, cores: 8, memory: 32 GiB, \
                 manual_tags: [t{tag}], {gpus}}}"
            )
        })
        .collect();
    let hosts = hosts.join("\n");
    let mut farm = FarmDescription::from_yaml(&format!(
        "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
limits: [{{name: arnold, max: 12}}, {{name: nuke, max: 8}}]
shows:
  - name: alpha
    subscriptions: [{{allocation: local.general, size: 60, burst: 90}}]
    folders: [{{name: shots, max_cores: 50}}, {{name: assets}}]
  - {{name: beta, subscriptions: [{{allocation: local.general, size: 40, burst: 60}}]}}
  - {{name: gamma, subscriptions: [{{allocation: local.general, size: 20, burst: 40}}]}}
  - {{name: legacy, managed: false, subscriptions: [{{allocation: local.general, size: 10, burst: 15}}]}}
hosts:
{hosts}"
    ))?;
    farm.seed = setting.seed;
    let mut draws = Draws::new(setting.seed);
    for show in SHOWS {
        for n in 0..jobs_of(show, setting) {
            farm.jobs.push(job(show, n, setting, &mut draws));
        }
    }
    Ok(farm)
}

fn jobs_of(show: &str, setting: &Setting) -> usize {
    match show {
        "alpha" => setting.pick(5, 10),
        "beta" => setting.pick(3, 6),
        "gamma" => 2,
        _ => 1,
    }
}

fn frames_of(setting: &Setting) -> usize {
    setting.pick(60, 300)
}

fn job(show: &str, n: usize, setting: &Setting, draws: &mut Draws) -> JobDescription {
    let layers = (0..LAYERS)
        .map(|l| {
            let gpus = i64::from(draws.below(8) == 0);
            let licensed = (show == "alpha" || show == "beta") && draws.below(3) == 0;
            LayerDescription {
                name: format!("l{l}"),
                command: format!("sleep {}.{}", draws.below(2), draws.between(3, 9)),
                range: format!("1-{}", frames_of(setting)),
                min_cores: Cores::whole(draws.between(1, 3)),
                memory: Memory::gib(draws.between(1, 4)),
                gpus,
                gpu_memory: Memory::gib(gpus),
                tags: draws.distinct(TAGS, 3).into_iter().map(tag).chain(["general".to_owned()]).collect(),
                limits: if licensed { vec![["arnold", "nuke"][draws.below(2)].to_owned()] } else { Vec::new() },
                threadable: draws.below(2) == 0,
                // Only the last one, which nobody sends round again.
                after: if l == LAYERS - 1 && n.is_multiple_of(2) {
                    vec![LayerDependency { kind: LayerDependencyKind::LayerOnLayer, job: None, layer: "l1".to_owned() }]
                } else {
                    Vec::new()
                },
                ..LayerDescription::default()
            }
        })
        .collect();
    JobDescription {
        name: format!("{show}-{n}"),
        show: show.to_owned(),
        folder: (show == "alpha").then(|| ["shots", "assets"][n % 2].to_owned()),
        priority: draws.between(1, 100) as i32,
        max_cores: Cores::whole(draws.between(10, 60)),
        max_retries: 3,
        layers,
        ..JobDescription::default()
    }
}

fn tag(n: usize) -> String {
    format!("t{n}")
}

fn scope(stage: &Stage) -> Scope {
    let setting = &stage.setting;
    let edited = ["alpha", "beta", "gamma"];
    let jobs: Vec<(String, bool)> = edited
        .iter()
        .flat_map(|show| (0..jobs_of(show, setting)).map(move |n| (format!("{show}-{n}"), *show == "alpha")))
        .collect();
    // Sending round a frame that others wait for would need Cuebot's dependencies the other way round.
    let layers = jobs.iter().map(|(job, _)| format!("{job}/l0")).collect();
    Scope {
        limits: vec!["arnold", "nuke"],
        shows: vec!["alpha", "beta"],
        flipped: vec!["gamma"],
        folders: vec!["alpha/shots", "alpha/assets"],
        jobs,
        layers,
        tags: (0..TAGS).map(tag).chain(["general".to_owned()]).collect(),
        hosts: stage.harness.loaded.hosts.keys().cloned().collect(),
        frames: frames_of(setting),
    }
}
