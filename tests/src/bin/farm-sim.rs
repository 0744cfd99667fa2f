//! A simulated farm as a program: hosts from a file or from flags, orders on stdin, answers and a summary on stdout.
//!
//! The first line on stdout says where the farm listens; every order gets a line; the last line is the summary. All are JSON. The
//! farm ends by `stop`, SIGINT or SIGTERM, and with `--stop-at-eof` also when stdin closes, so that it dies with whoever started it.

use std::io::{BufRead as _, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::json;
use testbed::farm_sim::control::{Order, obey};
use testbed::farm_sim::{Durations, FarmConfig, FarmSim, HostSet, Manner};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Simulates any number of OpenCue render hosts behind one port.
#[derive(Debug, Parser)]
#[command(name = "farm-sim", version)]
struct Flags {
    /// A YAML description; flags win over it.
    #[arg(short = 'f', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Port of all hosts; 0 for a free one.
    #[arg(short, long)]
    port: Option<u16>,
    /// Where reports go, host:port.
    #[arg(short, long)]
    cuebot: Option<String>,
    /// How many hosts; replaces those of the file.
    #[arg(short = 'n', long)]
    hosts: Option<u32>,
    /// Address of the first of these hosts.
    #[arg(long, default_value = "127.1.0.1", requires = "hosts")]
    first: Ipv4Addr,
    /// Whole cores of each of these hosts.
    #[arg(long, default_value_t = 8, requires = "hosts")]
    cores: u32,
    /// Memory of each of these hosts, GiB.
    #[arg(long, default_value_t = 32, requires = "hosts")]
    memory_gib: u32,
    /// Tag of these hosts; may be repeated.
    #[arg(long = "tag", requires = "hosts")]
    tags: Vec<String>,
    /// Facility of these hosts.
    #[arg(long, default_value = "local", requires = "hosts")]
    facility: String,
    /// Operating system of these hosts.
    #[arg(long, default_value = "linux", requires = "hosts")]
    os: String,
    /// Behave like the agent in Rust, not like that in Python.
    #[arg(long)]
    rust_manner: bool,
    /// Seed of everything random.
    #[arg(long)]
    seed: Option<u64>,
    /// Shortest time of a frame whose command does not say how long it takes.
    #[arg(long, value_parser = humantime::parse_duration)]
    min: Option<Duration>,
    /// Longest time of such a frame.
    #[arg(long, value_parser = humantime::parse_duration)]
    max: Option<Duration>,
    /// Share of frames that fail, 0 to 1.
    #[arg(long)]
    failures: Option<f64>,
    /// Longest time between two reports of a host.
    #[arg(long, value_parser = humantime::parse_duration)]
    report_interval: Option<Duration>,
    /// Write every run to this file at the end, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// End when stdin closes.
    #[arg(long)]
    stop_at_eof: bool,
}

impl Flags {
    fn into_config(self) -> anyhow::Result<FarmConfig> {
        let mut config = match &self.config {
            None => FarmConfig::default(),
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
                FarmConfig::from_yaml(&text).with_context(|| path.display().to_string())?
            }
        };
        if let Some(count) = self.hosts {
            config.hosts = vec![HostSet {
                first: self.first,
                count,
                cores: self.cores,
                memory_kb: u64::from(self.memory_gib) << 20,
                os: self.os,
                facility: self.facility,
                tags: self.tags,
                ..HostSet::default()
            }];
        }
        let Durations { min, max } = config.durations;
        // One flag alone moves the other end with it.
        let shortest = self.min.unwrap_or_else(|| self.max.map_or(min, |max| max.min(min)));
        config.durations = Durations { min: shortest, max: self.max.unwrap_or_else(|| max.max(shortest)) };
        config.port = self.port.unwrap_or(config.port);
        config.cuebot = self.cuebot.or(config.cuebot);
        config.seed = self.seed.unwrap_or(config.seed);
        config.failures = self.failures.unwrap_or(config.failures);
        config.report_interval = self.report_interval.or(config.report_interval);
        if self.rust_manner {
            config.manner = Manner::Rust;
        }
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    let flags = Flags::parse();
    let (record, stop_at_eof) = (flags.record.clone(), flags.stop_at_eof);
    // Taken before the farm is announced, so that no signal after that goes past them.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let sim = FarmSim::start(flags.into_config()?).await?;
    say(&json!({
        "listening": sim.port(), "hosts": sim.hosts().len(), "open_files": sim.open_files(), "pid": std::process::id(),
    }))?;

    let mut lines = lines_of_stdin();
    loop {
        let line = tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            Some(line) = lines.recv() => line,
        };
        match line {
            None if stop_at_eof => break,
            None => {}
            Some(line) if line.trim().is_empty() => {}
            Some(line) => {
                let order = line.parse::<Order>();
                let stops = matches!(order, Ok(Order::Stop));
                say(&obey(&sim, order).await)?;
                if stops {
                    break;
                }
            }
        }
    }

    let runs = if record.is_some() { sim.record() } else { Vec::new() };
    let summary = sim.shutdown().await;
    if let Some(path) = record {
        let mut text = String::new();
        for run in &runs {
            text.push_str(&serde_json::to_string(run)?);
            text.push('\n');
        }
        std::fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    say(&json!({ "summary": summary }))
}

/// Lines, and `None` at the end. A thread reads them, because stdin can't be waited for in any other way; the process does not
/// wait for it at its end.
fn lines_of_stdin() -> mpsc::Receiver<Option<String>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(Some(line)).is_err() {
                return;
            }
        }
        drop(sender.blocking_send(None));
    });
    receiver
}

fn say(value: &serde_json::Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").and_then(|()| out.flush()).context("stdout is closed")
}
