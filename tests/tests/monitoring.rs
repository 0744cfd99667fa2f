//! Alerts and dashboard, held against the programs that they are about: `promtool` tries each rule on series, and every metric, label
//! and value that a query names is one that a scheduler or the operator tells.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cue_scheduler::http::metrics::families;
use cue_scheduler::http::metrics::family::Kind;
use cue_scheduler_operator::desired::Kind as ObjectKind;
use cue_scheduler_operator::metrics::Metrics;
use serde_json::Value;
use testbed::promtool::promtool;

/// Labels that Prometheus, its operator and our relabelings give to every series.
const LABELS_OF_TARGETS: [&str; 5] = ["facility", "namespace", "pod", "schedulerdeployment", "service"];

/// Which rules there are: the tests of `tests/alerts` with this name, and the file that the rules are in as they are rendered.
const RULES: [(&str, &str); 2] = [
    ("schedulers", "operator/tests/rendered/studio.yaml"),
    ("operator", "operator/tests/chart/operator/everything.rendered.yaml"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The spec of the one `PrometheusRule` of a file.
fn rules(file: &str) -> Value {
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text(file)).unwrap();
    let mut found = objects.into_iter().filter(|object| object["kind"] == "PrometheusRule");
    let rule = found.next().unwrap_or_else(|| panic!("{file} has no rules"));
    assert!(found.next().is_none());
    rule["spec"].clone()
}

/// Each alert with its query.
fn alerts(rules: &Value) -> Vec<(String, String)> {
    let groups = rules["groups"].as_array().unwrap().iter();
    let text = |rule: &Value, name: &str| rule[name].as_str().unwrap().to_owned();
    let alerts = groups.flat_map(|group| group["rules"].as_array().unwrap());
    alerts.map(|rule| (text(rule, "alert"), text(rule, "expr"))).collect()
}

/// The queries of the dashboard, with what Grafana puts in the place of its variables.
fn dashboard() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&text("charts/cue-scheduler-operator/dashboards/cue-scheduler.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<String> =
        targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "5m")).collect();
    assert!(queries.len() > 25, "{queries:?}");
    queries
}

#[tokio::test]
async fn every_alert_comes_when_it_should_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in RULES {
        let rules = rules(file);
        let tests = text(&format!("tests/alerts/{name}.test.yaml"));
        for (alert, _) in alerts(&rules) {
            assert!(tests.contains(&format!("alertname=\"{alert}\"")), "no test of {name} ends with {alert}");
        }
        let place = |ending: &str| folder.path().join(format!("{name}.{ending}.yaml"));
        std::fs::write(place("rules"), rules.to_string()).unwrap();
        std::fs::write(place("test"), tests).unwrap();
        promtool(["check", "rules", place("rules").to_str().unwrap()]).await.unwrap();
        let said = promtool(["test", "rules", place("test").to_str().unwrap()]).await.unwrap();
        assert!(said.contains("SUCCESS"), "{said}");
    }
}

#[tokio::test]
async fn every_query_of_the_dashboard_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    let rules: Vec<Value> = dashboard()
        .into_iter()
        .enumerate()
        .map(|(number, query)| serde_json::json!({ "record": format!("query_{number}"), "expr": query }))
        .collect();
    let groups = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(&file, groups.to_string()).unwrap();
    promtool(["check", "rules", file.to_str().unwrap()]).await.unwrap();
}

#[test]
fn every_alert_is_told_with_its_remedy() {
    let page = text("docs/operations/alerts.md");
    let told: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts: Vec<String> = RULES.iter().flat_map(|(_, file)| alerts(&rules(file))).map(|(alert, _)| alert).collect();
    assert_eq!(told, alerts.iter().map(String::as_str).collect());
    for section in page.split("\n### ").skip(1) {
        let title = section.lines().next().unwrap();
        assert!(section.contains("*What it means:*") && section.contains("*What to do:*"), "{title}");
    }
}

/// The labels of a metric, each with its values where they are a closed set.
type Labels = BTreeMap<String, Option<Vec<String>>>;

/// Every series that our programs tell, by name.
fn series() -> BTreeMap<String, Labels> {
    let mut all = BTreeMap::from([("up".to_owned(), Labels::new())]);
    for family in families::ALL {
        let values = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
        let labels: Labels =
            family.labels.iter().map(|label| (label.name().to_owned(), label.values().map(values))).collect();
        if matches!(family.kind, Kind::Histogram(_)) {
            let mut bucket = labels.clone();
            bucket.insert("le".to_owned(), None);
            all.insert(format!("{}_bucket", family.name), bucket);
            all.insert(format!("{}_sum", family.name), labels.clone());
            all.insert(format!("{}_count", family.name), labels);
        } else {
            all.insert(family.name.to_owned(), labels);
        }
    }
    all.extend(of_the_operator());
    all
}

/// What the operator tells when everything has happened once.
fn of_the_operator() -> BTreeMap<String, Labels> {
    let metrics = Metrics::new().unwrap();
    metrics.reconcile().done("ok");
    metrics.failed("Api");
    metrics.applied(ObjectKind::Deployment);
    let text = metrics.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut all: BTreeMap<String, Labels> = BTreeMap::new();
    for line in lines {
        let (name, labels) =
            line.rsplit_once(' ').unwrap().0.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let names =
            labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| (name.to_owned(), None));
        all.entry(name.to_owned()).or_default().extend(names);
    }
    assert!(all.len() > 8, "{text}");
    all
}

#[test]
fn the_operators_reference_has_all_of_its_metrics() {
    let page = text("docs/reference/operator.md");
    for name in of_the_operator().keys() {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
        assert!(page.contains(&format!("`{family}`")), "docs/reference/operator.md does not tell {family}");
    }
}

/// The metrics of a query, each with what is in braces behind it.
fn selectors(query: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let mut rest = query;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        rest = behind;
        if let Some(inside) = behind.strip_prefix('{') {
            let (inside, behind) = inside.split_once('}').unwrap();
            let matchers = inside.split(',').map(|matcher| matcher.split_once(['=', '!']).unwrap());
            let value = |value: &str| value.trim_start_matches(['=', '~']).trim_matches('"').to_owned();
            found.push((name.to_owned(), matchers.map(|(label, rest)| (label.to_owned(), value(rest))).collect()));
            rest = behind;
        } else if name == "up" || ["scheduler_", "cue_scheduler_", "process_"].iter().any(|ours| name.starts_with(ours))
        {
            found.push((name.to_owned(), Vec::new()));
        }
    }
    found
}

/// The labels by which a query adds up.
fn groupings(query: &str) -> BTreeSet<&str> {
    let lists = query.split(" by (").skip(1).map(|rest| rest.split(')').next().unwrap());
    lists.flat_map(|list| list.split(',')).map(str::trim).collect()
}

#[test]
fn a_query_is_taken_apart() {
    let query = "sum by (a, b) (rate(scheduler_x{a=\"1\",b=~\"c|d\",e!=\"f\"}[5m])) / up > 5";
    let matchers = [("a", "1"), ("b", "c|d"), ("e", "f")].map(|(label, value)| (label.to_owned(), value.to_owned()));
    assert_eq!(selectors(query), [("scheduler_x".to_owned(), matchers.to_vec()), ("up".to_owned(), Vec::new())]);
    assert_eq!(groupings(query), BTreeSet::from(["a", "b"]));
}

#[test]
fn everything_that_a_query_names_is_there() {
    let series = series();
    let alerts = RULES.iter().flat_map(|(_, file)| alerts(&rules(file))).map(|(_, query)| query);
    let mut faults = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for query in alerts.chain(dashboard()) {
        let mut labels: BTreeSet<&str> = LABELS_OF_TARGETS.into();
        for (metric, matchers) in selectors(&query) {
            let Some(of_metric) = series.get(&metric) else {
                faults.insert(format!("there is no {metric}"));
                continue;
            };
            labels.extend(of_metric.keys().map(String::as_str));
            for (label, value) in matchers {
                match of_metric.get(&label) {
                    None if LABELS_OF_TARGETS.contains(&&*label) => {}
                    None => _ = faults.insert(format!("{metric} has no label {label}")),
                    Some(None) => {}
                    Some(Some(values)) => {
                        let unknown = value.split('|').filter(|value| !values.iter().any(|known| known == value));
                        faults.extend(unknown.map(|value| format!("{label} of {metric} is never {value}")));
                    }
                }
            }
            seen.insert(metric);
        }
        let unknown = groupings(&query).into_iter().filter(|label| !labels.contains(label));
        faults.extend(unknown.map(|label| format!("no metric has the label {label}: {query}")));
    }
    assert_eq!(faults, BTreeSet::new());
    assert!(seen.len() > 30, "{seen:?}");
}
