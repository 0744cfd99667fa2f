//! Databases of every generation: one that knows no managed shows, one where layers can't be delayed, one in which Maestro leads.
//! What forbids booking is told, and ends by itself.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use testbed::cuebot_sim::CuebotConfig;
use testbed::farm_sim::{FarmConfig, HostSet};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::description::FarmDescription;

const FARM: &str = "
seed: 3
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 100}]}]
hosts: [{allocation: local.general, count: 4, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs: [{name: alpha-1, show: alpha, layers: [{name: a, range: 1-20, command: sleep 0.1}]}]
";

const LIMIT: Duration = Duration::from_mins(1);

async fn farm(folder: &Path) -> Harness {
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { count: 4, ..HostSet::default() }],
            first_report: Some(Duration::from_millis(100)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig::default(),
        existing: None,
    };
    Harness::start(config, folder, |_| {}).await.unwrap()
}

async fn scheduler(harness: &Harness) -> Scheduler {
    let mut scheduler = harness.scheduler("scheduler", &[]).unwrap();
    scheduler.ready().await.unwrap();
    scheduler
}

async fn until_it_stands_still(scheduler: &Scheduler, cause: &str, stands: bool) {
    let series = format!("scheduler_standstill{{cause=\"{cause}\"}}");
    let began = Instant::now();
    while (scheduler.metric(&series).await.unwrap() > 0.0) != stands {
        assert!(began.elapsed() < LIMIT, "{series} does not become {stands}: {}", scheduler.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn all_frames_succeed(harness: &Harness, scheduler: &Scheduler) {
    let done = harness.until_states("all frames succeeded", LIMIT, |states| states.are_all("SUCCEEDED")).await;
    done.unwrap_or_else(|error| panic!("{error}\n{}", scheduler.log()));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_maestro_leader_lives_nothing_is_booked_and_when_it_leaves_booking_starts() {
    let folder = tempfile::tempdir().unwrap();
    let harness = farm(folder.path()).await;
    let options = (*harness.pool.connect_options()).clone();
    let mut maestro = sqlx::PgConnection::connect_with(&options).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(22360104104064357)").execute(&mut maestro).await.unwrap();

    let scheduler = scheduler(&harness).await;
    until_it_stands_still(&scheduler, "maestro_leads", true).await;
    assert!(scheduler.log().contains("a Maestro leader is alive"), "{}", scheduler.log());
    let states = harness.states().await.unwrap();
    assert!(states.are_all("WAITING"), "{states}");

    maestro.close().await.unwrap();
    all_frames_succeed(&harness, &scheduler).await;
    until_it_stands_still(&scheduler, "maestro_leads", false).await;
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_show_can_be_managed_nothing_is_booked_until_the_column_comes() {
    let folder = tempfile::tempdir().unwrap();
    let harness = farm(folder.path()).await;
    let execute = |sql: &'static str| sqlx::query(sql).execute(&harness.pool);
    execute("ALTER TABLE show RENAME COLUMN b_scheduler_managed TO b_not_there_yet").await.unwrap();

    let scheduler = scheduler(&harness).await;
    until_it_stands_still(&scheduler, "no_managed_flag", true).await;
    assert!(scheduler.log().contains("no column show.b_scheduler_managed"), "{}", scheduler.log());
    let states = harness.states().await.unwrap();
    assert!(states.are_all("WAITING"), "{states}");

    execute("ALTER TABLE show RENAME COLUMN b_not_there_yet TO b_scheduler_managed").await.unwrap();
    all_frames_succeed(&harness, &scheduler).await;
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_layers_cannot_be_delayed_frames_run_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let harness = farm(folder.path()).await;
    sqlx::query("ALTER TABLE layer DROP COLUMN ts_start_after").execute(&harness.pool).await.unwrap();
    let scheduler = scheduler(&harness).await;
    all_frames_succeed(&harness, &scheduler).await;
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_with_more_than_ours_is_served_like_ours() {
    let folder = tempfile::tempdir().unwrap();
    let harness = farm(folder.path()).await;
    // What later migrations bring, as far as it is known; and Flyway's table, which farms have that let it migrate, saying anything.
    let later = "
        ALTER TABLE layer ADD int_stuck_detection_llu integer DEFAULT 0 NOT NULL;
        ALTER TABLE show ADD b_of_the_future boolean DEFAULT true NOT NULL;
        ALTER TABLE frame ADD str_of_the_future text DEFAULT 'x' NOT NULL;
        ALTER TABLE proc ADD ts_of_the_future timestamptz DEFAULT now() NOT NULL;
        ALTER TABLE host ADD int_of_the_future bigint DEFAULT 1 NOT NULL;
        ALTER TABLE limit_record ADD str_type varchar(36) DEFAULT 'FRAME' NOT NULL;
        CREATE TABLE limit_host (pk_limit_record varchar(36), pk_host varchar(36));
        CREATE TABLE limit_usage (pk_limit_record varchar(36), int_used bigint);
        CREATE TABLE frame_history_queue (pk_frame varchar(36));
        CREATE INDEX i_frame_of_the_future ON frame (pk_layer, int_dispatch_order, int_layer_order) WHERE str_state = 'WAITING';
        CREATE TABLE flyway_schema_history (installed_rank integer, version varchar(50));
        INSERT INTO flyway_schema_history VALUES (1, '12');";
    sqlx::raw_sql(later).execute(&harness.pool).await.unwrap();
    let scheduler = scheduler(&harness).await;
    all_frames_succeed(&harness, &scheduler).await;
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}
