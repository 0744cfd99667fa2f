//! Hosts and procs: what the idle amounts refuse, and what follows a proc by itself.

use crate::farm::{Farm, PROC, Refused};

#[tokio::test]
async fn idle_amounts_can_not_fall_below_zero() {
    let cases = [
        ("int_cores_idle = -1", "unable to allocate additional core units"),
        ("int_mem_idle = -1", "unable to allocate additional memory"),
        ("int_gpus_idle = -1", "unable to allocate additional GPU units"),
        ("int_gpu_mem_idle = -1", "unable to allocate additional GPU memory"),
        // The first that is refused, in this order, is named.
        ("int_gpu_mem_idle = -1, int_gpus_idle = -1", "unable to allocate additional GPU units"),
        ("int_gpus_idle = -1, int_mem_idle = -1", "unable to allocate additional memory"),
        ("int_mem_idle = -1, int_cores_idle = -1", "unable to allocate additional core units"),
    ];
    let farm = Farm::new().await;
    for (change, text) in cases {
        let refused = farm.refusal(&format!("UPDATE host SET {change}")).await;
        assert_eq!(refused, Refused { code: "P0001".to_owned(), text: text.to_owned() }, "{change}");
    }
    farm.run("UPDATE host SET int_cores_idle = 0, int_mem_idle = 0, int_gpus_idle = 0, int_gpu_mem_idle = 0").await;
    // Nothing forbids more idle than there is.
    farm.run("UPDATE host SET int_cores_idle = 2 * int_cores").await;
}

#[tokio::test]
async fn a_proc_of_no_cores_is_refused() {
    let insert = |cores: &str| {
        format!(
            "INSERT INTO proc (pk_proc, pk_host, int_cores_reserved, int_mem_reserved) VALUES ('proc', 'host', {cores}, 1)"
        )
    };
    let farm = Farm::new().await;
    for cores in ["0", "-100"] {
        let refused = farm.refusal(&insert(cores)).await;
        assert_eq!(refused.code, "P0001", "{cores}");
        assert_eq!(refused.text, "failed to allocate proc, tried to allocate 0 cores", "{cores}");
    }
    assert_eq!(farm.refusal(&insert("NULL")).await.code, "23502");
    farm.run(&insert("1")).await;
}

#[tokio::test]
async fn a_frame_has_one_proc_at_most_and_procs_without_a_frame_are_many() {
    let farm = Farm::new().await;
    farm.run(PROC).await;
    assert_eq!(farm.refusal(&PROC.replace("'proc'", "'second'")).await.code, "23505");
    farm.run(
        "INSERT INTO proc (pk_proc, pk_host, int_cores_reserved, int_mem_reserved)
              VALUES ('a', 'host', 100, 1), ('b', 'host', 100, 1)",
    )
    .await;
}

#[tokio::test]
async fn inserting_and_deleting_a_proc_moves_no_counter() {
    const COUNTERS: &str = "
        SELECT h.int_cores_idle, h.int_mem_idle, h.int_gpus_idle, s.int_cores, s.int_gpus, f.int_cores, j.int_cores, l.int_cores,
            p.int_cores
        FROM host h, subscription s, folder_resource f, job_resource j, layer_resource l, point p
        WHERE f.pk_folder = 'folder' AND p.pk_point = 'point'";
    let farm = Farm::new().await;
    let before = farm.texts(COUNTERS).await;
    farm.run(PROC).await;
    assert_eq!(farm.texts(COUNTERS).await, before);
    farm.run("DELETE FROM proc").await;
    assert_eq!(farm.texts(COUNTERS).await, before);
}

#[tokio::test]
async fn memory_that_a_proc_takes_more_is_taken_from_its_host() {
    let farm = Farm::new().await;
    farm.run(PROC).await;
    let idle = "SELECT int_mem_idle, int_gpu_mem_idle FROM host";
    farm.run("UPDATE proc SET int_mem_reserved = 6000").await;
    assert_eq!(farm.row(idle).await, "14000 8000");
    farm.run("UPDATE proc SET int_mem_reserved = 1000, int_gpu_mem_reserved = 50").await;
    assert_eq!(farm.row(idle).await, "19000 8000");
    let refused = farm.refusal("UPDATE proc SET int_mem_reserved = 20001").await;
    assert_eq!(refused.text, "unable to allocate additional memory");
}

#[tokio::test]
async fn a_proc_that_goes_to_another_layer_takes_its_amounts_along() {
    let farm = Farm::new().await;
    farm.run(PROC).await;
    farm.run(
        "INSERT INTO layer (pk_layer, pk_job, str_name, str_cmd, str_range, str_type)
              VALUES ('a-layer', 'job', 'other', 'true', '1-1', 'RENDER');
              UPDATE layer_resource SET int_cores = 1000, int_gpus = 10;
              UPDATE proc SET pk_layer = 'a-layer', int_cores_reserved = 300, int_gpus_reserved = 2;",
    )
    .await;
    let rows =
        farm.texts("SELECT concat_ws(' ', pk_layer, int_cores, int_gpus) FROM layer_resource ORDER BY pk_layer").await;
    assert_eq!(rows, ["a-layer 1300 12", "layer 800 9"]);
}

#[tokio::test]
async fn a_deleted_host_takes_its_rows_along_and_one_with_procs_stays() {
    let farm = Farm::new().await;
    farm.run(
        "INSERT INTO owner (pk_owner, pk_show, str_username) VALUES ('owner', 'show', 'owner');
              INSERT INTO deed (pk_deed, pk_owner, pk_host) VALUES ('deed', 'owner', 'host');",
    )
    .await;
    farm.run(PROC).await;
    assert_eq!(farm.refusal("DELETE FROM host").await.code, "23503");
    farm.run("DELETE FROM proc; DELETE FROM host").await;
    let left = "SELECT (SELECT count(*) FROM host_stat), (SELECT count(*) FROM host_tag), (SELECT count(*) FROM deed)";
    assert_eq!(farm.row(left).await, "0 0 0");
}

#[tokio::test]
async fn tags_of_a_host_are_joined_by_kind_and_then_by_name() {
    let farm = Farm::new().await;
    farm.run("INSERT INTO host_tag (pk_host_tag, pk_host, str_tag, str_tag_type)
              VALUES ('1', 'host', 'zeta', 'HARDWARE'), ('2', 'host', 'beta', 'MANUAL'), ('3', 'host', 'alpha', 'MANUAL');
              SELECT recalculate_tags('host');")
        .await;
    assert_eq!(farm.row("SELECT str_tags FROM host").await, "general zeta alpha beta");
    farm.run(&format!("INSERT INTO host_tag (pk_host_tag, pk_host, str_tag) SELECT i::text, 'host', '{}' FROM generate_series(10, 12) i", "x".repeat(45)))
        .await;
    assert_eq!(farm.refusal("SELECT recalculate_tags('host')").await.code, "22001");
}

#[tokio::test]
async fn local_bookings_hold_what_was_set_aside() {
    let farm = Farm::new().await;
    farm.run(
        "INSERT INTO host_local (pk_host_local, pk_job, pk_host, str_type, int_cores_max, int_cores_idle, int_mem_idle)
              VALUES ('local', 'job', 'host', 'JOB_PARTITION', 400, 400, 1000);
              INSERT INTO job_local (pk_job_local, pk_job, pk_host, str_source, int_max_cores)
              VALUES ('local', 'job', 'host', 'here', 200);",
    )
    .await;
    for change in ["int_cores_idle = -1", "int_mem_idle = -1", "int_gpus_idle = -1", "int_gpu_mem_idle = -1"] {
        let refused = farm.refusal(&format!("UPDATE host_local SET {change}")).await;
        assert!(refused.text.starts_with("host local doesnt have enough"), "{change}: {refused:?}");
    }
    farm.run("UPDATE host_local SET int_cores_idle = 300").await;
    assert_eq!(farm.row("SELECT float_tier FROM host_local").await, "0.25");
    let refused = farm.refusal("UPDATE job_local SET int_cores = 201").await;
    assert_eq!(refused.text, "job local has exceeded max cores");
    farm.run("UPDATE job_local SET int_cores = 200; UPDATE job_local SET int_cores = 300, int_max_cores = 250;").await;
}
