//! Golden plans: on a big farm (a layer of a hundred thousand waiting frames among a million finished ones) each statement of
//! the hot path uses the indexes that it may use, and no others, whether PostgreSQL plans it for its parameters or once
//! for all.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;

use cue_scheduler::store::hot_statements;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

/// Reading a small table whole is right; its rows are counted in tens.
const SMALL: [&str; 7] = ["show", "alloc", "facility", "limit_record", "subscription", "folder_resource", "host_local"];

/// For each statement: its parameters as SQL, and what it may use. `~table` allows the whole table to be read: sums over all
/// procs of a show or a folder, and counts over all layers of a limit, touch a good part of it anyway.
const GOLDEN: [(&str, &[&str], &[&str]); 27] = [
    (
        "feed/awake",
        &["NULL"],
        &["idx_layer_stat_waiting", "c_layer_pk", "c_job_pk", "idx_job_pending_lookup", "i_job_str_state"],
    ),
    (
        "work/layers",
        &[FACILITY, ALLOC],
        &[
            "idx_layer_stat_waiting",
            "c_layer_pk",
            "c_job_pk",
            "idx_job_pending_lookup",
            "c_job_resource_uk",
            "i_folderresource_pkfolder",
            "c_subscription_uk",
            "i_layerstat_pkjob",
            "i_layer_stat_pk_layer",
            "i_layer_pkjob",
            "i_job_str_state",
        ],
    ),
    (
        "work/limits",
        &[LAYERS],
        &[
            "i_layer_limit_pk_layer",
            "i_layer_limit_pk_limit_record",
            "i_layer_stat_pk_layer",
            "~layer_limit",
            "~layer_stat",
        ],
    ),
    ("work/booked_by_job", &[JOBS], &["i_proc_pkjob"]),
    ("work/booked_by_folder", &[FOLDERS], &["i_job_pkgroup", "i_proc_pkjob", "~job", "~proc"]),
    ("work/booked_by_show", &[SHOWS, ALLOC], &["i_proc_pkshow", "i_host_pkalloc", "c_host_pk", "~proc", "~host"]),
    ("work/window", &[LAYERS, "ARRAY[100, 100]"], &["i_frame_pkjoblayer", "i_frame_dispatch_idx"]),
    ("work/launch_sources", &[LAYERS], &["c_layer_pk", "c_job_pk"]),
    ("work/environments", &[LAYERS], &["c_layer_pk", "i_job_env_pk_job", "i_layer_env_pk_layer"]),
    (
        "hosts/pool",
        &[ALLOC, "120", "true", "4", "1"],
        &["i_host_pkalloc", "c_host_stat_pk_host_uk", "i_host_local", "i_host_local_unique", "~host_stat"],
    ),
    ("hosts/tags", &[ALLOC, "4", "1"], &["i_host_pkalloc", "i_host_tag_pk_host", "~host_tag"]),
    (
        "takeover/left_behind",
        &["ARRAY['alloc-1']", "ARRAY[1]", "ARRAY[0]", "20", "2000"],
        &["i_host_pkalloc", "i_proc_pkhost", "c_host_pk", "c_frame_pk", "~proc", "~host"],
    ),
    ("booking/claim", &["ARRAY[0, 0]", FRAMES, "ARRAY[0]", "ARRAY[2]"], &["c_frame_pk"]),
    (
        "booking/running_under_limits",
        &["ARRAY['limit-1']"],
        &[
            "i_layer_limit_pk_limit_record",
            "i_limit_record_pk_limit_record",
            "i_layer_stat_pk_layer",
            "~layer_limit",
            "~layer_stat",
        ],
    ),
    (
        "work/hosts_under_limits",
        &["ARRAY['limit-1']"],
        &["i_layer_limit_pk_limit_record", "i_proc_pklayer", "~layer_limit", "~proc"],
    ),
    ("booking/lock_stats", &[LAYERS, JOBS], &["i_layer_stat_pk_layer", "i_job_stat_pk_job"]),
    (
        "booking/start_frames",
        &[
            FRAMES,
            "ARRAY[0, 0]",
            "ARRAY['h', 'h']",
            "ARRAY[100, 100]",
            "ARRAY[1, 1]",
            "ARRAY[0, 0]",
            "ARRAY[0, 0]",
            "ARRAY[-1]",
        ],
        &["c_frame_pk", "c_layer_pk", "c_job_pk", "i_job_active_pkjob"],
    ),
    (
        "booking/lock_resources",
        &[HOSTS, SHOW, LAYERS, JOBS],
        &[
            "c_host_pk",
            "c_host_stat_pk_host_uk",
            "i_host_local",
            "i_host_local_unique",
            "c_subscription_uk",
            "c_layerresource_uk",
            "c_job_resource_uk",
            "c_job_pk",
            "i_folderresource_pkfolder",
            "c_point_pk_show_dept",
            "i_point_pk_show",
            "i_point_pk_dept",
            "~point",
            "i_job_active_pkjob",
        ],
    ),
    (
        "booking/apply",
        &[
            HOSTS,
            "ARRAY[1, 1]",
            "ARRAY[1, 1]",
            "ARRAY[0, 0]",
            "ARRAY[0, 0]",
            SHOW,
            "ARRAY['alloc-1']",
            "ARRAY[1]",
            "ARRAY[0]",
            LAYERS,
            "ARRAY[1, 1]",
            "ARRAY[0, 0]",
            JOBS,
            "ARRAY[1, 1]",
            "ARRAY[0, 0]",
            FOLDERS,
            "ARRAY[1, 1]",
            "ARRAY[0, 0]",
            "ARRAY['dept-1']",
            "ARRAY[1]",
            "ARRAY[0]",
        ],
        &[
            "c_host_pk",
            "c_subscription_uk",
            "c_layerresource_uk",
            "c_job_resource_uk",
            "i_folderresource_pkfolder",
            "c_point_pk_show_dept",
            "i_point_pk_show",
            "i_point_pk_dept",
            "~point",
        ],
    ),
    ("undo/lock_frames", &[FRAMES, "ARRAY[1, 1]", "ARRAY['p', 'q']"], &["c_frame_pk", "c_proc_pk", "c_proc_uk"]),
    ("undo/delete_procs", &["ARRAY['p', 'q']", FRAMES], &["c_proc_pk", "c_proc_uk"]),
    ("undo/clear_frames", &[FRAMES, "ARRAY[1, 1]"], &["c_frame_pk", "c_proc_uk"]),
    (
        "accounting/differences",
        &[SHOWS],
        &[
            "i_proc_pkshow",
            "~proc",
            "c_host_pk",
            "~host",
            "c_job_pk",
            "i_job_active_pkjob",
            "i_job_resource_cores",
            "i_job_resource_gpus",
            "c_job_resource_uk",
            "i_layer_resource_pk_job",
            "~folder",
            "~point",
        ],
    ),
    ("accounting/booked_by_subscription", &["ARRAY['sub-1-1']"], &["i_proc_pkshow", "~proc", "c_host_pk", "~host"]),
    ("accounting/booked_by_layer", &[LAYERS], &["i_proc_pklayer"]),
    (
        "accounting/booked_by_point",
        &["ARRAY['point-1-1']"],
        &["c_point_pk", "~point", "i_job_pk_dept", "i_job_pkshow", "~job", "i_proc_pkjob", "~proc"],
    ),
    ("accounting/jobs_with_wrong_layers", &[JOBS], &["i_proc_pkjob", "i_layer_resource_pk_job"]),
];

const FACILITY: &str = "'facility-1'";
const ALLOC: &str = "'alloc-1'";
const SHOW: &str = "'show-1'";
const SHOWS: &str = "ARRAY['show-1']";
const FOLDERS: &str = "ARRAY['folder-1', 'folder-2']";
const JOBS: &str = "ARRAY['job-1', 'job-2']";
const LAYERS: &str = "ARRAY['layer-1', 'layer-2']";
const FRAMES: &str = "ARRAY['frame-1', 'frame-2']";
const HOSTS: &str = "ARRAY['host-1', 'host-2']";

/// 4,000 hosts in four allocations; three shows; 3,000 jobs of which 300 are PENDING; a layer of 100,000 waiting frames,
/// 600 smaller ones that wait, 30,000 frames that run, and a million frames that are done.
const BIG_FARM: &str = "
INSERT INTO facility (pk_facility, str_name) VALUES ('facility-1', 'local');
INSERT INTO dept (pk_dept, str_name) SELECT 'dept-' || n, 'dept ' || n FROM generate_series(1, 8) n;
INSERT INTO alloc (pk_alloc, str_name, pk_facility, str_tag) SELECT 'alloc-' || n, 'local.' || n, 'facility-1', 'tag' || n FROM generate_series(1, 4) n;
INSERT INTO show (pk_show, str_name, b_scheduler_managed) SELECT 'show-' || n, 'show' || n, true FROM generate_series(1, 3) n;
INSERT INTO subscription (pk_subscription, pk_alloc, pk_show, int_size, int_burst)
    SELECT 'sub-' || a || '-' || s, 'alloc-' || a, 'show-' || s, 1000000, 1000000 FROM generate_series(1, 4) a, generate_series(1, 3) s;
INSERT INTO folder (pk_folder, pk_show, pk_dept, str_name) SELECT 'folder-' || n, 'show-' || n, 'dept-1', 'root' FROM generate_series(1, 3) n;
INSERT INTO point (pk_point, pk_dept, pk_show) SELECT 'point-' || d || '-' || s, 'dept-' || d, 'show-' || s FROM generate_series(1, 8) d, generate_series(1, 3) s;
INSERT INTO job (pk_job, pk_folder, pk_show, pk_facility, pk_dept, str_name, str_visible_name, str_shot, str_user, str_state)
    SELECT 'job-' || n, 'folder-' || n % 3 + 1, 'show-' || n % 3 + 1, 'facility-1', 'dept-' || n % 8 + 1, 'job' || n, 'job' || n, 'shot', 'user',
           CASE WHEN n <= 300 THEN 'PENDING' ELSE 'FINISHED' END
    FROM generate_series(1, 3000) n;
INSERT INTO layer (pk_layer, pk_job, str_name, str_cmd, str_range, str_type, str_tags)
    SELECT 'layer-' || n, 'job-' || (n - 1) % 3000 + 1, 'layer' || n, 'true', '1-100', 'RENDER', 'tag' || n % 4 + 1 FROM generate_series(1, 10000) n;
INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, str_state, int_number, int_layer_order, int_dispatch_order)
    SELECT 'frame-' || n, 'layer-1', 'job-1', n || '-layer1', CASE WHEN n > 100000 THEN 'RUNNING' ELSE 'WAITING' END, n, 0, n FROM generate_series(1, 130000) n;
INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, str_state, int_number, int_layer_order, int_dispatch_order)
    SELECT 'done-' || l || '-' || n, 'layer-' || l, 'job-' || (l - 1) % 3000 + 1, n || '-layer' || l,
           CASE WHEN l <= 600 THEN 'WAITING' ELSE 'SUCCEEDED' END, n, l, n
    FROM generate_series(2, 10000) l, generate_series(1, 100) n;
UPDATE layer_stat SET int_waiting_count = CASE pk_layer WHEN 'layer-1' THEN 100000 ELSE 100 END, int_total_count = 100
    WHERE pk_layer IN (SELECT 'layer-' || n FROM generate_series(1, 600) n);
UPDATE job_stat SET int_waiting_count = 200 WHERE pk_job IN (SELECT 'job-' || n FROM generate_series(1, 600) n);
INSERT INTO host (pk_host, pk_alloc, str_name, str_lock_state, int_cores, int_cores_idle, int_mem, int_mem_idle)
    SELECT 'host-' || n, 'alloc-' || n % 4 + 1, 'host' || n, 'OPEN', 3200, n % 33 * 100, 134217728, 134217728 FROM generate_series(1, 4000) n;
INSERT INTO host_stat (pk_host_stat, pk_host, int_mem_total, int_mem_free) SELECT pk_host, pk_host, int_mem, int_mem FROM host;
INSERT INTO host_tag (pk_host_tag, pk_host, str_tag, str_tag_type) SELECT 'a' || pk_host, pk_host, 'tag' || right(pk_alloc, 1), 'ALLOC' FROM host;
INSERT INTO host_tag (pk_host_tag, pk_host, str_tag, str_tag_type) SELECT 'h' || pk_host, pk_host, str_name, 'HOSTNAME' FROM host;
INSERT INTO proc (pk_proc, pk_host, pk_show, pk_layer, pk_job, pk_frame, int_cores_reserved, int_mem_reserved)
    SELECT 'proc-' || n, 'host-' || n % 4000 + 1, 'show-' || n % 3 + 1, 'layer-' || n % 600 + 1, 'job-' || n % 300 + 1, 'frame-' || n, 100, 1000
    FROM generate_series(100001, 130000) n;
INSERT INTO limit_record (pk_limit_record, str_name, int_max_value) SELECT 'limit-' || n, 'limit' || n, 100 FROM generate_series(1, 20) n;
INSERT INTO layer_limit (pk_layer_limit, pk_layer, pk_limit_record) SELECT 'll-' || n, 'layer-' || n, 'limit-' || n % 20 + 1 FROM generate_series(1, 5000) n;
INSERT INTO job_env (pk_job_env, pk_job, str_key, str_value) SELECT 'je-' || n, 'job-' || n, 'KEY', 'value' FROM generate_series(1, 3000) n;
INSERT INTO layer_env (pk_layer_env, pk_layer, pk_job, str_key, str_value) SELECT 'le-' || n, 'layer-' || n, 'job-1', 'KEY', 'value' FROM generate_series(1, 10000) n;
";

async fn big_farm() -> PgPool {
    let pool = common::database().await;
    sqlx::raw_sql(BIG_FARM).execute(&pool).await.unwrap();
    sqlx::raw_sql("ANALYZE").execute(&pool).await.unwrap();
    pool
}

/// The indexes that a plan uses, and the tables (marked `~`) that it reads whole.
fn used(plan: &Value, into: &mut BTreeSet<String>) {
    match plan {
        Value::Object(node) => {
            let text = |key: &str| node.get(key).and_then(Value::as_str);
            if let Some(index) = text("Index Name") {
                into.insert(index.to_owned());
            } else if text("Node Type") == Some("Seq Scan")
                && let Some(table) = text("Relation Name")
            {
                into.insert(format!("~{table}"));
            }
            node.values().for_each(|value| used(value, into));
        }
        Value::Array(nodes) => nodes.iter().for_each(|node| used(node, into)),
        _ => {}
    }
}

async fn plan(connection: &mut PgConnection, statement: &str, arguments: &[&str], mode: &str) -> BTreeSet<String> {
    let sql = format!("SET plan_cache_mode = {mode}; DEALLOCATE ALL; PREPARE golden AS {statement}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE golden({})", arguments.join(", "));
    let plan: Value = {
        use sqlx::Row as _;
        let row = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *connection).await.unwrap();
        serde_json::from_str(&row.get_unchecked::<String, _>(0)).unwrap()
    };
    let mut names = BTreeSet::new();
    used(&plan, &mut names);
    names
}

/// What the hot statements that are asked for use beyond what they may.
async fn wrong(pool: &PgPool, asked: impl Fn(&str) -> bool) -> Vec<String> {
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await.unwrap();
    let mut wrong = Vec::new();
    for (name, statement) in hot_statements().into_iter().filter(|(name, _)| asked(name)) {
        let (_, arguments, allowed) =
            GOLDEN.iter().find(|(golden, ..)| *golden == name).unwrap_or_else(|| panic!("{name} has no golden plan"));
        for mode in ["force_custom_plan", "force_generic_plan"] {
            for used in plan(&mut connection, statement, arguments, mode).await {
                let small = used.strip_prefix('~').is_some_and(|table| SMALL.contains(&table))
                    || SMALL.iter().any(|table| used == format!("c_{table}_pk"));
                if !small && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{name} ({mode}) uses {used}"));
                }
            }
        }
    }
    wrong
}

#[tokio::test]
async fn hot_statements_use_only_the_indexes_that_they_may_use() {
    let wrong = wrong(&big_farm().await, |_| true).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Work comes in large portions, and the statistics know of it only some time later.
#[tokio::test]
async fn bookings_and_undos_look_frames_up_by_their_ids_although_the_statistics_know_nothing_of_them() {
    let pool = common::database().await;
    sqlx::raw_sql(
        "ALTER TABLE frame SET (autovacuum_enabled = false); ALTER TABLE job SET (autovacuum_enabled = false)",
    )
    .execute(&pool)
    .await
    .unwrap();
    // What was done long ago takes time to load and changes nothing here.
    let farm = BIG_FARM.replace("generate_series(2, 10000) l", "generate_series(2, 700) l");
    sqlx::raw_sql(AssertSqlSafe(farm)).execute(&pool).await.unwrap();
    // As they were the day before: everything done.
    let yesterday = "
        CREATE TABLE today AS SELECT pk_frame, str_state FROM frame WHERE str_state IN ('WAITING', 'RUNNING');
        SET session_replication_role = replica;
        UPDATE frame SET str_state = 'SUCCEEDED';
        UPDATE job SET str_state = 'FINISHED';
        ANALYZE;
        UPDATE frame SET str_state = today.str_state FROM today WHERE today.pk_frame = frame.pk_frame;
        UPDATE job SET str_state = 'PENDING' WHERE pk_job IN (SELECT 'job-' || n FROM generate_series(1, 300) n);";
    sqlx::raw_sql(yesterday).execute(&pool).await.unwrap();
    let frames =
        |name: &str| ["booking/claim", "booking/start_frames", "undo/lock_frames", "undo/clear_frames"].contains(&name);
    let wrong = wrong(&pool, frames).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
