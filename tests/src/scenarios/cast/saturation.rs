//! More work than subscriptions allow, booked without agents until nothing more fits.

use std::net::Ipv4Addr;

use crate::loader::amount::{Cores, Memory};
use crate::loader::description::{FarmDescription, HostGroup, JobDescription, LayerDescription};
use crate::loader::seeded::Draws;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Saturation;

const ALLOCATIONS: [&str; 3] = ["a", "b", "c"];
const TAGS: usize = 4;

/// Cores that the show may use of each allocation, and those of a job.
const BURST: i64 = 150;
const JOB_MAX: i64 = 20;

#[tonic::async_trait(?Send)]
impl Scenario for Saturation {
    fn name(&self) -> &'static str {
        "SATURATION"
    }

    fn demanded(&self) -> &'static str {
        "dry run, 150 cores allowed of each of three allocations, far more asked: at least half of what is allowed is booked, nothing \
         above it, and waiting work is told `subscription_full`"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let (hosts, jobs) = setting.pick((100, 60), (400, 150));
        let mut draws = Draws::new(setting.seed);
        let subscriptions: Vec<String> =
            ALLOCATIONS.iter().map(|name| format!("{{allocation: {name}, size: {BURST}, burst: {BURST}}}")).collect();
        let mut farm = FarmDescription::from_yaml(&format!(
            "
facilities: [{{name: local, allocations: [{{name: a}}, {{name: b}}, {{name: c}}]}}]
shows: [{{name: alpha, subscriptions: [{}]}}]",
            subscriptions.join(", ")
        ))?;
        farm.seed = setting.seed;
        for host in 0..hosts {
            let more = draws.below(3);
            let manual_tags = if host < TAGS { vec![host] } else { draws.distinct(TAGS, more) };
            farm.hosts.push(HostGroup {
                allocation: ALLOCATIONS[host % 3].to_owned(),
                first_address: Some(Ipv4Addr::new(127, 1, (host / 200) as u8, (host % 200) as u8 + 1)),
                cores: Cores::whole([8, 16, 32][draws.below(3)]),
                memory: Memory::gib(draws.between(32, 64)),
                manual_tags: manual_tags.into_iter().map(|tag| format!("t{tag}")).collect(),
                ..HostGroup::default()
            });
        }
        farm.jobs = (0..jobs).map(|n| job(n, &mut draws)).collect();
        Ok(Parts::new(setting, farm)?.with_variable("OPENSCHEDULER_RQD__DRY_RUN_MODE", "true"))
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.dry_run = true;
        stage.until_reason("subscription_full").await?;
        let booked = async |stage: &Stage| {
            stage.number("SELECT COALESCE(sum(int_cores_reserved), 0)::bigint / 100 FROM proc").await
        };
        // Until three looks, several passes apart, find the same.
        let (mut before, mut same) = (-1, 0);
        while same < 2 {
            let now = booked(stage).await?;
            same = if now == before { same + 1 } else { 0 };
            before = now;
            stage.linger(std::time::Duration::from_secs(1)).await;
        }
        let allowed = BURST * ALLOCATIONS.len() as i64;
        stage.demand(
            "at least half of what is allowed is booked",
            before * 2 >= allowed,
            format!("{before} of {allowed}"),
        );
        let running = stage.frames("RUNNING").await?;
        let procs = stage.number("SELECT count(*) FROM proc").await?;
        stage.demand("each booking is a running frame", running == procs, format!("{running} frames, {procs} procs"));
        stage.see(format!("{before} of {allowed} cores booked as {procs} frames"));
        Ok(())
    }
}

fn job(n: usize, draws: &mut Draws) -> JobDescription {
    let mut names: Vec<String> = (0..TAGS).map(|tag| format!("t{tag}")).collect();
    names.extend(ALLOCATIONS.map(str::to_owned));
    let layers = (0..2)
        .map(|l| {
            let count = 1 + draws.below(3);
            LayerDescription {
                name: format!("l{l}"),
                range: "1-10".to_owned(),
                kind: "PRE".to_owned(),
                min_cores: Cores::whole([2, 4][draws.below(2)]),
                memory: Memory::gib(draws.between(2, 4)),
                tags: draws.distinct(names.len(), count).into_iter().map(|tag| names[tag].clone()).collect(),
                ..LayerDescription::default()
            }
        })
        .collect();
    JobDescription {
        name: format!("j{n}"),
        show: "alpha".to_owned(),
        priority: draws.between(1, 200) as i32,
        max_cores: Cores::whole(JOB_MAX),
        layers,
        ..JobDescription::default()
    }
}
