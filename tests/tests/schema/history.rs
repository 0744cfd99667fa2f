//! The history of runs: opened at a start, closed at a stop, removed when a run is undone.

use crate::farm::{Farm, START};

const OPEN: &str = "SELECT count(*) FROM frame_history WHERE int_ts_stopped = 0";

#[tokio::test]
async fn a_start_opens_a_row_with_what_was_reserved_and_where() {
    let farm = Farm::new().await;
    farm.run(START).await;
    let row = farm
        .row("SELECT pk_frame, pk_layer, pk_job, str_name, str_state, int_cores, int_mem_reserved, int_gpus, int_gpu_mem_reserved,
                  str_host, pk_alloc, int_exit_status, int_ts_stopped, int_checkpoint_count,
                  abs(int_ts_started - extract(epoch FROM now())) < 60, dt_last_modified = current_date, length(pk_frame_history)
              FROM frame_history")
        .await;
    assert_eq!(row, "frame layer job 0001-comp RUNNING 200 4000 1 100 schema-test-host alloc -1 0 0 true true 36",);
}

#[tokio::test]
async fn the_allocation_of_an_unknown_host_is_null() {
    let farm = Farm::new().await;
    farm.run("UPDATE frame SET str_state = 'RUNNING', str_host = 'nowhere'").await;
    assert_eq!(farm.row("SELECT str_host, pk_alloc FROM frame_history").await, "nowhere -");
}

#[tokio::test]
async fn a_stop_closes_the_open_row_of_its_frame() {
    let cases = [
        ("str_state = 'SUCCEEDED', int_exit_status = 0", "0", "0"),
        ("str_state = 'DEAD', int_exit_status = 137", "137", "0"),
        ("str_state = 'WAITING', int_exit_status = 1, str_checkpoint_state = 'ENABLED'", "1", "1"),
    ];
    for (stop, status, checkpoints) in cases {
        let farm = Farm::new().await;
        // An earlier run, closed long ago, stays as it is.
        farm.run("INSERT INTO frame_history (pk_frame, pk_layer, pk_job, str_name, str_state, int_ts_started, int_ts_stopped)
                  VALUES ('frame', 'layer', 'job', '0001-comp', 'RUNNING', 1, 2)")
            .await;
        farm.run(START).await;
        farm.run(&format!("UPDATE frame SET {stop}, int_mem_max_used = 77, int_gpu_mem_max_used = 88")).await;
        assert_eq!(farm.row(OPEN).await, "0", "{stop}");
        let closed = farm
            .row(
                "SELECT int_exit_status, int_checkpoint_count, int_mem_max_used, int_gpu_mem_max_used,
                      abs(int_ts_stopped - extract(epoch FROM now())) < 60
                  FROM frame_history WHERE int_ts_started > 1",
            )
            .await;
        assert_eq!(closed, format!("{status} {checkpoints} 77 88 true"), "{stop}");
        assert_eq!(
            farm.row("SELECT int_ts_stopped, int_mem_max_used FROM frame_history WHERE int_ts_started = 1").await,
            "2 0"
        );
    }
}

#[tokio::test]
async fn an_undone_start_leaves_no_trace() {
    let farm = Farm::new().await;
    farm.run(
        "INSERT INTO frame_history (pk_frame, pk_layer, pk_job, str_name, str_state, int_ts_started, int_ts_stopped)
              VALUES ('frame', 'layer', 'job', '0001-comp', 'RUNNING', 1, 2)",
    )
    .await;
    farm.run(START).await;
    farm.run("UPDATE frame SET str_state = 'WAITING', int_exit_status = 299").await;
    assert_eq!(farm.texts("SELECT int_ts_started FROM frame_history").await, ["1"]);
}

#[tokio::test]
async fn the_end_of_a_run_leaves_the_open_rows_of_other_frames_alone() {
    for stop in ["str_state = 'DEAD', int_exit_status = 1", "str_state = 'WAITING', int_exit_status = 299"] {
        let farm = Farm::new().await;
        farm.run(
            "INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, str_state, int_number, int_layer_order)
             VALUES ('second', 'layer', 'job', '0002-comp', 'WAITING', 2, 2)",
        )
        .await;
        farm.run(START).await;
        farm.run(&format!("UPDATE frame SET {stop} WHERE pk_frame = 'frame'")).await;
        let open = farm.texts("SELECT pk_frame FROM frame_history WHERE int_ts_stopped = 0").await;
        assert_eq!(open, ["second"], "{stop}");
    }
}

#[tokio::test]
async fn no_history_is_written_while_a_row_of_that_key_exists_whatever_its_value() {
    let farm = Farm::new().await;
    farm.run("INSERT INTO config (pk_config, str_key, b_value) VALUES ('off', 'DISABLE_HISTORY', false)").await;
    farm.run(START).await;
    assert_eq!(farm.row("SELECT count(*) FROM frame_history").await, "0");
    assert_eq!(farm.counters_moved().await.len(), 2, "frames are counted all the same");
    farm.run(
        "INSERT INTO layer (pk_layer, pk_job, str_name, str_cmd, str_range, str_type)
              VALUES ('unseen', 'job', 'unseen', 'true', '1', 'RENDER')",
    )
    .await;
    assert_eq!(farm.texts("SELECT pk_layer FROM layer_history").await, ["layer"]);
}

#[tokio::test]
async fn history_can_make_a_change_of_a_frame_fail() {
    let unseen_job = "
        INSERT INTO config (pk_config, str_key) VALUES ('off', 'DISABLE_HISTORY');
        INSERT INTO job (pk_job, pk_folder, pk_show, pk_facility, pk_dept, str_name, str_shot, str_user, str_state)
        VALUES ('unseen', 'folder', 'show', 'facility', 'dept', 'unseen', 'shot', 'user', 'PENDING');
        INSERT INTO layer (pk_layer, pk_job, str_name, str_cmd, str_range, str_type)
        VALUES ('unseen', 'unseen', 'comp', 'true', '1-1', 'RENDER');
        INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, str_state, int_number, int_layer_order)
        VALUES ('unseen', 'unseen', 'unseen', '0001-comp', 'WAITING', 1, 1);
        DELETE FROM config WHERE pk_config = 'off';";
    let long_name = format!("UPDATE frame SET str_state = 'RUNNING', str_host = '{}'", "h".repeat(65));
    let cases = [
        ("an exit status over 16 bits", START, "UPDATE frame SET str_state = 'DEAD', int_exit_status = 32768", "22003"),
        (
            "an exit status under 16 bits",
            START,
            "UPDATE frame SET str_state = 'DEAD', int_exit_status = -32769",
            "22003",
        ),
        ("a host name over 64 characters", "", long_name.as_str(), "22001"),
        (
            "a job inserted while history was off",
            unseen_job,
            "UPDATE frame SET str_state = 'RUNNING' WHERE pk_frame = 'unseen'",
            "23503",
        ),
    ];
    for (name, before, change, code) in cases {
        let farm = Farm::new().await;
        farm.run(before).await;
        assert_eq!(farm.refusal(change).await.code, code, "{name}");
    }
    let farm = Farm::new().await;
    farm.run(START).await;
    farm.run("UPDATE frame SET str_state = 'DEAD', int_exit_status = 32767").await;
}
