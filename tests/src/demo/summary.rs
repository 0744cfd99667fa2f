//! What the demo shows at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{dispatched, runs_per_frame};
use crate::auditor::{Audit, CapRecords};
use crate::harness::{Harness, Scheduler};

/// The closing figures; also `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Frames that were to be done.
    pub frames: usize,
    /// Frames that succeeded, by show.
    pub succeeded: BTreeMap<String, i64>,
    /// Frames that ran on simulated hosts.
    pub on_simulated_hosts: usize,
    /// Frames that ran on the real agent.
    pub on_real_hosts: usize,
    /// Frames that ran more than once anywhere, each with how its runs ended.
    pub ran_twice: Vec<String>,
    /// Launches whose command the real agent could not start; Cuebot gave the frames out again.
    pub not_started: usize,
    /// Seconds from the start of the schedulers to the last frame.
    pub seconds: f64,
    /// Frames a second over that time.
    pub frames_per_second: f64,
    /// What each scheduler booked, by its own metric.
    pub booked_by_scheduler: Vec<f64>,
    /// Seconds from the commit of a job on the busy farm to its first launched frame.
    pub commit_to_launch_seconds: f64,
    /// Largest use of each cap, and the cap: hundredths of cores, GPUs or frames.
    pub caps: Vec<Cap>,
    /// Caps that were passed at any time.
    pub caps_passed: usize,
    /// Counters, host amounts and counts that are not what they should be.
    pub differences: Vec<String>,
    /// Lines that the real agent's frames wrote.
    pub real_log_lines: Vec<String>,
    /// How many of the real frames' logs hold the line that their command writes.
    pub real_logs_right: usize,
    /// Whether every frame ran exactly once and succeeded, no cap was passed, and all is counted right.
    pub success: bool,
}

/// Exit statuses of commands that did not run: 256, the agent could not set the frame up; 126, the shell could not execute the
/// script. The agent in Python writes a script for each frame and starts it at once; when it starts another frame in that very
/// moment, the new process still holds the script open for writing, and the system refuses to execute it ("text file busy").
const NOT_STARTED: [i32; 2] = [126, 256];

/// A cap and its largest use.
#[derive(Clone, Debug, Serialize)]
pub struct Cap {
    /// Which.
    pub name: String,
    /// Largest use seen.
    pub largest: i64,
    /// The cap then.
    pub allowed: i64,
}

#[allow(clippy::too_many_arguments, reason = "the figures come from everywhere, once")]
pub(super) async fn make(
    harness: &Harness,
    schedulers: &[Scheduler],
    caps: &CapRecords,
    audit: &Audit,
    frames: usize,
    took: Duration,
    late: Duration,
    logs: &Path,
) -> anyhow::Result<Summary> {
    let succeeded: Vec<(String, i64)> = sqlx::query_as(
        "SELECT s.str_name, count(*) FROM frame f JOIN job j USING (pk_job) JOIN show s USING (pk_show)
         WHERE f.str_state = 'SUCCEEDED' GROUP BY 1",
    )
    .fetch_all(&harness.pool)
    .await?;
    let succeeded: BTreeMap<String, i64> = succeeded.into_iter().collect();
    let done: i64 = succeeded.values().sum();

    let simulated = runs_per_frame(harness);
    let mut ends: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    let mut not_started = 0;
    for accepted in harness.cuebot.iter().flat_map(crate::cuebot_sim::CuebotSim::accepted) {
        let ends = ends.entry(accepted.frame).or_default();
        if NOT_STARTED.contains(&accepted.exit_status) {
            not_started += 1;
        } else {
            ends.push(accepted.exit_status);
        }
    }
    let runs_of = |frame: &String, ends: usize| simulated.get(frame).copied().unwrap_or(ends);
    let ran_twice: Vec<String> = ends
        .iter()
        .filter(|(frame, ends)| runs_of(frame, ends.len()) > 1)
        .map(|(frame, ends)| {
            let place = if simulated.contains_key(frame) { "simulated" } else { "real" };
            format!("frame {frame} on {place} hosts: exit statuses {ends:?}")
        })
        .collect();
    let (lines, right) = real_lines(logs)?;
    let on_real_hosts = usize::try_from(done)?.saturating_sub(simulated.len());

    let differences: Vec<String> = audit.to_string().lines().map(str::to_owned).collect();
    let caps_passed = caps.passed().count();
    let success = usize::try_from(done)? == frames
        && ran_twice.is_empty()
        && simulated.len() + on_real_hosts == frames
        && right == on_real_hosts
        && on_real_hosts > 0
        && caps_passed == 0
        && audit.is_clean();
    Ok(Summary {
        frames,
        succeeded,
        on_simulated_hosts: simulated.len(),
        on_real_hosts,
        ran_twice,
        not_started,
        seconds: took.as_secs_f64(),
        frames_per_second: frames as f64 / took.as_secs_f64(),
        booked_by_scheduler: dispatched(schedulers).await?,
        commit_to_launch_seconds: late.as_secs_f64(),
        caps: caps
            .caps
            .iter()
            .filter(|record| {
                !record.largest.cap.starts_with("job") || record.largest.used * 10 > record.largest.allowed * 9
            })
            .map(|record| Cap {
                name: format!("{} {}", record.largest.name, record.largest.cap),
                largest: record.largest.used,
                allowed: record.largest.allowed,
            })
            .collect(),
        caps_passed,
        differences: if audit.is_clean() { Vec::new() } else { differences },
        real_log_lines: lines,
        real_logs_right: right,
        success,
    })
}

/// A few of the lines that real frames wrote, and how many logs hold theirs.
fn real_lines(logs: &Path) -> anyhow::Result<(Vec<String>, usize)> {
    let mut files: Vec<_> = std::fs::read_dir(logs)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rqlog"));
    files.sort();
    let mut lines = Vec::new();
    let mut right = 0;
    for file in files {
        let text = String::from_utf8_lossy(&std::fs::read(&file)?).into_owned();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(line) = text.lines().find(|line| line.starts_with("frame ") && line.contains(" of ")) {
            right += 1;
            if right % 30 == 1 {
                lines.push(format!("{name}: {line}"));
            }
        }
    }
    Ok((lines, right))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (show, frames) in &self.succeeded {
            writeln!(f, "frames of {show:<27} {frames:>8}")?;
        }
        writeln!(f, "frames on simulated hosts             {:>8}", self.on_simulated_hosts)?;
        writeln!(f, "frames on the real agent              {:>8}", self.on_real_hosts)?;
        writeln!(f, "frames that ran more than once        {:>8}", self.ran_twice.len())?;
        writeln!(f, "launches that the agent could not start{:>7}", self.not_started)?;
        for frame in &self.ran_twice {
            writeln!(f, "  {frame}")?;
        }
        for (at, frames) in self.booked_by_scheduler.iter().enumerate() {
            writeln!(f, "booked by scheduler {}                 {frames:>8}", at + 1)?;
        }
        writeln!(f, "seconds                               {:>8.1}", self.seconds)?;
        writeln!(f, "frames a second                       {:>8.1}", self.frames_per_second)?;
        writeln!(f, "from a job's commit to its first launch {:>6.2} s", self.commit_to_launch_seconds)?;
        writeln!(f, "largest use of each cap (hundredths of cores, or frames):")?;
        for cap in &self.caps {
            writeln!(f, "  {:<45} {:>8} of {:>8}", cap.name, cap.largest, cap.allowed)?;
        }
        writeln!(f, "caps passed at any time               {:>8}", self.caps_passed)?;
        writeln!(f, "differences between counters and procs{:>8}", self.differences.len())?;
        for difference in &self.differences {
            writeln!(f, "  {difference}")?;
        }
        writeln!(f, "logs of real frames with their line   {:>8}", self.real_logs_right)?;
        for line in &self.real_log_lines {
            writeln!(f, "  {line}")?;
        }
        write!(f, "{}", if self.success { "success" } else { "FAILED" })
    }
}
