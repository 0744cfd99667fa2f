//! Scenario `steady-state`: ten minutes of a farm that is always full, with jobs that come and end: whether the scheduler's memory grows,
//! and how long passes take.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::live::Live;
use super::machine::memory;
use super::{Figure, Goal, Scale};
use crate::loader::add_job;
use crate::loader::description::{FarmDescription, JobDescription, LayerDescription};

/// How long, at scale 1.
const TIME: Duration = Duration::from_mins(10);

/// Frames of a job, in four layers.
const FRAMES: usize = 80;

/// So many frames wait at least.
const BACKLOG: i64 = 640;

const FARM: &str = "
seed: 5
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 10000}]}]
hosts: [{allocation: local.general, count: 20, cores: 8, memory: 32 GiB}]
jobs: []";

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let time = TIME.mul_f64(scale.size).max(Duration::from_secs(4));
    let live = Live::start(FarmDescription::from_yaml(FARM)?).await?;
    let scheduler = live.scheduler(&[]).await?;
    let (mut jobs, mut held) = (0, Vec::new());
    let began = Instant::now();
    while began.elapsed() < time {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM frame WHERE str_state = 'WAITING'")
            .fetch_one(&live.harness.pool)
            .await?;
        for _ in 0..usize::try_from(BACKLOG - waiting).unwrap_or(0).div_ceil(FRAMES) {
            jobs += 1;
            add_job(&live.harness.pool, jobs + 5, &job(jobs)).await?;
        }
        held.push(memory(scheduler.process()?)?);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (_, metrics) = scheduler.get("/metrics").await?;
    let p99: Option<f64> = ["read", "plan", "book"].map(|step| quantile(&metrics, step, 0.99)).into_iter().sum();
    let p99 = p99.context("passes have a histogram")?;
    let frames = live.harness.hosts.launched_count();
    live.stop(scheduler).await?;
    // The first quarter fills caches.
    let quarter = |n: usize| mean(&held[n * held.len() / 4..(n + 1) * held.len() / 4]);
    let (early, late) = (quarter(1), quarter(3));
    Ok(vec![
        Figure::new("steady-state", "memory, last quarter", late, "MB")
            .against(early, late / early)
            .with("seconds", time.as_secs())
            .with("jobs", jobs)
            .with("frames", frames)
            .with_goal(Goal::RatioAtMost(1.05)),
        Figure::new("steady-state", "time of a pass, p99 at most", p99 * 1000.0, "ms"),
    ])
}

fn job(n: u64) -> JobDescription {
    let layer = |at: u32| LayerDescription {
        name: format!("l{at}"),
        command: format!("sleep {}", f64::from(at).mul_add(0.5, 0.5)),
        range: format!("1-{}", FRAMES / 4),
        threadable: false,
        ..LayerDescription::default()
    };
    let name = format!("j{n}");
    JobDescription { name, show: "alpha".to_owned(), layers: (0..4).map(layer).collect(), ..JobDescription::default() }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The upper bound of the first bucket up to which so large a share of a step's times lies.
fn quantile(metrics: &str, step: &str, share: f64) -> Option<f64> {
    let step = format!("step=\"{step}\"");
    let lines = metrics.lines().filter(|line| line.starts_with("scheduler_pass_duration_seconds_bucket"));
    let bucket = |line: &str| {
        let (_, bound) = line.split_once("le=\"")?;
        let bound = bound.split('"').next()?.replace("+Inf", "inf").parse().ok()?;
        Some((bound, line.rsplit(' ').next()?.parse().ok()?))
    };
    // They come in the order of their bounds, and each counts those before it too.
    let buckets: Vec<(f64, f64)> = lines.filter(|line| line.contains(&step)).filter_map(bucket).collect();
    let (_, all) = *buckets.last()?;
    buckets.into_iter().find(|(_, count)| *count >= all * share).map(|(bound, _)| bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let line = |step: &str, bound: &str, count: u32| {
            format!("scheduler_pass_duration_seconds_bucket{{step=\"{step}\",le=\"{bound}\"}} {count}\n")
        };
        let text = [line("read", "0.1", 50), line("read", "1", 99), line("read", "+Inf", 100), line("plan", "0.1", 9)]
            .concat();
        assert_eq!(quantile(&text, "read", 0.5), Some(0.1));
        assert_eq!(quantile(&text, "read", 0.99), Some(1.0));
        assert_eq!(quantile(&text, "read", 1.0), Some(f64::INFINITY));
        assert_eq!(quantile(&text, "book", 0.5), None);
    }
}
