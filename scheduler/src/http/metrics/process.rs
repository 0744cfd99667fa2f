//! What the process itself uses. Read from `/proc` at each scrape; elsewhere the families stay at 0.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Counter, Error, Gauge};
use rustix::process::{Resource, getrlimit};

use super::families;
use super::register::Maker;

/// Ticks of `/proc/self/stat` in a second: a constant of the kernel's interface to programs.
const TICKS: f64 = 100.0;

pub(super) struct Process {
    memory: Gauge,
    cpu: Counter,
    open_files: Gauge,
    max_files: Gauge,
}

impl Process {
    pub(super) fn new(make: &Maker) -> Result<Self, Error> {
        let start = make.gauge(&families::PROCESS_START)?;
        start.set(started_at().as_secs_f64());
        Ok(Self {
            memory: make.gauge(&families::PROCESS_MEMORY)?,
            cpu: make.counter(&families::PROCESS_CPU)?,
            open_files: make.gauge(&families::PROCESS_OPEN_FILES)?,
            max_files: make.gauge(&families::PROCESS_MAX_FILES)?,
        })
    }

    /// Reads anew.
    pub(super) fn refresh(&self) {
        if let Some(kb) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_kb) {
            self.memory.set(kb * 1024.0);
        }
        if let Some(ticks) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_ticks) {
            self.cpu.inc_by((ticks / TICKS - self.cpu.get()).max(0.0));
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // The reading itself holds one.
            self.open_files.set(files.count().saturating_sub(1) as f64);
        }
        self.max_files.set(getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |limit| limit as f64));
    }
}

/// Now: metrics are made first of all, a moment after the process was started.
fn started_at() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn resident_kb(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// User and system time: the 14th and 15th field. The second is the program's name in brackets and may hold blanks.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_proc_are_found_whatever_the_program_is_called() {
        let stat = "7 (cue ) 9 sched) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 5 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(resident_kb("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1234.0));
        assert_eq!((cpu_ticks("nonsense"), resident_kb("VmRSS: much")), (None, None));
    }
}
