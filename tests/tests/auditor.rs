//! The auditor against a real PostgreSQL: it is silent on a farm that is right, and finds each fault that is planted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use sqlx::PgPool;
use testbed::auditor::{Audit, Sampler, audit};
use testbed::cuebot_sim::{CuebotConfig, CuebotSim};
use testbed::loader::description::FarmDescription;
use testbed::loader::load;

/// Three running frames of two cores and a GPU each, in one show, folder, job and layer, under a limit.
const FARM: &str = "
seed: 3
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 6}], folders: [{name: shots, max_cores: 6, max_gpus: 3}]}]
limits: [{name: arnold, max: 3}]
hosts: [{allocation: local.general, names: [wolf], cores: 16, memory: 64 GiB, gpus: 4, gpu_memory: 16 GiB}]
jobs:
  - name: job
    show: alpha
    folder: shots
    max_cores: 6
    max_gpus: 3
    layers: [{name: comp, range: 1-5, min_cores: 2, gpus: 1, gpu_memory: 1 GiB, limits: [arnold]}]
  - {name: idle, show: alpha, layers: [{name: comp}]}
";

async fn farm() -> PgPool {
    let pool = common::database().await;
    let loaded = load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
    let sim = CuebotSim::start(CuebotConfig::default(), pool.clone()).await.unwrap();
    for frame in &loaded.frames["job/comp"][..3] {
        sim.book(&frame.id, "wolf").await.unwrap().expect("the frame waits");
    }
    sim.shutdown().await;
    pool
}

fn whats(audit: &Audit) -> Vec<&str> {
    let lists = [&audit.counters, &audit.hosts, &audit.running, &audit.counts];
    let mut whats: Vec<&str> = lists.into_iter().flatten().map(|difference| difference.what.as_str()).collect();
    whats.extend(audit.over_caps.iter().map(|cap| cap.cap.as_str()));
    whats
}

#[tokio::test]
async fn a_farm_that_is_right_shows_nothing_even_at_its_caps() {
    let audit = audit(&farm().await).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
}

/// Plants something in a farm that is right, and the auditor finds that and nothing else.
async fn planted(sql: &'static str, expected: &[&str]) {
    let pool = farm().await;
    // Triggers and foreign keys keep some of these faults out; here they are let in.
    let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
    sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&pool).await.unwrap();
    let found = audit(&pool).await.unwrap();
    assert_eq!(whats(&found), expected, "{sql}\n{found}");
}

#[tokio::test]
async fn each_counter_that_is_off_is_found() {
    for (sql, expected) in [
        ("UPDATE subscription SET int_cores = int_cores + 1", &["subscription cores"][..]),
        ("UPDATE subscription SET int_gpus = int_gpus - 1", &["subscription gpus"]),
        ("UPDATE layer_resource SET int_cores = int_cores - 1 WHERE int_cores > 0", &["layer_resource cores"]),
        ("UPDATE layer_resource SET int_gpus = int_gpus + 1 WHERE int_cores > 0", &["layer_resource gpus"]),
        ("UPDATE job_resource SET int_cores = int_cores + 1 WHERE int_cores > 0", &["job_resource cores"]),
        ("UPDATE job_resource SET int_gpus = 0 WHERE int_cores > 0", &["job_resource gpus"]),
        ("UPDATE job_resource SET int_local_cores = 1 WHERE int_cores > 0", &["job_resource local cores"]),
        ("UPDATE folder_resource SET int_cores = -1 WHERE int_cores > 0", &["folder_resource cores"]),
        ("UPDATE folder_resource SET int_gpus = 1 WHERE int_cores > 0", &["folder_resource gpus"]),
        ("UPDATE point SET int_cores = 0", &["point cores"]),
        ("UPDATE point SET int_gpus = 0", &["point gpus"]),
    ] {
        planted(sql, expected).await;
    }
}

#[tokio::test]
async fn each_amount_of_a_host_that_is_off_is_found() {
    for (sql, expected) in [
        ("UPDATE host SET int_cores_idle = int_cores_idle + 1", &["host idle cores"][..]),
        ("UPDATE host SET int_mem_idle = int_mem_idle - 1", &["host idle memory"]),
        ("UPDATE host SET int_gpus_idle = 0", &["host idle gpus"]),
        ("UPDATE host SET int_gpu_mem_idle = 0", &["host idle gpu memory"]),
        ("UPDATE host SET int_cores = int_cores - 1200, int_cores_idle = -200", &["host idle cores, negative"]),
    ] {
        planted(sql, expected).await;
    }
}

#[tokio::test]
async fn frames_and_procs_that_do_not_belong_together_are_found() {
    for (sql, expected) in [
        (
            "UPDATE frame SET str_state = 'RUNNING' WHERE str_name = '0005-comp';
             UPDATE layer_stat SET int_waiting_count = 1, int_running_count = 4 WHERE int_running_count > 0;
             UPDATE job_stat SET int_waiting_count = 1, int_running_count = 4 WHERE int_running_count > 0;
             UPDATE limit_record SET int_max_value = 4",
            &["running frame without proc"][..],
        ),
        (
            "UPDATE frame SET str_state = 'DEAD' WHERE str_name = '0001-comp' AND str_state = 'RUNNING';
             UPDATE layer_stat SET int_dead_count = 1, int_running_count = 2 WHERE int_running_count > 0;
             UPDATE job_stat SET int_dead_count = 1, int_running_count = 2 WHERE int_running_count > 0",
            &["proc on a frame that is DEAD"],
        ),
        (
            "ALTER TABLE proc DROP CONSTRAINT c_proc_uk;
             UPDATE frame SET str_state = 'WAITING' WHERE pk_frame = (SELECT max(pk_frame) FROM proc);
             UPDATE layer_stat SET int_waiting_count = 3, int_running_count = 2 WHERE int_running_count > 0;
             UPDATE job_stat SET int_waiting_count = 3, int_running_count = 2 WHERE int_running_count > 0;
             UPDATE proc SET pk_frame = (SELECT min(pk_frame) FROM proc)
             WHERE pk_frame = (SELECT max(pk_frame) FROM proc)",
            &["procs on one frame"],
        ),
        (
            "UPDATE proc SET pk_show = 'other' WHERE pk_frame = (SELECT min(pk_frame) FROM proc);
             UPDATE subscription SET int_cores = 400, int_gpus = 2",
            &["proc whose layer, job or show is not its frame's"],
        ),
    ] {
        planted(sql, expected).await;
    }
}

#[tokio::test]
async fn each_count_of_frames_that_is_off_is_found() {
    for (sql, expected) in [
        ("UPDATE layer_stat SET int_waiting_count = 0 WHERE int_running_count > 0", "layer_stat waiting"),
        ("UPDATE layer_stat SET int_total_count = 0 WHERE int_running_count > 0", "layer_stat total"),
        ("UPDATE layer_stat SET int_dead_count = -1 WHERE int_running_count > 0", "layer_stat dead"),
        ("UPDATE layer_stat SET int_checkpoint_count = 1 WHERE int_running_count > 0", "layer_stat checkpoint"),
        ("UPDATE job_stat SET int_running_count = 0 WHERE int_running_count > 0", "job_stat running"),
        ("UPDATE job_stat SET int_succeeded_count = 1 WHERE int_running_count > 0", "job_stat succeeded"),
        ("UPDATE job_stat SET int_eaten_count = 1 WHERE int_running_count > 0", "job_stat eaten"),
        ("UPDATE job_stat SET int_depend_count = 1 WHERE int_running_count > 0", "job_stat depend"),
    ] {
        planted(sql, &[expected]).await;
    }
}

#[tokio::test]
async fn each_cap_that_is_passed_is_found_and_sentinels_are_kept() {
    for (sql, expected) in [
        ("UPDATE subscription SET int_burst = 599", &["subscription burst"][..]),
        ("UPDATE subscription SET int_burst = -1", &["subscription burst"]),
        ("UPDATE job_resource SET int_max_cores = 599", &["job max cores"]),
        ("UPDATE job_resource SET int_max_cores = -1", &["job max cores"]),
        ("UPDATE job_resource SET int_max_gpus = 2", &["job max gpus"]),
        ("UPDATE folder_resource SET int_max_cores = 599", &["folder max cores"]),
        ("UPDATE folder_resource SET int_max_gpus = 0", &["folder max gpus"]),
        ("UPDATE folder_resource SET int_max_cores = -1, int_max_gpus = -1", &[]),
        ("UPDATE limit_record SET int_max_value = 2", &["limit"]),
        ("UPDATE limit_record SET int_max_value = NULL", &["limit"]),
        ("INSERT INTO layer_limit SELECT 'twice', pk_layer, pk_limit_record FROM layer_limit", &[]),
    ] {
        planted(sql, expected).await;
    }
}

#[tokio::test]
async fn procs_without_frame_count_and_local_ones_only_where_they_should() {
    planted(
        "UPDATE frame SET str_state = 'WAITING' WHERE pk_frame = (SELECT min(pk_frame) FROM proc);
         UPDATE layer_stat SET int_waiting_count = 3, int_running_count = 2 WHERE int_running_count > 0;
         UPDATE job_stat SET int_waiting_count = 3, int_running_count = 2 WHERE int_running_count > 0;
         UPDATE proc SET pk_frame = NULL WHERE pk_frame = (SELECT min(pk_frame) FROM proc)",
        &[],
    )
    .await;
    planted(
        "UPDATE proc SET b_local = true;
         UPDATE job_resource SET int_local_cores = int_cores, int_local_gpus = int_gpus, int_cores = 0, int_gpus = 0;
         UPDATE subscription SET int_cores = 0, int_gpus = 0;
         UPDATE folder_resource SET int_cores = 0, int_gpus = 0;
         UPDATE point SET int_cores = 0, int_gpus = 0",
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_difference_names_the_row_and_both_figures() {
    let pool = farm().await;
    sqlx::query("UPDATE subscription SET int_cores = int_cores - 50").execute(&pool).await.unwrap();
    let found = audit(&pool).await.unwrap();
    let difference = &found.counters[0];
    assert_eq!((difference.found, difference.expected), (550, 600));
    assert_eq!(difference.name, "alpha at local.general");
    assert!(!found.is_clean_but_for_high_counters());
    let again: Audit = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(again, found);
}

#[tokio::test]
async fn a_cap_that_is_passed_during_a_run_only_is_seen_by_the_sampler() {
    let pool = farm().await;
    let sampler = Sampler::start(pool.clone(), Duration::from_millis(5));
    sqlx::query("UPDATE limit_record SET int_max_value = 1").execute(&pool).await.unwrap();
    sampler.sampled().await;
    sqlx::query("UPDATE limit_record SET int_max_value = 3").execute(&pool).await.unwrap();
    let records = sampler.finish().await.unwrap();
    let passed: Vec<_> = records.passed().map(|cap| (cap.cap.as_str(), cap.used, cap.allowed)).collect();
    assert_eq!(passed, [("limit", 3, 1)], "{records}");
    let largest = records.caps.iter().find(|record| record.largest.cap == "subscription burst").unwrap();
    assert_eq!((largest.largest.used, largest.largest.allowed), (600, 600));
    assert!(audit(&pool).await.unwrap().is_clean());
}

#[tokio::test]
async fn what_starts_above_a_lowered_cap_and_what_is_given_away_twice_is_seen_by_the_sampler() {
    let pool = farm().await;
    let sampler = Sampler::start(pool.clone(), Duration::from_millis(5));
    sqlx::query("UPDATE subscription SET int_burst = 100").execute(&pool).await.unwrap();
    sampler.sampled().await;
    let before = sampler.finish().await.unwrap();
    assert_eq!((before.starts_over, before.given_twice), (vec![], vec![]), "the use only stood");

    let sampler = Sampler::start(pool.clone(), Duration::from_millis(5));
    sampler.sampled().await;
    // A proc that nobody took from its host.
    sqlx::query(
        "INSERT INTO proc (pk_proc, pk_host, pk_show, pk_job, pk_layer, int_cores_reserved, int_mem_reserved)
         SELECT 'new', pk_host, pk_show, pk_job, pk_layer, 100, 1024 FROM proc WHERE NOT b_local LIMIT 1",
    )
    .execute(&pool)
    .await
    .unwrap();
    sampler.sampled().await;
    let after = sampler.finish().await.unwrap();
    let starts: Vec<_> = after.starts_over.iter().map(|start| (start.cap.cap.as_str(), &start.procs[..])).collect();
    assert!(starts.contains(&("subscription burst", &["new".to_owned()][..])), "{after}");
    assert!(after.given_twice.iter().any(|wrong| wrong.what == "host idle cores"), "{after}");
}
