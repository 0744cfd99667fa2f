//! Who watches: the Prometheus Operator, which runs outside of the cluster, and a Prometheus that scrapes by what it makes of the
//! `ServiceMonitor`s and alerts by what it makes of the `PrometheusRule`s.
//!
//! Debian's Prometheus is built without the discovery of Kubernetes. What it would find is told to it in a file, with the names that
//! it would have there; all else is as the Prometheus Operator has written it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cue_scheduler::http::metrics::families;
use cue_scheduler::http::metrics::family::Kind;
use serde_json::{Map, Value, json};
use tokio::task::block_in_place;

use super::LIMIT;
use crate::debian::Unpacked;
use crate::harness::scheduler::page;
use crate::kubernetes::binaries::{PROMETHEUS_OPERATOR_MODULE, fetched, prometheus_operator};
use crate::kubernetes::{Client, Leash, leashed, tail};
use crate::postgres::free_port;

/// Where Prometheus would run, if it ran in the cluster.
const NAMESPACE: &str = "monitoring";

/// The name of the resource that asks for it.
const NAME: &str = "watch";

/// The file with its configuration.
const CONFIGURATION: &str = "prometheus.json";

/// How often it scrapes and evaluates.
const INTERVAL: &str = "1s";

/// What has to be there: the operator's program, the folder of its definitions, and Prometheus.
pub struct Programs {
    operator: PathBuf,
    definitions: PathBuf,
    prometheus: Unpacked,
}

impl Programs {
    /// Fetches and builds them, or finds them as they were left.
    pub fn prepared() -> anyhow::Result<Self> {
        Ok(Self {
            operator: prometheus_operator()?,
            definitions: fetched(PROMETHEUS_OPERATOR_MODULE)?.join("example/prometheus-operator-crd"),
            prometheus: Unpacked::get("prometheus", &["prometheus"])?,
        })
    }

    fn prometheus(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(self.prometheus.file("usr/bin/prometheus"));
        command.env("LD_LIBRARY_PATH", self.prometheus.libraries()?);
        Ok(command)
    }
}

/// What Prometheus has seen.
pub struct Seen {
    /// Targets that answer: of each facility, and of the operator.
    pub targets: Vec<(String, usize)>,
    /// How many names of the reference each scheduler tells.
    pub names: usize,
    /// Alerts that it evaluates.
    pub alerts: usize,
    /// What a query comes to.
    pub answer: f64,
}

/// A job of a configuration: where it looks, and the file in which it is told what is there.
struct Job {
    namespaces: Vec<String>,
    file: PathBuf,
}

/// The Prometheus Operator at work.
pub struct Monitoring {
    client: Client,
    programs: Programs,
    folder: PathBuf,
    _operator: Leash,
}

impl Monitoring {
    /// Installs the definitions, starts the Prometheus Operator, and asks it for a Prometheus that takes up everything. Its files
    /// are in a folder.
    pub fn start(client: &Client, programs: Programs, folder: &Path) -> anyhow::Result<Self> {
        let definitions = programs.definitions.display().to_string();
        // Too large for a copy in an annotation.
        client.run(&["apply", "--server-side", "-f", &definitions])?;
        let mut command = Command::new(&programs.operator);
        let command = command.env("KUBECONFIG", &client.kubeconfig).arg("--web.listen-address=127.0.0.1:0");
        let operator = leashed(command, &folder.join("prometheus-operator.log"))?;
        let said =
            programs.prometheus()?.arg("--version").output().context("asking Prometheus for its version")?.stdout;
        let said = String::from_utf8(said)?;
        // `prometheus, version 2.42.0+ds (branch: …`
        let version = said.split([' ', '+']).nth(2).context("Prometheus tells no version")?;
        client.run(&["wait", "--for=condition=Established", "--timeout=60s", "-f", &definitions])?;
        client.apply_all(&[
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
            json!({
                "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
                "metadata": { "name": NAME, "namespace": NAMESPACE },
                "spec": {
                    // Other versions are configured with other words.
                    "version": format!("v{version}"),
                    "scrapeInterval": INTERVAL, "evaluationInterval": INTERVAL,
                    "serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {},
                    "ruleSelector": {}, "ruleNamespaceSelector": {},
                },
            }),
        ])?;
        Ok(Self { client: client.clone(), programs, folder: folder.to_owned(), _operator: operator })
    }

    /// Starts Prometheus, and waits until it has `targets`, each a facility (or an empty text, of the operator) with the number of its
    /// pods, every series of each, and all alerts, none of which has its condition met; and until `query` has an answer.
    pub async fn watch(&self, targets: &[(String, usize)], query: &str) -> anyhow::Result<Seen> {
        let jobs = self.configuration().await?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let log = self.folder.join("prometheus.log");
        let mut command = self.programs.prometheus()?;
        command
            .arg(format!("--config.file={}", self.folder.join(CONFIGURATION).display()))
            .arg(format!("--storage.tsdb.path={}", self.folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"));
        let _prometheus = leashed(&command, &log)?;
        let began = Instant::now();
        loop {
            block_in_place(|| self.discover(&jobs))?;
            match Prometheus(address).look(targets, query).await {
                Ok(seen) => return Ok(seen),
                Err(error) if began.elapsed() > LIMIT => {
                    return Err(error.context(format!("within {LIMIT:?}; its log: {}", tail(&log))));
                }
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// Waits until the Prometheus Operator has written about both of our monitors, and takes that as a pod would.
    async fn configuration(&self) -> anyhow::Result<Vec<Job>> {
        let began = Instant::now();
        loop {
            if let Some(jobs) = block_in_place(|| self.written())? {
                return Ok(jobs);
            }
            let log = tail(&self.folder.join("prometheus-operator.log"));
            ensure!(began.elapsed() < LIMIT, "within {LIMIT:?} the Prometheus Operator has not written all:\n{log}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn written(&self) -> anyhow::Result<Option<Vec<Job>>> {
        let secret = self.client.get(NAMESPACE, &format!("secret/prometheus-{NAME}"))?;
        let rules = self.client.get(NAMESPACE, &format!("configmap/prometheus-{NAME}-rulefiles-0"))?;
        let (Some(packed), Some(rules)) = (secret["data"]["prometheus.yaml.gz"].as_str(), rules["data"].as_object())
        else {
            return Ok(None);
        };
        let written = self.unpacked(packed)?.replace("$(SHARD)", "0").replace("$(POD_NAME)", "prometheus-watch-0");
        let mut configuration: Value = serde_saphyr::from_str(&written)?;
        let scrapes = configuration["scrape_configs"].as_array_mut().context("a configuration scrapes")?;
        // That of the farm and that of the operator.
        if scrapes.len() < 2 || rules.len() < 2 {
            return Ok(None);
        }
        let mut jobs = Vec::new();
        for (at, scrape) in scrapes.iter_mut().enumerate() {
            let discoveries = scrape["kubernetes_sd_configs"].as_array().into_iter().flatten();
            let namespaces = discoveries.flat_map(|of| of["namespaces"]["names"].as_array().into_iter().flatten());
            let namespaces = namespaces.map(|name| text(name).to_owned()).collect();
            let file = self.folder.join(format!("targets-{at}.json"));
            let scrape = scrape.as_object_mut().context("a scrape is an object")?;
            scrape.remove("kubernetes_sd_configs");
            scrape.insert("file_sd_configs".to_owned(), json!([{ "files": [file] }]));
            jobs.push(Job { namespaces, file });
        }
        let folder = self.folder.join("rules");
        std::fs::create_dir_all(&folder)?;
        for (name, rules) in rules {
            std::fs::write(folder.join(name), rules.as_str().unwrap_or_default())?;
        }
        configuration["rule_files"] = json!([folder.join("*.yaml")]);
        std::fs::write(self.folder.join(CONFIGURATION), configuration.to_string())?;
        Ok(Some(jobs))
    }

    /// What is in a field of a Secret, packed by gzip.
    fn unpacked(&self, field: &str) -> anyhow::Result<String> {
        const UNPACK: &str = "base64 --decode \"$0\" | gzip --decompress --stdout";
        let file = self.folder.join("prometheus.yaml.gz.base64");
        std::fs::write(&file, field)?;
        let output = Command::new("sh").args(["-c", UNPACK]).arg(&file).output().context("running sh")?;
        ensure!(output.status.success(), "unpacking: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Tells each job its targets as they are now.
    fn discover(&self, jobs: &[Job]) -> anyhow::Result<()> {
        for Job { namespaces, file } in jobs {
            let mut found = Vec::new();
            for namespace in namespaces {
                found.extend(self.discovered(namespace)?);
            }
            // It is read as soon as it changes, so it comes whole.
            let new = file.with_extension("new");
            std::fs::write(&new, json!(found).to_string())?;
            std::fs::rename(new, file)?;
        }
        Ok(())
    }

    /// What Prometheus finds in a namespace, by the role `endpoints`: a target for each port of each pod behind each Service.
    fn discovered(&self, namespace: &str) -> anyhow::Result<Vec<Value>> {
        let mut targets = Vec::new();
        for slice in self.client.list(namespace, "endpointslices", "")? {
            let name = text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]);
            let service = self.client.get(namespace, &format!("service/{name}"))?;
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                let pod = text(&endpoint["targetRef"]["name"]);
                for port in slice["ports"].as_array().into_iter().flatten() {
                    let mut labels = Map::new();
                    let mut label = |name: &str, value: &str| {
                        labels.insert(format!("__meta_kubernetes_{name}"), json!(value));
                    };
                    label("namespace", namespace);
                    label("service_name", name);
                    label("endpoint_address_target_kind", "Pod");
                    label("endpoint_address_target_name", pod);
                    label("endpoint_port_name", text(&port["name"]));
                    label("endpoint_ready", &endpoint["conditions"]["ready"].to_string());
                    label("pod_name", pod);
                    for (kind, of) in [("label", "labels"), ("annotation", "annotations")] {
                        for (name, value) in service["metadata"][of].as_object().into_iter().flatten() {
                            label(&format!("service_{kind}_{}", legal(name)), text(value));
                            label(&format!("service_{kind}present_{}", legal(name)), "true");
                        }
                    }
                    let address = format!("{}:{}", text(&endpoint["addresses"][0]), port["port"]);
                    targets.push(json!({ "targets": [address], "labels": labels }));
                }
            }
        }
        Ok(targets)
    }
}

/// A Prometheus that is asked.
struct Prometheus(SocketAddr);

impl Prometheus {
    /// An error says what is not there yet.
    async fn look(&self, wanted: &[(String, usize)], query: &str) -> anyhow::Result<Seen> {
        let up = self.series("up==1").await?;
        let mut targets = Vec::new();
        for (facility, count) in wanted {
            let found = up.iter().filter(|(labels, _)| text(&labels["facility"]) == facility).count();
            ensure!(found == *count, "{found} of {count} targets of {facility:?} answer: {up:?}");
            targets.push((facility.clone(), found));
        }
        let schedulers: usize =
            wanted.iter().filter(|(facility, _)| !facility.is_empty()).map(|(_, count)| count).sum();
        for family in families::ALL {
            let name = match family.kind {
                Kind::Histogram(_) => format!("{}_count", family.name),
                Kind::Counter | Kind::Gauge => family.name.to_owned(),
            };
            let series = self.series(&format!("count by (facility, pod, schedulerdeployment) ({name})")).await?;
            let are_named = series.iter().all(|(labels, _)| {
                labels["schedulerdeployment"] == "farm"
                    && wanted.iter().any(|(facility, _)| labels["facility"] == **facility)
            });
            ensure!(series.len() == schedulers && are_named, "of {schedulers} schedulers {name} comes as {series:?}");
        }
        let rules = self.ask("rules?type=alert").await?;
        let groups = rules["groups"].as_array().into_iter().flatten();
        let rules: Vec<&Value> = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
        ensure!(!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok"), "alerts: {rules:?}");
        let raised = rules.iter().filter(|rule| rule["state"] != "inactive");
        let raised: Vec<&str> = raised.map(|rule| text(&rule["name"])).collect();
        ensure!(raised.is_empty(), "raised: {raised:?}");
        let answer = self.series(query).await?.first().context("the query has no answer yet")?.1;
        Ok(Seen { targets, names: families::ALL.len(), alerts: rules.len(), answer })
    }

    /// What a query comes to: labels and value of each series.
    async fn series(&self, query: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        let answer = self.ask(&format!("query?query={}", escaped(query))).await?;
        let series = answer["result"].as_array().context("a query has a result")?;
        series.iter().map(|series| Ok((series["metric"].clone(), text(&series["value"][1]).parse()?))).collect()
    }

    async fn ask(&self, what: &str) -> anyhow::Result<Value> {
        let (status, body) = page(self.0, &format!("/api/v1/{what}")).await?;
        ensure!(status == 200, "Prometheus answers {status}: {body}");
        Ok(serde_json::from_str::<Value>(&body)?["data"].take())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A name as Prometheus can have it in a label.
fn legal(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn escaped(query: &str) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    query.bytes().flat_map(|byte| ['%', digit(byte >> 4), digit(byte & 0xf)]).collect()
}
