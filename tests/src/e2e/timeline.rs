//! What was done, how long it took, and what was seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

use crate::scenarios::{Check, Length};

/// The steps so far. The file is written at each, so that whatever happens leaves what was seen before.
pub struct Timeline {
    began: Instant,
    file: PathBuf,
    told: Told,
}

#[derive(Serialize)]
struct Told {
    length: Length,
    pass: bool,
    seconds: f64,
    steps: Vec<Step>,
    checks: Vec<Check>,
    failure: Option<String>,
}

#[derive(Serialize)]
struct Step {
    /// What was done.
    done: String,
    /// Since the beginning, s.
    at: f64,
    /// How long it took, s.
    took: f64,
    seen: Vec<String>,
    /// Times in seconds and numbers that were measured, by what they are.
    figures: BTreeMap<String, f64>,
}

impl Timeline {
    /// An empty one that begins now.
    pub fn new(file: PathBuf, length: Length) -> Self {
        let told = Told { length, pass: false, seconds: 0.0, steps: Vec::new(), checks: Vec::new(), failure: None };
        Self { began: Instant::now(), file, told }
    }

    /// Where it is written.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A step that ended now.
    pub fn step(&mut self, step: &str, took: Duration, seen: &[&str]) -> anyhow::Result<()> {
        self.measured(step, took, seen.iter().map(|&seen| seen.to_owned()).collect(), &[])
    }

    /// A step that ended now, in which something was measured.
    pub fn measured(
        &mut self,
        step: &str,
        took: Duration,
        seen: Vec<String>,
        figures: &[(&str, f64)],
    ) -> anyhow::Result<()> {
        let at = self.began.elapsed().saturating_sub(took).as_secs_f64();
        println!("{at:7.1} s  {step} ({:.1} s)", took.as_secs_f64());
        for seen in &seen {
            println!("           {seen}");
        }
        for (what, value) in figures {
            println!("           {what}: {value:.1}");
        }
        let figures = figures.iter().map(|(what, value)| ((*what).to_owned(), *value)).collect();
        self.told.steps.push(Step { done: step.to_owned(), at, took: took.as_secs_f64(), seen, figures });
        self.write()
    }

    /// What was demanded of it all; with what was demanded before, the run has passed, or not.
    pub fn judged(&mut self, checks: Vec<Check>) -> anyhow::Result<bool> {
        for Check { demanded, seen, pass } in &checks {
            println!("{}  {demanded}: {seen}", if *pass { "pass" } else { "FAIL" });
        }
        self.told.checks.extend(checks);
        self.told.pass = self.told.checks.iter().all(|check| check.pass);
        self.write()?;
        Ok(self.told.pass)
    }

    /// It came to no end.
    pub fn failed(&mut self, error: &anyhow::Error) -> anyhow::Result<()> {
        println!("FAIL  {error:#}");
        self.told.pass = false;
        self.told.failure = Some(format!("{error:#}"));
        self.write()
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.told.seconds = self.began.elapsed().as_secs_f64();
        std::fs::write(&self.file, serde_json::to_string_pretty(&self.told)?)
            .with_context(|| format!("writing {}", self.file.display()))
    }
}
