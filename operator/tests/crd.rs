//! The file in `crds/`, and its copy in a chart of its own, are made and never edited: `cargo run --package cue-scheduler-operator -- crd >
//! crds/schedulerdeployments.yaml` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_command_prints_exactly_what_lies_in_crds_and_in_the_chart() {
    let output = Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator")).arg("crd").output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    for file in ["crds/schedulerdeployments.yaml", "charts/cue-scheduler-crds/files/schedulerdeployments.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let written = std::fs::read_to_string(path).unwrap();
        let differs = written.lines().zip(printed.lines()).find(|(old, new)| old != new);
        assert!(
            written == printed,
            "{file} is old, first at {differs:?}; cargo run --package cue-scheduler-operator -- crd > {file} writes it anew"
        );
    }
}

#[test]
fn a_wrong_command_ends_with_1_and_help_with_0() {
    let ends = |argument: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator")).arg(argument).output().unwrap();
        output.status.code().unwrap()
    };
    assert_eq!((ends("--help"), ends("--version"), ends("fly"), ends("wait")), (0, 0, 1, 1));
}

#[test]
fn an_operator_that_does_not_answer_is_waited_for_until_the_time_is_over() {
    let started = std::time::Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator"))
        .args(["wait", "--operator", "http://127.0.0.1:1", "--timeout", "2s"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(started.elapsed().as_secs() >= 2 && said.contains("http://127.0.0.1:1/ is not ready: "), "{said}");
}
