//! What ran where and when, kept apart from what anybody was told.
//!
//! An auditor compares this with the database: it is written at the moment a frame starts or ends on its host, whether or not an
//! answer or a report gets through. Times are of the wall clock, taken from a monotonic clock since the farm's start, so that they
//! compare with the database's on the same machine and never run backwards.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::Instant;

/// One run of a frame on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The frame.
    pub frame_id: String,
    /// The proc that paid for it.
    pub resource_id: String,
    /// The job.
    pub job_id: String,
    /// The layer.
    pub layer_id: String,
    /// The host.
    pub host: Ipv4Addr,
    /// Reserved cores, centicores.
    pub cores: i32,
    /// Start, microseconds of the epoch.
    pub started_us: u64,
    /// Its end; none while it runs.
    pub end: Option<End>,
    /// What became of the completion report.
    pub completion: Completion,
}

impl Run {
    /// Start.
    pub fn started(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.started_us)
    }

    /// End, if it has ended.
    pub fn ended(&self) -> Option<SystemTime> {
        self.end.map(|end| SystemTime::UNIX_EPOCH + Duration::from_micros(end.at_us))
    }
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// When, microseconds of the epoch.
    pub at_us: u64,
    /// Why.
    pub cause: Cause,
    /// Exit status, as it is reported.
    pub exit_status: i32,
    /// Signal, as it is reported.
    pub exit_signal: i32,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Its time was over.
    Finished,
    /// Somebody killed it.
    Killed,
    /// The host's user came back.
    Nimby,
    /// Its host died; nobody is told.
    Lost,
}

/// What became of the completion report of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "at_us")]
pub enum Completion {
    /// None was sent, or none is due.
    #[default]
    Unsent,
    /// Cuebot answered at this time, microseconds of the epoch.
    Delivered(u64),
    /// It was tried for the last time, or ended with its host.
    Lost,
}

/// Two runs of one frame at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// The one that started first.
    pub first: Run,
    /// The one that started while the first ran.
    pub second: Run,
}

/// Every pair of runs of one frame of which the later started before the earlier had ended. A run that has not ended overlaps
/// everything after it. Runs that only touch don't overlap.
pub fn overlaps(runs: &[Run]) -> Vec<Overlap> {
    let mut frames: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        frames.entry(&run.frame_id).or_default().push(run);
    }
    let mut found = Vec::new();
    for mut runs in frames.into_values() {
        runs.sort_by_key(|run| run.started_us);
        for (at, first) in runs.iter().enumerate() {
            let end = first.end.map_or(u64::MAX, |end| end.at_us);
            let during = runs[at + 1..].iter().take_while(|second| second.started_us < end);
            found.extend(during.map(|second| Overlap { first: (*first).clone(), second: (*second).clone() }));
        }
    }
    found
}

/// What a farm did, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Frames that started.
    pub launched: u64,
    /// Launches that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Launches that a fault struck, by its kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Runs that ended, by cause.
    pub ended: BTreeMap<&'static str, u64>,
    /// Kills that were asked for, also of frames that did not run.
    pub kills: u64,
    /// Boot reports that Cuebot answered.
    pub boots: u64,
    /// Host reports that Cuebot answered.
    pub reports: u64,
    /// Boot and host reports that failed.
    pub reports_failed: u64,
    /// Completions that Cuebot answered.
    pub completions: u64,
    /// Tries to send a completion that failed.
    pub completions_failed: u64,
    /// Completions that nobody will send any more.
    pub completions_lost: u64,
}

/// Index of a run in the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RunId(usize);

/// Everything that ran.
pub(super) struct Record {
    started: Instant,
    epoch_us: u64,
    runs: Vec<Run>,
    /// Launches so far by a hash of the frame's id, which is a quarter of the id's size.
    tries: HashMap<u64, u32>,
    pub counts: Counts,
}

impl Record {
    pub fn new() -> Self {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Instant::now(),
            epoch_us: epoch.as_micros() as u64,
            runs: Vec::new(),
            tries: HashMap::new(),
            counts: Counts::default(),
        }
    }

    /// Microseconds of the epoch.
    pub fn at_us(&self, at: Instant) -> u64 {
        self.epoch_us + at.saturating_duration_since(self.started).as_micros() as u64
    }

    /// How often the frame was launched before this call.
    pub fn tries(&mut self, frame_id: &str) -> u32 {
        let mut hasher = DefaultHasher::new();
        frame_id.hash(&mut hasher);
        let tries = self.tries.entry(hasher.finish()).or_default();
        *tries += 1;
        *tries - 1
    }

    pub fn begin(&mut self, run: Run) -> RunId {
        self.counts.launched += 1;
        self.runs.push(run);
        RunId(self.runs.len() - 1)
    }

    pub fn end(&mut self, id: RunId, end: End) {
        let name = match end.cause {
            Cause::Finished => "finished",
            Cause::Killed => "killed",
            Cause::Nimby => "nimby",
            Cause::Lost => "lost",
        };
        *self.counts.ended.entry(name).or_default() += 1;
        if let Some(run) = self.runs.get_mut(id.0) {
            run.end = Some(end);
        }
    }

    pub fn complete(&mut self, id: RunId, completion: Completion) {
        match completion {
            Completion::Delivered(_) => self.counts.completions += 1,
            Completion::Lost => self.counts.completions_lost += 1,
            Completion::Unsent => {}
        }
        if let Some(run) = self.runs.get_mut(id.0) {
            run.completion = completion;
        }
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(frame: &str, started_us: u64, ended_us: Option<u64>) -> Run {
        Run {
            frame_id: frame.to_owned(),
            resource_id: format!("{frame}-{started_us}"),
            job_id: String::new(),
            layer_id: String::new(),
            host: Ipv4Addr::LOCALHOST,
            cores: 100,
            started_us,
            end: ended_us.map(|at_us| End { at_us, cause: Cause::Finished, exit_status: 0, exit_signal: 0 }),
            completion: Completion::Unsent,
        }
    }

    #[test]
    fn runs_of_one_frame_overlap_when_one_starts_before_the_other_ended() {
        let cases: [(&str, Vec<Run>, usize); 7] = [
            ("one after the other", vec![run("f", 0, Some(5)), run("f", 6, Some(9))], 0),
            ("they touch", vec![run("f", 0, Some(5)), run("f", 5, Some(9))], 0),
            ("one inside the other", vec![run("f", 0, Some(9)), run("f", 3, Some(4))], 1),
            ("the later listed first", vec![run("f", 3, Some(12)), run("f", 0, Some(9))], 1),
            ("the first never ended", vec![run("f", 0, None), run("f", 100, Some(101))], 1),
            ("other frames", vec![run("f", 0, Some(9)), run("g", 3, Some(4))], 0),
            (
                "one long run over two short ones",
                vec![run("f", 0, Some(9)), run("f", 1, Some(2)), run("f", 3, Some(4))],
                2,
            ),
        ];
        for (name, runs, expected) in cases {
            assert_eq!(overlaps(&runs).len(), expected, "{name}");
        }
    }

    #[test]
    fn tries_count_launches_of_each_frame() {
        let mut record = Record::new();
        assert_eq!([record.tries("f"), record.tries("g"), record.tries("f")], [0, 0, 1]);
    }
}
