//! Limits that count hosts: a licence that a machine takes once, however many frames it renders.

use std::collections::BTreeSet;

use cue_scheduler::booking::Refusal;
use cue_scheduler_core::reason::Reason;

use super::farm::{Farm, commit_once_waited_for};

/// Two allocations with two hosts of 4 cores each; a job for each, under the same limit of three hosts.
const FARM: &str = "
seed: 3
facilities: [{name: local, allocations: [{name: local.general, tag: general}, {name: local.other, tag: other}]}]
shows:
  - name: alpha
    subscriptions: [{allocation: local.general, burst: 100}, {allocation: local.other, burst: 100}]
limits: [{name: seats, max: 3, hosts: true}, {name: frames, max: 100}]
hosts:
  - {allocation: local.general, names: [127.1.0.1, 127.1.0.2], cores: 4, memory: 32 GiB}
  - {allocation: local.other, names: [127.1.0.3, 127.1.0.4], cores: 4, memory: 32 GiB}
jobs:
  - {name: one, show: alpha, layers: [{name: comp, range: 1-20, threadable: false, limits: [seats]}]}
  - {name: two, show: alpha, layers: [{name: comp, range: 1-20, threadable: false, tags: [other], limits: [seats]}]}
";

async fn hosts(farm: &Farm) -> BTreeSet<String> {
    farm.running().await.into_keys().map(|(_, host)| host).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_takes_one_seat_for_all_its_frames_whoever_books_them() {
    let mut farm = Farm::new(FARM).await;
    let mut other = farm.another("local.other").await;
    assert_eq!((farm.pass().await.frames(), hosts(&farm).await.len()), (8, 2));
    let report = other.pass().await;
    assert_eq!((report.frames(), hosts(&farm).await.len()), (4, 3));
    assert_eq!(report.waiting.get(&Reason::Limit), Some(&16), "{:?}", report.waiting);
    assert_eq!(report.refusals.iter().count(), 0, "the plan knows: {}", report.refusals);
    farm.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_holds_a_seat_runs_more_frames_when_no_seat_is_left() {
    let mut farm = Farm::new(FARM).await;
    farm.execute("UPDATE limit_record SET int_max_value = 1").await;
    farm.execute("UPDATE host SET int_cores_idle = 200, int_cores = 200").await;
    assert_eq!((farm.pass().await.frames(), hosts(&farm).await.len()), (2, 1));
    farm.execute("UPDATE host SET int_cores_idle = int_cores_idle + 200, int_cores = 400").await;
    assert_eq!((farm.pass().await.frames(), hosts(&farm).await.len()), (2, 1));
    farm.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bookings_at_the_same_time_take_no_more_seats_than_there_are() {
    let mut one = Farm::new(FARM).await;
    let mut two = one.another("local.other").await;
    let pool = one.pool.clone();
    // Both have planned by the time that they wait for the limit.
    let lock = "SELECT pg_advisory_xact_lock(1129661772, hashtext(pk_limit_record)) FROM limit_record";
    let both = async { tokio::join!(one.pass(), two.pass()) };
    let (first, second) = Box::pin(commit_once_waited_for(&pool, lock, 2, both)).await;
    assert_eq!((first.frames() + second.frames(), hosts(&one).await.len()), (12, 3));
    let refused = first.refusals.of(Refusal::Limit) + second.refusals.of(Refusal::Limit);
    assert_eq!(refused, 4, "{} / {}", first.refusals, second.refusals);
    one.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_limit_must_have_room() {
    let mut farm = Farm::new(&FARM.replace("limits: [seats]", "limits: [seats, frames]")).await;
    farm.execute("UPDATE limit_record SET int_max_value = 5 WHERE str_name = 'frames'").await;
    assert_eq!(farm.pass().await.frames(), 5);
    farm.assert_exact().await;
}
