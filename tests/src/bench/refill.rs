//! Scenario `refill`: how long a core stays free between the end of a frame and the next launch on its host, on a busy farm with a
//! backlog. Cuebot's part is in it: it takes the completion and releases the proc.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::SystemTime;

use super::live::{Live, since};
use super::{Figure, Goal, Scale, percentile};
use crate::farm_sim::Run;
use crate::loader::description::FarmDescription;

/// Cores of a host, each for one frame.
const CORES: usize = 8;

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let hosts = scale.of(10);
    // Each core is filled so often by each job; twice is the least that tells anything.
    let frames = hosts * CORES * scale.of(10).max(2);
    let farm = FarmDescription::from_yaml(&format!(
        "
seed: 5
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 10000}}]}}]
hosts: [{{allocation: local.general, count: {hosts}, cores: {CORES}, memory: 32 GiB}}]
jobs:
  - {{name: one, show: alpha, layers: [{{name: a, range: 1-{frames}, command: sleep 1.7, threadable: false}}]}}
  - {{name: two, show: alpha, layers: [{{name: a, range: 1-{frames}, command: sleep 2.3, threadable: false}}]}}"
    ))?;
    let live = Live::start(farm).await?;
    let scheduler = live.scheduler(&[]).await?;
    live.launched(2 * frames).await?;
    let waited: Vec<f64> = free(&live.harness.hosts.record(), CORES);
    live.until_none("procs", "SELECT count(*) FROM proc").await?;
    live.stop(scheduler).await?;
    let mean = waited.iter().sum::<f64>() / waited.len() as f64;
    let of = |share| (percentile(&waited, share) * 1000.0).round() / 1000.0;
    Ok(vec![
        Figure::new("refill", "freed core to launch, mean", mean, "s")
            .with("launches", waited.len())
            .with("p50", of(0.5))
            .with("p99", of(0.99))
            .with_goal(Goal::AtMost(1.2)),
    ])
}

/// For each launch that follows the first `cores` on its host, the seconds since the oldest end that no launch has followed yet.
fn free(runs: &[Run], cores: usize) -> Vec<f64> {
    let mut of_host: HashMap<Ipv4Addr, (Vec<SystemTime>, Vec<SystemTime>)> = HashMap::new();
    for run in runs {
        let (starts, ends) = of_host.entry(run.host).or_default();
        starts.push(run.started());
        ends.extend(run.ended());
    }
    let mut waited = Vec::new();
    for (mut starts, mut ends) in of_host.into_values() {
        starts.sort_unstable();
        ends.sort_unstable();
        let mut ends = VecDeque::from(ends);
        for start in starts.into_iter().skip(cores) {
            if let Some(end) = ends.pop_front() {
                waited.push(since(start, end).as_secs_f64());
            }
        }
    }
    waited
}
