//! The rules that are the same for every scenario, read off the database, the hosts' own record and Cuebot's, never off what a
//! scheduler says of itself, except for the reasons, which nobody else knows.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use crate::auditor::{Audit, CapRecords, Deadlocks};
use crate::cuebot_sim::{AcceptedCompletion, CuebotSim};
use crate::farm_sim::{Cause, Overlap, Run, overlaps};

use super::stage::Stage;

/// Frames that a scenario has to see through; fewer show little.
const FRAMES_MIN: usize = 100;

/// A sampler that looked less often saw nothing.
const SAMPLES_MIN: u64 = 20;

/// Passes that may fail in a run in which nobody cuts connections.
const FAILED_PASSES_MAX: f64 = 2.0;

/// What is known at the end.
pub(super) struct Evidence {
    pub records: CapRecords,
    pub audit: Audit,
    /// None where the server's log can't be read.
    pub deadlocks: Option<Deadlocks>,
    pub failed_passes: f64,
    /// Frames by what is wrong with where they were left.
    pub lost: Vec<String>,
    /// `frame.pk_frame` of frames that have succeeded.
    pub succeeded: HashSet<String>,
}

/// Adds the common checks.
pub(super) fn judge(stage: &mut Stage, evidence: &Evidence) {
    let Evidence { records, audit, deadlocks, failed_passes, lost, succeeded } = evidence;
    let cuebot = stage.harness.cuebot.as_ref();
    let booked_by_cuebot = cuebot.map(CuebotSim::booked).unwrap_or_default();
    let accepted = cuebot.map(CuebotSim::accepted);
    let failures = cuebot.map(|cuebot| cuebot.counts().failures);
    let runs = stage.harness.hosts.record();

    let wrong = [&audit.counters, &audit.hosts, &audit.running, &audit.counts].map(Vec::len).iter().sum::<usize>();
    stage.demand("at rest counters, hosts and counts are the sums of procs and frames", audit.is_clean(), audit);
    let over: Vec<String> = records
        .starts_over
        .iter()
        .filter(|start| start.procs.iter().any(|proc| !booked_by_cuebot.contains(proc)))
        .map(|start| start.cap.to_string())
        .collect();
    stage.demand("nothing starts above a cap", over.is_empty(), some(&over));
    let twice: Vec<String> = records.given_twice.iter().map(ToString::to_string).collect();
    stage.demand("no host and no frame is given away twice, at any sample", twice.is_empty(), some(&twice));
    stage.demand(
        "the farm is looked at often enough",
        records.samples >= SAMPLES_MIN,
        format!("{} samples", records.samples),
    );

    let at_once: Vec<String> = overlaps(&runs).iter().filter(|pair| !excused(stage, pair)).map(told).collect();
    stage.demand("no frame runs twice at the same time", at_once.is_empty(), some(&at_once));
    if let Some(accepted) = &accepted {
        let late = late_runs(&runs, accepted, &stage.retried);
        stage.demand("no run starts after an accepted completion", late.is_empty(), some(&late));
    }
    let finished = runs.iter().filter(|run| run.end.is_some_and(|end| end.cause == Cause::Finished)).count();
    if !stage.dry_run {
        stage.demand("at least 100 frames run to their end", finished >= FRAMES_MIN, format!("{finished} runs"));
        let never: Vec<String> = ran_never(&runs, succeeded, accepted.as_deref(), &booked_by_cuebot);
        stage.demand("nothing has succeeded that did not run", never.is_empty(), some(&never));
    }
    stage.demand("nothing is lost", lost.is_empty(), some(lost));
    if let Some(failures) = failures {
        stage.demand("Cuebot gives nothing up", failures == 0, format!("{failures} pieces of work given up"));
    }
    match deadlocks {
        Some(Deadlocks { all, with_them }) => {
            stage.demand(
                "no deadlock has a scheduler in it",
                with_them.is_empty(),
                format!("{} of {all} deadlocks; {}", with_them.len(), some(with_them)),
            );
            if stage.no_deadlock_at_all {
                stage.demand("there is no deadlock at all", *all == 0, format!("{all} deadlocks"));
            }
        }
        None => stage.see("the server's log can't be read, so who took part in deadlocks is not known"),
    }
    if !stage.cuts_connections {
        stage.demand("passes go on", *failed_passes <= FAILED_PASSES_MAX, format!("{failed_passes} failed"));
    }
    let clean = if wrong == 0 { "audit clean".to_owned() } else { format!("{wrong} differences") };
    stage.see(format!("{finished} frames run, {clean}"));
}

/// A frame that Cuebot gave up on a host it took for dead, and gave out again.
fn excused(stage: &Stage, Overlap { first, second }: &Overlap) -> bool {
    [first, second].iter().any(|run| stage.given_up.contains(&run.host))
}

pub(crate) fn told(Overlap { first, second }: &Overlap) -> String {
    format!(
        "frame {} on {} from {} and on {} from {}",
        first.frame_id, first.host, first.started_us, second.host, second.started_us
    )
}

/// Runs of a proc whose completion was accepted before they started, procs that ran twice, and runs of frames that were done and
/// that nobody sent round again. One that was sent round runs until it is done once more, however often it fails meanwhile.
pub(crate) fn late_runs(runs: &[Run], accepted: &[AcceptedCompletion], retried: &[String]) -> Vec<String> {
    let mut late = Vec::new();
    let ended: HashMap<&str, SystemTime> = accepted.iter().map(|end| (end.resource.as_str(), end.at)).collect();
    let mut done: HashMap<&str, Vec<SystemTime>> = HashMap::new();
    for end in accepted.iter().filter(|end| end.exit_status == 0) {
        done.entry(&end.frame).or_default().push(end.at);
    }
    let mut allowed: HashMap<&str, usize> = HashMap::new();
    for frame in retried {
        *allowed.entry(frame).or_default() += 1;
    }
    let mut seen = BTreeSet::new();
    for run in runs {
        if !seen.insert(&run.resource_id) {
            late.push(format!("proc {} ran twice", run.resource_id));
        }
        if ended.get(run.resource_id.as_str()).is_some_and(|at| *at < run.started()) {
            late.push(format!("proc {} ran after its completion", run.resource_id));
        }
        let frame = run.frame_id.as_str();
        let times = done.get(frame).map_or(0, |ends| ends.iter().filter(|at| **at < run.started()).count());
        if times > allowed.get(frame).copied().unwrap_or(0) {
            late.push(format!("frame {frame} ran after it was done for the {times}. time"));
        }
    }
    late
}

/// Frames that succeeded without a run that ended well. Cuebot's own bookings never reach a host.
pub(crate) fn ran_never(
    runs: &[Run],
    succeeded: &HashSet<String>,
    accepted: Option<&[AcceptedCompletion]>,
    booked_by_cuebot: &HashSet<String>,
) -> Vec<String> {
    let ended_well = |run: &&Run| run.end.is_some_and(|end| end.cause == Cause::Finished && end.exit_status == 0);
    let ran: HashSet<&str> = runs.iter().filter(ended_well).map(|run| run.frame_id.as_str()).collect();
    let by_cuebot: HashSet<&str> = accepted
        .unwrap_or_default()
        .iter()
        .filter(|end| booked_by_cuebot.contains(&end.resource))
        .map(|end| end.frame.as_str())
        .collect();
    succeeded
        .iter()
        .filter(|frame| !ran.contains(frame.as_str()) && !by_cuebot.contains(frame.as_str()))
        .map(|frame| format!("frame {frame}"))
        .collect()
}

/// How many, and the first few.
pub(crate) fn some(all: &[String]) -> String {
    match all.len() {
        0 => "none".to_owned(),
        count => format!("{count}: {}", all.iter().take(3).cloned().collect::<Vec<_>>().join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::farm_sim::{Completion, End};

    fn run(frame: &str, resource: &str, started_us: u64) -> Run {
        Run {
            frame_id: frame.to_owned(),
            resource_id: resource.to_owned(),
            job_id: String::new(),
            layer_id: String::new(),
            host: Ipv4Addr::LOCALHOST,
            cores: 100,
            started_us,
            end: Some(End { at_us: started_us + 1, cause: Cause::Finished, exit_status: 0, exit_signal: 0 }),
            completion: Completion::Unsent,
        }
    }

    fn done(frame: &str, resource: &str, at_us: u64, exit_status: i32) -> AcceptedCompletion {
        AcceptedCompletion {
            frame: frame.to_owned(),
            resource: resource.to_owned(),
            exit_status,
            at: SystemTime::UNIX_EPOCH + Duration::from_micros(at_us),
        }
    }

    #[test]
    fn a_run_after_the_end_is_late_unless_it_failed_or_was_sent_round_again() {
        let twice = [run("f", "p", 10), run("f", "q", 30)];
        let none: [String; 0] = [];
        assert_eq!(late_runs(&twice, &[done("f", "p", 20, 1)], &none), none);
        assert_eq!(late_runs(&twice, &[done("f", "p", 20, 0)], &none).len(), 1);
        assert_eq!(late_runs(&twice, &[done("f", "p", 20, 0)], &["f".to_owned()]), none);
        // Sent round, it may fail and run again, until it is done once more.
        let runs = [run("f", "p", 10), run("f", "q", 30), run("f", "r", 50), run("f", "s", 70)];
        let ends = [done("f", "p", 20, 0), done("f", "q", 40, 1), done("f", "r", 60, 0)];
        assert_eq!(late_runs(&runs[..3], &ends, &["f".to_owned()]), none);
        assert_eq!(late_runs(&runs, &ends, &["f".to_owned()]).len(), 1);
        assert_eq!(late_runs(&[run("f", "p", 10), run("f", "p", 30)], &[], &none).len(), 1, "one proc, two runs");
        assert_eq!(late_runs(&[run("f", "p", 30)], &[done("f", "p", 20, 1)], &none).len(), 1, "after its own end");
    }

    #[test]
    fn what_succeeded_has_run_here_or_was_cuebots() {
        let succeeded = |frame: &str| HashSet::from([frame.to_owned()]);
        let booked = HashSet::from(["own".to_owned()]);
        let accepted = [done("g", "own", 5, 0)];
        assert_eq!(ran_never(&[run("f", "p", 10)], &succeeded("f"), Some(&accepted), &booked).len(), 0);
        assert_eq!(ran_never(&[], &succeeded("g"), Some(&accepted), &booked).len(), 0);
        assert_eq!(ran_never(&[], &succeeded("f"), Some(&accepted), &booked).len(), 1);
    }
}
