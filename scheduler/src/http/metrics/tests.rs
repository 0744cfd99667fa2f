use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::family::Label;
use super::*;
use crate::engine::Observer as _;

/// The lines of a family's series.
fn series<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let ends = [" ", "{", "_bucket{", "_sum", "_count"];
    let is_its = |line: &&str| line.strip_prefix(name).is_some_and(|rest| ends.iter().any(|end| rest.starts_with(end)));
    text.lines().filter(is_its).collect()
}

#[test]
fn every_family_is_there_from_the_start_with_each_value_of_its_labels() {
    let text = Metrics::new().unwrap().text();
    for family in families::ALL {
        let kind = kind_name(family.kind);
        assert_eq!(text.matches(&format!("# TYPE {} {kind}\n", family.name)).count(), 1, "{}", family.name);
        assert_eq!(text.matches(&format!("# HELP {} ", family.name)).count(), 1, "{}", family.name);
        let series = series(&text, family.name);
        let values: Option<Vec<usize>> =
            family.labels.iter().map(|label| label.values().map(|values| values.len())).collect();
        let expected = values.map_or(0, |values| values.into_iter().product());
        let per_value = match family.kind {
            Kind::Counter | Kind::Gauge => 1,
            // Each bound, the last bucket, sum and count.
            Kind::Histogram(buckets) => buckets.len() + 3,
        };
        assert_eq!(series.len(), expected * per_value, "{}: {series:?}", family.name);
    }
    let told = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(told, families::ALL.len(), "no family is registered that isn't in the table");
}

#[test]
fn the_names_of_shows_are_those_that_are_managed() {
    let metrics = Metrics::new().unwrap();
    let shows = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<BTreeSet<Arc<str>>>();
    let now_there = || {
        let text = metrics.text();
        series(&text, "scheduler_frames_dispatched_total").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    metrics.reloaded(&shows(&["alpha", "odd \"name\"\n"]));
    assert_eq!(
        now_there(),
        [
            r#"scheduler_frames_dispatched_total{show_name="alpha"} 0"#,
            r#"scheduler_frames_dispatched_total{show_name="odd \"name\"\n"} 0"#,
        ]
    );
    metrics.per_show.frames_dispatched(&"alpha".into(), 3);
    metrics.per_show.frames_dispatched(&"beta".into(), 1);
    metrics.reloaded(&shows(&["alpha"]));
    assert_eq!(now_there(), [r#"scheduler_frames_dispatched_total{show_name="alpha"} 3"#]);
    metrics.reloaded(&shows(&[]));
    assert!(now_there().is_empty());
}

#[test]
fn no_label_but_the_shows_is_open() {
    for family in families::ALL {
        for label in family.labels {
            assert!(*label == Label::Show || label.values().is_some_and(|values| values.len() < 50), "{label:?}");
        }
    }
}

#[test]
fn the_reference_is_as_the_table_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md");
    let page = reference::page();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "docs/reference/metrics.md is old: run this test with UPDATE_REFERENCE=1");
}
