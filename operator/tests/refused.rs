//! What `check` refuses, and what it says: the table in `refused.yaml`, which the tests against a real API server share.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

mod common;

use std::io::Write as _;
use std::process::{Command, Stdio};

use common::{resource, table};
use cue_scheduler_operator::yaml;
use serde_json::json;

/// Standard output and error of `check` over a text on standard input, and the exit code.
fn check(text: &str) -> (String, i32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cue-scheduler-operator"))
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (said, output.status.code().unwrap())
}

#[test]
fn every_case_of_the_table_is_refused_in_its_words() {
    let table = table();
    let (said, code) = check(&yaml::write(&resource(&json!({}))).unwrap());
    assert_eq!(code, 0, "the resource without a case is sound: {said}");
    let mut wrong = Vec::new();
    for case in &table {
        let about = case["about"].as_str().unwrap();
        let (said, code) = check(&yaml::write(&resource(case)).unwrap());
        let expected = case["check"].as_str().unwrap();
        if code != 1 || !said.contains(expected) {
            wrong.push(format!("{about}: expected {expected:?}, ended with {code}: {said}"));
        }
        if case["silent"].as_str().is_some_and(|secret| said.contains(secret)) {
            wrong.push(format!("{about}: it shows what nobody should see"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_files_are_refused_clearly() {
    let bomb = {
        let line = |(name, before)| format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(","));
        let lines: Vec<String> = "bcdefghij".chars().zip("abcdefghi".chars()).map(line).collect();
        format!("a: &a [x,x,x,x,x,x,x,x,x,x]\n{}", lines.concat())
    };
    let deep = format!("kind: SchedulerDeployment\nspec: {}{}", "[".repeat(5000), "]".repeat(5000));
    let other = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n";
    let version = "apiVersion: scheduler.opencue.io/v9\nkind: SchedulerDeployment\nmetadata: {name: farm}\nspec: {}\n";
    let long = format!(
        "apiVersion: scheduler.opencue.io/v1alpha1\nkind: SchedulerDeployment\nmetadata: {{name: {}}}\nspec: {{database: \
         {{credentialsSecretRef: {{name: x}}}}, facilities: [{{name: spi}}]}}\n",
        "x".repeat(253)
    );
    for (text, expected) in [
        (bomb.as_str(), ""),
        (deep.as_str(), ""),
        ("\u{0}", ""),
        ("kind: [", ""),
        ("", "there is no SchedulerDeployment"),
        (other, "there is no SchedulerDeployment"),
        (version, "known is scheduler.opencue.io/v1alpha1"),
        (long.as_str(), "at most 40 letters"),
    ] {
        let (said, code) = check(text);
        let begins: String = text.chars().take(60).collect();
        assert_eq!(code, 1, "{begins}: {said}");
        assert!(said.contains(expected), "{begins}: {said}");
        assert!(said.len() < 2000, "{begins}: says {} bytes", said.len());
    }
}
