//! `compatibility: upstream`: what is rendered starts a program that understands only what the retired scheduler understood.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

/// A container that runs.
struct Started {
    child: Child,
    understood: Value,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stand-in, which is built with the tests.
fn retired() -> PathBuf {
    let ours = std::env::current_exe().unwrap();
    ours.parent().unwrap().parent().unwrap().join("examples/retired-scheduler")
}

fn rendered(resource: &Path) -> Vec<Value> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator")).arg("render").arg(resource).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    yaml::read_all(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

fn object<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap()
}

/// Runs the container of the Deployment as a kubelet would: its file in its place, variables of the Secret looked up.
fn run(objects: &[Value], folder: &Path) -> Started {
    let container = &object(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let file = folder.join("scheduler.yaml");
    std::fs::write(&file, object(objects, "ConfigMap")["data"]["scheduler.yaml"].as_str().unwrap()).unwrap();
    let mut command = Command::new(retired());
    command.env_clear().env("RETIRED_ADDRESS", "127.0.0.1:0").current_dir(folder).stdout(Stdio::piped());
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        let secret = variable["valueFrom"]["secretKeyRef"]["key"].as_str();
        let value = match (variable["value"].as_str(), secret) {
            (Some(path), _) if name == "OPENCUE_SCHEDULER_CONFIG" => {
                assert!(container["volumeMounts"].as_array().unwrap().iter().any(|mount| {
                    Path::new(path).parent() == Some(Path::new(mount["mountPath"].as_str().unwrap()))
                }));
                file.to_str().unwrap().to_owned()
            }
            (Some(value), _) => value.to_owned(),
            (None, Some(key)) => format!("the {key}"),
            (None, None) => "old-spi-1".to_owned(),
        };
        command.env(name, value);
    }
    // What kubelets make of `$$`.
    command.args(container["args"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().replace("$$", "$")));
    let missing = "the stand-in: cargo build --package cue-scheduler-operator --examples builds it, and so does a whole cargo test";
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{missing}: {error}"));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let understood = serde_json::from_str(&line).unwrap_or_default();
    Started { child, understood }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn what_is_rendered_starts_the_retired_scheduler() {
    let objects = rendered(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources/upstream.yaml"));
    let folder = tempfile::tempdir().unwrap();
    let started = run(&objects, folder.path());
    let understood = &started.understood;
    assert_eq!(understood["facility"], "spi", "it did not start");
    assert_eq!(understood["ignore_tags"], json!(["a,b", "deprecated"]));
    let values = &understood["values"];
    assert_eq!(values["queue.worker_threads"], 8);
    assert_eq!(values["rqd.grpc_port"], 8444);
    assert_eq!(values["database.db_host"], "postgres.opencue.svc");
    assert_eq!(values["database.db_user"], "the username");
    assert_eq!(values["database.db_pass"], "the password");

    // The port is the one that is probed, by opening it: there are no paths for probes.
    let deployment = object(&objects, "Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(understood["port"], container["ports"][0]["containerPort"]);
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["tcpSocket"]["port"], container["ports"][0]["name"]);
        assert!(container[probe]["httpGet"].is_null());
    }
    let address: SocketAddr = understood["address"].as_str().unwrap().parse().unwrap();
    assert_eq!((get(address, "/metrics"), get(address, "/healthz")), ("200".to_owned(), "404".to_owned()));

    // Two at once would book the same frames.
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
}

/// The stand-in is as strict as it says: what our own scheduler gets, it refuses.
#[test]
fn what_is_rendered_for_our_own_does_not_start_it() {
    let objects = rendered(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources/plain.yaml"));
    let folder = tempfile::tempdir().unwrap();
    let mut started = run(&objects, folder.path());
    assert!(started.understood.is_null());
    assert!(!started.child.wait().unwrap().success());
}
