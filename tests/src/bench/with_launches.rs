//! Scenario `with-launches`: how fast frames are booked and launched on simulated hosts, against the same without the call to the
//! agent. Simulated agents share the machine with what they measure, so what either takes of it is told.

use std::time::SystemTime;

use rustix::process::getpid;

use super::figure::round;
use super::live::{Live, since};
use super::machine::processor_seconds;
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
        eprintln!(
            "with launches {:.0} frames/s, without {:.0} frames/s",
            with.frames_per_second, without.frames_per_second
        );
        pairs.push((with, without));
    }
    let ratios: Vec<f64> =
        pairs.iter().map(|(with, without)| with.frames_per_second / without.frames_per_second).collect();
    let (with, without): (Vec<Rate>, Vec<Rate>) = pairs.into_iter().unzip();
    let of = |rates: &[Rate], pick: fn(&Rate) -> f64| median(&rates.iter().map(pick).collect::<Vec<_>>());
    let more = |pick: fn(&Rate) -> f64| round(of(&with, pick) - of(&without, pick));
    Ok(vec![
        Figure::new("with-launches", "frames launched", of(&with, |rate| rate.frames_per_second), "frames/s")
            .against(of(&without, |rate| rate.frames_per_second), median(&ratios))
            .with("hosts", shape.hosts_per_pool as usize * shape.pools)
            .with("frames", shape.frames())
            .with("more_processor_ms_a_frame_of_the_scheduler", more(|rate| rate.scheduler_ms))
            .with("more_processor_ms_a_frame_of_simulated_agents", more(|rate| rate.agents_ms))
            .with_goal(Goal::RatioAtLeast(0.8)),
    ])
}

/// What a run came to.
struct Rate {
    frames_per_second: f64,
    /// Processor time of the scheduler for each frame.
    scheduler_ms: f64,
    /// The same of this process: simulated agents, and the looking whether all is done.
    agents_ms: f64,
}

/// From the commit that lets frames go.
async fn rate(farm: &FarmDescription, frames: usize, launches: bool) -> anyhow::Result<Rate> {
    let live = Live::start(farm.clone()).await?;
    let dry = [("OPENSCHEDULER_RQD__DRY_RUN_MODE", if launches { "false" } else { "true" })];
    let scheduler = live.scheduler(&dry).await?;
    let (process, own) = (scheduler.process()?, getpid());
    let spent = (processor_seconds(process)?, processor_seconds(own)?);
    let began = live.let_go().await?;
    live.until_none("frames wait", "SELECT count(*) FROM frame WHERE str_state = 'WAITING'").await?;
    if launches {
        live.launched(frames).await?;
    }
    let took = since(SystemTime::now(), began);
    let of_a_frame = |seconds: f64| seconds * 1000.0 / frames as f64;
    let rate = Rate {
        frames_per_second: frames as f64 / took.as_secs_f64(),
        scheduler_ms: of_a_frame(processor_seconds(process)? - spent.0),
        agents_ms: of_a_frame(processor_seconds(own)? - spent.1),
    };
    live.stop(scheduler).await?;
    Ok(rate)
}
