//! The short form of chaos: the seeds that failed once, one more, and runs in which somebody else does wrong, which has to be
//! seen.
//! `make chaos` runs any seed, and at length.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use testbed::chaos::mischief::Mischief;
use testbed::chaos::{Plan, REGRESSIONS, Report, Schedule, run};
use testbed::postgres::{Options, Server};
use testbed::python::target_folder;
use testbed::scenarios::Length;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Each wants the machine for itself.
static STAGE: Mutex<()> = Mutex::const_new(());

async fn outcome(server: &mut Server, plan: &Plan) -> Report {
    let folder = target_folder().unwrap().join("chaos-tests");
    std::fs::create_dir_all(&folder).unwrap();
    let report = run(server, plan, &folder, &CancellationToken::new()).await.unwrap().unwrap();
    println!("{report}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_overdrawn_while_everything_goes_wrong() {
    let _only = STAGE.lock().await;
    let mut server = Server::start(Options::default()).await.unwrap();
    for seed in REGRESSIONS.into_iter().chain([1]) {
        let report = outcome(&mut server, &Plan::of(seed, Length::Short)).await;
        assert!(report.pass, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_unsafe_scheduler_would_do_is_seen() {
    let _only = STAGE.lock().await;
    let mut server = Server::start(Options::default()).await.unwrap();
    let mischief = vec![Mischief::LaunchesAgain, Mischief::UndoesWhatIsDone];
    let plan = Plan { schedule: Schedule::calm(1), length: Length::Short, mischief };
    let report = outcome(&mut server, &plan).await;
    let wrong: BTreeSet<&str> =
        report.details.iter().filter(|check| !check.pass).map(|check| check.demanded.as_str()).collect();
    let seen = ["no two runs of a frame overlap", "no run starts after an accepted completion"];
    assert_eq!(wrong, BTreeSet::from(seen), "{report}");
}
