//! `make scenarios`: what must hold whatever Cuebot, users and agents do.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use testbed::cuebot_sim::Generation;
use testbed::harness::Existing;
use testbed::interrupt::{interrupted, on_interrupt};
use testbed::postgres::Server;
use testbed::python::target_folder;
use testbed::scenarios::{ALL, Length, Place, Report, Scenario, Setting, run};

/// Puts scenarios on with real schedulers, simulated hosts and a stand-in Cuebot, and judges them.
#[derive(Parser)]
struct Arguments {
    /// Only these scenarios, separated by commas; left out: all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Of everything that is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of the stand-in; left out: both, one after the other.
    #[arg(long, value_enum)]
    generation: Option<Generation>,
    /// How long scenarios take.
    #[arg(long, value_enum, default_value = "full")]
    length: Length,
    /// Use this database instead of a private one: postgres://USER:PASSWORD@HOST:PORT/NAME. Shows, jobs and hosts are added to it;
    /// the hosts are taken out again.
    #[arg(long, requires = "cuebot")]
    database: Option<String>,
    /// Where the Cuebot of that database takes reports; `--generation` says which one it is.
    #[arg(long, requires_all = ["database", "generation"])]
    cuebot: Option<SocketAddr>,
    /// The port at which that Cuebot calls agents.
    #[arg(long, default_value_t = 8444)]
    agent_port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen = chosen(&arguments.only)?;
    let generations = arguments.generation.map_or(vec![Generation::B1, Generation::C], |generation| vec![generation]);
    let folder = target_folder()?.join("scenarios");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let place = match arguments.database.zip(arguments.cuebot) {
        Some((database, cuebot)) => Place::Existing(Existing { database, cuebot }, arguments.agent_port),
        None => Place::Private(Server::shared().await?),
    };
    let interrupt = on_interrupt();

    println!("{}", Report::header());
    let mut reports = Vec::new();
    for scenario in chosen {
        for generation in &generations {
            let setting = Setting { seed: arguments.seed, length: arguments.length, generation: *generation };
            let Some(report) = run(scenario, setting, &place, &folder, &interrupt).await else {
                return Ok(interrupted());
            };
            print!("{report}");
            reports.push(report);
            std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(&reports)?)?;
        }
    }
    let failed = reports.iter().filter(|report| !report.pass).count();
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    println!("{} of {} pass, seed {}, {seconds:.0} s", reports.len() - failed, reports.len(), arguments.seed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static dyn Scenario>> {
    if only.is_empty() {
        return Ok(ALL.to_vec());
    }
    let find = |name: &String| ALL.iter().copied().find(|scenario| scenario.name().eq_ignore_ascii_case(name.trim()));
    only.iter()
        .map(|name| {
            find(name).with_context(|| {
                let all: Vec<&str> = ALL.iter().map(|scenario| scenario.name()).collect();
                format!("there is no scenario `{name}`; there are {}", all.join(", "))
            })
        })
        .collect()
}
