//! All scenarios.

mod cap_drop;
mod commit_cut;
mod completion_storm;
mod deadlock;
mod depends;
mod double_render;
mod folder;
mod license;
mod limit;
mod migrate;
mod oom;
mod parity;
mod pin;
mod poison;
mod priority;
mod prod_env;
mod release_storm;
mod saturation;
mod start_after;
mod tag_max;
mod tags_gpu;
mod upgrade;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{Scenario, Stage};

/// In the order in which they are shown.
pub const ALL: &[&dyn Scenario] = &[
    &priority::Priority,
    &limit::Limit,
    &cap_drop::CapDrop,
    &folder::Folder,
    &depends::Depends,
    &tags_gpu::TagsGpu,
    &tag_max::TagMax,
    &pin::Pin,
    &parity::Parity,
    &migrate::Migrate,
    &poison::Poison,
    &double_render::DoubleRender,
    &completion_storm::CompletionStorm,
    &deadlock::Deadlock,
    &release_storm::ReleaseStorm,
    &license::License,
    &oom::Oom,
    &prod_env::ProdEnv,
    &upgrade::Upgrade,
    &commit_cut::CommitCut,
    &saturation::Saturation,
    &start_after::StartAfter,
];

/// By the hosts' record: the largest sum of a weight over runs that overlapped.
fn most_at_once<'a>(
    runs: impl IntoIterator<Item = &'a crate::farm_sim::Run>,
    weight: impl Fn(&crate::farm_sim::Run) -> i64,
) -> i64 {
    let mut moments: Vec<(u64, i64)> = Vec::new();
    for run in runs {
        moments.push((run.started_us, weight(run)));
        moments.push((run.end.map_or(u64::MAX, |end| end.at_us), -weight(run)));
    }
    // Of changes at one microsecond the ends come first.
    moments.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in moments {
        now += change;
        most = most.max(now);
    }
    most
}

/// By the hosts' record: the most hosts on which some of the runs went on at once.
fn most_hosts_at_once(runs: &[crate::farm_sim::Run]) -> i64 {
    let mut moments: Vec<(u64, i64, Ipv4Addr)> = Vec::new();
    for run in runs {
        moments.push((run.started_us, 1, run.host));
        moments.push((run.end.map_or(u64::MAX, |end| end.at_us), -1, run.host));
    }
    moments.sort_unstable();
    let (mut running, mut most) = (BTreeMap::<Ipv4Addr, i64>::new(), 0);
    for (_, change, host) in moments {
        *running.entry(host).or_default() += change;
        running.retain(|_, runs| *runs > 0);
        most = most.max(running.len());
    }
    most as i64
}

/// The host's name, as text, of each run of a layer.
fn hosts_of(stage: &Stage, layer: &str) -> std::collections::BTreeSet<String> {
    stage.runs_of_layer(layer).iter().map(|run| run.host.to_string()).collect()
}
