//! Scenario `with-launches`: how fast frames are booked and launched on simulated hosts, against the same without the call to the
//! agent.

use std::time::SystemTime;

use super::live::{Live, since};
use super::{Figure, Goal, Scale, median};
use crate::loader::amount::{Cores, Memory};
use crate::loader::description::FarmDescription;
use crate::loader::generate::{ApartShape, apart};

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let shape =
        ApartShape { seed: 6, pools: 3, shows: 1, hosts_per_pool: scale.of(400) as u32, jobs_per_pool: scale.of(100) };
    let mut farm = apart(&shape);
    for group in &mut farm.hosts {
        (group.cores, group.memory) = (Cores::whole(16), Memory::gib(64));
    }
    for job in &mut farm.jobs {
        job.paused = true;
        // Nothing ends while the time runs.
        job.layers.iter_mut().for_each(|layer| "sleep 3600".clone_into(&mut layer.command));
    }
    let mut pairs = Vec::new();
    for pair in 0..scale.pairs.div_ceil(2) {
        let (with, without) = if pair % 2 == 0 {
            let with = rate(&farm, shape.frames(), true).await?;
            (with, rate(&farm, shape.frames(), false).await?)
        } else {
            let without = rate(&farm, shape.frames(), false).await?;
            (rate(&farm, shape.frames(), true).await?, without)
        };
        eprintln!("with launches {with:.0} frames/s, without {without:.0} frames/s");
        pairs.push((with, without));
    }
    let ratios: Vec<f64> = pairs.iter().map(|(with, without)| with / without).collect();
    let (with, without): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    Ok(vec![
        Figure::new("with-launches", "frames launched", median(&with), "frames/s")
            .against(median(&without), median(&ratios))
            .with("hosts", shape.hosts_per_pool as usize * shape.pools)
            .with("frames", shape.frames())
            .with_goal(Goal::RatioAtLeast(0.8)),
    ])
}

/// Frames a second, from the commit that lets them go.
async fn rate(farm: &FarmDescription, frames: usize, launches: bool) -> anyhow::Result<f64> {
    let live = Live::start(farm.clone()).await?;
    let dry = [("OPENSCHEDULER_RQD__DRY_RUN_MODE", if launches { "false" } else { "true" })];
    let scheduler = live.scheduler(&dry).await?;
    let began = live.let_go().await?;
    live.until_none("frames wait", "SELECT count(*) FROM frame WHERE str_state = 'WAITING'").await?;
    if launches {
        live.launched(frames).await?;
    }
    let took = since(SystemTime::now(), began);
    live.stop(scheduler).await?;
    Ok(frames as f64 / took.as_secs_f64())
}
