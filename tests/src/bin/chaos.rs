//! `make chaos`: everything goes wrong at once, and nothing may be lost, doubled or overdrawn.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use testbed::chaos::{Plan, REGRESSIONS, run};
use testbed::interrupt::{interrupted, on_interrupt};
use testbed::postgres::{Options, Server};
use testbed::python::target_folder;
use testbed::scenarios::Length;

/// Runs farms with three replicas while a seeded schedule of faults goes over them, and judges what came of it.
#[derive(Parser)]
struct Arguments {
    /// The first seed; left out: those that failed once, then from 1.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds, one after the other from the first.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Ten seconds of faults a seed, or three minutes.
    #[arg(long, value_enum, default_value = "full")]
    length: Length,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seed, count, length } = Arguments::parse();
    let before: &[u64] = if seed.is_none() { &REGRESSIONS } else { &[] };
    let first = seed.unwrap_or(1);
    let seeds: Vec<u64> = before.iter().copied().chain(first..first.saturating_add(count)).collect();
    let folder = target_folder()?.join("chaos");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let interrupt = on_interrupt();
    let began = Instant::now();
    let mut server = Server::start(Options::default()).await?;

    let mut reports = Vec::new();
    for seed in &seeds {
        let Some(report) = run(&mut server, &Plan::of(*seed, length), &folder, &interrupt).await? else {
            return Ok(interrupted());
        };
        print!("{report}");
        reports.push(report);
        std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(&reports)?)?;
    }
    let failed: Vec<u64> = reports.iter().filter(|report| !report.pass).map(|report| report.seed).collect();
    println!(
        "{} of {} seeds pass, {:.0} s",
        reports.len() - failed.len(),
        reports.len(),
        began.elapsed().as_secs_f64()
    );
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("failed: {failed:?}");
    Ok(ExitCode::FAILURE)
}
