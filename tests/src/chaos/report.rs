//! What came of a seed, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::scenarios::{Check, Length};

/// A run that has ended. One object of `results.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Repeats it.
    pub seed: u64,
    /// Short or full.
    pub length: Length,
    /// What was drawn beside the schedule: the generation of Cuebot, the manner of agents.
    pub drawn: String,
    /// What went wrong when, line by line.
    pub schedule: Vec<String>,
    /// How many faults of each kind.
    pub faults: BTreeMap<&'static str, usize>,
    /// What was counted, by name. Replicas that were killed or stopped told only what they could.
    pub figures: BTreeMap<String, f64>,
    /// What Cuebot did, one line for each of its lives.
    pub cuebot: Vec<String>,
    /// From the last fault's end to the end of all work, seconds; none if it did not end.
    pub ended_after: Option<f64>,
    /// Whether all checks were right.
    pub pass: bool,
    /// Of the wall clock, from the start of the parts to their end.
    pub seconds: f64,
    /// Everything that was checked.
    pub details: Vec<Check>,
    /// The folder with the logs of one that failed.
    pub logs: Option<String>,
}

impl Report {
    /// `short` or `full`.
    fn length(&self) -> &'static str {
        match self.length {
            Length::Short => "short",
            Length::Full => "full",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} ({}, {})", self.seed, self.length(), self.drawn)?;
        for line in &self.schedule {
            writeln!(f, "  {line}")?;
        }
        let figures: Vec<String> = self.figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(f, "  seen: {}", figures.join(", "))?;
        for (life, line) in self.cuebot.iter().enumerate() {
            writeln!(f, "  Cuebot, life {}: {line}", life + 1)?;
        }
        for Check { demanded, seen, .. } in self.details.iter().filter(|check| !check.pass) {
            writeln!(f, "  wrong: {demanded}: {seen}")?;
        }
        let ended = self
            .ended_after
            .map_or_else(|| "not all work ended".to_owned(), |it| format!("all done {it:.1} s after the last fault"));
        let verdict = if self.pass { "pass" } else { "FAIL" };
        writeln!(f, "  {verdict}: {ended}; {:.1} s in all", self.seconds)?;
        if let Some(logs) = &self.logs {
            writeln!(f, "  again: make chaos SEED={} LENGTH={}; logs: {logs}", self.seed, self.length())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_wrong_and_how_to_see_it_again() {
        let check = |pass| Check { demanded: "no cap is passed".to_owned(), seen: "3 of 2".to_owned(), pass };
        let report = Report {
            seed: 7,
            length: Length::Short,
            drawn: "c, Rust".to_owned(),
            schedule: vec!["1.000 s for 2.000 s  Cuebot dies".to_owned()],
            faults: BTreeMap::from([("Cuebot dies", 1)]),
            figures: BTreeMap::from([("runs".to_owned(), 300.0)]),
            cuebot: vec!["completions 300".to_owned()],
            ended_after: None,
            pass: false,
            seconds: 21.04,
            details: vec![check(true), check(false)],
            logs: Some("target/chaos/7".to_owned()),
        };
        let text = report.to_string();
        for part in [
            "seed 7 (short, c, Rust)\n",
            "Cuebot dies\n",
            "seen: runs 300\n",
            "FAIL: not all work ended; 21.0 s in all\n",
            "again: make chaos SEED=7 LENGTH=short; logs: target/chaos/7\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert_eq!(text.matches("wrong: no cap is passed: 3 of 2\n").count(), 1, "{text}");
    }
}
