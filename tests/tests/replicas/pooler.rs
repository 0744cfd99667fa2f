//! Replicas that reach the database through a real `PgBouncer` with `pool_mode = transaction`, which has fewer sessions than they
//! have connections.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cue_scheduler::ownership::ask::Inquiry;
use cue_scheduler::reporter::told;
use cue_scheduler::store::Store;
use rustix::process::Signal;
use sqlx::Row as _;
use sqlx::postgres::PgPoolOptions;
use testbed::harness::{Harness, Scheduler};
use testbed::pgbouncer::{PgBouncer, UnknownSettings};
use testbed::postgres::Server;

use super::farm::{Sizes, finish, owned, until};

const SESSIONS: u32 = 4;

async fn replicas(harness: &Harness, pooler: &PgBouncer, variables: &[(&str, &str)], folder: &Path) -> [Scheduler; 2] {
    let target = pooler.before(&harness.target);
    let start = |name| Scheduler::start(name, &target, harness.hosts.port(), variables, folder).unwrap();
    let mut replicas = ["one", "two"].map(start);
    for replica in &mut replicas {
        replica.ready().await.unwrap();
    }
    replicas
}

/// What replicas leave in sessions that are anybody's: prepared statements, and locks.
async fn left_in_sessions(harness: &Harness, pooler: &PgBouncer) -> (i64, i64) {
    let options = harness.pool.connect_options();
    let target = pooler.before(&harness.target);
    let through = (*options).clone().extra_float_digits(None).port(target.port);
    let pool = PgPoolOptions::new().max_connections(SESSIONS).connect_with(through).await.unwrap();
    // Each open transaction has a session for itself, so that all are looked at.
    let (mut prepared, mut open) = (0, Vec::new());
    for _ in 0..SESSIONS {
        let mut tx = pool.begin().await.unwrap();
        let asked = sqlx::raw_sql("SELECT count(*) FROM pg_prepared_statements").fetch_one(&mut *tx).await;
        prepared += asked.unwrap().get::<i64, _>(0);
        open.push(tx);
    }
    drop(open);
    let locks = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2")
        .fetch_one(&harness.pool)
        .await
        .unwrap();
    (prepared, locks)
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_replicas_book_without_sharing_and_leave_nothing_in_its_sessions() {
    for unknown in [UnknownSettings::Refused, UnknownSettings::Ignored] {
        let sizes = Sizes { allocations: 3, frames: 24, ..Sizes::default() };
        let (folder, harness) = sizes.start().await;
        let pooler = PgBouncer::start(&harness.target, SESSIONS, unknown).await.unwrap();
        let [mut one, two] = replicas(&harness, &pooler, &[], folder.path()).await;
        let both = [&one, &two];
        until("each works on all pools", &both, async || owned(&both).await == [3, 3]).await;
        for replica in both {
            let advice = "a pooler answers where the server should: set database.direct_host";
            assert!(replica.log().contains(advice), "{}", replica.log());
            assert!(replica.metric("scheduler_coordination_up").await.unwrap() < 0.5);
        }
        let store = Store::new(&pooler.before(&harness.target));
        let inquiry = Inquiry { store, facility: None, ignored_tags: BTreeSet::new(), hosts_max: 5000 };
        let error = inquiry.ask().await.map(drop).unwrap_err();
        assert!(format!("{error:#}").contains("set database.direct_host"), "{error:#}");

        harness
            .until_states("a third is done", Duration::from_mins(2), |states| states.of("SUCCEEDED") >= 24)
            .await
            .unwrap();
        one.signal(Signal::KILL).unwrap();
        one.wait().await.unwrap();
        finish(&harness, &[&two], &sizes).await;
        assert_eq!(left_in_sessions(&harness, &pooler).await, (0, 0), "prepared statements and session locks");
        assert_eq!(two.stop().await.unwrap(), 0);
        harness.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_replicas_share_pools_at_the_server_itself() {
    let sizes = Sizes { allocations: 4, frames: 40, ..Sizes::default() };
    let (folder, harness) = sizes.start().await;
    let pooler = PgBouncer::start(&harness.target, SESSIONS, UnknownSettings::Refused).await.unwrap();
    let server = harness.target.port.to_string();
    let direct = [("OPENSCHEDULER_DATABASE__DIRECT_PORT", server.as_str())];
    let [mut one, two] = replicas(&harness, &pooler, &direct, folder.path()).await;
    let both = [&one, &two];
    until("each has half", &both, async || owned(&both).await == [2, 2]).await;
    one.signal(Signal::KILL).unwrap();
    one.wait().await.unwrap();
    until("the other has all", &[&two], async || owned(&[&two]).await == [4]).await;
    finish(&harness, &[&two], &sizes).await;
    assert_eq!(two.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_that_ignores_settings_an_open_transaction_still_ends_by_itself() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let pooler = PgBouncer::start(&database.target(4), SESSIONS, UnknownSettings::Ignored).await.unwrap();
    let store = Store::new(&pooler.before(&database.target(4)));
    store.reach().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tokio::time::sleep(Duration::from_millis(5500)).await;
    let error = told(&tx.claim(&[], &[], &[], &[]).await.map(drop).unwrap_err());
    assert!(error.contains("idle-in-transaction timeout"), "{error}");
    drop(tx);
    store.ping().await.unwrap();
    store.close().await;
}
