//! Replicas for one facility and for all, and of different database roles.

use testbed::harness::Scheduler;

use super::farm::{Sizes, finish, owned, owners, pools_of, replicas, until};

const FACILITY: &str = "OPENSCHEDULER_SCHEDULER__FACILITY";

#[tokio::test(flavor = "multi_thread")]
async fn who_works_for_one_facility_shares_its_pools_with_who_works_for_all() {
    let sizes = Sizes { facilities: &["spi", "lax"], allocations: 2, frames: 60, ..Sizes::default() };
    let (_folder, harness) = sizes.start().await;
    let mut spi = harness.scheduler("spi", &[(FACILITY, "spi")]).unwrap();
    let mut lax = harness.scheduler("lax", &[(FACILITY, "lax")]).unwrap();
    let mut both = harness.scheduler("both", &[]).unwrap();
    for replica in [&mut spi, &mut lax, &mut both] {
        replica.ready().await.unwrap();
    }
    let all = [&spi, &lax, &both];
    until("each facility is shared by two", &all, async || owned(&all).await == [1, 1, 2]).await;
    assert!(pools_of(&spi).await[0].starts_with("spi."));
    assert!(pools_of(&lax).await[0].starts_with("lax."));
    let of_both: Vec<String> = pools_of(&both).await.iter().map(|pool| pool[..3].to_owned()).collect();
    assert_eq!(of_both, ["lax", "spi"]);

    assert_eq!(both.stop().await.unwrap(), 0);
    until("each has its facility", &[&spi, &lax], async || owned(&[&spi, &lax]).await == [2, 2]).await;
    assert!(owners(&spi).await.keys().all(|pool| pool.starts_with("spi.")));
    finish(&harness, &[&spi, &lax], &sizes).await;
    for replica in [spi, lax] {
        assert_eq!(replica.stop().await.unwrap(), 0);
    }
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_two_roles_share_nothing_say_so_and_do_no_harm() {
    let sizes = Sizes { allocations: 2, frames: 40, ..Sizes::default() };
    let (folder, harness) = sizes.start().await;
    sqlx::raw_sql(
        "CREATE ROLE first LOGIN; CREATE ROLE second LOGIN;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO first, second;
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO first, second",
    )
    .execute(&harness.pool)
    .await
    .unwrap();
    let mut pair = ["first", "second"].map(|role| {
        let target = cue_scheduler::store::Target { user: role.to_owned(), ..harness.target.clone() };
        Scheduler::start(role, &target, harness.hosts.port(), &[], folder.path()).unwrap()
    });
    for replica in &mut pair {
        replica.ready().await.unwrap();
    }
    let [one, two] = &pair;
    until("each has all pools", &[one, two], async || owned(&[one, two]).await == [2, 2]).await;
    for replica in [one, two] {
        until("it sees the stranger", &[replica], async || {
            replica.metric("scheduler_members_of_other_roles").await.unwrap() as usize == 1
        })
        .await;
        assert_eq!(replica.log().matches("use another database role").count(), 1, "{}", replica.log());
    }
    finish(&harness, &[one, two], &sizes).await;
    for replica in pair {
        assert_eq!(replica.stop().await.unwrap(), 0);
    }
    harness.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_coordination_can_not_be_had_a_replica_works_on_all_pools() {
    let sizes = Sizes { allocations: 2, frames: 4, ..Sizes::default() };
    let (_folder, harness) = sizes.start().await;
    let closed = testbed::postgres::free_port().unwrap().to_string();
    let mut lonely = harness.scheduler("lonely", &[("OPENSCHEDULER_DATABASE__DIRECT_PORT", &closed)]).unwrap();
    lonely.ready().await.unwrap();
    let [other] = replicas(&harness, ["other"]).await;
    let both = [&lonely, &other];
    finish(&harness, &both, &sizes).await;
    // The work may well be done before one of them has had its turn.
    until("each works on all pools", &both, async || owned(&both).await == [2, 2]).await;
    assert!(lonely.log().contains("pools can't be shared out among replicas"), "{}", lonely.log());
    for replica in [lonely, other] {
        assert_eq!(replica.stop().await.unwrap(), 0);
    }
    harness.stop().await.unwrap();
}
