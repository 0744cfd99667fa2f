//! What is done, in order, each step as a person would.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use uuid::Uuid;

use super::LIMIT;
use super::cluster::{Cluster, DEFINITION, NEXT};
use super::farm::{FACILITIES, FRAMES, Farm, OF_AGENT, ROLE, TAGS};
use super::images::root;
use super::judge::judge;
use super::monitoring::Monitoring;
use super::pods::{self, NAMESPACE, OPERATORS, Pod};
use super::timeline::Timeline;
use crate::harness::scheduler::program;
use crate::kubernetes::Client;
use crate::postgres::Shutdown;
use crate::scenarios::Length;

/// While pods are replaced, a frame starts at least so often in each facility that has one waiting.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// The operator is watched, at the pace of a short story.
const WATCHED: &str = "serviceMonitor.enabled=true,serviceMonitor.interval=1s,prometheusRule.enabled=true";

/// How busy the schedulers of a facility are: what docs/operations/kubernetes.md lets KEDA scale by.
const BUSY: &str = r#"sum(rate(scheduler_pass_duration_seconds_sum{namespace="opencue-e2e",facility="spi"}[2m]))"#;

/// Frames of the real agent's job.
const REAL_FRAMES: u32 = 6;

/// How often all faults happen where there is time.
const ROUNDS: usize = 4;

/// The story on its way.
pub struct Story<'a> {
    cluster: &'a Cluster,
    farm: Arc<Farm>,
    length: Length,
    timeline: &'a mut Timeline,
    /// Where the cluster is one's own.
    monitoring: Option<Monitoring>,
    /// How many pods each facility is to have, in their order.
    replicas: [usize; 2],
}

impl<'a> Story<'a> {
    /// One that has not begun.
    pub fn new(
        cluster: &'a Cluster,
        farm: Farm,
        monitoring: Option<Monitoring>,
        length: Length,
        timeline: &'a mut Timeline,
    ) -> Self {
        Self { cluster, farm: Arc::new(farm), length, timeline, monitoring, replicas: [1, 1] }
    }

    /// From the installation to the removal. An error where something did not happen; and where it did, but not as it should have.
    pub async fn tell(&mut self) -> anyhow::Result<()> {
        self.install()?;
        self.first_farm().await?;
        self.first_jobs().await?;
        let feed = tokio::spawn({
            let farm = Arc::clone(&self.farm);
            async move { farm.feed().await }
        });
        self.scale_out().await?;
        self.watch().await?;
        for _ in 0..if self.length == Length::Full { ROUNDS } else { 1 } {
            self.kill_a_pod().await?;
            self.evict_pods().await?;
            self.restart_database().await?;
            self.kill_the_operator().await?;
        }
        self.rotate_the_password().await?;
        self.change_the_configuration().await?;
        self.change_the_image().await?;
        feed.abort();
        self.until_done("everything that was submitted under all this has rendered").await?;
        self.ignore_a_tag().await?;
        self.pause().await?;
        self.until_done("what waited meanwhile has rendered").await?;
        self.delete_the_farm().await?;
        self.farm_by_helm().await?;
        self.uninstall().await?;
        let checks = judge(&self.farm).await?;
        ensure!(self.timeline.judged(checks)?, "not everything is as demanded");
        Ok(())
    }

    fn client(&self) -> &Client {
        self.cluster.client()
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        block_in_place(|| self.client().run(arguments))
    }

    fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        block_in_place(|| self.client().helm(arguments))
    }

    fn apply(&self, objects: &[Value]) -> anyhow::Result<()> {
        block_in_place(|| self.client().apply_all(objects))
    }

    fn patch(&self, how: &str, patch: &Value) -> anyhow::Result<()> {
        self.kubectl(&["patch", "schd", "farm", "-n", NAMESPACE, "--type", how, "--patch", &patch.to_string()])?;
        Ok(())
    }

    /// Waits as the documentation says.
    fn wait(&self) -> anyhow::Result<()> {
        let output = block_in_place(|| {
            Command::new(program("cue-scheduler-operator")?)
                .args(["wait", "farm", "--namespace", NAMESPACE, "--timeout", "3m"])
                .env("KUBECONFIG", &self.client().kubeconfig)
                .output()
                .context("running cue-scheduler-operator wait")
        })?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    fn pods(&self, facility: usize) -> anyhow::Result<Vec<Pod>> {
        pods::staying(self.client(), FACILITIES[facility])
    }

    async fn until_ready(&self, facility: usize) -> anyhow::Result<Vec<Pod>> {
        pods::until_ready(self.client(), FACILITIES[facility], self.replicas[facility], LIMIT).await
    }

    /// Both facilities, all pods ready, and none of those before.
    async fn until_replaced(&self, before: &[Pod]) -> anyhow::Result<Vec<Pod>> {
        let began = Instant::now();
        loop {
            let mut pods = Vec::new();
            for facility in 0..FACILITIES.len() {
                pods.extend(self.until_ready(facility).await?);
            }
            let are_new = pods.iter().all(|pod| before.iter().all(|old| old.uid != pod.uid));
            if are_new {
                return Ok(pods);
            }
            ensure!(began.elapsed() < LIMIT, "within {LIMIT:?} not all pods were replaced: {pods:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn all_pods(&self) -> anyhow::Result<Vec<Pod>> {
        Ok([self.pods(0)?, self.pods(1)?].concat())
    }

    fn install(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let install = |name: &str, values: &str| {
            let how = ["--namespace", OPERATORS, "--set", values, "--wait", "--timeout", "3m"];
            self.helm(&[&["install", name, &chart(name)][..], &how[..]].concat())
        };
        install("cue-scheduler-crds", "")?;
        let image = format!("image.repository={}", self.cluster.repository("cue-scheduler-operator"));
        let watched = if self.monitoring.is_some() { WATCHED } else { "" };
        install("cue-scheduler-operator", &format!("{image},{watched}"))?;
        self.helm(&["test", "cue-scheduler-operator", "--namespace", OPERATORS, "--timeout", "2m"])?;
        let seen = [
            "the operator's pod is ready, in a namespace that allows restricted pods only",
            "helm test says that it answers through its Service",
        ];
        self.timeline.step("helm install", began.elapsed(), &seen)
    }

    async fn first_farm(&mut self) -> anyhow::Result<()> {
        let password = Uuid::new_v4().to_string();
        self.farm.set_password(&password).await?;
        self.apply(&[self.secret(&password)])?;
        let began = Instant::now();
        self.apply(&[self.resource()])?;
        let mut starts = Vec::new();
        for facility in 0..FACILITIES.len() {
            self.until_ready(facility).await?;
            starts.push(began.elapsed());
        }
        self.wait()?;
        let seen = self.kubectl(&["get", "schd", "-n", NAMESPACE])?;
        let slowest = starts.into_iter().max().unwrap_or_default().as_secs_f64();
        let figures = [("seconds from apply to all pods ready", slowest)];
        let seen = seen.lines().map(str::to_owned).collect();
        self.timeline.measured("Secret, kubectl apply, wait", began.elapsed(), seen, &figures)
    }

    async fn first_jobs(&mut self) -> anyhow::Result<()> {
        let (began, from) = (Instant::now(), SystemTime::now());
        for facility in FACILITIES {
            self.farm.submit(facility, &TAGS).await?;
        }
        let agent = self.farm.harness.agent.as_ref();
        if agent.is_some() {
            self.farm.submit_real(REAL_FRAMES).await?;
        }
        self.farm.until_started(LIMIT, from).await?;
        let first = began.elapsed();
        self.farm.until_done(LIMIT).await?;
        let mut seen = Vec::new();
        if let Some(agent) = agent {
            let logs = std::fs::read_dir(agent.frame_logs())?.count();
            ensure!(logs >= REAL_FRAMES as usize, "the real agent has written {logs} logs of {REAL_FRAMES} frames");
            seen.push(format!("{logs} of its frames ran on the real agent, in facility {OF_AGENT}"));
        }
        let figures = [("seconds from submission to a frame in each facility", first.as_secs_f64())];
        self.timeline.measured("a job of each facility renders to its end", began.elapsed(), seen, &figures)
    }

    async fn scale_out(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        self.patch("json", &json!([{ "op": "replace", "path": "/spec/facilities/0/replicas", "value": 3 }]))?;
        self.replicas[0] = 3;
        let pods = self.until_ready(0).await?;
        let ready = began.elapsed();
        let owned = pods::until_shared(self.cluster, &pods, LIMIT).await?;
        self.wait()?;
        let seen = vec![format!("three members own {owned:?} pools")];
        let figures = [
            ("seconds to three ready pods", ready.as_secs_f64()),
            ("seconds to pools shared out", began.elapsed().as_secs_f64()),
        ];
        self.timeline.measured("scale one facility to 3 replicas", began.elapsed(), seen, &figures)
    }

    async fn watch(&mut self) -> anyhow::Result<()> {
        let Some(prometheus) = &self.monitoring else { return Ok(()) };
        let began = Instant::now();
        let monitoring = json!({ "serviceMonitor": { "enabled": true }, "prometheusRule": { "enabled": true } });
        self.patch("merge", &json!({ "spec": { "monitoring": monitoring } }))?;
        let mut targets = vec![(String::new(), 1)];
        targets.extend(FACILITIES.iter().zip(self.replicas).map(|(facility, count)| ((*facility).to_owned(), count)));
        let seen = prometheus.watch(&targets, BUSY).await?;
        let told = vec![
            format!("a real Prometheus has {:?} targets of the operator and of each facility", seen.targets),
            format!("all {} names of the reference come from each scheduler, with its facility", seen.names),
            format!("{} alerts are evaluated, and none has its condition met", seen.alerts),
            format!("what KEDA would scale by comes to {:.4} passes under way, on average", seen.answer),
        ];
        self.timeline.measured("Prometheus scrapes all, and evaluates the alerts", began.elapsed(), told, &[])
    }

    async fn kill_a_pod(&mut self) -> anyhow::Result<()> {
        let pods = self.until_ready(0).await?;
        let owned = pods::until_shared(self.cluster, &pods, LIMIT).await?;
        let (killed, pools) = pods.iter().zip(&owned).max_by_key(|(_, pools)| **pools).context("there are pods")?;
        let (began, from) = (Instant::now(), SystemTime::now());
        block_in_place(|| self.cluster.kill(NAMESPACE, killed, "cue-scheduler"))?;
        let taken = self.until_owned(owned.iter().sum()).await?;
        self.until("it comes back", || {
            let pod = self.client().get(NAMESPACE, &format!("pod/{}", killed.name))?;
            let container = &pod["status"]["containerStatuses"][0];
            // In another pod, where the whole pod was killed.
            Ok(pod.is_null() || container["restartCount"] != 0 && container["ready"] == true)
        })
        .await?;
        let after = self.until_ready(0).await?;
        let back = began.elapsed();
        pods::until_shared(self.cluster, &after, LIMIT).await?;
        let seen = vec![format!("its {pools} pools got other owners; it came back and got a share again")];
        let pause = self.farm.longest_pause(FACILITIES[0], from);
        let figures = [
            ("seconds until all pools are owned again", taken.as_secs_f64()),
            ("seconds to its successor ready", back.as_secs_f64()),
            ("longest pause in booking, s", pause.as_secs_f64()),
        ];
        self.timeline.measured("kill a scheduler", began.elapsed(), seen, &figures)
    }

    /// Waits until the pods of the first facility, whoever is there by then, own so many pools; how long that took.
    async fn until_owned(&self, pools: usize) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let mut owned = 0;
            for pod in self.pods(0)? {
                // Who has been killed does not answer.
                owned += pod.share(self.cluster).await.map_or(0, |share| share.owned);
            }
            if owned == pools {
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < LIMIT, "within {LIMIT:?} only {owned} of {pools} pools were owned again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn evict_pods(&mut self) -> anyhow::Result<()> {
        let pods = self.until_ready(0).await?;
        let from = SystemTime::now();
        let began = Instant::now();
        let (allowed, said) = self.evict(&pods[0])?;
        ensure!(allowed, "the first eviction is refused: {said}");
        let (allowed, said) = self.evict(&pods[1])?;
        ensure!(!allowed && said.contains("disruption budget"), "the second eviction is not refused: {said}");
        let refused = said.lines().last().unwrap_or_default().to_owned();
        let after = self.until_ready(0).await?;
        ensure!(after.iter().all(|pod| pod.uid != pods[0].uid), "the evicted pod is still there");
        let ready = began.elapsed();
        pods::until_shared(self.cluster, &after, LIMIT).await?;
        let pause = self.farm.longest_pause(FACILITIES[0], from);
        let figures = [
            ("seconds to its successor ready", ready.as_secs_f64()),
            ("longest pause in booking, s", pause.as_secs_f64()),
        ];
        let seen = vec!["one was allowed".to_owned(), format!("one was refused: {refused}")];
        self.timeline.measured("evict pods", began.elapsed(), seen, &figures)
    }

    /// Whether it was allowed, and what was said.
    fn evict(&self, pod: &Pod) -> anyhow::Result<(bool, String)> {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": pod.name, "namespace": NAMESPACE } });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}/eviction", pod.name);
        block_in_place(|| self.client().attempt(&["create", "--raw", &path, "-f", "-"], &eviction.to_string()))
    }

    async fn restart_database(&mut self) -> anyhow::Result<()> {
        let before = self.restarts()?;
        let began = Instant::now();
        let down = {
            let mut server = self.farm.server.lock().await;
            server.shut_down(Shutdown::Fast).await?;
            let down = Instant::now();
            server.start_again().await?;
            down.elapsed()
        };
        let from = SystemTime::now();
        let back = Instant::now();
        self.farm.until_started(LIMIT, from).await?;
        let booked = back.elapsed();
        for facility in 0..FACILITIES.len() {
            let pods = self.until_ready(facility).await?;
            pods::until_shared(self.cluster, &pods, LIMIT).await?;
        }
        let restarts = self.restarts()?;
        let figures = [
            ("seconds without a database", down.as_secs_f64()),
            ("seconds from its return to a frame in each facility", booked.as_secs_f64()),
        ];
        ensure!(restarts == before, "containers were started again: {before} before, {restarts} after");
        let seen = vec!["no container had to be started again".to_owned()];
        self.timeline.measured("restart PostgreSQL", began.elapsed(), seen, &figures)
    }

    /// Restarts of all containers of the farm.
    fn restarts(&self) -> anyhow::Result<u64> {
        let pods = block_in_place(|| self.client().list(NAMESPACE, "pods", ""))?;
        let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default();
        Ok(pods.iter().map(restarts).sum())
    }

    async fn kill_the_operator(&mut self) -> anyhow::Result<()> {
        let labels = "app.kubernetes.io/name=cue-scheduler-operator";
        let pods = block_in_place(|| self.client().list(OPERATORS, "pods", labels))?;
        let pod = Pod::of(pods.first().context("there is an operator")?);
        let began = Instant::now();
        block_in_place(|| self.cluster.kill(OPERATORS, &pod, "cue-scheduler-operator"))?;
        self.kubectl(&["delete", "service", "farm-lax", "-n", NAMESPACE])?;
        self.until("the operator makes a Service again that was deleted", || {
            Ok(!self.client().get(NAMESPACE, "service/farm-lax")?.is_null())
        })
        .await?;
        let figures = [("seconds from the kill to its work done again", began.elapsed().as_secs_f64())];
        let seen = vec!["a Service that was deleted meanwhile was made again".to_owned()];
        self.timeline.measured("kill the operator", began.elapsed(), seen, &figures)
    }

    async fn rotate_the_password(&mut self) -> anyhow::Result<()> {
        let before = self.all_pods()?;
        let (began, from) = (Instant::now(), SystemTime::now());
        let password = Uuid::new_v4().to_string();
        self.farm.set_password(&password).await?;
        self.apply(&[self.secret(&password)])?;
        self.until_replaced(&before).await?;
        self.rolled("rotate the database's password", began, from, vec!["all pods were replaced".to_owned()])
    }

    async fn change_the_configuration(&mut self) -> anyhow::Result<()> {
        let before = self.all_pods()?;
        let (began, from) = (Instant::now(), SystemTime::now());
        self.patch("merge", &json!({ "spec": { "config": { "booking": { "chunk_frames": 20 } } } }))?;
        self.until_replaced(&before).await?;
        self.wait()?;
        let config = self.kubectl(&["get", "configmaps", "-n", NAMESPACE, "-o", "yaml"])?;
        ensure!(config.contains("chunk_frames: 20"), "no scheduler.yaml has the changed key");
        self.rolled("change a key of scheduler.yaml", began, from, vec!["all pods were replaced".to_owned()])
    }

    async fn change_the_image(&mut self) -> anyhow::Result<()> {
        block_in_place(|| self.cluster.has_next_image())?;
        let before = self.all_pods()?;
        let (began, from) = (Instant::now(), SystemTime::now());
        self.patch("merge", &json!({ "spec": { "image": { "tag": NEXT } } }))?;
        let pods = self.until_replaced(&before).await?;
        ensure!(pods.iter().all(|pod| pod.image.ends_with(&format!(":{NEXT}"))), "a pod has another image: {pods:?}");
        self.wait()?;
        self.rolled("change the image", began, from, vec![format!("all pods have {}", pods[0].image)])
    }

    /// Tells of a roll, and demands that booking went on.
    fn rolled(&mut self, step: &str, began: Instant, from: SystemTime, seen: Vec<String>) -> anyhow::Result<()> {
        let pauses = FACILITIES.map(|facility| self.farm.longest_pause(facility, from));
        let longest = pauses.into_iter().max().unwrap_or_default();
        let figures = [("longest pause in booking, s", longest.as_secs_f64())];
        self.timeline.measured(step, began.elapsed(), seen, &figures)?;
        ensure!(longest <= PAUSE_MAX, "while pods were replaced, nothing was booked for {longest:?}");
        Ok(())
    }

    async fn ignore_a_tag(&mut self) -> anyhow::Result<()> {
        let tag = TAGS[3];
        let before = self.all_pods()?;
        let began = Instant::now();
        self.patch("merge", &json!({ "spec": { "ignoreTags": [tag] } }))?;
        self.until_replaced(&before).await?;
        let from = SystemTime::now();
        for facility in FACILITIES {
            self.farm.submit(facility, &[tag]).await?;
            self.farm.submit(facility, &[TAGS[0]]).await?;
        }
        let others = i64::from(FRAMES) * FACILITIES.len() as i64;
        let farm = Arc::clone(&self.farm);
        // All that may run has, and what may not still waits.
        farm.harness
            .until_states("only what needs the ignored tag waits", LIMIT, |states| {
                states.of("WAITING") == others && states.of("RUNNING") == 0
            })
            .await?;
        let started = FACILITIES.map(|facility| self.farm.started(facility, from, SystemTime::now()).len());
        let seen = vec![format!("{started:?} frames with another tag ran; {others} with the ignored one wait")];
        self.timeline.measured("ignoreTags", began.elapsed(), seen, &[])
    }

    async fn pause(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let before = self.all_pods()?;
        self.patch("merge", &json!({ "spec": { "paused": true, "ignoreTags": [] } }))?;
        self.kubectl(&["wait", "--for=condition=Paused", "schd/farm", "-n", NAMESPACE, "--timeout=60s"])?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        ensure!(self.all_pods()? == before, "pods were replaced while the resource was paused");
        self.patch("merge", &json!({ "spec": { "paused": false } }))?;
        self.until_replaced(&before).await?;
        self.wait()?;
        let seen = ["pods stayed as they were while it was paused, and got what had changed afterwards"];
        self.timeline.step("pause, and go on", began.elapsed(), &seen)
    }

    async fn until_done(&mut self, what: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        self.farm.until_done(LIMIT).await?;
        let seen = [format!("{} frames have succeeded", self.farm.submitted().len())];
        self.timeline.measured(what, began.elapsed(), seen.to_vec(), &[])
    }

    async fn delete_the_farm(&mut self) -> anyhow::Result<()> {
        let from = SystemTime::now();
        for facility in FACILITIES {
            for _ in 0..8 {
                self.farm.submit(facility, &TAGS).await?;
            }
        }
        self.farm.until_started(LIMIT, from).await?;
        let began = Instant::now();
        self.kubectl(&["delete", "schd", "farm", "-n", NAMESPACE])?;
        self.until("all objects of the farm go", || Ok(self.left()?.is_empty())).await?;
        let gone = began.elapsed();
        self.farm.harness.until_released(LIMIT).await?;
        let states = self.farm.harness.states().await?;
        ensure!(states.of("RUNNING") == 0 && states.of("WAITING") > 0, "frames afterwards: {states}");
        let seen = vec![format!("pods drained; what ran came to its end; frames: {states}")];
        let figures = [("seconds until all objects were gone", gone.as_secs_f64())];
        self.timeline.measured("delete the resource, in the middle of work", began.elapsed(), seen, &figures)
    }

    /// Objects of the farm that are there.
    fn left(&self) -> anyhow::Result<Vec<Value>> {
        let kinds = "pods,deployments,replicasets,services,configmaps,poddisruptionbudgets,serviceaccounts";
        self.client().list(NAMESPACE, kinds, "app.kubernetes.io/managed-by=cue-scheduler-operator")
    }

    /// The same farm, as a release of the chart.
    async fn farm_by_helm(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let waiting = self.farm.harness.states().await?.of("WAITING");
        let mut values = self.resource()["spec"].take();
        let operator = self.cluster.repository("cue-scheduler-operator");
        values["test"] = json!({ "image": { "repository": operator } });
        let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
        std::fs::write(file.path(), values.to_string())?;
        let file = file.path().display().to_string();
        self.helm(&["install", "night", &chart("cue-scheduler"), "--namespace", NAMESPACE, "--values", &file])?;
        self.helm(&["test", "night", "--namespace", NAMESPACE, "--timeout", "3m"])?;
        let tested = began.elapsed();
        self.farm.until_done(LIMIT).await?;
        self.helm(&["uninstall", "night", "--namespace", NAMESPACE])?;
        self.until("all objects of the release go", || Ok(self.left()?.is_empty())).await?;
        let seen = vec![
            "helm test says that all pods are ready".to_owned(),
            format!("the {waiting} frames that waited have succeeded, and nothing of the release is left"),
        ];
        let figures = [("seconds from helm install to the end of helm test", tested.as_secs_f64())];
        self.timeline.measured("the same farm, by helm install, test, uninstall", began.elapsed(), seen, &figures)
    }

    async fn uninstall(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        for release in ["cue-scheduler-operator", "cue-scheduler-crds"] {
            self.helm(&["uninstall", release, "--namespace", OPERATORS, "--wait", "--timeout", "2m"])?;
        }
        let left = || self.client().list(OPERATORS, "pods,deployments,services,poddisruptionbudgets", "");
        self.until("nothing of the operator is left", || Ok(left()?.is_empty())).await?;
        self.kubectl(&["get", "crd", DEFINITION])?;
        let seen = ["nothing of the operator is left, but for the definition, which is kept"];
        self.timeline.step("helm uninstall", began.elapsed(), &seen)
    }

    /// Waits for something that `kubectl` tells.
    async fn until(&self, what: &str, holds: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let began = Instant::now();
        while !block_in_place(&holds)? {
            ensure!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    fn secret(&self, password: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "cuebot-db", "namespace": NAMESPACE },
            "stringData": { "username": ROLE, "password": password, "ca.crt": self.farm.authority } })
    }

    /// The resource of the first hour: addresses are numbers, since there is no DNS.
    fn resource(&self) -> Value {
        let target = &self.farm.harness.target;
        json!({
            "apiVersion": "scheduler.opencue.io/v1alpha1", "kind": "SchedulerDeployment",
            "metadata": { "name": "farm", "namespace": NAMESPACE },
            "spec": {
                "image": { "repository": self.cluster.repository("cue-scheduler") },
                "database": {
                    "host": self.farm.site.address.to_string(), "port": target.port, "name": target.database,
                    "sslMode": "verify-full", "ca": { "secretKeyRef": { "name": "cuebot-db" } },
                    "credentialsSecretRef": { "name": "cuebot-db" }, "poolSize": 8, "connectionBudget": 100,
                },
                "config": {
                    "rqd": { "grpc_port": self.farm.harness.hosts.port() },
                    "queue": { "cluster_reload_interval": "2s" },
                    "scheduler": { "drain_timeout": "5s" },
                },
                // The node is small, and others work on it.
                "facilityDefaults": { "resources": { "requests": { "cpu": "50m", "memory": "64Mi" } } },
                "facilities": [
                    { "name": FACILITIES[0], "replicas": 1 },
                    { "name": FACILITIES[1], "replicas": 1 },
                ],
                // Any user does, as on OpenShift.
                "podTemplate": { "spec": { "securityContext": { "runAsUser": 1_000_650_000_u32 } } },
            },
        })
    }

    /// Everything that helps to find out why.
    pub fn keep_logs(&self, folder: &Path) {
        let keep = || -> anyhow::Result<()> {
            std::fs::create_dir_all(folder)?;
            for log in self.cluster.logs()? {
                std::fs::copy(&log, folder.join(log.file_name().unwrap_or_default()))?;
            }
            for namespace in [OPERATORS, NAMESPACE] {
                let ask = |arguments: &[&str]| self.client().attempt(&[arguments, &["-n", namespace]].concat(), "");
                for (name, arguments) in [
                    ("events", &["get", "events", "--sort-by=.lastTimestamp"][..]),
                    ("objects", &["get", "all,schd,configmaps,events", "-o", "yaml"]),
                    ("pods", &["describe", "pods"]),
                ] {
                    std::fs::write(folder.join(format!("{namespace}-{name}.txt")), ask(arguments)?.1)?;
                }
                for pod in self.client().list(namespace, "pods", "")? {
                    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                    for (which, arguments) in [("", &["logs", name][..]), ("-before", &["logs", name, "--previous"])] {
                        std::fs::write(folder.join(format!("{name}{which}.log")), ask(arguments)?.1)?;
                    }
                }
            }
            Ok(())
        };
        match block_in_place(keep) {
            Ok(()) => println!("logs are in {}", folder.display()),
            Err(error) => println!("not all logs could be kept: {error:#}"),
        }
    }
}

fn chart(name: &str) -> String {
    root().join("charts").join(name).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_keda_is_what_the_documentation_says() {
        let page = std::fs::read_to_string(root().join("docs/operations/kubernetes.md")).unwrap();
        let query = BUSY.replace(NAMESPACE, "opencue");
        assert!(page.contains(&format!("query: {query}\n")), "{query}");
    }
}
