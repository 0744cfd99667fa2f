//! Scenario `wake`: how long after its commit the first frame of a job is launched, on an idle farm, for one job after another.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::live::{Live, since};
use super::{Figure, Goal, Scale, percentile};
use crate::loader::add_job;
use crate::loader::description::{FarmDescription, JobDescription, LayerDescription};

const FARM: &str = "
seed: 5
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 10000}]}]
hosts: [{allocation: local.general, count: 50, cores: 8, memory: 32 GiB}]
jobs: []";

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let live = Live::start(FarmDescription::from_yaml(FARM)?).await?;
    let scheduler = live.scheduler(&[]).await?;
    let jobs = scale.of(50);
    let mut waited = Vec::new();
    for n in 0..jobs {
        // Not in step with anything that happens by the clock: 0.7 s, 1.07 s, 1.44 s, 0.81 s, …
        tokio::time::sleep(Duration::from_millis(700 + (n as u64 * 370) % 1000)).await;
        let layer =
            LayerDescription { name: "a".to_owned(), command: "sleep 0.1".to_owned(), ..LayerDescription::default() };
        let name = format!("j{n}");
        let job = JobDescription { name, show: "alpha".to_owned(), layers: vec![layer], ..JobDescription::default() };
        add_job(&live.harness.pool, n as u64 + 6, &job).await?;
        let committed = SystemTime::now();
        live.launched(n + 1).await?;
        let launch =
            live.harness.hosts.record().last().map(crate::farm_sim::Run::started).context("a launch has a record")?;
        waited.push(since(launch, committed).as_secs_f64() * 1000.0);
    }
    live.stop(scheduler).await?;
    Ok([("p50", 0.5, 300.0), ("p99", 0.99, 1000.0)]
        .map(|(name, share, most)| {
            let what = format!("job to launch, {name}");
            Figure::new("wake", what, percentile(&waited, share), "ms").with("jobs", jobs).with_goal(Goal::AtMost(most))
        })
        .to_vec())
}
