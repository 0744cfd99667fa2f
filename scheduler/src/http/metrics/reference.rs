//! `docs/reference/metrics.md`, written from the table.

use std::fmt::Write as _;

use super::families;
use super::family::{Family, Kind, Label, Origin};
use super::kind_name;

const HEAD: &str = "\
# Metrics

This page is written from the table in `scheduler/src/http/metrics/families.rs`; a test fails when it is old, and rewrites it with
`UPDATE_REFERENCE=1`.

Prometheus scrapes `http://HOST:9090/metrics` (`queue.metrics_port`). Every family is there from the start with 0, with all values
of its labels; the series of a show begin when it becomes managed and end when it is no longer, at the next reload of
the clusters (`queue.cluster_reload_interval`), so that no label grows without bound. Counters begin at 0 with the process.
";

/// The page.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for (origin, title) in [
        (Origin::Retired, "Kept from the retired scheduler"),
        (Origin::Ours, "Ours"),
        (Origin::Custom, "Of the process"),
    ] {
        // Writing to a text can't fail.
        let _ = write!(page, "\n## {title}\n");
        for family in families::ALL.iter().filter(|family| family.origin == origin) {
            page.push_str(&section(family));
        }
    }
    page
}

fn section(family: &Family) -> String {
    let mut text = format!("\n### `{}`\n\n{}: {}.", family.name, capital(kind_name(family.kind)), family.help);
    if !family.more.is_empty() {
        let _ = write!(text, " {}", family.more);
    }
    text.push('\n');
    for label in family.labels {
        let _ = writeln!(text, "\n- `{}`: {}", label.name(), values(*label));
    }
    if let Kind::Histogram(buckets) = family.kind {
        let bounds: Vec<String> = buckets.iter().map(f64::to_string).collect();
        let _ = writeln!(text, "\nBuckets: {}.", bounds.join(", "));
    }
    text
}

fn values(label: Label) -> String {
    match label.values() {
        Some(values) => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
        None => "the names of the managed shows".to_owned(),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
