//! Benchmarks: figures as ratios against something measured in the same run, on the real path.
//!
//! A scenario returns [`Figure`]s. They are printed as one table and written to `target/bench/results.json`, an array with
//! one object a figure.

pub mod booking_floor;
mod floor;
pub mod four_pools;
mod machine;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value};

pub use machine::Machine;

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The scenario's name, as given to `ONLY=`.
    pub scenario: &'static str,
    /// What was measured, in `unit`.
    pub figure: f64,
    /// Unit of `figure` and `baseline`.
    pub unit: &'static str,
    /// What it is compared with, measured in the same run.
    pub baseline: f64,
    /// `figure` ÷ `baseline`, as the scenario pairs them.
    pub ratio: f64,
    /// What the ratio should reach.
    pub goal: f64,
    /// Whether it does.
    pub pass: bool,
    /// What else helps to read it.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// Which way a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Factor on the size of farm and work.
    pub size: f64,
    /// How many pairs of runs.
    pub pairs: usize,
}

/// The table that people read.
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::new();
    let line =
        format!("{:<16} {:>12} {:>12} {:<10} {:>7} {:>6}  ", "scenario", "figure", "baseline", "unit", "ratio", "goal");
    let _ = writeln!(text, "{}", line.trim_end());
    for figure in figures {
        let verdict = if figure.pass { "pass" } else { "below" };
        let _ = writeln!(
            text,
            "{:<16} {:>12.0} {:>12.0} {:<10} {:>7.2} {:>6.2}  {verdict}",
            figure.scenario, figure.figure, figure.baseline, figure.unit, figure.ratio, figure.goal
        );
        for (name, value) in &figure.details {
            let _ = writeln!(text, "    {name}: {value}");
        }
    }
    text
}

/// Writes `results.json`.
pub fn write(figures: &[Figure], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join("results.json");
    std::fs::write(&file, serde_json::to_string_pretty(figures)?).with_context(|| format!("writing {}", file.display()))
}

/// The middle one of a non-empty list; of an even number, the lower of the two.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_depend_on_the_order() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 3.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }
}
