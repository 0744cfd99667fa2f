//! The command line of `cue-scheduler-operator`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Print the `CustomResourceDefinition`, exactly as it lies in crds/.
    Crd,
}

/// Does what the arguments say.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Crd => print!("{}", crd::definition_yaml()?),
    }
    Ok(ExitCode::SUCCESS)
}
