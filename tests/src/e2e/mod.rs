//! `make e2e`: from `helm install` to a running frame, on a real Kubernetes.
//!
//! ```text
//! outside: fetch and build everything ──► namespaces ──► inside: node ──► farm ──► story ──► judge ──► timeline
//! ```
//!
//! The cluster is a [`Node`] of one's own, as root, in namespaces; a kubeconfig of the machine is not looked at. The farm is outside
//! the cluster, at addresses that pods reach: PostgreSQL, a stand-in for Cuebot, simulated hosts and one real render agent. The
//! [`story`] is what a person does, with `helm`, `kubectl` and the operator's `wait`; what came of it is read off the database, the
//! hosts' own record and Cuebot's, as in the scenarios.

mod farm;
mod images;
mod judge;
mod pods;
mod story;
mod timeline;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum as _};
use tokio_util::sync::CancellationToken;

use crate::debian::Unpacked;
use crate::kubernetes::binaries::Binaries;
use crate::kubernetes::node::{Namespaces, Node, PACKAGES};
use crate::python::{Venv, target_folder};
use crate::scenarios::Length;

use farm::Farm;
use story::Story;
use timeline::Timeline;

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
    Venv::with_agent()?;
    crate::postgres::binaries::find()?;
    images::build(plan.build_inside)?;
    let results = results()?;
    if results.exists() {
        std::fs::remove_dir_all(&results)?;
    }
    std::fs::create_dir_all(&results)?;

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
    let told = run(plan, folder, &results, &mut timeline).await;
    if let Err(error) = &told {
        timeline.failed(error)?;
    }
    println!("the timeline is in {}", timeline.file().display());
    Ok(if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(plan: &Plan, folder: &Path, results: &Path, timeline: &mut Timeline) -> anyhow::Result<()> {
    let (binaries, packages) = prepared()?;
    let node = tokio::task::block_in_place(|| Node::start(binaries, packages, &images::archives()?, folder))?;
    timeline.step("a node of one's own", node.ready_after, &["containerd, control plane, kubelet and kube-proxy"])?;
    let farm = Farm::start(folder).await?;
    let mut story = Story::new(&node, farm, plan.length, timeline);
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

fn results() -> anyhow::Result<PathBuf> {
    Ok(target_folder()?.join("e2e"))
}
