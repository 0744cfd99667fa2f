//! The operator as a process, and a namespace for a story.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testbed::kubernetes::tail;

use crate::control_plane::{ControlPlane, User, until};

/// On a machine that does other things too.
pub const LIMIT: Duration = Duration::from_mins(2);

/// A running operator.
pub struct Operator {
    child: Child,
    pub log: PathBuf,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Operator {
    /// Starts one, with exactly the rights of the chart.
    pub fn start(user: &User, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("operator.log");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let child = Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator"))
            .arg("run")
            .arg(format!("--http-address=127.0.0.1:{port}"))
            .args(arguments)
            .env("KUBECONFIG", &user.kubeconfig)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log, port, _folder: folder }
    }

    /// Starts one that works for a namespace only, without an election.
    pub fn of(user: &User, namespace: &str) -> Self {
        Self::start(user, &["--no-leader-election", "--namespace", namespace])
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends in order; the exit code.
    pub fn stop(&mut self) -> i32 {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Resident memory in MiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Seconds of CPU so far, a tick being a hundredth.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u32 = fields[11..13].iter().map(|ticks| ticks.parse::<u32>().unwrap()).sum();
        f64::from(ticks) / 100.0
    }

    /// Status code and text of a page.
    pub fn page(&self, path: &str) -> (u16, String) {
        use std::io::{Read as _, Write as _};
        let Ok(mut stream) = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return (0, String::new());
        };
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        (code, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the operator's log ends:\n{}", tail(&self.log));
        }
    }
}

/// A namespace with a Secret for the database, and somebody who makes its pods ready, as a kubelet would.
pub struct Place {
    pub plane: &'static ControlPlane,
    pub namespace: String,
    _pods: PodsReady,
}

impl Place {
    pub fn new(name: &str) -> Self {
        Self::on(ControlPlane::running(), name)
    }

    /// A namespace of another control plane.
    pub fn on(plane: &'static ControlPlane, name: &str) -> Self {
        plane.run(&["create", "namespace", name]);
        let made = Self { plane, namespace: name.to_owned(), _pods: keep_pods_ready(plane, name) };
        made.put_secret("secret");
        made
    }

    pub fn put_secret(&self, password: &str) {
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "cuebot-db", "namespace": self.namespace },
            "stringData": { "username": "cuebot", "password": password } });
        self.plane.apply(&secret.to_string());
    }

    /// Applies a resource with this spec over the smallest one.
    pub fn put(&self, name: &str, spec: &Value) {
        let mut whole = json!({
            "database": { "host": "postgres", "credentialsSecretRef": { "name": "cuebot-db" } },
            "facilities": [{ "name": "spi" }],
        });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let resource = json!({ "apiVersion": "scheduler.opencue.io/v1alpha1", "kind": "SchedulerDeployment",
            "metadata": { "name": name, "namespace": self.namespace }, "spec": whole });
        self.plane.apply(&resource.to_string());
    }

    pub fn get(&self, object: &str) -> Value {
        self.plane.get(&self.namespace, object)
    }

    pub fn condition(&self, name: &str, kind: &str) -> Value {
        let resource = self.get(&format!("schd/{name}"));
        let conditions = resource["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
    }

    /// Waits until a resource is ready in its newest generation.
    pub fn wait_ready(&self, name: &str) {
        let is_ready = || {
            let resource = self.get(&format!("schd/{name}"));
            resource["status"]["observedGeneration"] == resource["metadata"]["generation"]
                && self.condition(name, "Ready")["status"] == "True"
                && self.condition(name, "Progressing")["status"] == "False"
        };
        until(LIMIT, is_ready, || self.get(&format!("schd/{name}"))["status"].to_string());
    }

    pub fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let state = || self.plane.attempt(&["get", "schd", "-n", &self.namespace, "-o", "wide"], "").1;
        until(LIMIT, holds, || format!("{what}; there is\n{}", state()));
    }

    /// Reasons of all events of a resource.
    pub fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = self.plane.list(&self.namespace, "events.events.k8s.io");
        let theirs = events
            .iter()
            .filter(|event| event["regarding"]["kind"] == "SchedulerDeployment" && event["regarding"]["name"] == name);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        theirs.map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.plane.attempt(&["delete", "namespace", &self.namespace, "--wait=false"], "");
    }
}

/// Makes pods ready until it is dropped.
pub struct PodsReady(Arc<AtomicBool>);

impl Drop for PodsReady {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Begins to make the pods of a namespace ready, as a kubelet would.
pub fn keep_pods_ready(plane: &'static ControlPlane, namespace: &str) -> PodsReady {
    let stop = Arc::new(AtomicBool::new(false));
    let (namespace, stopped) = (namespace.to_owned(), Arc::clone(&stop));
    std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            make_ready(plane, &namespace);
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    PodsReady(stop)
}

/// Makes pods ready that are not.
fn make_ready(plane: &ControlPlane, namespace: &str) {
    let (is_listed, said) = plane.attempt(&["get", "pods", "-n", namespace, "-o", "json"], "");
    let Ok(list) = serde_json::from_str::<Value>(&said) else { return };
    if !is_listed {
        return;
    }
    for pod in list["items"].as_array().into_iter().flatten() {
        if pod["status"]["phase"] == "Running" || !pod["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        let conditions = ["Ready", "ContainersReady"].map(|kind| json!({ "type": kind, "status": "True" }));
        let status = json!({ "status": { "phase": "Running", "conditions": conditions } });
        let name = pod["metadata"]["name"].as_str().unwrap();
        plane.attempt(
            &[
                "patch",
                "pod",
                "-n",
                namespace,
                name,
                "--subresource=status",
                "--type=strategic",
                "-p",
                &status.to_string(),
            ],
            "",
        );
    }
}
