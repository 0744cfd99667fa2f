//! The command line of `cue-scheduler-operator`.

mod import;
mod offline;
mod run;
mod wait;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::crd;

/// Turns `SchedulerDeployment` resources into the schedulers of a studio's facilities.
#[derive(Clone, Debug, Parser)]
#[command(name = "cue-scheduler-operator", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Work: watch resources, and keep what they come to in the cluster.
    Run(run::Run),
    /// Wait until a resource, or an operator, is ready: 0 when it is, 1 when the time is over, with what is missing.
    Wait(wait::Wait),
    /// Print the `CustomResourceDefinition`, exactly as it lies in crds/.
    Crd,
    /// Say whether the resources in a file are sound: 0 if they are, 1 if not. No cluster is asked.
    Check {
        /// Manifests; `-` for standard input. Documents of other kinds are passed over.
        file: PathBuf,
    },
    /// Print the objects that the resources in a file come to, as they would be applied to a cluster that has the Prometheus
    /// Operator and KEDA. No cluster is asked, so versions of Secrets are left out.
    Render {
        /// Manifests; `-` for standard input. Documents of other kinds are passed over.
        file: PathBuf,
    },
    /// Print a resource, and a Secret with user and password, that do what a scheduler.yaml does.
    Import(Import),
}

/// What `import` takes.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// scheduler.yaml; `-` for standard input.
    pub file: PathBuf,
    /// The resource's name.
    #[arg(long, default_value = "farm")]
    pub name: String,
    /// The namespace of both.
    #[arg(long, default_value = "opencue")]
    pub namespace: String,
    /// A facility, by its exact name; repeated for several. Otherwise the one that the file names.
    #[arg(long = "facility", value_name = "NAME")]
    pub facilities: Vec<String>,
}

/// Does what the arguments say.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let printed = match &arguments.command {
        Command::Run(arguments) => return runtime()?.block_on(run::run(arguments)),
        Command::Wait(arguments) => return runtime()?.block_on(wait::wait(arguments)),
        Command::Crd => crd::definition_yaml()?,
        Command::Check { file } => offline::check(file)?,
        Command::Render { file } => offline::render(file)?,
        Command::Import(arguments) => import::import(arguments)?,
    };
    match std::io::stdout().write_all(printed.as_bytes()) {
        // Who reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

/// Two threads are enough for what is mostly waiting, and each costs memory.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
