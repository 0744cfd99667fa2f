//! Alerts on the schedulers of a resource.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::monitoring::RESOURCE_LABEL;
use super::{Kind, meta};
use crate::wanted::{Scale, Wanted};

pub(super) fn build(wanted: &Wanted, labels: &BTreeMap<String, String>) -> Value {
    let mut manifest = meta::manifest(Kind::PrometheusRule, &wanted.owner.name, wanted, None);
    let mut all = json!(labels);
    meta::extend(&mut all, manifest["metadata"]["labels"].as_object().cloned().unwrap_or_default());
    manifest["metadata"]["labels"] = all;
    let mut rules = down(wanted);
    rules.extend(trouble(wanted));
    manifest["spec"] =
        json!({ "groups": [{ "name": format!("cue-scheduler-{}", wanted.owner.name), "rules": rules }] });
    manifest
}

/// The series of this resource.
fn series(wanted: &Wanted) -> String {
    format!("namespace={:?},{RESOURCE_LABEL}={:?}", wanted.owner.namespace, wanted.owner.name)
}

/// For each facility that should work: nobody answers there.
fn down(wanted: &Wanted) -> Vec<Value> {
    let ours = series(wanted);
    let working = wanted.facilities.iter().filter(|facility| facility.scale != Scale::Suspended);
    working
        .map(|facility| {
            let series = format!("up{{{ours},facility={}}}", Value::from(facility.name.as_str()));
            json!({
                "alert": "CueSchedulerDown",
                "expr": format!("sum({series}) < 1 or absent({series})"),
                "for": "5m",
                "labels": { "severity": "critical", "facility": facility.name, RESOURCE_LABEL: wanted.owner.name },
                "annotations": {
                    "summary": format!("No scheduler works for facility {}.", template_text(&facility.name)),
                    "description": "Frames of managed shows wait until one does. Look at kubectl describe schd.",
                },
            })
        })
        .collect()
}

/// A name that Prometheus does not take for a template.
fn template_text(name: &str) -> String {
    name.replace("{{", "{ {")
}

fn trouble(wanted: &Wanted) -> Vec<Value> {
    let ours = series(wanted);
    let table = [
        (
            "CueSchedulerDatabaseUnreachable",
            format!("min by (facility, {RESOURCE_LABEL}) (scheduler_database_up{{{ours}}}) == 0"),
            "2m",
            "critical",
            "A scheduler of facility {{ $labels.facility }} can't reach the database.",
            "It books nothing until it can. Its /readyz says why.",
        ),
        (
            "CueSchedulerStandsStill",
            format!("max by (facility, {RESOURCE_LABEL}, cause) (scheduler_standstill{{{ours}}}) == 1"),
            "10m",
            "warning",
            "Facility {{ $labels.facility }} books nothing: {{ $labels.cause }}.",
            "docs/operations/database.md says what each cause means.",
        ),
        (
            "CueSchedulerPoolsWithoutOwner",
            format!(
                "max by (facility, {RESOURCE_LABEL}) (scheduler_pools{{{ours}}}) - sum by (facility, {RESOURCE_LABEL}) \
                 (scheduler_pools_owned{{{ours}}}) > 0"
            ),
            "5m",
            "warning",
            "Nobody works on {{ $value }} pools of facility {{ $labels.facility }}.",
            "Frames of these pools wait. Compare cue-scheduler members with the pods that run.",
        ),
        (
            "CueSchedulerCoordinationDown",
            format!("min by (facility, {RESOURCE_LABEL}) (scheduler_coordination_up{{{ours}}}) == 0"),
            "5m",
            "warning",
            "Schedulers of facility {{ $labels.facility }} don't share their pools.",
            "Safe and wasteful. docs/operations/high-availability.md says what may be the cause.",
        ),
    ];
    let rule = |(alert, expression, time, severity, summary, description): (_, String, _, _, _, _)| {
        json!({
            "alert": alert,
            "expr": expression,
            "for": time,
            "labels": { "severity": severity },
            "annotations": { "summary": summary, "description": description },
        })
    };
    table.map(rule).to_vec()
}
