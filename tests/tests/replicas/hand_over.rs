//! What happens to the pools of a replica that leaves, dies or hangs.

use rustix::process::Signal;

use super::farm::{Sizes, booked_again, database_time, finish, name, owned, pools_of, replicas, status, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_pools_of_who_is_stopped_and_of_who_is_killed_are_taken_within_seconds() {
    let sizes = Sizes { frames: 110, ..Sizes::default() };
    let (_folder, harness) = sizes.start().await;
    let [told, killed, staying] = replicas(&harness, ["told", "killed", "staying"]).await;
    let all = [&told, &killed, &staying];
    until("two pools each", &all, async || owned(&all).await == [2, 2, 2]).await;

    let pools = pools_of(&told).await;
    let since = database_time(&harness.pool).await;
    assert_eq!(told.stop().await.unwrap(), 0);
    let gone = database_time(&harness.pool).await - since;
    let others = [&killed, &staying];
    let after = booked_again(&harness, &pools, since + gone, &others).await;
    let after: Vec<f64> = after.into_iter().map(|seconds| seconds + gone).collect();
    let slowest = after.iter().copied().fold(0.0, f64::max);
    println!("from SIGTERM to the next booking of its pools: {after:.2?} s (goal: 2)");
    assert!(slowest < 8.0, "{after:?}");

    until("three pools each", &[&killed, &staying], async || owned(&[&killed, &staying]).await == [3, 3]).await;
    let pools = pools_of(&killed).await;
    let since = database_time(&harness.pool).await;
    killed.signal(Signal::KILL).unwrap();
    let after = booked_again(&harness, &pools, since, &[&staying]).await;
    let slowest = after.iter().copied().fold(0.0, f64::max);
    println!("from kill -9 to the next booking of its pools: {after:.2?} s (goal: 15)");
    assert!(slowest < 60.0, "{after:?}");

    finish(&harness, &[&staying], &sizes).await;
    assert_eq!(owned(&[&staying]).await, [6]);
    assert_eq!(staying.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_is_ended_by_the_others_and_does_no_harm_when_it_wakes() {
    let sizes = Sizes { frames: 100, ..Sizes::default() };
    let (_folder, harness) = sizes.start().await;
    let [hung, other] = replicas(&harness, ["hung", "other"]).await;
    until("three pools each", &[&hung, &other], async || owned(&[&hung, &other]).await == [3, 3]).await;

    let (pools, me) = (pools_of(&hung).await, name(&hung).await);
    let since = database_time(&harness.pool).await;
    hung.signal(Signal::STOP).unwrap();
    let after = booked_again(&harness, &pools, since, &[&other]).await;
    println!("from SIGSTOP to the next booking of its pools: {after:.2?} s");
    assert!(after.iter().all(|seconds| *seconds < 60.0), "{after:?}");
    assert_eq!(other.metric("scheduler_members_ended_total").await.unwrap() as usize, 1);
    let sessions: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1")
        .bind(&me)
        .fetch_one(&harness.pool)
        .await
        .unwrap();
    assert_eq!(sessions, 0, "all its sessions are ended");
    until("six pools", &[&other], async || owned(&[&other]).await == [6]).await;

    hung.signal(Signal::CONT).unwrap();
    until("three pools each again", &[&hung, &other], async || owned(&[&hung, &other]).await == [3, 3]).await;
    assert!(hung.metric("scheduler_pool_hand_overs_total").await.unwrap() > 3.0);
    assert_eq!(status(&hung).await["coordination"]["state"], "member");
    finish(&harness, &[&hung, &other], &sizes).await;
    for replica in [hung, other] {
        assert_eq!(replica.stop().await.unwrap(), 0);
    }
    harness.stop().await.unwrap();
}
