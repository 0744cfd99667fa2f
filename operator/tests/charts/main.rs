//! What in `charts/` is made and never edited: `UPDATE_CHARTS=1 cargo test --package cue-scheduler-operator --test charts` writes it anew.
//! What Helm makes of the charts is a matter of `tests/cluster/chart.rs`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

mod dashboard;
mod readme;
mod schema;

use std::path::{Path, PathBuf};

use cue_scheduler_operator::yaml;
use serde_json::Value;

/// A file of a chart.
fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts").join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A file of YAML, which JSON is too.
fn value(file: &str) -> Value {
    yaml::read(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The file holds exactly what is made.
fn check(file: &str, made: &str) {
    if std::env::var_os("UPDATE_CHARTS").is_some() {
        std::fs::write(path(file), made).unwrap();
    }
    let written = std::fs::read_to_string(path(file)).unwrap_or_default();
    let differs = written.lines().zip(made.lines()).find(|(old, new)| old != new);
    assert!(written == made, "{file} is old, first at {differs:?}; UPDATE_CHARTS=1 writes it anew");
}
