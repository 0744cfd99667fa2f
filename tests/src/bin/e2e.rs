//! `make e2e`: from `helm install` to a running frame, on a real Kubernetes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use testbed::e2e::{Plan, in_given, inside, named, outside};
use testbed::interrupt::on_interrupt;

/// Starts a Kubernetes of one node, as root, in namespaces of its own, and does there what a user does: installs the operator, has
/// it run schedulers, changes them and breaks them while they book a farm. Or in a cluster that is there, if the variables of
/// docs/end-to-end.md name one.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
    /// This process is the one in the namespaces, whose folder this is.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { plan, inside: folder } = Arguments::parse();
    let threads = || tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    if let Some(folder) = folder {
        return threads()?.block_on(async { tokio::spawn(async move { inside(&plan, &folder).await }).await? });
    }
    if let Some(named) = named(|name| std::env::var(name).ok())? {
        return threads()?.block_on(async { tokio::spawn(async move { in_given(&plan, named).await }).await? });
    }
    // On this thread alone: what is inside ends with the thread that has started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { outside(&plan, &on_interrupt()).await })
}
