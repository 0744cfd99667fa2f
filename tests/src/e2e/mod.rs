//! `make e2e`: from `helm install` to a running frame, on a real Kubernetes.
//!
//! ```text
//! outside: fetch and build everything ──► namespaces ──► inside: node ──► farm ──► story ──► judge ──► timeline
//! given:   somebody's cluster ─────────────────────────────────────────► farm ──► story ──► judge ──► timeline
//! ```
//!
//! The [`cluster`] is a [`Node`] of one's own, as root, in namespaces, and a kubeconfig of the machine is not looked at; unless
//! somebody names a cluster of theirs. The farm is outside the cluster, at addresses that pods reach: PostgreSQL, a stand-in for
//! Cuebot, simulated hosts and one real render agent. The [`story`] is what a person does, with `helm`, `kubectl` and the operator's
//! `wait`; what came of it is read off the database, the hosts' own record and Cuebot's, as in the scenarios.

mod cluster;
mod farm;
mod images;
mod judge;
mod monitoring;
mod pods;
mod story;
mod timeline;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum as _};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use crate::debian::Unpacked;
use crate::kubernetes::binaries::Binaries;
use crate::kubernetes::node::{ADDRESS, Namespaces, Node, PACKAGES};
use crate::python::{Venv, target_folder};
use crate::scenarios::Length;

pub use cluster::{Named, named};

use cluster::{Cluster, DEFINITION, Given};
use farm::Farm;
use monitoring::{Monitoring, Programs};
use pods::{NAMESPACE, OPERATORS};
use story::Story;
use timeline::Timeline;

/// What is to be over in half a minute fails after this.
const LIMIT: Duration = Duration::from_mins(2);

/// What is to be done.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// Every step once, or with all faults again and again.
    #[arg(long, value_enum, default_value = "short")]
    pub length: Length,
    /// Build the programs in the images, as a release does, instead of packing those that are there.
    #[arg(long)]
    pub build_inside: bool,
}

/// The part outside of the namespaces: prepares everything, and waits for the part inside.
pub async fn outside(plan: &Plan, interrupted: &CancellationToken) -> anyhow::Result<ExitCode> {
    ensure!(rustix::process::geteuid().is_root(), "a Kubernetes node of one's own needs root");
    prepared()?;
    Programs::prepared()?;
    Venv::with_agent()?;
    crate::postgres::binaries::find()?;
    images::build(plan.build_inside)?;
    let results = results()?;
    emptied(&results)?;
    let namespaces = Namespaces::new()?;
    let length = plan.length.to_possible_value().context("a length has a name")?;
    let arguments: [OsString; 4] =
        ["--inside".into(), namespaces.folder().into(), "--length".into(), length.get_name().into()];
    let mut inside = namespaces.enter(&std::env::current_exe()?, &arguments)?;
    let status = tokio::select! {
        status = inside.wait() => status?,
        () = interrupted.cancelled() => {
            inside.kill().await?;
            return Ok(crate::interrupt::interrupted());
        }
    };
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The part inside, in the folder of the namespaces.
pub async fn inside(plan: &Plan, folder: &Path) -> anyhow::Result<ExitCode> {
    let results = results()?;
    let mut timeline = Timeline::new(results.join("timeline.json"), plan.length);
    let told = on_a_node(plan.length, folder, &results, &mut timeline).await;
    ended(&told, &mut timeline)
}

/// In a cluster that somebody gives, until it is told or interrupted. Nothing stays there.
pub async fn in_given(plan: &Plan, named: Named) -> anyhow::Result<ExitCode> {
    let interrupted = crate::interrupt::on_interrupt();
    let results = results()?;
    emptied(&results)?;
    let folder = tempfile::Builder::new().prefix("cue-e2e-").tempdir()?;
    let given = block_in_place(|| Given::take(named, None, folder.path()))?;
    let cluster = Cluster::Given(given.clone());
    let mut timeline = Timeline::new(results.join("timeline.json"), plan.length);
    let told = tokio::select! {
        told = tell(&cluster, plan.length, folder.path(), &results, &mut timeline) => Some(told),
        () = interrupted.cancelled() => None,
    };
    let left = block_in_place(|| given.leave()).context("leaving the cluster as it was");
    let Some(told) = told else {
        left?;
        return Ok(crate::interrupt::interrupted());
    };
    ended(&told.and(left), &mut timeline)
}

fn ended(told: &anyhow::Result<()>, timeline: &mut Timeline) -> anyhow::Result<ExitCode> {
    if let Err(error) = told {
        timeline.failed(error)?;
    }
    println!("the timeline is in {}", timeline.file().display());
    Ok(if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn on_a_node(length: Length, folder: &Path, results: &Path, timeline: &mut Timeline) -> anyhow::Result<()> {
    let (binaries, packages) = prepared()?;
    let node = block_in_place(|| Node::start(binaries, packages, &images::archives()?, folder))?;
    timeline.step("a node of one's own", node.ready_after, &["containerd, control plane, kubelet and kube-proxy"])?;
    let cluster = Cluster::Own(Box::new(node));
    tell(&cluster, length, folder, results, timeline).await?;
    if length == Length::Full {
        as_given(&cluster, folder, results, timeline).await?;
    }
    Ok(())
}

/// The same cluster as if somebody had given it: refused as long as the definition is there, and then the story once more.
async fn as_given(own: &Cluster, folder: &Path, results: &Path, timeline: &mut Timeline) -> anyhow::Result<()> {
    let began = Instant::now();
    let client = own.client();
    let take = || {
        let named = ("c".to_owned(), ADDRESS, "docker.io/opencue".to_owned());
        block_in_place(|| Given::take(named, Some(&client.kubeconfig), folder))
    };
    let refused = take().err().context("a cluster is taken in which our definition is")?;
    block_in_place(|| {
        client.run(&["delete", "crd", DEFINITION])?;
        client.run(&["delete", "namespace", NAMESPACE, OPERATORS, "--wait"])
    })?;
    let given = take()?;
    timeline.step("take the cluster as if it were given", began.elapsed(), &[&format!("refused before: {refused}")])?;
    tell(&Cluster::Given(given.clone()), Length::Short, folder, results, timeline).await?;
    block_in_place(|| given.leave())?;
    let of_all = "crd,namespaces,clusterroles,clusterrolebindings";
    let left = block_in_place(|| client.run(&["get", of_all, "-o", "name"]))?;
    let is_ours = |name: &&str| name.contains("opencue") || name.contains("cue-scheduler");
    let left: Vec<&str> = left.lines().filter(is_ours).collect();
    ensure!(left.is_empty(), "left in the cluster: {left:?}");
    Ok(())
}

async fn tell(
    cluster: &Cluster,
    length: Length,
    folder: &Path,
    results: &Path,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let farm = Farm::start(block_in_place(|| cluster.prepare())?, folder).await?;
    let monitoring = match cluster {
        Cluster::Own(node) => Some(block_in_place(|| Monitoring::start(&node.admin, Programs::prepared()?, folder))?),
        // It may have its own.
        Cluster::Given(_) => None,
    };
    let mut story = Story::new(cluster, farm, monitoring, length, timeline);
    let told = story.tell().await;
    if told.is_err() {
        story.keep_logs(&results.join("logs"));
    }
    told
}

/// What has to be fetched or built once. Inside it is all there.
fn prepared() -> anyhow::Result<(&'static Binaries, Unpacked)> {
    Ok((Binaries::of_cluster()?, Unpacked::get("node", &PACKAGES)?))
}

fn emptied(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(std::fs::create_dir_all(folder)?)
}

fn results() -> anyhow::Result<PathBuf> {
    Ok(target_folder()?.join("e2e"))
}
