//! `make bench`: runs the benchmarks, prints one table, and writes `target/bench/results.json`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use testbed::bench::{self, Scale, booking_floor};

#[derive(Parser)]
#[command(about = "Benchmarks of cue-scheduler, each against something measured in the same run")]
struct Arguments {
    /// Only this scenario.
    #[arg(long)]
    only: Option<String>,
    /// Factor on the size of farm and work.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Interleaved pairs of runs.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Where to write `results.json`.
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

const SCENARIOS: [&str; 1] = ["booking-floor"];

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    if let Some(only) = &arguments.only {
        anyhow::ensure!(
            SCENARIOS.contains(&only.as_str()),
            "there is no scenario `{only}`; there are: {}",
            SCENARIOS.join(", ")
        );
    }
    anyhow::ensure!(arguments.scale > 0.0 && arguments.pairs > 0, "--scale and --pairs must be positive");
    let figures = booking_floor::run(Scale { size: arguments.scale, pairs: arguments.pairs }).await?;
    print!("{}", bench::table(&figures));
    bench::write(&figures, &arguments.output)?;
    Ok(if figures.iter().all(|figure| figure.pass) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
