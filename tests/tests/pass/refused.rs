//! What was true when the pass read is no longer true when it books: the rest of the plan finds another way in the same pass.

use cue_scheduler::booking::Refusal;
use cue_scheduler_core::reason::Reason;

use super::farm::Farm;

const TIGHT: &str = "127.1.0.1";
const WIDE: &str = "127.1.0.2";

/// A tight host, which is filled first, and a wide one; four frames that the tight one could take.
const FARM: &str = "
seed: 3
facilities: [{name: local, allocations: [{name: local.general, tag: general}, {name: local.other, tag: other}]}]
shows:
  - name: alpha
    subscriptions: [{allocation: local.general, burst: 100}, {allocation: local.other, burst: 100}]
    folders: [{name: shots}]
limits: [{name: licence, max: 100}]
hosts:
  - {allocation: local.general, names: [127.1.0.1], cores: 4, memory: 32 GiB}
  - {allocation: local.general, names: [127.1.0.2], cores: 16, memory: 32 GiB}
jobs:
  - name: one
    show: alpha
    folder: shots
    layers: [{name: comp, range: 1-4, memory: 1 GiB, threadable: false, limits: [licence]}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_nothing_refuses_plans_once() {
    let mut farm = Farm::new(FARM).await;
    let report = farm.pass().await;
    assert_eq!((report.planned, report.frames(), report.unsettled), (4, 4, false));
    farm.assert_running(&[("one/comp", TIGHT, 4)]).await;
}

/// What somebody does to the host that the plan prefers, the refusal, how many frames still go there.
const HOSTS: [(&str, Refusal, i64); 7] = [
    ("UPDATE host SET int_cores_idle = 100, int_cores = 100 WHERE str_name = '127.1.0.1'", Refusal::HostFull, 1),
    ("UPDATE host SET int_mem_idle = 2 << 20, int_mem = 2 << 20 WHERE str_name = '127.1.0.1'", Refusal::HostFull, 2),
    ("UPDATE host SET int_cores_idle = 0, int_cores = 0 WHERE str_name = '127.1.0.1'", Refusal::HostFull, 0),
    ("UPDATE host SET str_lock_state = 'LOCKED' WHERE str_name = '127.1.0.1'", Refusal::HostNotOpen, 0),
    ("UPDATE host SET str_lock_state = 'NIMBY_LOCKED' WHERE str_name = '127.1.0.1'", Refusal::HostNotOpen, 0),
    (
        "SELECT 1 FROM host WHERE str_name = '127.1.0.1' FOR UPDATE;
         UPDATE host_stat SET str_state = 'REPAIR' FROM host h
         WHERE h.pk_host = host_stat.pk_host AND h.str_name = '127.1.0.1'",
        Refusal::HostNotOpen,
        0,
    ),
    (
        "UPDATE host SET pk_alloc = (SELECT pk_alloc FROM alloc WHERE str_name = 'local.other')
         WHERE str_name = '127.1.0.1'",
        Refusal::HostNotOpen,
        0,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_refuses_goes_to_the_next_best_in_the_same_pass() {
    for (change, refusal, there) in HOSTS {
        let mut farm = Farm::new(FARM).await;
        let report = farm.pass_while(change).await;
        assert_eq!(report.frames(), 4, "{change}: {}", report.refusals);
        assert_eq!(i64::from(report.refusals.of(refusal)), 4 - there, "{change}: {}", report.refusals);
        assert!(!report.unsettled, "{change}");
        let mut expected = vec![("one/comp", TIGHT, there), ("one/comp", WIDE, 4 - there)];
        expected.retain(|(.., frames)| *frames > 0);
        farm.assert_running(&expected).await;
    }
}

/// A cap that somebody lowers to two frames, the refusal, and the reason for which the others wait.
const CAPS: [(&str, Refusal, Reason); 5] = [
    ("UPDATE subscription SET int_burst = 200", Refusal::Subscription, Reason::SubscriptionFull),
    ("UPDATE job_resource SET int_max_cores = 200", Refusal::JobCores, Reason::JobCores),
    ("UPDATE folder_resource SET int_max_cores = 200", Refusal::FolderCores, Reason::FolderCores),
    (
        "INSERT INTO folder (pk_folder, pk_show, pk_parent_folder, pk_dept, str_name)
         SELECT 'moved', pk_show, pk_folder, pk_dept, 'moved' FROM folder WHERE str_name = 'shots';
         UPDATE folder_resource SET int_max_cores = 200 WHERE pk_folder = 'moved';
         UPDATE job SET pk_folder = 'moved';
         UPDATE layer_stat SET int_total_count = int_total_count",
        Refusal::FolderCores,
        Reason::FolderCores,
    ),
    (
        "SELECT pg_advisory_xact_lock(1129661772, hashtext(pk_limit_record)) FROM limit_record;
         UPDATE limit_record SET int_max_value = 2",
        Refusal::Limit,
        Reason::Limit,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lowered_cap_allows_is_booked_exactly_and_the_cap_is_the_reason_for_the_rest() {
    for (change, refusal, reason) in CAPS {
        let mut farm = Farm::new(FARM).await;
        let report = farm.pass_while(change).await;
        assert_eq!((report.frames(), report.refusals.of(refusal)), (2, 2), "{change}: {}", report.refusals);
        assert_eq!(report.waiting.get(&reason), Some(&2), "{change}: {:?}", report.waiting);
        assert!(!report.unsettled, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cap_refuses_to_one_job_is_given_to_the_next() {
    let two = "  - {name: two, show: alpha, folder: shots, layers: [{name: comp, range: 1-4, threadable: false}]}";
    let mut farm = Farm::new(&(FARM.replace("cores: 16", "cores: 2") + two)).await;
    farm.execute(
        "UPDATE job_resource SET int_priority = 9 WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = 'one')",
    )
    .await;
    let change = "UPDATE job_resource SET int_max_cores = 100
                  WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = 'one')";
    let report = farm.pass_while(change).await;
    assert_eq!(report.frames(), 5, "{}", report.refusals);
    let one: i64 = farm.running().await.iter().filter(|((layer, _), _)| layer == "one/comp").map(|(_, n)| n).sum();
    assert_eq!(one, 1);
}

/// As a pool of another allocation does whose pass comes at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn where_somebody_else_is_at_the_first_frames_the_next_ones_are_booked_in_the_same_pass() {
    let mut farm = Farm::new(&FARM.replace("range: 1-4", "range: 1-60")).await;
    let mut other = farm.pool.begin().await.unwrap();
    // More than a window of what fits has to spare.
    sqlx::query("SELECT 1 FROM frame WHERE int_number <= 35 FOR UPDATE").execute(&mut *other).await.unwrap();
    let report = farm.pass().await;
    other.rollback().await.unwrap();
    assert_eq!(report.refusals.of(Refusal::FrameTaken), 20, "{}", report.refusals);
    assert_eq!(report.frames(), 20, "both hosts are filled all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_somebody_else_takes_are_not_waited_for() {
    let mut farm = Farm::new(FARM).await;
    let mut other = farm.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM frame WHERE int_number <= 3 FOR UPDATE").execute(&mut *other).await.unwrap();
    let report = farm.pass().await;
    other.rollback().await.unwrap();
    assert_eq!((report.frames(), report.refusals.of(Refusal::FrameTaken)), (1, 3), "{}", report.refusals);
    assert_eq!(report.planned, 4, "what is taken is not planned again");
    assert!(!report.unsettled);
    let report = farm.pass().await;
    assert_eq!(report.frames(), 3);
}

/// What a user does to the work, and the refusal.
const WORK: [(&str, Refusal); 4] = [
    ("UPDATE layer_stat SET int_total_count = int_total_count; UPDATE job SET b_paused = true", Refusal::JobPaused),
    (
        "UPDATE layer_stat SET int_total_count = int_total_count;
         UPDATE layer SET ts_start_after = now() + interval '1 hour'",
        Refusal::StartAfter,
    ),
    (
        "UPDATE layer_stat SET int_total_count = int_total_count; UPDATE show SET b_scheduler_managed = false",
        Refusal::ShowNotManaged,
    ),
    (
        "UPDATE layer_stat SET int_total_count = int_total_count; UPDATE show SET b_active = false",
        Refusal::ShowNotManaged,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn work_that_may_no_longer_start_is_left_out_of_the_rest_of_the_pass() {
    for (change, refusal) in WORK {
        let mut farm = Farm::new(FARM).await;
        let report = farm.pass_while(change).await;
        assert_eq!((report.frames(), report.refusals.of(refusal)), (0, 4), "{change}: {}", report.refusals);
        assert_eq!((report.planned, report.unsettled), (4, false), "{change}: planned once");
    }
}
