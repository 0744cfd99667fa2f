//! The program: driven by lines, read as JSON.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::*;

struct Program {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_farm-sim"))
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { orders: child.stdin.take(), child, answers }
    }

    async fn answer(&mut self) -> Value {
        let line = timeout(LIMIT, self.answers.next_line()).await.expect("the program says nothing").unwrap();
        serde_json::from_str(&line.expect("the program has ended")).unwrap()
    }

    async fn order(&mut self, order: &str) -> Value {
        let line = format!("{order}\n");
        self.orders.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
        self.answer().await
    }

    async fn ends_well(&mut self) {
        assert!(timeout(LIMIT, self.child.wait()).await.expect("the program goes on").unwrap().success());
    }
}

#[tokio::test]
async fn the_program_obeys_lines_and_ends_with_a_summary_and_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let (description, record) = (folder.path().join("farm.yaml"), folder.path().join("record.jsonl"));
    let text = "hosts:\n  - {first: 127.1.0.1, count: 2, cores: 4, os: rhel9, tags: [general]}\n\
                durations: {min: 10ms, max: 20ms}\nchances: [{probability: 0.0, fault: late 3s}]\nprocess_start: 0s\n";
    std::fs::write(&description, text).unwrap();
    let mut program = Program::start(&["-f", description.to_str().unwrap(), "--record", record.to_str().unwrap()]);
    let first = program.answer().await;
    assert_eq!(first["hosts"], 2);
    assert!(first["open_files"].as_u64().unwrap() > 0);

    let address = format!("http://{FIRST}:{}", first["listening"]);
    let mut client = RqdInterfaceClient::new(Endpoint::from_shared(address).unwrap().connect_lazy());
    let run = frame("render");
    launch(&mut client, &run).await.unwrap();
    assert_eq!(program.order("fault all refuse aborted").await["hosts"], 2);
    assert_eq!(launch(&mut client, &frame("render")).await.unwrap_err().code(), tonic::Code::Aborted);
    let wrong = program.order("fault all sick").await;
    assert_eq!(wrong["ok"], false);
    assert!(wrong["error"].as_str().unwrap().contains("`sick` is no fault"));
    assert_eq!(program.order("record").await["runs"][0]["frame_id"], run.frame_id.as_str());

    assert_eq!(program.order("stop").await["ok"], true);
    let summary = program.answer().await["summary"].clone();
    assert_eq!((&summary["counts"]["launched"], &summary["counts"]["faults"]["refuse"]), (&1.into(), &1.into()));
    program.ends_well().await;
    let record = std::fs::read_to_string(record).unwrap();
    let line: Value = serde_json::from_str(record.trim()).unwrap();
    assert_eq!(line["resource_id"], run.resource_id.as_str());
}

#[tokio::test]
async fn the_program_ends_cleanly_by_a_signal_or_when_its_stdin_closes() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Program::start(&["--hosts", "1"]);
        program.answer().await;
        let pid = Pid::from_raw(program.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        assert_eq!(program.answer().await["summary"]["hosts"], 1);
        program.ends_well().await;
    }
    let mut program = Program::start(&["--hosts", "1", "--stop-at-eof"]);
    program.answer().await;
    drop(program.orders.take());
    assert_eq!(program.answer().await["summary"]["hosts"], 1);
    program.ends_well().await;
}

#[tokio::test]
async fn a_description_with_an_unknown_key_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let description = folder.path().join("farm.yaml");
    std::fs::write(&description, "hosts: [{first: 127.1.0.1, coers: 3}]\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_farm-sim")).arg("-f").arg(&description).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("unknown field `coers`") && said.contains("line 1"), "{said}");
}
