//! What is there: tables, triggers with their moments, indexes that plans rely on, and the foreign keys that are missing.

use crate::farm::Farm;

/// `table.trigger moment`, in the order in which the triggers of a table fire within one moment.
const TRIGGERS: [&str; 36] = [
    "folder.after_insert_folder AFTER INSERT",
    "folder.before_delete_folder BEFORE DELETE",
    "folder.before_insert_folder BEFORE INSERT",
    "folder_resource.tier_folder BEFORE UPDATE",
    "frame.frame_history_open AFTER UPDATE",
    "frame.set_frame_ts_eligible_on_insert BEFORE INSERT",
    "frame.set_frame_ts_eligible_setup_to_wait BEFORE UPDATE",
    "frame.update_frame_checkpoint_state BEFORE UPDATE",
    "frame.update_frame_dep_to_wait BEFORE UPDATE",
    "frame.update_frame_eaten BEFORE UPDATE",
    "frame.update_frame_status_counts AFTER UPDATE",
    "frame.update_frame_wait_to_dep BEFORE UPDATE",
    "frame_history.tbiu_frame_history BEFORE INSERT UPDATE",
    "host.before_delete_host BEFORE DELETE",
    "host.verify_host_resources BEFORE UPDATE",
    "host_local.tier_host_local BEFORE UPDATE",
    "host_local.verify_host_local BEFORE UPDATE",
    "job.after_insert_job AFTER INSERT",
    "job.after_job_dept_update AFTER UPDATE",
    "job.after_job_finished AFTER UPDATE",
    "job.after_job_moved AFTER UPDATE",
    "job.before_delete_job BEFORE DELETE",
    "job_history.tbiu_job_history BEFORE INSERT UPDATE",
    "job_local.verify_job_local BEFORE UPDATE",
    "job_resource.tier_job BEFORE UPDATE",
    "job_resource.verify_job_resources BEFORE UPDATE",
    "layer.after_insert_layer AFTER INSERT",
    "layer.before_delete_layer BEFORE DELETE",
    "layer.before_delete_layer_drop_limit BEFORE DELETE",
    "layer_history.tbiu_layer_history BEFORE INSERT UPDATE",
    "point.point_tier BEFORE UPDATE",
    "proc.before_insert_proc BEFORE INSERT",
    "proc.update_proc_update_layer AFTER UPDATE",
    "proc.upgrade_proc_memory_usage AFTER UPDATE",
    "subscription.tier_subscription BEFORE UPDATE",
    "subscription.verify_subscription BEFORE UPDATE",
];

#[tokio::test]
async fn every_row_trigger_is_there_at_its_moment() {
    let farm = Farm::new().await;
    let triggers = farm
        .texts(
            "SELECT concat(tgrelid::regclass, '.', tgname, CASE WHEN tgtype & 2 = 2 THEN ' BEFORE' ELSE ' AFTER' END,
                    CASE WHEN tgtype & 4 = 4 THEN ' INSERT' END, CASE WHEN tgtype & 8 = 8 THEN ' DELETE' END,
                    CASE WHEN tgtype & 16 = 16 THEN ' UPDATE' END)
                FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 1 = 1
                ORDER BY tgrelid::regclass::text COLLATE \"C\", tgname",
        )
        .await;
    assert_eq!(triggers, TRIGGERS);
}

#[tokio::test]
async fn indexes_with_an_expression_or_a_predicate_are_there() {
    let cases = [
        (
            "idx_layer_tags_array",
            "gin (string_to_array(replace((str_tags)::text, ' '::text, ''::text), '|'::text))",
            "",
        ),
        (
            "i_layerstat_int_waiting_count",
            "btree (( CASE WHEN (int_waiting_count > 0) THEN 1 ELSE NULL::integer END), \
             ( CASE WHEN (int_waiting_count > 0) THEN pk_layer ELSE NULL::character varying END))",
            "",
        ),
        ("i_job_active_pkjob", "btree (pk_job)", "((str_state)::text <> 'FINISHED'::text)"),
        (
            "idx_job_pending_lookup",
            "btree (pk_show, pk_facility, str_state, b_paused)",
            "(((str_state)::text = 'PENDING'::text) AND (b_paused = false))",
        ),
        ("i_layer_start_after", "btree (ts_start_after)", "(ts_start_after IS NOT NULL)"),
        ("idx_layer_stat_waiting", "btree (pk_layer)", "(int_waiting_count > 0)"),
        (
            "i_frame_depend_candidates",
            "btree (pk_job, pk_layer, pk_frame)",
            "(((str_state)::text = 'DEPEND'::text) AND (int_depend_count > 0))",
        ),
        (
            "i_depend_active_er_job_frame",
            "btree (pk_job_depend_er, pk_frame_depend_er)",
            "((b_active = true) AND (pk_frame_depend_er IS NOT NULL))",
        ),
        (
            "i_depend_active_er_job_layer",
            "btree (pk_job_depend_er, pk_layer_depend_er)",
            "((b_active = true) AND (pk_frame_depend_er IS NULL) AND (pk_layer_depend_er IS NOT NULL))",
        ),
        (
            "i_depend_active_er_job_only",
            "btree (pk_job_depend_er)",
            "((b_active = true) AND (pk_frame_depend_er IS NULL) AND (pk_layer_depend_er IS NULL))",
        ),
        ("i_frame_dispatch_idx", "btree (int_dispatch_order, int_layer_order)", ""),
        ("i_frame_state_job", "btree (str_state, pk_job)", ""),
    ];
    let farm = Farm::new().await;
    for (index, over, only) in cases {
        let definition =
            farm.row(&format!("SELECT regexp_replace(pg_get_indexdef('{index}'::regclass), '\\s+', ' ', 'g')")).await;
        let (_, is) = definition.split_once(" USING ").unwrap();
        let expected = if only.is_empty() { over.to_owned() } else { format!("{over} WHERE {only}") };
        assert_eq!(is, expected, "{index}");
    }
}

#[tokio::test]
async fn what_is_unique_is_refused_twice_and_what_only_looks_so_is_not() {
    let again = |columns: &str, table: &str| format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}");
    let farm = Farm::new().await;
    let unique = [
        "INSERT INTO alloc (pk_alloc, str_name, pk_facility) VALUES ('second', 'schema-test.general', 'facility')",
        "INSERT INTO subscription (pk_subscription, pk_alloc, pk_show) VALUES ('second', 'alloc', 'show')",
        "INSERT INTO host (pk_host, pk_alloc, str_name, str_lock_state) VALUES ('second', 'alloc', 'schema-test-host', 'OPEN')",
        "INSERT INTO point (pk_point, pk_dept, pk_show) VALUES ('second', 'dept', 'show')",
        "INSERT INTO layer (pk_layer, pk_job, str_name, str_cmd, str_range, str_type) VALUES ('second', 'job', 'comp', '', '', '')",
        "INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, str_state, int_number, int_layer_order)
         VALUES ('second', 'layer', 'job', '0001-comp', 'WAITING', 1, 1)",
        "INSERT INTO host_stat (pk_host_stat, pk_host) VALUES ('second', 'host')",
        "INSERT INTO layer_stat (pk_layer_stat, pk_layer, pk_job) VALUES ('second', 'layer', 'job')",
        "INSERT INTO job_stat (pk_job_stat, pk_job) VALUES ('second', 'job')",
    ];
    for sql in unique {
        assert_eq!(farm.refusal(sql).await.code, "23505", "{sql}");
    }
    farm.run(
        "INSERT INTO facility (pk_facility, str_name) VALUES ('second', 'schema-test');
              INSERT INTO show (pk_show, str_name) VALUES ('second', 'schema-test');
              INSERT INTO dept (pk_dept, str_name) VALUES ('second', 'schema-test');",
    )
    .await;
    farm.run(
        "INSERT INTO limit_record (pk_limit_record, str_name) VALUES ('limit', 'licence');
              INSERT INTO layer_limit (pk_layer_limit, pk_layer, pk_limit_record) VALUES ('a', 'layer', 'limit');",
    )
    .await;
    farm.run(&again("pk_limit_record, str_name", "limit_record")).await;
    farm.run(&again("pk_layer_limit, pk_layer, pk_limit_record", "layer_limit")).await;
}

#[tokio::test]
async fn rows_may_point_to_nothing_where_no_foreign_key_is_declared() {
    let farm = Farm::new().await;
    farm.run(
        "INSERT INTO host_tag (pk_host_tag, pk_host, str_tag) VALUES ('lost', 'nowhere', 'tag');
              INSERT INTO layer_limit (pk_layer_limit, pk_layer, pk_limit_record) VALUES ('lost', 'nowhere', 'nowhere');
              INSERT INTO depend (pk_depend, pk_job_depend_on, pk_job_depend_er, str_type, str_signature)
              VALUES ('lost', 'nowhere', 'nowhere', 'JOB_ON_JOB', 'lost');
              INSERT INTO proc (pk_proc, pk_host, pk_show, pk_job, pk_layer, int_cores_reserved, int_mem_reserved)
              VALUES ('lost', 'host', 'nowhere', 'nowhere', 'nowhere', 100, 1);",
    )
    .await;
    assert_eq!(farm.row("SELECT str_tag_type FROM host_tag WHERE pk_host = 'nowhere'").await, "Hardware");
    let declared = [
        "INSERT INTO proc (pk_proc, pk_host, int_cores_reserved, int_mem_reserved) VALUES ('p', 'nowhere', 100, 1)",
        "INSERT INTO proc (pk_proc, pk_host, pk_frame, int_cores_reserved, int_mem_reserved) VALUES ('p', 'host', 'nowhere', 100, 1)",
    ];
    for sql in declared {
        assert_eq!(farm.refusal(sql).await.code, "23503", "{sql}");
    }
}
