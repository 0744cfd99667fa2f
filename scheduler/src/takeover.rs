//! What a replica left behind that died between a commit and the launch: procs that hold hosts and run nothing.
//!
//! Who has taken a pool looks for them once they are old enough for the launch protocol: then nobody launches them any more, and
//! the launcher asks the agents and adopts or undoes them, as it does with its own launches in doubt. Nothing is launched
//! again. What was missed all the same, because everybody had died, say, is found by a look over all pools every half minute
//! among the procs that are so old that a report must have named them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::cluster::PoolId;
use cue_scheduler_core::launch::BootInstant;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::engine::chain;
use crate::launch::{Launcher, clock};
use crate::ownership::{Observer, Table};
use crate::store::Store;

/// How often is looked whether a pool that was taken has its time.
const TICK: Duration = Duration::from_secs(1);

/// Between two looks over all pools.
const ROUND: Duration = Duration::from_secs(30);

/// Age of procs for the looks over all pools: agents report every minute, so what no report has named after two is worth a
/// question, before Cuebot's sweep comes after five.
const UNREPORTED: Duration = Duration::from_mins(2);

/// Looks until `stop`.
pub async fn run(
    store: Store,
    launcher: Arc<Launcher>,
    table: Arc<Table>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
) {
    let age = launcher.take_over_age();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked_through: BTreeMap<PoolId, BootInstant> = BTreeMap::new();
    let mut round_at = Instant::now() + ROUND;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let owned = table.owned_since();
        let now = clock::now();
        let is_due =
            |pool: &PoolId, since: BootInstant| now.since(since) >= age && looked_through.get(pool) != Some(&since);
        let due: BTreeMap<PoolId, BootInstant> = owned
            .iter()
            .filter(|(pool, since)| is_due(pool, **since))
            .map(|(pool, since)| (pool.clone(), *since))
            .collect();
        let look = async {
            if !due.is_empty() && look(&store, &launcher, &*observer, due.keys(), age).await {
                looked_through.extend(due.clone());
            }
            if Instant::now() >= round_at
                && look(&store, &launcher, &*observer, owned.keys(), age.max(UNREPORTED)).await
            {
                round_at = Instant::now() + ROUND;
            }
        };
        if stop.run_until_cancelled(look).await.is_none() {
            return;
        }
        looked_through.retain(|pool, _| owned.contains_key(pool));
    }
}

/// Looks through pools; `false` if the database did not answer.
async fn look(
    store: &Store,
    launcher: &Launcher,
    observer: &dyn Observer,
    pools: impl Iterator<Item = &PoolId>,
    age: Duration,
) -> bool {
    let pools: Vec<PoolId> = pools.cloned().collect();
    match store.left_behind(&pools, age).await {
        Ok(left) => {
            let new = launcher.take_over(left);
            if new > 0 {
                tracing::info!(
                    "{new} procs were booked by somebody else and no report has named them: their agents are asked"
                );
                observer.left_behind(new);
            }
            true
        }
        Err(error) => {
            tracing::warn!("procs that were left behind are not looked for: {}", chain(&error));
            false
        }
    }
}
