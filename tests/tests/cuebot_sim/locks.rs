//! Bookings and releases at once: the right order of locks, the wrong one, and the wrong reconcile.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use testbed::auditor::audit;
use testbed::cuebot_sim::faults::reconcile_in_one_statement;
use testbed::cuebot_sim::{CuebotConfig, CuebotCounts, CuebotSim, LegacyBooking, ReleaseOrder};
use testbed::loader::description::FarmDescription;
use testbed::loader::load;

use crate::farm::{Farm, new_database, wait_for};

#[tokio::test]
async fn own_bookings_serve_the_shows_that_are_not_managed_and_only_those() {
    let legacy =
        LegacyBooking { pause: Duration::from_millis(10), run_for: Some(Duration::ZERO), ..Default::default() };
    let farm = Farm::new(CuebotConfig { legacy: Some(legacy), ..CuebotConfig::default() }).await;
    wait_for("the job of Cuebot's own show ends", || async { farm.sim.counts().jobs_finished == 1 }).await;
    farm.sim.settle().await;
    farm.assert_clean().await;
    assert_eq!(farm.states("old/comp").await, ["SUCCEEDED"]);
    assert_eq!(farm.sim.counts().bookings, 1);
}

/// Enough small frames on two hosts that bookings and releases meet all the time.
const CROWD: &str = "
seed: 2
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, managed: false, subscriptions: [{allocation: local.general, burst: 1000}]}]
hosts: [{allocation: local.general, count: 2, cores: 64, memory: 256 GiB}]
jobs:
  - {name: one, show: alpha, layers: [{name: a, range: 1-1000, memory: 1 MiB}, {name: b, range: 1-1000, memory: 1 MiB}]}
  - {name: two, show: alpha, layers: [{name: a, range: 1-1000, memory: 1 MiB}, {name: b, range: 1-1000, memory: 1 MiB}]}
";

/// Runs until the farm has booked so many, or the stand-in met so many deadlocks.
async fn crowd(release_order: ReleaseOrder, bookings: u64, deadlocks: u64) -> (PgPool, CuebotCounts) {
    let database = new_database().await;
    let setup = database.pool().await.unwrap();
    // The default of a second would make every deadlock a second of standstill.
    sqlx::query(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''50ms''', current_database()); END $$",
    )
    .execute(&setup)
    .await
    .unwrap();
    setup.close().await;
    let pool = database.pool().await.unwrap();
    load(&pool, &FarmDescription::from_yaml(CROWD).unwrap()).await.unwrap();
    let legacy = LegacyBooking { bookers: 4, pause: Duration::ZERO, run_for: Some(Duration::ZERO), managed_too: false };
    let config = CuebotConfig { release_order, legacy: Some(legacy), ..CuebotConfig::default() };
    let sim = CuebotSim::start(config, pool.clone()).await.unwrap();
    wait_for("bookings or deadlocks", || async {
        let counts = sim.counts();
        counts.bookings >= bookings || counts.deadlocks >= deadlocks
    })
    .await;
    (pool, sim.shutdown().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_in_cuebots_order_never_wait_in_a_circle_with_its_bookings() {
    let (pool, counts) = crowd(ReleaseOrder::HostFirst, 600, 1).await;
    assert_eq!((counts.deadlocks, counts.failures), (0, 0), "{counts}");
    assert!(counts.bookings >= 600, "{counts}");
    let audit = audit(&pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_that_take_the_counters_first_do_a_hundred_times_in_twenty_seconds() {
    let start = Instant::now();
    let (pool, counts) = crowd(ReleaseOrder::CountersFirst, 4000, 101).await;
    let took = start.elapsed();
    println!("{:.1} s: {counts}", took.as_secs_f64());
    assert!(counts.deadlocks > 100, "{counts}");
    assert!(took < Duration::from_secs(20), "it took {took:?}: {counts}");
    let audit = audit(&pool).await.unwrap();
    assert!(audit.is_clean(), "a deadlock costs time, not truth: {audit}");
}

#[tokio::test]
async fn a_reconcile_in_one_statement_loses_a_booking_that_commits_while_it_waits() {
    let farm = Farm::new(CuebotConfig::default()).await;
    // A booking in Cuebot's order, halted before its commit: the proc is there, the counters are locked.
    let mut booking = farm.pool.begin().await.unwrap();
    for step in [
        "INSERT INTO proc (pk_proc, pk_host, pk_show, pk_job, pk_layer, int_cores_reserved, int_mem_reserved)
         SELECT 'p', pk_host, job.pk_show, job.pk_job, pk_layer, 100, 1024 FROM layer JOIN job USING (pk_job), host
         WHERE job.str_name = 'old'",
        "UPDATE host SET int_cores_idle = int_cores_idle - 100, int_mem_idle = int_mem_idle - 1024",
        "UPDATE subscription SET int_cores = int_cores + 100 FROM proc WHERE subscription.pk_show = proc.pk_show",
        "UPDATE layer_resource SET int_cores = int_cores + 100 FROM proc WHERE layer_resource.pk_layer = proc.pk_layer",
        "UPDATE job_resource SET int_cores = int_cores + 100 FROM proc WHERE job_resource.pk_job = proc.pk_job",
        "UPDATE folder_resource SET int_cores = int_cores + 100
         FROM proc JOIN job USING (pk_job) WHERE folder_resource.pk_folder = job.pk_folder",
        "UPDATE point SET int_cores = int_cores + 100 FROM proc WHERE point.pk_show = proc.pk_show",
    ] {
        sqlx::query(step).execute(&mut *booking).await.unwrap();
    }
    let reconcile = tokio::spawn({
        let pool = farm.pool.clone();
        async move { reconcile_in_one_statement(&pool).await }
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    wait_for("the reconcile waits for the booking", || async { farm.number(waiting).await > 0 }).await;
    booking.commit().await.unwrap();
    reconcile.await.unwrap().unwrap();
    let audit = audit(&farm.pool).await.unwrap();
    let wrong: Vec<&str> = audit.counters.iter().map(|counter| counter.what.as_str()).collect();
    assert_eq!(wrong, ["job_resource cores"], "{audit}");
    assert_eq!((audit.counters[0].found, audit.counters[0].expected), (0, 100), "too low: the dangerous direction");
}
