//! What came of a scenario, for people and for machines.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::Length;

/// Something that was demanded, and what was seen of it.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was demanded.
    pub demanded: String,
    /// What was seen.
    pub seen: String,
    /// Whether it was right.
    pub pass: bool,
}

/// A scenario that has ended. One object of `results.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub scenario: String,
    /// Of Cuebot: `b1` or `c`.
    pub generation: String,
    /// Repeats it.
    pub seed: u64,
    /// Short or full.
    pub length: Length,
    /// What it demands beside what all do.
    pub demanded: String,
    /// What was seen, in short.
    pub seen: String,
    /// Whether all checks were right.
    pub pass: bool,
    /// Of the wall clock, from the start of the parts to their end.
    pub seconds: f64,
    /// Everything that was checked.
    pub details: Vec<Check>,
    /// The folder with the logs of one that failed.
    pub logs: Option<String>,
}

/// Widths of the table's columns: scenario, demanded, seen.
const WIDTHS: [usize; 3] = [18, 44, 58];

impl Report {
    /// The table's first lines.
    pub fn header() -> String {
        let [name, demanded, seen] = WIDTHS;
        format!("{:<name$}  {:<demanded$}  {:<seen$}  verdict", "scenario", "demanded", "seen")
    }
}

/// Rows of the table: the scenario, and each check that failed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{} {}", self.scenario, self.generation);
        let columns = [(name, WIDTHS[0]), (self.demanded.clone(), WIDTHS[1]), (self.seen.clone(), WIDTHS[2])]
            .map(|(text, width)| wrapped(&text, width));
        let verdict = format!("{} {:.0} s", if self.pass { "pass" } else { "FAIL" }, self.seconds);
        let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
        for row in 0..rows {
            let mut line = String::new();
            for (column, width) in columns.iter().zip(WIDTHS) {
                let text = column.get(row).map_or("", String::as_str);
                write!(line, "{text:<width$}  ")?;
            }
            if row == 0 {
                line.push_str(&verdict);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        for Check { demanded, seen, .. } in self.details.iter().filter(|check| !check.pass) {
            writeln!(f, "    wrong: {demanded}: {seen}")?;
        }
        if let Some(logs) = &self.logs {
            writeln!(
                f,
                "    again: make scenarios ONLY={} SEED={} GENERATION={}; logs: {logs}",
                self.scenario, self.seed, self.generation
            )?;
        }
        Ok(())
    }
}

/// Lines of at most so many characters; a longer word stands alone.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line =
            lines.last_mut().filter(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_wrapped_and_a_failure_says_what_was_wrong_and_how_to_see_it_again() {
        let check = |pass| Check { demanded: "no cap is passed".to_owned(), seen: "limit: 3 of 2".to_owned(), pass };
        let report = Report {
            scenario: "LIMIT".to_owned(),
            generation: "b1".to_owned(),
            seed: 7,
            length: Length::Short,
            demanded: "a limit holds ".repeat(6),
            seen: "3 of 2".to_owned(),
            pass: false,
            seconds: 1.4,
            details: vec![check(true), check(false)],
            logs: Some("target/scenarios/LIMIT-b1".to_owned()),
        };
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("LIMIT b1            a limit holds a limit holds"), "{text}");
        assert!(lines[0].ends_with("FAIL 1 s") && lines[1].starts_with("                    limit holds"), "{text}");
        assert_eq!(text.matches("wrong: no cap is passed: limit: 3 of 2").count(), 1, "{text}");
        assert!(text.contains("ONLY=LIMIT SEED=7 GENERATION=b1"), "{text}");
        assert!(
            lines.iter().take(2).all(|line| line.chars().count() <= Report::header().chars().count() + 3),
            "{text}"
        );
    }
}
