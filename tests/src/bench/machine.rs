//! What a figure was measured on.

use anyhow::{Context as _, ensure};
use rustix::process::Pid;
use serde::Serialize;

/// The machine.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Cores that the process may use.
    pub cores: usize,
    /// Model of the processor.
    pub processor: String,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// Kernel.
    pub kernel: String,
    /// Version of PostgreSQL.
    pub postgres: String,
    /// How the benchmark was built.
    pub profile: &'static str,
}

impl Machine {
    /// Looks around. `postgres`: what `SHOW server_version` said.
    pub fn here(postgres: String) -> Self {
        let line = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let found = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
            found.and_then(|line| line.split_once(':').map(|(_, value)| value.trim().to_owned())).unwrap_or_default()
        };
        let memory_kib: u64 =
            line("/proc/meminfo", "MemTotal").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: line("/proc/cpuinfo", "model name"),
            memory_gib: memory_kib >> 20,
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            postgres,
            profile: if cfg!(debug_assertions) { "development" } else { "release" },
        }
    }
}

/// The largest resident size of this process so far, in MiB.
pub(super) fn peak_memory_mib() -> u64 {
    status_kib("self", "VmHWM").unwrap_or(0) >> 10
}

/// The largest resident size of a process so far, in MB.
pub(super) fn peak_memory(process: Pid) -> anyhow::Result<f64> {
    Ok(status_kib(&process.as_raw_nonzero().to_string(), "VmHWM")? as f64 * 1024.0 / 1e6)
}

/// What a process holds now, in MB.
pub(super) fn memory(process: Pid) -> anyhow::Result<f64> {
    Ok(status_kib(&process.as_raw_nonzero().to_string(), "VmRSS")? as f64 * 1024.0 / 1e6)
}

/// A size from `/proc/<process>/status`.
fn status_kib(process: &str, key: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        text.lines().find(|line| line.starts_with(key)).with_context(|| format!("{key} of process {process}"))?;
    Ok(line.split_whitespace().nth(1).unwrap_or_default().parse()?)
}

/// Seconds of a processor that a process has had so far.
pub(super) fn processor_seconds(process: Pid) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))?;
    // After the name, which may hold anything: state is the first, user and system time are the 12th and 13th.
    let (_, rest) = text.rsplit_once(')').context("a process has a name")?;
    let ticks: Vec<u64> = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    ensure!(ticks.len() == 2, "/proc tells no times of process {process:?}");
    Ok(ticks.iter().sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64)
}
