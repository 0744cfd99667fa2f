//! Which hosts are used, and for how much, as their rows say.

use cue_scheduler_core::planning::epvm::{Epvm, Weights};
use cue_scheduler_core::planning::score::Strategy;

use super::farm::Farm;

const TIGHT: &str = "127.1.0.1";
const WIDE: &str = "127.1.0.2";

/// A tight host, which is filled first, and a wide one; four frames that the tight one could take.
const FARM: &str = "
seed: 3
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 100}]}, {name: other}]
hosts:
  - {allocation: local.general, names: [127.1.0.1], cores: 4, memory: 32 GiB, gpus: 4, gpu_memory: 8 GiB}
  - {allocation: local.general, names: [127.1.0.2], cores: 16, memory: 32 GiB, gpus: 8, gpu_memory: 64 GiB}
jobs:
  - name: one
    show: alpha
    layers: [{name: comp, range: 1-4, memory: 1 GiB, gpus: 1, gpu_memory: 1 GiB, threadable: false}]
";

/// What is written of the tight host, and how many frames it gets.
const STATES: [(&str, i64); 17] = [
    ("UPDATE host SET str_lock_state = 'OPEN' WHERE str_name = $1", 4),
    ("UPDATE host SET str_lock_state = 'LOCKED' WHERE str_name = $1", 0),
    ("UPDATE host SET str_lock_state = 'NIMBY_LOCKED' WHERE str_name = $1", 0),
    ("UPDATE host_stat SET str_state = 'DOWN' WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)", 0),
    ("UPDATE host_stat SET str_state = 'REPAIR' WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)", 0),
    (
        "UPDATE host_stat SET str_state = 'REBOOT_WHEN_IDLE' WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)",
        0,
    ),
    (
        "UPDATE host_stat SET ts_ping = now() - interval '3 minutes' WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)",
        0,
    ),
    // Four cores, a twentieth more by Cuebot's rule, less the load: 4.20 - 2.20, 4.20 - 3.21, 4.20 - 0.20.
    ("UPDATE host_stat SET int_load = 220 WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)", 2),
    ("UPDATE host_stat SET int_load = 321 WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)", 0),
    ("UPDATE host_stat SET int_load = 20 WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)", 4),
    ("UPDATE host SET int_cores_idle = 299 WHERE str_name = $1", 2),
    ("UPDATE host SET int_mem_idle = 3 << 20 WHERE str_name = $1", 3),
    ("UPDATE host_stat SET int_mem_free = 3 << 20 WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)", 3),
    ("UPDATE host SET int_gpus_idle = 1 WHERE str_name = $1", 1),
    ("UPDATE host SET int_gpu_mem_idle = 2 << 20 WHERE str_name = $1", 2),
    (
        "UPDATE host_stat SET int_gpu_mem_free = 2 << 20 WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = $1)",
        2,
    ),
    // An artist gave the host to a job: Cuebot books that one, and nobody else's.
    (
        "INSERT INTO host_local (pk_host_local, pk_job, pk_host, str_type)
         SELECT 'local', pk_job, pk_host, 'JOB_PARTITION' FROM host, job WHERE host.str_name = $1",
        0,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_host_gets_what_its_rows_say_it_has_and_the_next_best_gets_the_rest() {
    for (change, there) in STATES {
        let mut farm = Farm::new(FARM).await;
        sqlx::query(change).bind(TIGHT).execute(&farm.pool).await.unwrap();
        let report = farm.pass().await;
        assert_eq!((report.frames(), report.refusals.iter().count()), (4, 0), "{change}: {}", report.refusals);
        let running = farm.running().await;
        let frames = |host: &str| running.get(&("one/comp".to_owned(), host.to_owned())).copied().unwrap_or(0);
        assert_eq!((frames(TIGHT), frames(WIDE)), (there, 4 - there), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_owner_prefers_another_show_serves_every_show_with_a_subscription() {
    let mut farm = Farm::new(FARM).await;
    farm.execute(
        "WITH o AS (INSERT INTO owner (pk_owner, pk_show, str_username) SELECT 'owner', pk_show, 'artist' FROM show
                    WHERE str_name = 'other' RETURNING pk_owner)
         INSERT INTO deed (pk_deed, pk_owner, pk_host) SELECT 'deed', pk_owner, pk_host FROM o, host
         WHERE str_name = '127.1.0.1'",
    )
    .await;
    farm.pass().await;
    farm.assert_running(&[("one/comp", TIGHT, 4)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_choose_hosts_where_the_configuration_says_so() {
    let mut farm = Farm::new(&FARM.replace("gpus: 1, gpu_memory: 1 GiB, ", "")).await;
    let weights = Weights {
        cores: 1.0,
        memory: 0.0,
        gpus: 0.0,
        gpu_memory: 0.0,
        gpu_count_reservation: 2.0,
        gpu_memory_reservation: 0.0,
    };
    farm.context.policy.strategy = Strategy::Epvm(Epvm { max_candidates: 20, weights });
    let report = farm.pass().await;
    farm.assert_running(&[("one/comp", TIGHT, 4)]).await;
    assert_eq!(report.scores, [8.0], "nothing is left over but four GPUs");
}
