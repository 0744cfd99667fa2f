//! Procs that were booked and never launched.

use std::time::Duration;

use cue_scheduler::store::Store;
use cue_scheduler_core::cluster::PoolId;
use cue_scheduler_core::slicing::Slice;
use rustix::process::Signal;
use testbed::harness::Harness;

use super::farm::{Sizes, finish, owned, until};

/// Starts a replica that books and never launches, lets it fill the farm, and kills it: as if it had died between the commit and
/// the launch of each.
async fn leave_behind(harness: &Harness, procs: i64) {
    let mut dies = harness.scheduler("dies", &[("OPENSCHEDULER_RQD__DRY_RUN_MODE", "true")]).unwrap();
    dies.ready().await.unwrap();
    until("all hosts are booked", &[&dies], async || {
        let booked: i64 = sqlx::query_scalar("SELECT count(*) FROM proc").fetch_one(&harness.pool).await.unwrap();
        booked == procs
    })
    .await;
    dies.signal(Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_replica_booked_and_never_launched_is_taken_back_and_runs_once() {
    let sizes = Sizes { allocations: 2, hosts: 2, frames: 10, sleep: "0.1", ..Sizes::default() };
    let (_folder, harness) = sizes.start().await;
    leave_behind(&harness, 8).await;

    // The shorter call time-out makes the take-over age 11 s.
    let mut takes_over = harness.scheduler("takes-over", &[("OPENSCHEDULER_RQD__CALL_TIMEOUT", "1s")]).unwrap();
    takes_over.ready().await.unwrap();
    until("both pools are its own", &[&takes_over], async || owned(&[&takes_over]).await == [2]).await;
    let took = until("all are undone", &[&takes_over], async || {
        takes_over.metric_with("scheduler_launch_outcomes_total", "outcome=\"undone\"").await.unwrap() as usize == 8
    })
    .await;
    println!("what was left behind was taken back {took:.1?} after its pools were taken");
    assert_eq!(takes_over.metric("scheduler_procs_left_behind_total").await.unwrap() as usize, 8);
    finish(&harness, &[&takes_over], &sizes).await;
    assert_eq!(takes_over.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_procs_of_managed_shows_that_are_old_and_that_no_report_has_named_were_left_behind() {
    let sizes = Sizes { allocations: 2, hosts: 4, frames: 20, ..Sizes::default() };
    let (_folder, harness) = sizes.start().await;
    leave_behind(&harness, 16).await;
    let store = Store::on(harness.pool.clone());
    let id = |at: u16, slice| PoolId {
        facility: harness.loaded.facilities["local"].as_str().into(),
        alloc: harness.loaded.allocations[&format!("local.a{at}")].as_str().into(),
        slice,
    };
    let age = Duration::from_secs(20);
    let found = async |pools: &[PoolId]| store.left_behind(pools, age).await.unwrap().len();
    let both = [id(0, Slice::WHOLE), id(1, Slice::WHOLE)];
    assert_eq!(found(&both).await, 0, "they are young");
    let execute = async |sql: &'static str| sqlx::query(sql).execute(&harness.pool).await.unwrap();
    execute("UPDATE proc SET ts_booked = now() - interval '30 s', ts_ping = now() - interval '30 s'").await;
    assert_eq!((found(&both).await, found(&both[..1]).await), (16, 8));
    let (first, second) = (id(0, Slice { of: 2, at: 0 }), id(0, Slice { of: 2, at: 1 }));
    let (first, second) = (found(&[first]).await, found(&[second]).await);
    assert_eq!(first + second, 8, "each host is in one slice");
    execute("UPDATE proc SET ts_ping = now() WHERE pk_proc = (SELECT min(pk_proc) FROM proc)").await;
    assert_eq!(found(&both).await, 15, "one was reported");
    execute("UPDATE show SET b_scheduler_managed = false").await;
    assert_eq!(found(&both).await, 0, "the show is Cuebot's");
    harness.stop().await.unwrap();
}
