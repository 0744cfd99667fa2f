//! `make bench`: runs the benchmarks, prints one table, and writes `target/bench/results.json`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use testbed::bench::{self, Scale, Scenario};

#[derive(Parser)]
#[command(about = "Benchmarks of cue-scheduler, each against something measured in the same run")]
struct Arguments {
    /// Only this scenario.
    #[arg(long)]
    only: Option<Scenario>,
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

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    anyhow::ensure!(arguments.scale > 0.0 && arguments.pairs > 0, "--scale and --pairs must be positive");
    let scale = Scale { size: arguments.scale, pairs: arguments.pairs };
    let mut figures = Vec::new();
    for scenario in Scenario::value_variants() {
        if arguments.only.is_none_or(|only| only == *scenario) {
            eprintln!("{}", scenario.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()));
            figures.extend(scenario.run(scale).await?);
        }
    }
    print!("{}", bench::table(&figures));
    bench::write(&figures, &arguments.output)?;
    Ok(if figures.iter().all(|figure| figure.pass) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
