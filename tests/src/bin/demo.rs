//! `make demo`: the product at work.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use testbed::demo::{DemoConfig, run};
use testbed::harness::Existing;
use testbed::interrupt::{interrupted, on_interrupt};
use testbed::python::target_folder;

/// Books three thousand frames with two schedulers, on simulated hosts and a real render agent.
#[derive(Parser)]
struct Arguments {
    /// Use this database instead of a private one: postgres://USER:PASSWORD@HOST:PORT/NAME. The demo's shows, jobs and hosts
    /// are added to it.
    #[arg(long, requires = "cuebot")]
    database: Option<String>,
    /// Where the Cuebot of that database takes reports.
    #[arg(long, requires = "database")]
    cuebot: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let existing = arguments.database.zip(arguments.cuebot).map(|(database, cuebot)| Existing { database, cuebot });
    let folder = target_folder()?.join("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let Some(summary) = run(DemoConfig { existing, folder: folder.clone() }, on_interrupt()).await? else {
        return Ok(interrupted());
    };
    println!("{summary}");
    std::fs::write(folder.join("summary.json"), serde_json::to_string_pretty(&summary)?)?;
    Ok(if summary.success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
