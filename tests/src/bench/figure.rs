//! A measured figure, and how figures are told.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value};

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The ratio, no less than this.
    RatioAtLeast(f64),
    /// The ratio, no more than this.
    RatioAtMost(f64),
    /// The figure itself, no more than this: a goal for this size of machine.
    AtMost(f64),
}

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The scenario's name, as given to `ONLY=`.
    pub scenario: &'static str,
    /// What of the scenario, in words.
    pub what: String,
    /// What was measured, in `unit`.
    pub figure: f64,
    /// Unit of `figure` and `baseline`.
    pub unit: &'static str,
    /// What it is compared with, measured in the same run.
    pub baseline: Option<f64>,
    /// `figure` ÷ `baseline`, as the scenario pairs them.
    pub ratio: Option<f64>,
    /// What it should be; `None` where it is told only.
    pub goal: Option<Goal>,
    /// Whether it is.
    pub pass: bool,
    /// What else helps to read it.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl Figure {
    /// A figure that is compared with nothing.
    pub fn new(scenario: &'static str, what: impl Into<String>, figure: f64, unit: &'static str) -> Self {
        let what = what.into();
        Self { scenario, what, figure, unit, baseline: None, ratio: None, goal: None, pass: true, details: Map::new() }
    }

    /// Compared with this.
    #[must_use]
    pub fn against(mut self, baseline: f64, ratio: f64) -> Self {
        (self.baseline, self.ratio) = (Some(baseline), Some(round(ratio)));
        self.judged()
    }

    /// It should be so.
    #[must_use]
    pub fn with_goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.judged()
    }

    /// What else helps to read it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// A figure or ratio that is no number fails.
    fn judged(mut self) -> Self {
        self.pass = match self.goal {
            None => true,
            Some(Goal::RatioAtLeast(least)) => self.ratio.is_some_and(|ratio| ratio >= least),
            Some(Goal::RatioAtMost(most)) => self.ratio.is_some_and(|ratio| ratio <= most),
            Some(Goal::AtMost(most)) => self.figure <= most,
        };
        self
    }
}

/// The table that people read.
pub fn table(figures: &[Figure]) -> String {
    let mut text = format!(
        "{:<16} {:<28} {:>10} {:<10} {:>10} {:>6} {:>10}\n",
        "scenario", "what", "figure", "unit", "baseline", "ratio", "goal"
    );
    for figure in figures {
        let goal = match figure.goal {
            None => String::new(),
            Some(Goal::RatioAtLeast(least)) => format!("≥ {least:.2}"),
            Some(Goal::RatioAtMost(most)) => format!("≤ {most:.2}"),
            Some(Goal::AtMost(most)) => format!("≤ {}", short(most)),
        };
        let verdict = match (figure.goal, figure.pass) {
            (None, _) => "",
            (_, true) => "  pass",
            (_, false) => "  below",
        };
        let _ = writeln!(
            text,
            "{:<16} {:<28} {:>10} {:<10} {:>10} {:>6} {goal:>10}{verdict}",
            figure.scenario,
            figure.what,
            short(figure.figure),
            figure.unit,
            figure.baseline.map(short).unwrap_or_default(),
            figure.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        );
        for (name, value) in &figure.details {
            let _ = writeln!(text, "    {name}: {value}");
        }
    }
    text
}

/// Large numbers whole, small ones with what matters.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Writes `results.json`.
pub fn write(figures: &[Figure], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join("results.json");
    std::fs::write(&file, serde_json::to_string_pretty(figures)?).with_context(|| format!("writing {}", file.display()))
}

/// To three places.
pub fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The middle one of a non-empty list; of an even number, the lower of the two.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The smallest value that so large a share of a non-empty list does not exceed.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_do_not_depend_on_the_order() {
        let values = [4.0, 1.0, 3.0, 2.0];
        let of = |share| percentile(&values, share) as i64;
        assert_eq!([of(0.0), of(0.25), of(0.5), of(0.51), of(1.0)], [1, 1, 2, 3, 4]);
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_figure_is_judged_by_its_goal_and_what_is_no_number_fails() {
        let figure = |value: f64| Figure::new("idle", "statements", value, "1/s");
        assert!(figure(9.0).pass);
        assert!(figure(4.0).with_goal(Goal::AtMost(5.0)).pass);
        assert!(!figure(6.0).with_goal(Goal::AtMost(5.0)).pass);
        assert!(!figure(f64::NAN).with_goal(Goal::AtMost(5.0)).pass);
        for goal in [Goal::RatioAtLeast(0.9), Goal::RatioAtMost(0.9)] {
            assert!(!figure(6.0).with_goal(goal).pass, "there is no ratio");
        }
        assert!(figure(9.0).with_goal(Goal::RatioAtLeast(0.9)).against(10.0, 0.9).pass);
        assert!(!figure(9.0).against(10.0, 0.91).with_goal(Goal::RatioAtMost(0.9)).pass);
    }

    #[test]
    fn the_table_tells_goals_and_misses() {
        let text = table(&[
            Figure::new("wake", "p50", 212.4, "ms").with_goal(Goal::AtMost(300.0)).with("jobs", 50),
            Figure::new("cold-fill", "frames booked", 2000.0, "frames/s")
                .against(3000.0, 0.667)
                .with_goal(Goal::RatioAtLeast(0.8)),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "wake             p50                                 212 ms                                ≤ 300  pass"
        );
        assert_eq!(lines[2], "    jobs: 50");
        assert_eq!(
            lines[3],
            "cold-fill        frames booked                      2000 frames/s         3000   0.67     ≥ 0.80  below"
        );
    }
}
