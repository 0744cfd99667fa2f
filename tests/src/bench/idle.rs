//! Scenario `idle`: what a replica without work asks the database, and what it takes of a processor.

use std::time::{Duration, Instant};

use super::live::Live;
use super::machine::processor_seconds;
use super::{Figure, Goal, Scale};
use crate::farm_sim::{Fault, Hosts};
use crate::loader::description::FarmDescription;

const FARM: &str = "
seed: 5
facilities: [{name: local, allocations: [{name: local.a, tag: a}, {name: local.b, tag: b}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.a, burst: 100}, {allocation: local.b, burst: 100}]}]
hosts: [{allocation: local.a, count: 50}, {allocation: local.b, count: 50}]
jobs: []";

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let window = Duration::from_secs(20).mul_f64(scale.size.clamp(0.1, 10.0));
    let mut live = Live::start(FarmDescription::from_yaml(FARM)?).await?;
    let scheduler = live.scheduler(&[]).await?;
    // Hosts that report, and Cuebot, which takes their reports, ask too.
    live.harness.hosts.set_fault(Hosts::All, Fault::Dead).await?;
    if let Some(cuebot) = live.harness.cuebot.take() {
        cuebot.shutdown().await;
    }
    let process = scheduler.process()?;
    // The server writes down late what a session did before it fell idle: the window with least is the one without that.
    let (mut statements, mut processor) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..3 {
        let (asked, spent, began) = (transactions(&live).await?, processor_seconds(process)?, Instant::now());
        tokio::time::sleep(window).await;
        let took = began.elapsed().as_secs_f64();
        processor = processor.min((processor_seconds(process)? - spent) / took * 100.0);
        statements = statements.min((transactions(&live).await? - asked) as f64 / took);
    }
    live.stop(scheduler).await?;
    Ok(vec![
        Figure::new("idle", "statements", statements, "1/s").with_goal(Goal::AtMost(5.0)),
        Figure::new("idle", "processor", processor, "%").with_goal(Goal::AtMost(1.0)),
    ])
}

/// All transactions so far: each statement of a scan is one.
async fn transactions(live: &Live) -> anyhow::Result<i64> {
    let asked = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    Ok(sqlx::query_scalar(asked).fetch_one(&live.harness.pool).await?)
}
