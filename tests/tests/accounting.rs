//! The reconcile loop against a real PostgreSQL: whatever counters say, afterwards they say what procs hold, and nothing else
//! has changed.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;

use cue_scheduler::accounting::{Accounting, Correction};
use cue_scheduler::store::Store;
use sqlx::PgPool;
use testbed::auditor::audit;
use testbed::loader::description::FarmDescription;
use testbed::loader::load;

/// A managed show with two folders, and one of Cuebot's, on the same hosts.
const FARM: &str = "
seed: 5
facilities: [{name: local, allocations: [{name: local.general, tag: general}, {name: local.desktop, tag: desktop}]}]
shows:
  - name: alpha
    subscriptions: [{allocation: local.general, size: 20, burst: 20}, {allocation: local.desktop, size: 5, burst: 5}]
    folders: [{name: shots}, {name: assets}]
  - {name: legacy, managed: false, subscriptions: [{allocation: local.general, size: 10, burst: 10}]}
hosts: [{allocation: local.general, count: 2, first_address: 127.1.0.1, cores: 32, memory: 64 GiB, gpus: 4, gpu_memory: 8 GiB}]
jobs:
  - {name: one, show: alpha, folder: shots, layers: [{name: a, range: 1-4}, {name: b, range: 1-4}]}
  - {name: two, show: alpha, folder: assets, layers: [{name: a, range: 1-4}]}
  - {name: ended, show: alpha, folder: assets, layers: [{name: a, range: 1-4}]}
  - {name: old, show: legacy, layers: [{name: a, range: 1-4}]}
";

/// Every waiting frame gets a proc of one and a half cores and a GPU, without a word to any counter; the first proc is local, and one
/// is between its frame and its release.
const PROCS: &str = "
INSERT INTO proc (pk_proc, pk_host, pk_show, pk_layer, pk_job, pk_frame, int_cores_reserved, int_mem_reserved, int_gpus_reserved, b_local)
SELECT 'p' || f.n, h.pk_host, j.pk_show, f.pk_layer, f.pk_job, CASE WHEN f.n = 3 THEN NULL ELSE f.pk_frame END, 150, 1000, 1, f.n = 1
FROM (SELECT *, row_number() OVER (ORDER BY pk_frame) AS n FROM frame) f
JOIN job j ON j.pk_job = f.pk_job
CROSS JOIN (SELECT pk_host FROM host ORDER BY str_name LIMIT 1) h
WHERE j.str_name <> 'ended'";

struct Farm {
    pool: PgPool,
    store: Store,
}

impl Farm {
    async fn new() -> Self {
        let pool = common::database().await;
        load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
        let farm = Self { store: Store::on(pool.clone()), pool };
        farm.execute(PROCS).await;
        farm.execute("UPDATE job SET str_state = 'FINISHED' WHERE str_name = 'ended'").await;
        farm
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    async fn text(&self, sql: &'static str) -> String {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Counters of managed shows that are wrong, by table and name. What hosts and frames look like is not this loop's.
    async fn wrong(&self) -> BTreeSet<String> {
        let counters = audit(&self.pool).await.unwrap().counters;
        let ours = |name: &str| !name.contains("legacy") && !name.starts_with("old");
        let not_local = |what: &str| !what.starts_with("job_resource local");
        counters
            .into_iter()
            .filter(|wrong| ours(&wrong.name) && not_local(&wrong.what))
            .map(|wrong| format!("{} of {}", wrong.what, wrong.name))
            .collect()
    }
}

const CAPS: &str =
    "SELECT concat_ws(' ', (SELECT string_agg(int_burst::text, ',' ORDER BY pk_subscription) FROM subscription),
    (SELECT string_agg(int_max_cores || '/' || int_max_gpus, ',' ORDER BY pk_job) FROM job_resource),
    (SELECT string_agg(int_max_cores || '/' || int_max_gpus, ',' ORDER BY pk_folder) FROM folder_resource))";

const COUNTERS_OF_LEGACY: &str = "SELECT concat_ws(' ', (SELECT string_agg(int_cores::text, ',') FROM subscription JOIN show USING (pk_show) WHERE str_name = 'legacy'),
    (SELECT string_agg(jr.int_cores::text, ',') FROM job_resource jr JOIN job USING (pk_job) WHERE str_name = 'old'))";

#[tokio::test]
async fn every_counter_of_managed_shows_becomes_the_sum_of_its_procs() {
    let farm = Farm::new().await;
    let wrong = farm.wrong().await;
    for table in
        ["subscription cores", "layer_resource gpus", "job_resource cores", "folder_resource gpus", "point cores"]
    {
        assert!(wrong.iter().any(|what| what.starts_with(table)), "{table} is not put to the test: {wrong:?}");
    }
    let corrections = Accounting::default().reconcile(&farm.store).await.unwrap();
    assert_eq!(farm.wrong().await, BTreeSet::new());
    assert!(corrections.iter().all(Correction::was_low), "{corrections:?}");
    let again = Accounting::default().reconcile(&farm.store).await.unwrap();
    assert_eq!(again, [], "what is right is not written again");
}

#[tokio::test]
async fn counters_that_are_too_high_come_down_also_those_of_finished_jobs() {
    let farm = Farm::new().await;
    for change in [
        "UPDATE subscription SET int_cores = 400, int_gpus = 90",
        "UPDATE job_resource SET int_cores = 5000, int_gpus = 70",
        "UPDATE layer_resource SET int_cores = 5000, int_gpus = 70",
        "UPDATE folder_resource SET int_cores = 100000",
        "UPDATE point SET int_gpus = 3000",
    ] {
        farm.execute(change).await;
    }
    Accounting::default().reconcile(&farm.store).await.unwrap();
    assert_eq!(farm.wrong().await, BTreeSet::new());
}

#[tokio::test]
async fn a_job_that_ends_while_its_layer_is_set_right_stays_in_sight_until_it_is() {
    let farm = Farm::new().await;
    let mut accounting = Accounting::default();
    accounting.reconcile(&farm.store).await.unwrap();
    // Two procs of one layer are released, and their counters left alone; the second one when the layer's turn is over, for
    // which the layer's old sum stands here. With it the job ends.
    farm.execute("DELETE FROM proc WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = 'two')").await;
    farm.execute("UPDATE job SET str_state = 'FINISHED' WHERE str_name = 'two'").await;
    farm.execute(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.int_cores := 150; RETURN NEW; END $$;
         CREATE TRIGGER late BEFORE UPDATE ON layer_resource FOR EACH ROW EXECUTE FUNCTION late()",
    )
    .await;
    accounting.reconcile(&farm.store).await.unwrap();
    assert!(farm.wrong().await.contains("layer_resource cores of two/a"), "{:?}", farm.wrong().await);
    farm.execute("DROP TRIGGER late ON layer_resource").await;
    accounting.reconcile(&farm.store).await.unwrap();
    assert_eq!(farm.wrong().await, BTreeSet::new());
}

#[tokio::test]
async fn use_above_a_cap_that_was_lowered_is_written_and_the_cap_stays_what_the_user_made_it() {
    let farm = Farm::new().await;
    farm.execute("UPDATE subscription SET int_burst = 100; UPDATE job_resource SET int_max_cores = -1, int_max_gpus = 0; UPDATE folder_resource SET int_max_cores = 0, int_max_gpus = 1").await;
    let caps = farm.text(CAPS).await;
    Accounting::default().reconcile(&farm.store).await.unwrap();
    assert_eq!(farm.wrong().await, BTreeSet::new());
    assert_eq!(farm.text(CAPS).await, caps);
}

#[tokio::test]
async fn shows_that_are_not_managed_are_left_to_cuebot() {
    let farm = Farm::new().await;
    farm.execute("UPDATE subscription SET int_cores = 7; UPDATE job_resource SET int_cores = 7").await;
    let before = farm.text(COUNTERS_OF_LEGACY).await;
    Accounting::default().reconcile(&farm.store).await.unwrap();
    assert_eq!(farm.text(COUNTERS_OF_LEGACY).await, before);
}

#[tokio::test]
async fn a_show_that_was_just_given_back_is_still_kept_right() {
    let farm = Farm::new().await;
    let mut accounting = Accounting::default();
    accounting.reconcile(&farm.store).await.unwrap();
    farm.execute("UPDATE show SET b_scheduler_managed = false; UPDATE folder_resource SET int_cores = 12345").await;
    assert!(!farm.wrong().await.is_empty());
    accounting.reconcile(&farm.store).await.unwrap();
    assert_eq!(farm.wrong().await, BTreeSet::new());
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_an_error_and_is_right_the_next_time() {
    let farm = Farm::new().await;
    let mut other = farm.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM folder_resource FOR UPDATE").execute(&mut *other).await.unwrap();
    let error = Accounting::default().reconcile(&farm.store).await.unwrap_err();
    assert_eq!(error.retryable(), Some("55P03"));
    other.rollback().await.unwrap();
    Accounting::default().reconcile(&farm.store).await.unwrap();
    assert_eq!(farm.wrong().await, BTreeSet::new());
}
