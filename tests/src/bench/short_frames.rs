//! Scenario `short-frames`: 50 frames of 0.2 s on eight cores of the real agent, against the time that they would take without any
//! gap between them. The agent's own part is told: how long it says that its frames ran.

use std::time::Instant;

use super::live::Live;
use super::{Figure, Goal, Scale};
use crate::loader::add_job;
use crate::loader::amount::Memory;
use crate::loader::description::{FarmDescription, JobDescription, LayerDescription};

/// Cores of the agent.
const CORES: u32 = 8;

/// What a frame takes by itself, in seconds.
const FRAME: f64 = 0.2;

const FARM: &str = "
seed: 5
facilities: [{name: local, allocations: [{name: local.real, tag: real, default: true}, {name: local.other, tag: other}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.real, burst: 10000}]}]
hosts: [{allocation: local.other, count: 1}]
jobs: []";

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let frames = scale.of(50);
    let live = Live::with_agent(FarmDescription::from_yaml(FARM)?, CORES, "real").await?;
    let scheduler = live.scheduler(&[]).await?;
    let layer = LayerDescription {
        name: "a".to_owned(),
        command: format!("sleep {FRAME}"),
        range: format!("1-{frames}"),
        memory: Memory::kib(65_536),
        tags: vec!["real".to_owned()],
        threadable: false,
        ..LayerDescription::default()
    };
    let log_dir = tempfile::tempdir()?;
    let job = JobDescription {
        name: "j".to_owned(),
        show: "alpha".to_owned(),
        log_dir: log_dir.path().display().to_string(),
        layers: vec![layer],
        ..JobDescription::default()
    };
    add_job(&live.harness.pool, 6, &job).await?;
    let began = Instant::now();
    live.until_none("frames are not done", "SELECT count(*) FROM frame WHERE str_state <> 'SUCCEEDED'").await?;
    let took = began.elapsed();
    let ran: f64 = sqlx::query_scalar("SELECT avg(extract(epoch FROM ts_stopped - ts_started))::float8 FROM frame")
        .fetch_one(&live.harness.pool)
        .await?;
    live.stop(scheduler).await?;
    let ideal = FRAME * frames.div_ceil(CORES as usize) as f64;
    Ok(vec![
        Figure::new("short-frames", "all frames done", took.as_secs_f64(), "s")
            .against(ideal, took.as_secs_f64() / ideal)
            .with("frames", frames)
            .with("seconds_from_start_to_stop_of_a_frame", (ran * 1000.0).round() / 1000.0)
            .with_goal(Goal::RatioAtMost(3.0)),
    ])
}
