//! From start to end: where the log goes, what signals do, how long a stop takes, and what the exit code says.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cue_scheduler::store::Target;
use rustix::process::Signal;
use sqlx::{PgPool, Postgres, Transaction};
use testbed::harness::Scheduler;
use testbed::loader::description::FarmDescription;
use testbed::loader::load;
use testbed::postgres::{Server, free_port};
use tokio::net::{TcpListener, TcpStream};

/// A database of the test's own.
async fn database() -> (PgPool, Target) {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    (database.pool().await.unwrap(), database.target(6))
}

fn scheduler(folder: &Path, target: &Target, variables: &[(&str, &str)]) -> Scheduler {
    Scheduler::start("scheduler", target, free_port().unwrap(), variables, folder).unwrap()
}

async fn ready(folder: &Path, target: &Target, variables: &[(&str, &str)]) -> Scheduler {
    let mut scheduler = scheduler(folder, target, variables);
    scheduler.ready().await.unwrap();
    scheduler
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
async fn the_log_goes_to_standard_output_and_whole_to_the_file_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_pool, target) = database().await;
    let file = folder.path().join("beside.log");
    let path = file.display().to_string();
    let variables = [("OPENSCHEDULER_LOGGING__FILE_APPENDER", "true"), ("OPENSCHEDULER_LOGGING__PATH", &path)];
    let scheduler = ready(folder.path(), &target, &variables).await;
    let log = folder.path().join("scheduler.log");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    let (out, beside) = (fs::read_to_string(log).unwrap(), fs::read_to_string(file).unwrap());
    let messages = |text: &str| -> Vec<String> {
        // Each has its own clock.
        text.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_owned())).collect()
    };
    assert_eq!(messages(&out), messages(&beside));
    for line in ["host booking strategy: saturation", "Starting scheduler feed", "stopped"] {
        assert!(beside.contains(line), "{line} is not in:\n{beside}");
    }
}

#[tokio::test]
async fn a_log_file_that_can_not_be_opened_ends_the_start_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (_pool, target) = database().await;
    let path = folder.path().display().to_string();
    let variables = [("OPENSCHEDULER_LOGGING__FILE_APPENDER", "true"), ("OPENSCHEDULER_LOGGING__PATH", &path)];
    let mut scheduler = scheduler(folder.path(), &target, &variables);
    assert_eq!(scheduler.wait().await.unwrap(), 1);
    assert!(scheduler.log().contains(&format!("logging.path: the file {path} can't be opened")), "{}", scheduler.log());
}

#[tokio::test]
async fn signals_show_more_and_give_the_configured_levels_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_pool, target) = database().await;
    let variables = [("OPENSCHEDULER_LOGGING__LEVEL", "info,sqlx=warn")];
    let scheduler = ready(folder.path(), &target, &variables).await;
    let switches = |words: &str| scheduler.log().matches(words).count();
    for (turn, (signal, levels)) in
        [(Signal::USR1, "changed to debug,sqlx=info"), (Signal::USR2, "changed to debug,sqlx=debug")].iter().enumerate()
    {
        scheduler.signal(*signal).unwrap();
        wait_until("the levels changed", &scheduler, async || switches(levels) == 1).await;
        if *signal == Signal::USR2 {
            // The scan, which comes all the time.
            wait_until("statements are shown", &scheduler, async || switches("sqlx::query") > 0).await;
        } else {
            assert_eq!(switches("sqlx::query"), 0, "{}", scheduler.log());
        }
        // Whichever signal comes next.
        scheduler.signal(Signal::USR1).unwrap();
        let back = "log levels as configured again: info,sqlx=warn";
        wait_until("the levels are back", &scheduler, async || switches(back) == turn + 1).await;
    }
    assert_eq!(scheduler.stop().await.unwrap(), 0);
}

/// A database that takes connections and never says anything.
async fn silent_database(target: &Target) -> (Target, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target { port: listener.local_addr().unwrap().port(), ..target.clone() };
    let task = tokio::spawn(async move {
        let mut kept: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    (target, task)
}

/// A farm with work that a pass can't get through, since somebody has locked a table that it reads: a stop that would last.
async fn stuck(folder: &Path, drain: &str) -> (Scheduler, Transaction<'static, Postgres>) {
    let (pool, target) = database().await;
    load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE layer_env IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let scheduler = ready(folder, &target, &[("OPENSCHEDULER_SCHEDULER__DRAIN_TIMEOUT", drain)]).await;
    let waits = async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
                       (SELECT oid FROM pg_database WHERE datname = current_database())";
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() > 0
    };
    wait_until("a pass waits for the table", &scheduler, waits).await;
    scheduler.signal(Signal::TERM).unwrap();
    (scheduler, lock)
}

const FARM: &str = "
seed: 3
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 100}]}]
hosts: [{allocation: local.general, count: 2, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs: [{name: alpha-1, show: alpha, layers: [{name: a, range: 1-5}]}]
";

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_the_code_says_which() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let folder = tempfile::tempdir().unwrap();
        let (mut scheduler, lock) = stuck(folder.path(), "10m").await;
        wait_until("it stops", &scheduler, async || scheduler.log().contains("SIGTERM: no new passes")).await;
        scheduler.signal(signal).unwrap();
        assert_eq!(scheduler.wait().await.unwrap(), code, "{}", scheduler.log());
        assert!(scheduler.log().contains("again: ending at once"), "{}", scheduler.log());
        lock.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_stop_takes_no_longer_than_configured_and_the_code_says_that_it_was_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let (mut scheduler, lock) = stuck(folder.path(), "2s").await;
    let began = Instant::now();
    assert_eq!(scheduler.wait().await.unwrap(), 2, "{}", scheduler.log());
    let took = began.elapsed();
    println!("the stop took {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(scheduler.log().contains("the stop is not done after 2s"), "{}", scheduler.log());
    lock.rollback().await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_no_database_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (_pool, target) = database().await;
    let (target, silent) = silent_database(&target).await;
    let scheduler = scheduler(folder.path(), &target, &[]);
    wait_until("it listens", &scheduler, async || scheduler.get("/healthz").await.is_ok()).await;
    let began = Instant::now();
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    silent.abort();
}

#[tokio::test]
async fn on_an_idle_farm_it_ends_by_itself_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let (_pool, target) = database().await;
    for (cycles, looks) in [("3", "in 3 looks"), ("0", "in 1 looks")] {
        let mut scheduler =
            scheduler(folder.path(), &target, &[("OPENSCHEDULER_QUEUE__EMPTY_JOB_CYCLES_BEFORE_QUITING", cycles)]);
        assert_eq!(scheduler.wait().await.unwrap(), 0, "{}", scheduler.log());
        assert!(scheduler.log().contains(&format!("no work {looks} in a row")), "{}", scheduler.log());
        assert!(scheduler.log().contains("stopped"), "{}", scheduler.log());
    }
}

#[tokio::test]
async fn a_facility_that_is_missing_is_told_with_the_known_names_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, target) = database().await;
    let sql = async |text: &'static str| sqlx::raw_sql(text).execute(&pool).await.unwrap();
    sql("INSERT INTO facility (pk_facility, str_name) VALUES ('f-1', 'lax'), ('f-2', 'spi')").await;
    let variables =
        [("OPENSCHEDULER_SCHEDULER__FACILITY", "Spi"), ("OPENSCHEDULER_QUEUE__CLUSTER_RELOAD_INTERVAL", "1s")];
    let scheduler = scheduler(folder.path(), &target, &variables);
    let status = async || scheduler.get("/readyz").await.unwrap_or_default();
    let waits = async || matches!(status().await, (503, text) if text.contains("there is no facility `Spi`"));
    let works = async || status().await.0 == 200;

    wait_until("it waits for the facility", &scheduler, waits).await;
    let known = status().await.1;
    assert!(known.contains("lax, spi"), "{known}");
    assert!(scheduler.log().contains("Invalid facility name"), "{}", scheduler.log());
    sql("INSERT INTO facility (pk_facility, str_name) VALUES ('f-3', 'Spi')").await;
    wait_until("it found the facility", &scheduler, works).await;
    sql("UPDATE facility SET str_name = 'other' WHERE pk_facility = 'f-3'").await;
    wait_until("it misses the renamed facility", &scheduler, waits).await;
    sql("UPDATE facility SET str_name = 'Spi' WHERE pk_facility = 'f-3'").await;
    wait_until("it found the facility again", &scheduler, works).await;
    sql("DELETE FROM facility WHERE pk_facility = 'f-3'").await;
    wait_until("it misses the removed facility", &scheduler, waits).await;
    sql("INSERT INTO facility (pk_facility, str_name) VALUES ('f-4', 'Spi')").await;
    wait_until("it found another facility of the name", &scheduler, works).await;
    assert_eq!(scheduler.stop().await.unwrap(), 0);
}
