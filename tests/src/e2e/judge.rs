//! What is demanded of the whole story, read off the database, the hosts' own record and Cuebot's. Times are demanded where they
//! are measured.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::Context as _;

use super::farm::{FACILITIES, Farm};
use crate::auditor::CapUse;
use crate::farm_sim::overlaps;
use crate::scenarios::Check;
use crate::scenarios::judge::{late_runs, ran_never, some, told};

/// A watch with fewer looks than these saw nothing.
const SAMPLES_MIN: u64 = 100;

/// Stories with less work show little.
const RUNS_MIN: usize = 300;

/// How long counters may take to come right at rest.
const RECONCILED_WITHIN: Duration = Duration::from_secs(40);

/// Judges a farm on which nobody books any more, with the frames that were left waiting when the schedulers went.
pub async fn judge(farm: &Farm) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut demand = |demanded: &str, pass: bool, seen: String| {
        checks.push(Check { demanded: demanded.to_owned(), seen, pass });
    };
    let cuebot = farm.harness.cuebot.as_ref().context("the harness has a stand-in")?;
    cuebot.settle().await;
    let sampler = farm.sampler.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let records = sampler.context("the farm was watched")?.finish().await?;
    let audit = farm.audited(RECONCILED_WITHIN).await?;
    let deadlocks = farm.deadlocks.read(farm.pool(), &records.scheduler_sessions).await?;
    let (runs, accepted, submitted) = (farm.harness.hosts.record(), cuebot.accepted(), farm.submitted());
    let states: Vec<(String, String)> =
        sqlx::query_as("SELECT pk_frame, str_state FROM frame").fetch_all(farm.pool()).await?;
    let states: BTreeMap<String, String> = states.into_iter().collect();

    let at_once: Vec<String> = overlaps(&runs).iter().map(told).collect();
    demand("no two runs of a frame overlap", at_once.is_empty(), some(&at_once));
    let late = late_runs(&runs, &accepted, &[]);
    demand("no run starts after an accepted completion", late.is_empty(), some(&late));
    let simulated: HashSet<&str> = runs.iter().map(|run| run.frame_id.as_str()).collect();
    let on_agent: HashSet<&str> = accepted.iter().map(|end| end.frame.as_str()).collect();
    let succeeded: HashSet<String> =
        states.iter().filter(|(_, state)| *state == "SUCCEEDED").map(|(frame, _)| frame.clone()).collect();
    let here = succeeded.iter().filter(|frame| simulated.contains(frame.as_str())).cloned().collect();
    let mut never = ran_never(&runs, &here, Some(&accepted), &HashSet::new());
    // The real agent keeps no record; Cuebot has its reports.
    never.extend(succeeded.iter().filter(|frame| !on_agent.contains(frame.as_str())).cloned());
    demand("nothing has succeeded that did not run", never.is_empty(), some(&never));

    let strangers: Vec<String> = runs
        .iter()
        .filter(|run| submitted.get(&run.frame_id).is_none_or(|facility| !farm.is_host_of(run.host, facility)))
        .map(|run| format!("{} on {}", run.frame_id, run.host))
        .collect();
    let counts = FACILITIES.map(|name| runs.iter().filter(|run| farm.is_host_of(run.host, name)).count());
    demand(
        "each facility's frames run on its own hosts only",
        strangers.is_empty() && counts.iter().all(|count| *count > 0),
        format!(
            "{} runs in {}, {} in {}; elsewhere: {}",
            counts[0],
            FACILITIES[0],
            counts[1],
            FACILITIES[1],
            some(&strangers)
        ),
    );

    let over: Vec<String> = records.passed().map(CapUse::to_string).collect();
    demand("no cap is passed, at any look", over.is_empty(), some(&over));
    let twice: Vec<String> = records.given_twice.iter().map(ToString::to_string).collect();
    demand("no host and no frame is given away twice, at any look", twice.is_empty(), some(&twice));
    demand("counters, hosts and counts are right at rest", audit.is_clean(), audit.to_string());
    demand(
        "no deadlock has a scheduler in it",
        deadlocks.with_them.is_empty(),
        format!("{} of {}", deadlocks.with_them.len(), deadlocks.all),
    );
    let lost: Vec<String> = submitted
        .keys()
        .filter_map(|frame| match states.get(frame).map(String::as_str) {
            Some("SUCCEEDED" | "WAITING") => None,
            Some(state) => Some(format!("{frame} is {state}")),
            None => Some(format!("{frame} is gone")),
        })
        .collect();
    demand("no frame is lost", lost.is_empty(), some(&lost));
    demand(
        "there is something to see",
        records.samples >= SAMPLES_MIN && runs.len() >= RUNS_MIN,
        format!(
            "{} looks, {} failed; {} runs, {} frames",
            records.samples,
            records.failed,
            runs.len(),
            submitted.len()
        ),
    );
    Ok(checks)
}
