//! Folders, jobs and layers: the rows that appear beside them, what moves with them, and what is left at the end.

use crate::farm::{Farm, PROC};

#[tokio::test]
async fn a_folder_gets_its_level_and_no_caps_whatever_its_own_columns_say() {
    let farm = Farm::new().await;
    farm.run(
        "INSERT INTO folder (pk_folder, pk_parent_folder, pk_show, pk_dept, str_name, int_max_cores, int_max_gpus)
              VALUES ('third', 'other-folder', 'show', 'dept', 'third', 500, 5)",
    )
    .await;
    let rows = farm
        .texts(
            "SELECT concat_ws(' ', f.pk_folder, f.b_default, l.pk_folder_level, l.int_level, r.pk_folder_resource,
                    r.int_max_cores, r.int_max_gpus, r.int_cores, r.int_gpus)
                FROM folder f JOIN folder_level l USING (pk_folder) JOIN folder_resource r USING (pk_folder)
                WHERE f.pk_show = 'show' ORDER BY l.int_level",
        )
        .await;
    assert_eq!(
        rows,
        [
            "folder t folder 0 folder -1 -1 0 0",
            "other-folder f other-folder 1 other-folder -1 -1 0 0",
            "third f third 2 third -1 -1 0 0"
        ]
    );
    let unknown_parent = "INSERT INTO folder (pk_folder, pk_parent_folder, pk_show, pk_dept, str_name)
                          VALUES ('lost', 'nowhere', 'show', 'dept', 'lost')";
    assert_eq!(farm.refusal(unknown_parent).await.code, "23502");
    farm.run("DELETE FROM folder WHERE pk_folder = 'third'").await;
    let left = "SELECT (SELECT count(*) FROM folder_level WHERE pk_folder = 'third'),
                       (SELECT count(*) FROM folder_resource WHERE pk_folder = 'third')";
    assert_eq!(farm.row(left).await, "0 0");
}

#[tokio::test]
async fn a_job_gets_its_rows_under_its_own_id() {
    let farm = Farm::new().await;
    for table in ["job_stat", "job_resource", "job_usage", "job_mem"] {
        assert_eq!(farm.row(&format!("SELECT pk_{table}, pk_job FROM {table}")).await, "job job", "{table}");
    }
    let caps = "SELECT int_max_cores, int_max_gpus, int_min_cores, int_priority, int_cores, int_gpus FROM job_resource";
    assert_eq!(farm.row(caps).await, "10000 100 100 1 0 0");
    let history = farm
        .row(
            "SELECT pk_job, pk_show, pk_facility, pk_dept, str_name, str_shot, str_user, int_ts_stopped, b_archived,
                  abs(int_ts_started - extract(epoch FROM now())) < 60, dt_last_modified = current_date
              FROM job_history",
        )
        .await;
    assert_eq!(history, "job show facility dept schema-test-job shot user 0 false true true");
}

#[tokio::test]
async fn a_layer_gets_its_rows_under_its_own_id() {
    let farm = Farm::new().await;
    for table in ["layer_stat", "layer_resource", "layer_usage", "layer_mem"] {
        assert_eq!(
            farm.row(&format!("SELECT pk_{table}, pk_layer, pk_job FROM {table}")).await,
            "layer layer job",
            "{table}"
        );
    }
    let history =
        "SELECT pk_layer, pk_job, str_name, str_type, int_cores_min, int_mem_min, b_archived FROM layer_history";
    assert_eq!(farm.row(history).await, "layer job comp RENDER 100 4194304 false");
}

#[tokio::test]
async fn a_job_moved_to_another_folder_or_department_takes_its_counters_along() {
    // The counters of both sides start at 100 cores and 1 GPU; the job's are as given.
    let cases = [
        ("int_cores = 300, int_gpus = 2", "-200 -1", "400 3"),
        ("int_cores = 300, int_gpus = 0", "-200 1", "400 1"),
        ("int_cores = 0, int_gpus = 2", "100 -1", "100 3"),
        ("int_cores = -300, int_gpus = -2", "100 1", "100 1"),
    ];
    for (job, old, new) in cases {
        let farm = Farm::new().await;
        farm.run(
            "UPDATE folder_resource SET int_cores = 100, int_gpus = 1; UPDATE point SET int_cores = 100, int_gpus = 1",
        )
        .await;
        farm.run(&format!("UPDATE job_resource SET {job}")).await;
        farm.run("UPDATE job SET pk_folder = 'other-folder', pk_dept = 'other-dept'").await;
        let folder = |id| format!("SELECT int_cores, int_gpus FROM folder_resource WHERE pk_folder = '{id}'");
        let point = |id| format!("SELECT int_cores, int_gpus FROM point WHERE pk_point = '{id}'");
        assert_eq!(farm.row(&folder("folder")).await, old, "folder, {job}");
        assert_eq!(farm.row(&folder("other-folder")).await, new, "folder, {job}");
        assert_eq!(farm.row(&point("point")).await, old, "department, {job}");
        assert_eq!(farm.row(&point("other-point")).await, new, "department, {job}");
    }
}

#[tokio::test]
async fn only_a_pending_job_takes_its_counters_to_another_department() {
    let farm = Farm::new().await;
    farm.run(
        "UPDATE job_resource SET int_cores = 300; UPDATE job SET str_state = 'STARTUP';
              UPDATE job SET pk_folder = 'other-folder', pk_dept = 'other-dept'",
    )
    .await;
    assert_eq!(farm.row("SELECT int_cores FROM point WHERE pk_point = 'other-point'").await, "0");
    assert_eq!(farm.row("SELECT int_cores FROM folder_resource WHERE pk_folder = 'other-folder'").await, "300");
}

#[tokio::test]
async fn a_finished_job_leaves_its_figures_in_the_history_and_keeps_its_procs() {
    let farm = Farm::new().await;
    farm.run(PROC).await;
    farm.run("UPDATE job_usage SET int_core_time_success = 11, int_core_time_fail = 12, int_gpu_time_success = 13, int_gpu_time_fail = 14;
              UPDATE layer_usage SET int_core_time_success = 21, int_core_time_fail = 22, int_gpu_time_success = 23, int_gpu_time_fail = 24;
              UPDATE job_mem SET int_max_rss = 31, int_gpu_mem_max = 32;
              UPDATE layer_mem SET int_max_rss = 33, int_gpu_mem_max = 34;
              INSERT INTO job_local (pk_job_local, pk_job, pk_host, str_source, int_max_cores)
              VALUES ('local', 'job', 'host', 'here', 200);
              UPDATE job SET int_frame_count = 60, int_layer_count = 1, str_state = 'FINISHED', str_visible_name = NULL;")
        .await;
    let job = farm
        .row("SELECT int_core_time_success, int_core_time_fail, int_gpu_time_success, int_gpu_time_fail, int_max_rss, int_gpu_mem_max,
                  int_frame_count, int_layer_count, int_waiting_count, int_running_count, int_dead_count, int_depend_count,
                  int_eaten_count, int_succeeded_count, b_archived, abs(int_ts_stopped - extract(epoch FROM now())) < 60
              FROM job_history")
        .await;
    assert_eq!(job, "11 12 13 14 31 32 60 1 10 10 10 10 10 10 false true");
    let layer = farm
        .row("SELECT int_core_time_success, int_core_time_fail, int_gpu_time_success, int_gpu_time_fail, int_max_rss, int_gpu_mem_max,
                  int_frame_count, int_waiting_count, int_running_count, int_succeeded_count, b_archived
              FROM layer_history")
        .await;
    assert_eq!(layer, "21 22 23 24 33 34 60 10 10 10 false");
    assert_eq!(farm.row("SELECT (SELECT count(*) FROM proc), (SELECT count(*) FROM job_local)").await, "1 0");
}

#[tokio::test]
async fn a_deleted_job_leaves_only_its_history() {
    let farm = Farm::new().await;
    farm.run("INSERT INTO job_env (pk_job_env, pk_job, str_key, str_value) VALUES ('e', 'job', 'K', 'V');
              INSERT INTO layer_env (pk_layer_env, pk_layer, pk_job, str_key, str_value) VALUES ('e', 'layer', 'job', 'K', 'V');
              INSERT INTO layer_output (pk_layer_output, pk_layer, pk_job, str_filespec) VALUES ('o', 'layer', 'job', 'out');
              INSERT INTO layer_limit (pk_layer_limit, pk_layer, pk_limit_record) VALUES ('l', 'layer', 'licence');
              INSERT INTO comments (pk_comment, pk_job, str_user, str_subject, str_message) VALUES ('c', 'job', 'u', 's', 'm');
              INSERT INTO job_post (pk_job_post, pk_job, pk_post_job) VALUES ('p', 'job', 'job');
              INSERT INTO frame_state_display_overrides (pk_frame_override, pk_frame, str_frame_state, str_override_text, str_rgb)
              VALUES ('o', 'frame', 'RUNNING', 'text', 'rgb');
              INSERT INTO depend (pk_depend, pk_job_depend_on, pk_job_depend_er, str_type, str_signature)
              VALUES ('on', 'job', 'elsewhere', 'JOB_ON_JOB', 'on'), ('er', 'elsewhere', 'job', 'JOB_ON_JOB', 'er'),
                     ('no', 'elsewhere', 'elsewhere', 'JOB_ON_JOB', 'no');")
        .await;
    farm.run(PROC).await;
    assert_eq!(farm.refusal("DELETE FROM job").await.code, "23503", "a proc still holds one of its frames");
    farm.run("DELETE FROM proc; DELETE FROM job").await;
    for table in [
        "layer",
        "frame",
        "job_env",
        "job_stat",
        "job_resource",
        "job_usage",
        "job_mem",
        "job_post",
        "comments",
        "layer_env",
        "layer_stat",
        "layer_resource",
        "layer_usage",
        "layer_mem",
        "layer_output",
        "layer_limit",
        "frame_state_display_overrides",
    ] {
        assert_eq!(farm.row(&format!("SELECT count(*) FROM {table}")).await, "0", "{table}");
    }
    assert_eq!(farm.texts("SELECT pk_depend FROM depend").await, ["no"]);
    assert_eq!(
        farm.row("SELECT (SELECT b_archived FROM job_history), (SELECT b_archived FROM layer_history)").await,
        "true true"
    );
}
