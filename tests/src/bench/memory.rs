//! Scenario `memory`: the most that a scheduler holds with a very large farm's hosts in memory, and with thousands of agents that it
//! has launched on.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::live::{LIMIT, Live};
use super::machine::peak_memory;
use super::{Figure, Goal, Scale};
use crate::loader::description::FarmDescription;

/// Hosts of the farm that is only looked at.
const HOSTS: usize = 100_000;

/// Allocations of that farm.
const POOLS: usize = 20;

/// Hosts that are launched on.
const LAUNCHED: usize = 4_000;

/// What either should stay below, in MB.
const MOST: f64 = 150.0;

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    Ok(vec![cached(scale).await?, launched(scale).await?])
}

/// In each pool waits work that fits nowhere, so that all hosts are kept.
async fn cached(scale: Scale) -> anyhow::Result<Figure> {
    let each = scale.of(HOSTS / POOLS);
    let of = |line: &dyn Fn(usize) -> String| (0..POOLS).map(line).collect::<Vec<_>>().join(", ");
    let farm = FarmDescription::from_yaml(&format!(
        "
seed: 9
facilities: [{{name: local, allocations: [{}]}}]
shows: [{{name: alpha, subscriptions: [{}]}}]
hosts: [{}]
jobs: [{{name: large, show: alpha, layers: [{}]}}]",
        of(&|n| format!("{{name: local.a{n}, tag: a{n}}}")),
        of(&|n| format!("{{allocation: local.a{n}, burst: 100000}}")),
        of(&|n| format!("{{allocation: local.a{n}, count: {each}, cores: 16, memory: 64 GiB}}")),
        of(&|n| format!("{{name: l{n}, tags: [a{n}], min_cores: 64}}")),
    ))?;
    let live = Live::of_rows(farm).await?;
    let scheduler = live.scheduler(&[]).await?;
    let began = Instant::now();
    // The second pass of a pool reads what has changed since the first.
    while scheduler.metric_with("scheduler_pass_duration_seconds_count", "step=\"read\"").await? < 2.0 * POOLS as f64 {
        ensure!(began.elapsed() < LIMIT, "not all pools had two passes within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let peak = peak_memory(scheduler.process()?)?;
    live.stop(scheduler).await?;
    Ok(Figure::new("memory", "hosts cached", peak, "MB").with("hosts", each * POOLS).with_goal(Goal::AtMost(MOST)))
}

/// One frame for each host.
async fn launched(scale: Scale) -> anyhow::Result<Figure> {
    let hosts = scale.of(LAUNCHED);
    let farm = FarmDescription::from_yaml(&format!(
        "
seed: 9
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 100000}}]}}]
hosts: [{{allocation: local.general, count: {hosts}, cores: 4, memory: 16 GiB}}]
jobs: [{{name: all, show: alpha, max_cores: 100000, layers: [{{name: a, range: 1-{hosts}, min_cores: 4, command: sleep 3600}}]}}]"
    ))?;
    let live = Live::start(farm).await?;
    let scheduler = live.scheduler(&[]).await?;
    live.launched(hosts).await?;
    let peak = peak_memory(scheduler.process()?)?;
    live.stop(scheduler).await?;
    Ok(Figure::new("memory", "hosts launched on", peak, "MB").with("hosts", hosts).with_goal(Goal::AtMost(MOST)))
}
