//! What is demanded of a run with faults. It reads the database, the hosts' own record of what ran, Cuebot's of what it accepted, and
//! PostgreSQL's log; of what replicas say it takes only whether they share the pools again.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::auditor::{Audit, CapRecords, CapUse, Deadlocks};
use crate::cuebot_sim::AcceptedCompletion;
use crate::farm_sim::{Run, overlaps};
use crate::scenarios::Check;
use crate::scenarios::judge::{late_runs, ran_never, some, told};

/// Within this time after the last fault all work is to be done.
pub const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// At four times that a run has failed: the machine may be busy.
pub const ENDS_MAX: Duration = Duration::from_mins(2);

/// A watch with fewer looks than these saw nothing.
const SAMPLES_MIN: u64 = 50;

/// Runs with less work show little.
const RUNS_MIN: usize = 100;

/// How a process ends that was told to: in order, or when the time for that was over.
const ENDS_WHEN_TOLD: [i32; 2] = [0, 2];

/// What is known at the end.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What could not be done of the schedule: a process that had died by itself can't be killed.
    pub errors: Vec<String>,
    /// What was seen during the run.
    pub records: CapRecords,
    /// At rest.
    pub audit: Audit,
    /// In which a replica took part, and all.
    pub deadlocks: Deadlocks,
    /// Every run on a host.
    pub runs: Vec<Run>,
    /// Every completion that Cuebot accepted.
    pub accepted: Vec<AcceptedCompletion>,
    /// Every frame that was loaded: `frame.pk_frame`.
    pub loaded: Vec<String>,
    /// State of each frame that is there.
    pub states: BTreeMap<String, String>,
    /// From the last fault's end to the end of all work; none if it did not end.
    pub ended_after: Option<Duration>,
    /// What is wrong with how replicas share the pools at the end.
    pub unshared: Option<String>,
    /// Exit codes of replicas that were told to leave while there were faults.
    pub left_with: Vec<i32>,
    /// Exit codes of replicas at the end.
    pub stopped_with: Vec<i32>,
}

/// Everything that is demanded, and what was seen of it.
pub fn check(evidence: &Evidence) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut demand = |demanded: &str, pass: bool, seen: String| {
        checks.push(Check { demanded: demanded.to_owned(), seen, pass });
    };
    let Evidence { errors, records, audit, deadlocks, runs, accepted, loaded, states, .. } = evidence;
    demand("every fault happens as planned", errors.is_empty(), some(errors));

    let at_once: Vec<String> = overlaps(runs).iter().map(told).collect();
    demand("no two runs of a frame overlap", at_once.is_empty(), some(&at_once));
    let late = late_runs(runs, accepted, &[]);
    demand("no run starts after an accepted completion", late.is_empty(), some(&late));
    let succeeded: HashSet<String> =
        states.iter().filter(|(_, state)| *state == "SUCCEEDED").map(|(frame, _)| frame.clone()).collect();
    let never = ran_never(runs, &succeeded, Some(accepted), &HashSet::new());
    demand("nothing has succeeded that did not run", never.is_empty(), some(&never));

    let over: Vec<String> = records.passed().map(CapUse::to_string).collect();
    demand("no cap is passed, at any look", over.is_empty(), some(&over));
    let twice: Vec<String> = records.given_twice.iter().map(ToString::to_string).collect();
    demand("no host and no frame is given away twice, at any look", twice.is_empty(), some(&twice));
    demand("counters, hosts and counts are right at rest", audit.is_clean(), audit.to_string());

    let lost: Vec<String> = loaded
        .iter()
        .filter_map(|frame| match states.get(frame).map(String::as_str) {
            Some("SUCCEEDED") => None,
            Some(state) => Some(format!("{frame} is {state}")),
            None => Some(format!("{frame} is gone")),
        })
        .collect();
    demand("no frame is lost", lost.is_empty(), some(&lost));
    demand(
        "all work ends after the last fault",
        evidence.ended_after.is_some(),
        evidence.ended_after.map_or_else(
            || format!("not within {ENDS_MAX:?}"),
            |after| format!("after {:.1} s (goal: {} s)", after.as_secs_f64(), ENDS_WITHIN.as_secs()),
        ),
    );
    demand(
        "the replicas share the pools again",
        evidence.unshared.is_none(),
        evidence.unshared.clone().unwrap_or_else(|| "each pool has one owner".to_owned()),
    );
    let in_order = evidence.left_with.iter().all(|code| ENDS_WHEN_TOLD.contains(code))
        && evidence.stopped_with.iter().all(|code| *code == 0);
    demand(
        "replicas leave in order",
        in_order,
        format!("exit codes {:?} during faults, {:?} at the end", evidence.left_with, evidence.stopped_with),
    );
    let Deadlocks { all, with_them } = deadlocks;
    demand(
        "no deadlock has a replica in it",
        with_them.is_empty(),
        format!("{} of {all}; {}", with_them.len(), some(with_them)),
    );
    demand(
        "there is something to see",
        records.samples >= SAMPLES_MIN && runs.len() >= RUNS_MIN,
        format!("{} runs, {} looks, {} looks failed", runs.len(), records.samples, records.failed),
    );
    checks
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::SystemTime;

    use super::*;
    use crate::auditor::{CapRecord, Difference};
    use crate::farm_sim::{Cause, Completion, End};

    fn run(frame: &str, proc: &str, started_us: u64, ended_us: u64) -> Run {
        Run {
            frame_id: frame.to_owned(),
            resource_id: proc.to_owned(),
            job_id: String::new(),
            layer_id: String::new(),
            host: Ipv4Addr::LOCALHOST,
            cores: 100,
            started_us,
            end: Some(End { at_us: ended_us, cause: Cause::Finished, exit_status: 0, exit_signal: 0 }),
            completion: Completion::Unsent,
        }
    }

    fn done(frame: &str, proc: &str, at_us: u64) -> AcceptedCompletion {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(at_us);
        AcceptedCompletion { frame: frame.to_owned(), resource: proc.to_owned(), exit_status: 0, at }
    }

    /// A run in which all went well: two hundred frames, one after the other.
    fn right() -> Evidence {
        let names: Vec<String> = (0..200).map(|n| format!("f{n}")).collect();
        Evidence {
            records: CapRecords { samples: 500, ..CapRecords::default() },
            runs: names.iter().zip(0..).map(|(name, at)| run(name, &format!("p{at}"), at * 10, at * 10 + 5)).collect(),
            accepted: names.iter().zip(0..).map(|(name, at)| done(name, &format!("p{at}"), at * 10 + 6)).collect(),
            states: names.iter().map(|name| (name.clone(), "SUCCEEDED".to_owned())).collect(),
            loaded: names,
            ended_after: Some(Duration::from_secs(3)),
            left_with: vec![0, 2],
            stopped_with: vec![0, 0, 0],
            ..Evidence::default()
        }
    }

    fn wrong(evidence: &Evidence) -> Vec<String> {
        check(evidence).into_iter().filter(|check| !check.pass).map(|check| check.demanded).collect()
    }

    fn difference(what: &str) -> Difference {
        let (what, id, name) = (what.to_owned(), "1".to_owned(), "x".to_owned());
        Difference { what, id, name, found: 2, expected: 1 }
    }

    #[test]
    fn what_went_well_is_right() {
        assert_eq!(wrong(&right()), [""; 0]);
    }

    #[test]
    fn each_planted_fault_is_found_by_its_own_check_and_by_no_other() {
        type Plant = fn(&mut Evidence);
        let plants: [(&str, Plant); 15] = [
            ("every fault happens as planned", |it| it.errors.push("replica-1 has died".to_owned())),
            ("no two runs of a frame overlap", |it| it.runs.push(run("f7", "other", 73, 90))),
            ("no run starts after an accepted completion", |it| it.runs.push(run("f7", "other", 80, 90))),
            ("no run starts after an accepted completion", |it| it.runs.push(run("f7", "p7", 80, 90))),
            ("nothing has succeeded that did not run", |it| it.runs[7] = run("elsewhere", "p7", 70, 75)),
            ("no cap is passed, at any look", |it| {
                let used = CapUse {
                    cap: "job max cores".to_owned(),
                    id: "1".to_owned(),
                    name: "comp".to_owned(),
                    used: 1001,
                    allowed: 1000,
                };
                it.records.caps.push(CapRecord { largest: used.clone(), furthest_over: Some(used) });
            }),
            ("no host and no frame is given away twice, at any look", |it| {
                it.records.given_twice.push(difference("host idle cores, negative"));
            }),
            ("counters, hosts and counts are right at rest", |it| it.audit.counters.push(difference("point cores"))),
            ("no frame is lost", |it| drop(it.states.remove("f9"))),
            ("no frame is lost", |it| drop(it.states.insert("f9".to_owned(), "RUNNING".to_owned()))),
            ("all work ends after the last fault", |it| it.ended_after = None),
            ("the replicas share the pools again", |it| it.unshared = Some("5 of 6 are owned".to_owned())),
            ("replicas leave in order", |it| it.stopped_with[1] = 2),
            ("no deadlock has a replica in it", |it| it.deadlocks.with_them.push("Process 1 waits".to_owned())),
            ("there is something to see", |it| it.records.samples = 3),
        ];
        for (expected, plant) in plants {
            let mut evidence = right();
            plant(&mut evidence);
            assert_eq!(wrong(&evidence), [expected]);
        }
    }

    #[test]
    fn a_frame_whose_completion_was_lost_may_run_again() {
        let mut evidence = right();
        evidence.accepted.remove(7);
        evidence.runs.push(run("f7", "other", 80, 90));
        evidence.accepted.push(done("f7", "other", 91));
        assert_eq!(wrong(&evidence), [""; 0]);
    }
}
