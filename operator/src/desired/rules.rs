//! Alerts on the schedulers of a resource. What each means and what to do is told in docs/operations/alerts.md, and all of them are
//! tried on series in `tests/alerts`.

use serde_json::{Value, json};

use super::monitoring::RESOURCE_LABEL;
use super::{Kind, meta};
use crate::crd::PrometheusRule;
use crate::wanted::{Scale, Wanted};

/// Where the alerts are told, unless the resource says where people read them.
const RUNBOOKS: &str = "docs/operations/alerts.md";

/// What frames wait for that is neither a cap, nor a busy farm, nor a job that no host could run.
const TROUBLE: &str = "hosts_quarantined|pass_bound|refused";

/// An alert on what schedulers tell of themselves.
#[derive(Clone)]
struct Alert {
    name: &'static str,
    severity: &'static str,
    /// How long it holds before somebody is told.
    time: &'static str,
    expression: String,
    summary: &'static str,
    description: &'static str,
}

pub(super) fn build(wanted: &Wanted, settings: &PrometheusRule) -> Value {
    let mut manifest = meta::manifest(Kind::PrometheusRule, &wanted.owner.name, wanted, None);
    let mut all = json!(settings.labels);
    meta::extend(&mut all, manifest["metadata"]["labels"].as_object().cloned().unwrap_or_default());
    manifest["metadata"]["labels"] = all;
    let runbooks = settings.runbook_url.as_deref().unwrap_or(RUNBOOKS);
    let mut rules = down(wanted, runbooks);
    let own = OwnSeries { selector: series(wanted), by: format!("by (facility, {RESOURCE_LABEL})") };
    let alerts = [nothing_is_booked(&own), sharing(&own), could_be_better(&own)].concat();
    rules.extend(alerts.iter().map(|alert| alert.rule(runbooks)));
    manifest["spec"] =
        json!({ "groups": [{ "name": format!("cue-scheduler-{}", wanted.owner.name), "rules": rules }] });
    manifest
}

impl Alert {
    fn rule(&self, runbooks: &str) -> Value {
        json!({
            "alert": self.name,
            "expr": self.expression,
            "for": self.time,
            "labels": { "severity": self.severity },
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": runbook(runbooks, self.name),
            },
        })
    }
}

/// The place of an alert in the page: its heading, as anchors are made of headings.
fn runbook(runbooks: &str, alert: &str) -> String {
    format!("{runbooks}#{}", alert.to_lowercase())
}

/// The series of this resource.
fn series(wanted: &Wanted) -> String {
    format!("namespace={:?},{RESOURCE_LABEL}={:?}", wanted.owner.namespace, wanted.owner.name)
}

/// For each facility that should work: nobody answers there.
fn down(wanted: &Wanted, runbooks: &str) -> Vec<Value> {
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
                    "runbook_url": runbook(runbooks, "CueSchedulerDown"),
                },
            })
        })
        .collect()
}

/// A name that Prometheus does not take for a template.
fn template_text(name: &str) -> String {
    name.replace("{{", "{ {")
}

/// The series of a resource, as alerts on what schedulers tell of themselves use them: over all facilities, each of which tells of its own by
/// the labels of the result.
struct OwnSeries {
    selector: String,
    by: String,
}

impl OwnSeries {
    fn all(&self, metric: &str) -> String {
        format!("{metric}{{{}}}", self.selector)
    }

    fn some(&self, metric: &str, which: &str) -> String {
        format!("{metric}{{{},{which}}}", self.selector)
    }
}

/// Work waits and is not booked.
fn nothing_is_booked(series: &OwnSeries) -> Vec<Alert> {
    let by = &series.by;
    vec![
        Alert {
            name: "CueSchedulerDatabaseUnreachable",
            severity: "critical",
            time: "2m",
            expression: format!("min {by} ({}) == 0", series.all("scheduler_database_up")),
            summary: "A scheduler of facility {{ $labels.facility }} can't reach the database.",
            description: "It books nothing until it can. Its /readyz says why.",
        },
        Alert {
            name: "CueSchedulerNoPasses",
            severity: "critical",
            time: "10m",
            expression: format!(
                "max {by} ({active}) > 0 and sum {by} (rate({ended}[5m])) == 0 unless max {by} ({standstill}) == 1",
                active = series.all("scheduler_clusters_active"),
                ended = series.some("scheduler_pass_terminated_reason_total", r#"reason!="query_error""#),
                standstill = series.all("scheduler_standstill"),
            ),
            summary: "Work waits in facility {{ $labels.facility }} and nobody looks at it.",
            description: "No pass has come to its end for five minutes and more, though clusters have waiting work.",
        },
        Alert {
            name: "CueSchedulerNotBooking",
            severity: "critical",
            time: "15m",
            expression: format!(
                "sum {by} ({waiting}) > 0 and sum {by} (rate({booked}[10m])) == 0",
                waiting = series.some("scheduler_waiting_frames", &format!("reason=~{TROUBLE:?}")),
                booked = series.all("scheduler_frames_dispatched_total"),
            ),
            summary: "{{ $value }} frames wait in facility {{ $labels.facility }}, and nothing is booked.",
            description: "What they wait for is neither a cap nor a busy host: agents don't answer, or bookings are refused.",
        },
        Alert {
            name: "CueSchedulerStandsStill",
            severity: "warning",
            time: "10m",
            expression: format!(
                "max by (facility, {RESOURCE_LABEL}, cause) ({}) == 1",
                series.all("scheduler_standstill")
            ),
            summary: "Facility {{ $labels.facility }} books nothing: {{ $labels.cause }}.",
            description: "docs/operations/database.md says what each cause means.",
        },
    ]
}

/// Replicas don't share as they should.
fn sharing(series: &OwnSeries) -> Vec<Alert> {
    let by = &series.by;
    vec![
        Alert {
            name: "CueSchedulerPoolsWithoutOwner",
            severity: "warning",
            time: "5m",
            expression: format!(
                "max {by} ({}) - sum {by} ({}) > 0",
                series.all("scheduler_pools"),
                series.all("scheduler_pools_owned")
            ),
            summary: "Nobody works on {{ $value }} pools of facility {{ $labels.facility }}.",
            description: "Frames of these pools wait. Compare cue-scheduler members with the pods that run.",
        },
        Alert {
            name: "CueSchedulerCoordinationDown",
            severity: "warning",
            time: "5m",
            expression: format!("min {by} ({}) == 0", series.all("scheduler_coordination_up")),
            summary: "Schedulers of facility {{ $labels.facility }} don't share their pools.",
            description: "Safe and wasteful. docs/operations/high-availability.md says what may be the cause.",
        },
        Alert {
            name: "CueSchedulerPoolsWander",
            severity: "warning",
            time: "30m",
            expression: format!(
                "sum {by} (increase({}[30m])) > 3 * max {by} ({})",
                series.some("scheduler_pool_hand_overs_total", r#"how="taken""#),
                series.all("scheduler_pools"),
            ),
            summary: "Pools of facility {{ $labels.facility }} change hands again and again.",
            description: "Each has had three new owners in half an hour, or more. Replicas come and go, or lose their sessions.",
        },
    ]
}

/// It works, and could work better.
fn could_be_better(series: &OwnSeries) -> Vec<Alert> {
    let by = &series.by;
    vec![
        Alert {
            name: "CueSchedulerPassSlow",
            severity: "warning",
            time: "15m",
            expression: format!(
                "histogram_quantile(0.9, sum by (facility, {RESOURCE_LABEL}, step, le) (rate({}[10m]))) > 5",
                series.all("scheduler_pass_duration_seconds_bucket")
            ),
            summary: "Passes of facility {{ $labels.facility }} take {{ $value | humanizeDuration }} to {{ $labels.step }}.",
            description: "One in ten is slower than that, and cores that become free wait as long for a frame.",
        },
        Alert {
            name: "CueSchedulerLaunchesFail",
            severity: "warning",
            time: "10m",
            expression: format!(
                "sum {by} (rate({failed}[10m])) / sum {by} (rate({all}[10m])) > 0.05",
                failed = series.some("scheduler_launch_outcomes_total", r#"outcome=~"refused|not_sent|unknown""#),
                all = series.some("scheduler_launch_outcomes_total", r#"outcome=~"launched|refused|not_sent|unknown""#),
            ),
            summary: "{{ $value | humanizePercentage }} of the launches in facility {{ $labels.facility }} fail.",
            description: "Agents refuse frames, or don't answer. Frames are given back and booked elsewhere; hosts are left alone.",
        },
        Alert {
            name: "CueSchedulerHostsQuarantined",
            severity: "info",
            time: "1h",
            expression: format!("sum {by} ({}) > 0", series.all("scheduler_hosts_quarantined")),
            summary: "{{ $value }} hosts of facility {{ $labels.facility }} are left alone.",
            description: "For an hour there has been one whose agent refuses frames or doesn't answer. /api/v1/status names them.",
        },
        Alert {
            name: "CueSchedulerCapsDrift",
            severity: "warning",
            time: "30m",
            expression: format!(
                "sum {by} (increase({reconciled}[1h])) > 50 and sum {by} (increase({releases}[1h])) == 0",
                reconciled = series.all("scheduler_counters_reconciled_total"),
                releases = series.some("scheduler_cuebot_notices_total", r#"kind="release""#),
            ),
            summary: "{{ $value | humanize }} counters of facility {{ $labels.facility }} were wrong within an hour.",
            description: "No cap is passed for it, and they were set right. Somebody writes them, or Cuebot doesn't count its releases.",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_braces_is_no_template() {
        assert_eq!(template_text("a{{b}}"), "a{ {b}}");
    }
}
