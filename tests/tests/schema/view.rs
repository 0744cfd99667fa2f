//! The view of shows with waiting work.

use crate::farm::Farm;

#[tokio::test]
async fn a_show_is_seen_when_one_of_its_jobs_waits_and_has_a_core_of_room() {
    let second_job = "
        INSERT INTO job (pk_job, pk_folder, pk_show, pk_facility, pk_dept, str_name, str_shot, str_user, str_state)
        VALUES ('second', 'folder', 'show', 'facility', 'dept', 'second', 'shot', 'user', 'PENDING');
        UPDATE job_stat SET int_waiting_count = 1 WHERE pk_job = 'second';
        UPDATE job_resource SET int_max_cores = -1 WHERE pk_job = 'job';";
    let cases = [
        ("", true),
        ("UPDATE job SET str_state = 'STARTUP'", false),
        ("UPDATE job SET str_state = 'FINISHED'", false),
        ("UPDATE job SET b_paused = true", false),
        ("UPDATE job_stat SET int_waiting_count = 0", false),
        // Not zero is not the same as more than zero.
        ("UPDATE job_stat SET int_waiting_count = -1", true),
        ("UPDATE job_resource SET int_max_cores = 100", true),
        ("UPDATE job_resource SET int_max_cores = 99", false),
        ("UPDATE job_resource SET int_max_cores = 0", false),
        ("UPDATE job_resource SET int_max_cores = -1", false),
        ("UPDATE job_resource SET int_max_cores = 1000, int_cores = 900", true),
        ("UPDATE job_resource SET int_max_cores = 1000, int_cores = 901", false),
        // Neither the show's own flags nor the subscription play a part.
        ("UPDATE show SET b_active = false, b_paused = true; DELETE FROM subscription", true),
        (second_job, true),
    ];
    for (change, seen) in cases {
        let farm = Farm::new().await;
        farm.run(change).await;
        let shows = farm.texts("SELECT pk_show FROM vs_waiting").await;
        assert_eq!(shows, if seen { vec!["show"] } else { vec![] }, "{change}");
    }
}
