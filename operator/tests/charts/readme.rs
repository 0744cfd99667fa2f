//! The table of values in each chart's README, made of values.yaml: a value, what it is unless it is set, and the comment above it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{check, text, value};

const BEGIN: &str = "<!-- Made from values.yaml; UPDATE_CHARTS=1 cargo test --package cue-scheduler-operator --test charts writes it anew. -->\n";
const END: &str = "<!-- The end of what is made. -->\n";

/// A line of values.yaml that names a value.
struct Line<'t> {
    depth: usize,
    name: &'t str,
    about: String,
}

/// The lines that name values, each with the comment directly above it.
fn lines(text: &str) -> Vec<Line<'_>> {
    let mut found = Vec::new();
    let mut about = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        if let Some(comment) = bare.strip_prefix("# ") {
            about.push(comment);
            continue;
        }
        if let Some((name, _)) = bare.split_once(':') {
            found.push(Line { depth: (line.len() - bare.len()) / 2, name, about: about.join(" ") });
        }
        about.clear();
    }
    found
}

fn table(chart: &str) -> String {
    let (text, values) = (text(&format!("{chart}/values.yaml")), value(&format!("{chart}/values.yaml")));
    let mut rows = "| Value | Unless set | What |\n| --- | --- | --- |\n".to_owned();
    let mut path: Vec<&str> = Vec::new();
    // Lines below a value that is told as a whole.
    let mut told = usize::MAX;
    let lines = lines(&text);
    for (line, next) in lines.iter().zip(lines.iter().skip(1).map(Some).chain([None])) {
        if line.depth > told {
            continue;
        }
        path.truncate(line.depth);
        path.push(line.name);
        let place = path.join(".");
        let is = path.iter().fold(&values, |value, name| &value[*name]);
        assert!(!line.about.is_empty(), "{chart}: nothing tells what {place} is");
        assert!(!is.is_null(), "{chart}: {place} is not where it seems to be");
        let has_parts = next.is_some_and(|next| next.depth > line.depth && !next.about.is_empty());
        told = if has_parts { usize::MAX } else { line.depth };
        let shown = if has_parts { String::new() } else { format!("`{is}`") };
        writeln!(rows, "| `{place}` | {shown} | {} |", line.about).unwrap();
    }
    rows
}

#[test]
fn each_readme_has_all_values() {
    for chart in ["cue-scheduler", "cue-scheduler-operator"] {
        let file = format!("{chart}/README.md");
        let readme = text(&file);
        let (head, rest) = readme.split_once(BEGIN).unwrap_or_else(|| panic!("{file} has no place for the table"));
        let (_, tail) = rest.split_once(END).unwrap_or_else(|| panic!("{file}: the table has no end"));
        check(&file, &format!("{head}{BEGIN}\n{}\n{END}{tail}", table(chart)));
    }
}

#[test]
fn a_table_has_a_row_for_each_value() {
    let rows = table("cue-scheduler-operator");
    let count = |value: &Value| value.as_object().unwrap().len();
    assert!(rows.lines().count() > count(&value("cue-scheduler-operator/values.yaml")) + 20, "{rows}");
    assert!(rows.contains("| `image.pullPolicy` | `\"IfNotPresent\"` | When nodes fetch it. |"), "{rows}");
    assert!(rows.contains("| `resources` | `{\"limits\":{\"memory\":\"256Mi\"},"), "{rows}");
}
