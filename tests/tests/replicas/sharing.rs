//! Who works on what while nothing breaks.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::PgPool;
use testbed::auditor::Sampler;
use testbed::harness::Harness;
use testbed::harness::scheduler::program;

use super::farm::{Sizes, finish, name, owned, owners, replicas, status, until};

/// Passes of pools that ended after an instant, as text that orders like time.
fn passes_after(status: &serde_json::Value, instant: &str) -> BTreeSet<String> {
    let pools = status["pools"].as_array().unwrap().iter();
    let late = pools.filter(|pool| pool["last_pass"]["ended"].as_str().is_some_and(|ended| ended > instant));
    late.map(|pool| pool["pool"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_are_shared_evenly_nobody_works_on_anothers_and_who_joins_gets_a_share() {
    let sizes = Sizes { frames: 60, ..Sizes::default() };
    let (_folder, harness) = sizes.start().await;
    let [one, two, three] = replicas(&harness, ["one", "two", "three"]).await;
    let all = [&one, &two, &three];
    let took = until("two pools each", &all, async || owned(&all).await == [2, 2, 2]).await;
    println!("three replicas shared six pools in {took:.1?}");

    let members = members(&harness, &[]).await;
    assert!(members.starts_with("6 of 6 pools are owned, by 3 replicas.\n"), "{members}");
    let json: serde_json::Value = serde_json::from_str(&self::members(&harness, &["--json"]).await).unwrap();
    let counts = json["members"].as_array().unwrap().iter().map(|member| member["pools"].as_u64().unwrap());
    assert_eq!(counts.collect::<Vec<_>>(), [2, 2, 2]);

    // All see the same, and each makes passes of its own pools only.
    let now = status(&one).await["now"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = owners(&one).await;
    let mut worked = 0;
    for replica in all {
        assert_eq!(owners(replica).await, seen);
        let me = name(replica).await;
        let worked_on = passes_after(&status(replica).await, &now);
        worked += worked_on.len();
        assert!(
            worked_on.iter().all(|pool| seen[pool].as_ref() == Some(&me)),
            "{me} worked on {worked_on:?} of {seen:?}"
        );
    }
    assert!(worked > 0, "nobody worked, which shows nothing");

    let [four] = replicas(&harness, ["four"]).await;
    let all = [&one, &two, &three, &four];
    let took = until("a pool for the fourth", &all, async || {
        let mut owned = owned(&all).await;
        owned.sort_unstable();
        owned == [1, 1, 2, 2]
    })
    .await;
    println!("a fourth one had its share after {took:.1?}");
    let after = owners(&one).await;
    let moved = after.iter().filter(|(pool, owner)| seen[*pool] != **owner).count();
    assert!(moved <= 2, "{moved} pools moved: {seen:?} to {after:?}");

    finish(&harness, &all, &sizes).await;
    for replica in [one, two, three, four] {
        assert_eq!(replica.stop().await.unwrap(), 0);
    }
    harness.stop().await.unwrap();
}

/// What `cue-scheduler members` prints.
async fn members(harness: &Harness, more: &[&str]) -> String {
    let file = harness.folder.join("one.yaml");
    let mut command = tokio::process::Command::new(program("cue-scheduler").unwrap());
    let output = command.arg("--config").arg(file).arg("members").args(more).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Transactions that all sessions of schedulers had so far: each statement of a scan is one.
async fn statements(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_without_work_ask_the_database_little() {
    let sizes = Sizes { frames: 1, ..Sizes::default() };
    let (_folder, mut harness) = sizes.start().await;
    let [one, two] = replicas(&harness, ["one", "two"]).await;
    finish(&harness, &[&one, &two], &sizes).await;
    until("three pools each", &[&one, &two], async || owned(&[&one, &two]).await == [3, 3]).await;
    // Hosts that report, and Cuebot, which takes their reports, ask too.
    harness.hosts.shutdown().await;
    harness.cuebot.take().unwrap().shutdown().await;
    // The server writes down late what a session did before it fell idle: the window with least is the one without that.
    let window = Duration::from_secs(5);
    let mut per_second = f64::INFINITY;
    for _ in 0..4 {
        let before = statements(&harness.pool).await;
        tokio::time::sleep(window).await;
        let asked = statements(&harness.pool).await - before;
        per_second = per_second.min(asked as f64 / window.as_secs_f64() / 2.0);
    }
    println!("an idle replica asks {per_second:.1} statements a second (goal: 5)");
    assert!((1.0..20.0).contains(&per_second), "{per_second}");
    for replica in [one, two] {
        assert_eq!(replica.stop().await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_allocation_is_cut_and_its_slices_share_the_caps_exactly() {
    let sizes = Sizes { allocations: 1, hosts: 16, frames: 240, sleep: "0.1", ..Sizes::default() };
    let (_folder, harness) = sizes.start().await;
    sqlx::query("UPDATE subscription SET int_burst = 1900").execute(&harness.pool).await.unwrap();
    let sampler = Sampler::start(harness.pool.clone(), Duration::from_millis(20));
    let few = [("OPENSCHEDULER_SCHEDULER__POOL_HOSTS_MAX", "5")];
    let mut pair = ["one", "two"].map(|name| harness.scheduler(name, &few).unwrap());
    for replica in &mut pair {
        replica.ready().await.unwrap();
    }
    let [one, two] = &pair;
    until("two slices each", &[one, two], async || owned(&[one, two]).await == [2, 2]).await;
    assert_eq!(
        owners(one).await.keys().map(String::as_str).collect::<Vec<_>>(),
        ["local.a0 1/4", "local.a0 2/4", "local.a0 3/4", "local.a0 4/4"]
    );
    finish(&harness, &[one, two], &sizes).await;
    let mut booked = Vec::new();
    for replica in &pair {
        booked.push(replica.metric("scheduler_frames_dispatched_total").await.unwrap() as usize);
    }
    assert!(booked.iter().all(|frames| *frames > 0), "one of two did all: {booked:?}");
    let caps = sampler.finish().await.unwrap();
    let over: Vec<String> = caps.passed().map(ToString::to_string).collect();
    assert_eq!(over, Vec::<String>::new());
    let full =
        caps.caps.iter().any(|cap| cap.largest.cap == "subscription burst" && cap.largest.used == cap.largest.allowed);
    assert!(full, "the burst was never used up: {:?}", caps.caps);
    for replica in pair {
        assert_eq!(replica.stop().await.unwrap(), 0);
    }
    harness.stop().await.unwrap();
}
