//! What a user sees who got something wrong: one line that names the place and what would be right; and what happens when the
//! database isn't there.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use testbed::harness::Scheduler;
use testbed::harness::scheduler::program;
use testbed::postgres::{Server, free_port};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

/// Runs the program with this file; its exit code and what it says on standard error.
async fn run_with(file: &Path) -> (Option<i32>, String) {
    let (code, _, error) = run(&["--config", &file.display().to_string()]).await;
    (code, error)
}

/// Runs the program; its exit code and what it says on standard output and on standard error.
async fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program("cue-scheduler").unwrap()).args(arguments).env_clear().output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_wrong_file_is_told_in_one_line_that_names_file_key_and_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scheduler.yaml");
    for (text, words) in [
        ("queue: {worker_thread: 4}", &["queue.worker_thread", "worker_threads"][..]),
        ("queue: {worker_threads: many}", &["queue.worker_threads", "many", "whole number"]),
        ("queue: {monitor_interval: 30}", &["queue.monitor_interval", "30", "5s"]),
        ("queue: {worker_threads: 0}", &["queue.worker_threads", "0"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, error) = run_with(&file).await;
        assert_eq!(code, Some(1), "{text}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{text}: {error}");
        for word in words.iter().chain(&["scheduler.yaml"]) {
            assert!(error.contains(word), "{text}: `{word}` is not in: {error}");
        }
    }
}

#[tokio::test]
async fn several_faults_are_told_together() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scheduler.yaml");
    std::fs::write(&file, "queue: {worker_thread: 4}\nrqd: {grpc_port: high}\n").unwrap();
    let (code, error) = run_with(&file).await;
    assert_eq!((code, error.trim_end().lines().count()), (Some(1), 2), "{error}");
}

#[tokio::test]
async fn a_file_that_can_not_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missing.yaml");
    let (code, error) = run_with(&file).await;
    assert_eq!((code, error.trim_end().lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("missing.yaml"), "{error}");
}

#[tokio::test]
async fn a_folder_instead_of_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (code, error) = run_with(folder.path()).await;
    assert_eq!((code, error.trim_end().lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
}

#[tokio::test]
async fn help_and_version_come_whatever_the_file_holds_and_a_wrong_argument_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scheduler.yaml");
    std::fs::write(&file, "queue: [\nthis is no YAML").unwrap();
    let file = file.display().to_string();
    for (argument, words) in
        [("--help", "--ignore-tags"), ("-h", "--facility"), ("--version", "cue-scheduler 0"), ("-V", "cue-scheduler 0")]
    {
        let (code, out, error) = run(&["--config", &file, argument]).await;
        assert_eq!((code, error.as_str()), (Some(0), ""), "{argument}");
        assert!(out.contains(words), "{argument}: {out}");
    }
    let (code, out, error) = run(&["--facilty", "spi"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("--facility"), "{error}");
}

#[tokio::test]
async fn a_configuration_is_checked_without_being_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scheduler.yaml");
    let file = path.display().to_string();
    std::fs::write(
        &path,
        "database: {db_pass: hunter2}\nqueue:\n  core_multiplier: 100\n  worker_threads: 3\nscheduler: {facility: spi}\n",
    )
    .unwrap();
    let (code, out, error) = run(&["check-config", "--config", &file, "-f", "lax", "-i", "a,b"]).await;
    assert_eq!(code, Some(0), "{error}");
    let shown: Vec<String> = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "worker_threads: 3 # scheduler.yaml:4",
        "facility: lax # command line",
        "ignore_tags: [a, b] # command line",
        "db_port: 5432 # default",
        "# db_pass: (not shown) # scheduler.yaml:1",
    ] {
        assert!(shown.iter().any(|shown| shown == line), "{line} is not in:\n{out}");
    }
    assert!(!format!("{out}{error}").contains("hunter2"));
    assert!(error.starts_with("warning: ") && error.contains("queue.core_multiplier"), "{error}");

    std::fs::write(&path, "queue: {worker_threads: 0}\ndatabase:\n  ssl_key: /nowhere\n").unwrap();
    let (code, out, error) = run(&["check-config", "--config", &file]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let places: Vec<bool> = error.lines().map(|line| line.starts_with(&file)).collect();
    assert_eq!(places, [true; 3], "{error}");
}

/// Writes a configuration for a database at that port and starts the program with it.
fn start(folder: &Path, database: &str, port: u16, more: &str) -> Scheduler {
    let metrics = free_port().unwrap();
    let file = folder.join("scheduler.yaml");
    let yaml = format!(
        "database: {{db_host: 127.0.0.1, db_port: {port}, db_name: {database}, db_user: postgres}}\n\
         queue: {{metrics_port: {metrics}}}\n{more}"
    );
    std::fs::write(&file, yaml).unwrap();
    Scheduler::start_with(&["--config", &file.display().to_string()], &[], metrics, folder.join("log")).unwrap()
}

/// Waits for a condition of a busy machine.
async fn wait_until(what: &str, scheduler: &Scheduler, condition: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("after a minute still not: {what}; the log:\n{}", scheduler.log());
}

#[tokio::test]
async fn without_a_database_it_says_so_tries_on_and_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let scheduler = start(folder.path(), "cuebot", free_port().unwrap(), "");
    let tries = || scheduler.log().matches("Failed to connect to database").count();
    wait_until("it tried twice", &scheduler, async || tries() >= 2).await;
    assert!(scheduler.log().contains("refused"), "the cause is told: {}", scheduler.log());
    assert_eq!(scheduler.get("/healthz").await.unwrap().0, 200);
    let (status, body) = scheduler.get("/readyz").await.unwrap();
    assert!(status == 503 && body.contains("database cuebot"), "{status} {body}");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
}

/// A way to the database that can be opened and closed: what is connected through it is cut when it goes.
async fn open_way(port: u16, database: u16) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", database)).await.unwrap();
                // Either side may hang up whenever it likes.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    })
}

#[tokio::test]
async fn a_database_that_comes_goes_and_comes_back_is_found_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let target = database.target(5);
    let port = free_port().unwrap();
    let scheduler = start(folder.path(), &target.database, port, "");
    let readyz = async || scheduler.get("/readyz").await.map_or(0, |answer| answer.0);
    wait_until("it misses the database", &scheduler, async || scheduler.log().contains("Failed to connect")).await;

    for turn in ["comes", "comes back"] {
        let way = open_way(port, target.port).await;
        wait_until(&format!("ready when the database {turn}"), &scheduler, async || readyz().await == 200).await;
        way.abort();
        drop(way.await);
        wait_until("not ready when it goes", &scheduler, async || readyz().await == 503).await;
        let (_, body) = scheduler.get("/readyz").await.unwrap();
        assert!(body.contains("database"), "{body}");
        assert_eq!(scheduler.get("/healthz").await.unwrap().0, 200, "it lives");
    }
    assert_eq!(scheduler.stop().await.unwrap(), 0);
}
