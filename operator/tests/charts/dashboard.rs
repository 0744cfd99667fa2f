//! Grafana's dashboard, made of a short list of panels: dashboards/cue-scheduler.yaml. Whether its queries are sound, and their
//! metrics there, is asked by `tests/tests/monitoring.rs`.

use cue_scheduler_operator::yaml;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{check, text};

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;

/// What is chosen at the top of the page, each by a label; all of it unless something is.
const CHOICES: [(&str, &str); 3] =
    [("namespace", "Namespace"), ("schedulerdeployment", "Resource"), ("facility", "Facility")];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dashboard {
    title: String,
    uid: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    title: String,
    #[serde(default = "eight")]
    height: u32,
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    #[serde(default)]
    about: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default = "half")]
    width: u32,
    #[serde(default = "plain")]
    unit: String,
    #[serde(default)]
    stack: bool,
    /// A stat is red from here on.
    worse_from: Option<u32>,
    queries: Vec<Query>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    TimeSeries,
    Stat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    expr: String,
    #[serde(default)]
    legend: String,
}

fn eight() -> u32 {
    8
}

fn half() -> u32 {
    COLUMNS / 2
}

fn plain() -> String {
    "short".to_owned()
}

impl Dashboard {
    fn made(&self) -> Value {
        let (mut panels, mut y) = (Vec::new(), 0);
        for row in &self.rows {
            panels.push(json!({ "type": "row", "title": row.title, "collapsed": false, "panels": [], "gridPos": place(0, y, COLUMNS, 1) }));
            y += 1;
            let mut x = 0;
            for panel in &row.panels {
                if x + panel.width > COLUMNS {
                    (x, y) = (0, y + row.height);
                }
                let mut made = panel.made();
                made["gridPos"] = place(x, y, panel.width, row.height);
                panels.push(made);
                x += panel.width;
            }
            y += row.height;
        }
        for (number, panel) in panels.iter_mut().enumerate() {
            panel["id"] = json!(number + 1);
        }
        json!({
            "title": self.title,
            "uid": self.uid,
            "description": "Made from cue-scheduler.yaml beside it in the chart of cue-scheduler-operator.",
            "tags": ["opencue"],
            "editable": true,
            "graphTooltip": 1,
            "refresh": "30s",
            "schemaVersion": 39,
            "time": { "from": "now-6h", "to": "now" },
            "timezone": "browser",
            "templating": { "list": variables() },
            "panels": panels,
        })
    }
}

impl Panel {
    fn made(&self) -> Value {
        let targets: Vec<Value> = self.queries.iter().zip('A'..).map(|(query, letter)| query.made(letter)).collect();
        let mut thresholds =
            vec![json!({ "color": if self.worse_from.is_some() { "green" } else { "text" }, "value": null })];
        thresholds.extend(self.worse_from.map(|from| json!({ "color": "red", "value": from })));
        let custom = json!({
            "drawStyle": "line",
            "fillOpacity": if self.stack { 30 } else { 0 },
            "showPoints": "never",
            "stacking": { "mode": if self.stack { "normal" } else { "none" } },
        });
        let defaults = json!({
            "unit": self.unit,
            "min": 0,
            "thresholds": { "mode": "absolute", "steps": thresholds },
            "custom": if self.kind == Kind::Stat { json!({}) } else { custom },
        });
        let options = match self.kind {
            Kind::Stat => {
                json!({ "graphMode": "area", "colorMode": "value", "reduceOptions": { "calcs": ["lastNotNull"] } })
            }
            Kind::TimeSeries => {
                json!({ "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi" } })
            }
        };
        json!({
            "type": if self.kind == Kind::Stat { "stat" } else { "timeseries" },
            "title": self.title,
            "description": self.about,
            "datasource": source(),
            "targets": targets,
            "fieldConfig": { "defaults": defaults, "overrides": [] },
            "options": options,
        })
    }
}

impl Query {
    fn made(&self, letter: char) -> Value {
        let farm: Vec<String> = CHOICES.iter().map(|(label, _)| format!("{label}=~\"${label}\"")).collect();
        let expression = self.expr.replace("$farm", &farm.join(","));
        json!({ "refId": letter, "expr": expression, "legendFormat": self.legend, "datasource": source() })
    }
}

fn place(x: u32, y: u32, width: u32, height: u32) -> Value {
    json!({ "x": x, "y": y, "w": width, "h": height })
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${source}" })
}

fn variables() -> Vec<Value> {
    let mut variables =
        vec![json!({ "name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus" })];
    let mut chosen = Vec::new();
    for (label, title) in CHOICES {
        // Each choice leaves what fits to those before it. A farm outside Kubernetes has none of the labels: all is all.
        let query = format!("label_values(scheduler_database_up{{{}}}, {label})", chosen.join(","));
        variables.push(json!({
            "name": label, "label": title, "type": "query", "datasource": source(), "query": query, "refresh": 2, "sort": 1,
            "includeAll": true, "multi": true, "allValue": ".*", "current": { "text": "All", "value": "$__all" },
        }));
        chosen.push(format!("{label}=~\"${label}\""));
    }
    variables
}

#[test]
fn the_dashboard_is_made_from_its_source() {
    let source: Dashboard = yaml::read(&text("cue-scheduler-operator/dashboards/cue-scheduler.yaml")).unwrap();
    let made = serde_json::to_string_pretty(&source.made()).unwrap() + "\n";
    check("cue-scheduler-operator/dashboards/cue-scheduler.json", &made);
}

#[test]
fn no_panel_lies_over_another_and_each_shows_something() {
    let source: Dashboard = yaml::read(&text("cue-scheduler-operator/dashboards/cue-scheduler.yaml")).unwrap();
    let made = source.made();
    let panels = made["panels"].as_array().unwrap();
    assert!(panels.len() > 25);
    let mut taken = std::collections::BTreeSet::new();
    for panel in panels {
        let number = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(x < COLUMNS.into() && taken.insert((x, y)), "{}", panel["title"]);
            }
        }
        assert!(panel["type"] == "row" || !panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
    }
}
