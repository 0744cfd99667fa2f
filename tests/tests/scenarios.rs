//! The short form of every scenario, each with one generation of Cuebot, by turns. `make scenarios` runs them with both, and at length.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use testbed::cuebot_sim::{CuebotConfig, CuebotSim, Generation};
use testbed::harness::Existing;
use testbed::postgres::{Server, free_port};
use testbed::python::target_folder;
use testbed::scenarios::{ALL, Length, Place, Setting, run};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Each wants the machine for itself.
static STAGE: Mutex<()> = Mutex::const_new(());

async fn holds(name: &str, generation: Generation) {
    let _only = STAGE.lock().await;
    let scenario = ALL.iter().find(|scenario| scenario.name() == name).unwrap();
    let place = Place::Private(Server::shared().await.unwrap());
    let folder = target_folder().unwrap().join("scenario-tests");
    std::fs::create_dir_all(&folder).unwrap();
    let setting = Setting { seed: 1, length: Length::Short, generation };
    let report = run(*scenario, setting, &place, Path::new(&folder), &CancellationToken::new()).await.unwrap();
    println!("{report}");
    assert!(report.pass, "{report}");
}

macro_rules! scenarios {
    ($($test:ident: $name:literal $generation:ident;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                holds($name, Generation::$generation).await;
            }
        )+

        const TESTED: &[&str] = &[$($name),+];
    };
}

scenarios! {
    frames_start_by_priority: "PRIORITY" C;
    a_limit_holds: "LIMIT" B1;
    caps_that_are_lowered_below_their_use_hold: "CAPDROP" C;
    a_folder_holds_its_maxima: "FOLDER" B1;
    nothing_starts_before_what_it_waits_for: "DEPENDS" C;
    tags_and_gpus_lead_to_the_right_hosts: "TAGS_GPU" B1;
    very_many_tags_cost_no_frames: "TAGMAX" C;
    pinned_layers_stay_on_their_hosts: "PIN" B1;
    what_the_rows_allow_runs_and_nothing_else: "PARITY" C;
    shows_change_hands: "MIGRATE" B1;
    stale_procs_starve_nobody: "POISON" C;
    late_reports_and_old_renders_double_nothing: "DOUBLERENDER" B1;
    a_storm_of_completions_loses_none: "COMPLETIONSTORM" C;
    growing_reservations_make_no_deadlock: "DEADLOCK" B1;
    a_storm_of_releases_beside_everybody_else_makes_no_deadlock: "RELEASESTORM" C;
    licences_hold_across_replicas: "LICENSE" C;
    deaths_of_memory_raise_their_layers_by_a_step: "OOM" B1;
    a_production_that_is_edited_all_the_time_stays_right: "PRODENV" C;
    releases_of_two_generations_mix: "UPGRADE" B1;
    commits_that_break_lose_and_double_nothing: "COMMITCUT" C;
    subscriptions_are_filled_and_not_passed: "SATURATION" B1;
    delayed_layers_begin_at_their_time: "STARTAFTER" C;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenarios_run_one_after_the_other_on_a_farm_that_exists() {
    let _only = STAGE.lock().await;
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (target, agents) = (database.target(1), free_port().unwrap());
    let url = format!("postgres://{}:@{}:{}/{}", target.user, target.host, target.port, target.database);
    let config = CuebotConfig { agent_port: Some(agents), ..CuebotConfig::default() };
    let cuebot = CuebotSim::start(config, database.pool().await.unwrap()).await.unwrap();
    let place = Place::Existing(Existing { database: url, cuebot: cuebot.address() }, agents);
    let folder = target_folder().unwrap().join("scenario-tests/existing");
    let setting = Setting { seed: 1, length: Length::Short, generation: Generation::C };
    for name in ["PIN", "FOLDER"] {
        let scenario = ALL.iter().find(|scenario| scenario.name() == name).unwrap();
        let report = run(*scenario, setting, &place, &folder, &CancellationToken::new()).await.unwrap();
        println!("{report}");
        assert!(report.pass, "{report}");
    }
    let pool = database.pool().await.unwrap();
    let left: (i64, i64) = sqlx::query_as("SELECT (SELECT count(*) FROM host), (SELECT count(*) FROM job)")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, (0, 5), "hosts are taken out again, the work of both stays");
    cuebot.shutdown().await;
}

#[test]
fn every_scenario_has_a_test() {
    let all: BTreeSet<&str> = ALL.iter().map(|scenario| scenario.name()).collect();
    assert_eq!(TESTED.iter().copied().collect::<BTreeSet<_>>(), all);
    assert_eq!(TESTED.len(), all.len(), "one is tested twice");
}
