//! What the upstream scheduler got wrong, as farms. Each of these was seen to starve work or hosts there.

use crate::domain::amount::{Centicores, Gpus, Kb};
use crate::domain::request::{CoreRequest, ThreadMode};
use crate::reason::Reason;
use crate::test_farm::{Farm, GIB, amounts, at_most, tag};

#[test]
fn jobs_at_the_top_that_fit_nowhere_do_not_hide_the_others() {
    let mut farm = Farm::new();
    farm.host("idle", 8, 32);
    for at in 0..25 {
        let job = farm.job(&format!("unplaceable-{at}"), 50);
        farm.layer(job, &format!("huge-{at}"), 64, 1, 1);
    }
    let job = farm.job("humble", 10);
    farm.layer(job, "humble", 1, 1, 1);
    assert_eq!(farm.plan().booked(), [("humble", "idle", 1, 1)]);
}

#[test]
fn the_highest_priority_takes_a_contended_host_in_every_run() {
    for listed in [[100, 50, 10], [10, 50, 100], [50, 100, 10]] {
        let mut farm = Farm::new();
        farm.host("host", 6, 64);
        for priority in listed {
            let job = farm.job(&format!("job-{priority}"), priority);
            farm.layer(job, &format!("layer-{priority}"), 1, 1, 6);
        }
        let outcome = farm.plan();
        assert_eq!(outcome.booked(), [("layer-100", "host", 1, 6)]);
        assert_eq!(outcome.waiting(), [("layer-50", 6, Reason::HostsBusy), ("layer-10", 6, Reason::HostsBusy)]);
    }
}

#[test]
fn of_equal_priorities_the_older_job_goes_first() {
    let mut farm = Farm::new();
    farm.host("host", 4, 64);
    for name in ["a-young", "b-old"] {
        let job = farm.job(name, 50);
        farm.layer(job, name, 1, 1, 4);
    }
    farm.0.jobs[0].started = 2_000;
    farm.0.jobs[1].started = 1_000;
    assert_eq!(farm.plan().booked(), [("b-old", "host", 1, 4)]);
}

#[test]
fn frames_that_fit_no_host_use_up_nothing_of_their_jobs_cap() {
    for (unplaceable, frames) in [(32, 5), (1, 500)] {
        let mut farm = Farm::new();
        farm.host("idle", 16, 64);
        let job = farm.job("capped", 50);
        farm.edit_job(job).cores = at_most(10_000);
        farm.layer(job, "first", unplaceable, 1, frames).tags = vec!["general".into()];
        farm.layer(job, "second", 1, 1, 5);
        farm.0.layers[0].memory = Kb(1_000 * GIB);
        let outcome = farm.plan();
        assert_eq!(outcome.booked(), [("second", "idle", 1, 5)]);
        assert_eq!(outcome.waiting(), [("first", frames, Reason::NoHostLargeEnough)]);
    }
}

#[test]
fn a_tight_host_that_cannot_take_the_balanced_size_is_given_the_idle_cores() {
    let mut farm = Farm::new();
    farm.host("tight", 16, 64).idle = amounts(4, 64);
    farm.host("wide", 16, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 24, 2);
    let outcome = farm.plan();
    assert_eq!(outcome.booked(), [("layer", "tight", 4, 1), ("layer", "wide", 6, 1)]);
}

#[test]
fn a_whole_host_layer_passes_over_half_busy_hosts_to_an_idle_one() {
    let mut farm = Farm::new();
    farm.host("half", 16, 64).idle = amounts(8, 32);
    farm.host("idle", 16, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "whole", 0, 4, 2);
    let outcome = farm.plan();
    assert_eq!(outcome.booked(), [("whole", "idle", 16, 1)]);
    assert_eq!(outcome.waiting(), [("whole", 1, Reason::HostsBusy)]);
}

#[test]
fn a_single_threaded_layer_without_a_minimum_passes_over_a_full_host() {
    let mut farm = Farm::new();
    farm.host("full", 16, 64).idle = amounts(0, 32);
    farm.host("idle", 16, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 0, 4, 1).threadable = false;
    assert_eq!(farm.plan().booked(), [("layer", "idle", 1, 1)]);
}

#[test]
fn half_a_core_is_one_core_and_not_the_whole_host() {
    let mut farm = Farm::new();
    farm.host("host", 16, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "half", 1, 1, 1).cores = CoreRequest::from_column(50);
    assert_eq!(farm.plan().booked(), [("half", "host", 1, 1)]);
}

#[test]
fn a_negative_minimum_runs_on_an_idle_host() {
    let mut farm = Farm::new();
    farm.host("host", 16, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "all-but-two", -2, 1, 1);
    assert_eq!(farm.plan().booked(), [("all-but-two", "host", 14, 1)]);
}

#[test]
fn a_layer_with_two_limits_needs_room_in_both() {
    let mut farm = Farm::new();
    farm.host("host", 16, 64);
    let (room, full) = (farm.limit("room", 100), farm.limit("full", 0));
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 1, 1).limits = vec![room, full];
    assert_eq!(farm.plan().waiting(), [("layer", 1, Reason::Limit)]);
}

#[test]
fn a_host_with_several_os_names_serves_jobs_of_each() {
    let mut farm = Farm::new();
    farm.host("host", 4, 64).os = "linux,windows".into();
    for os in ["linux", "windows"] {
        let job = farm.job(os, 50);
        farm.edit_job(job).os = Some(os.into());
        farm.layer(job, os, 1, 1, 1);
    }
    assert_eq!(farm.plan().waiting(), []);
}

#[test]
fn a_show_at_its_burst_does_not_block_another_on_shared_hosts() {
    let mut farm = Farm::new();
    farm.host("shared", 4, 64);
    let mut full = farm.0.subscriptions[0].clone();
    full.show = "full".into();
    full.cores = at_most(0);
    farm.0.subscriptions.push(full);
    let frozen = farm.job("frozen", 100);
    farm.edit_job(frozen).subscription = crate::snapshot::SubscriptionIx(1);
    farm.layer(frozen, "frozen", 1, 1, 4);
    let free = farm.job("free", 1);
    farm.layer(free, "free", 1, 1, 4);
    let outcome = farm.plan();
    assert_eq!(outcome.booked(), [("free", "shared", 1, 4)]);
    assert_eq!(outcome.waiting(), [("frozen", 4, Reason::SubscriptionFrozen)]);
}

#[test]
fn a_wide_layer_over_its_burst_leaves_room_to_narrow_ones() {
    let mut farm = Farm::new();
    farm.host("host", 32, 64);
    farm.0.subscriptions[0].cores = at_most(1_000);
    let job = farm.job("job", 50);
    farm.layer(job, "wide", 16, 1, 1);
    farm.layer(job, "narrow", 1, 1, 10);
    let outcome = farm.plan();
    assert_eq!(outcome.booked(), [("narrow", "host", 1, 10)]);
    assert_eq!(outcome.waiting(), [("wide", 1, Reason::SubscriptionFull)]);
}

#[test]
fn a_greedy_reservation_shrinks_to_the_headroom_and_is_not_refused_for_ever() {
    let mut farm = Farm::new();
    farm.host("host", 32, 64).thread_mode = ThreadMode::All;
    farm.0.subscriptions[0].cores = at_most(850);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 1, 3);
    let outcome = farm.plan();
    assert_eq!(outcome.booked(), [("layer", "host", 8, 1)]);
    assert_eq!(outcome.waiting(), [("layer", 2, Reason::SubscriptionFull)]);
}

#[test]
fn cpu_work_leaves_gpu_hosts_to_gpu_work_while_it_can() {
    let mut farm = Farm::new();
    let gpu = farm.host("a-gpu", 2, 16);
    gpu.total.gpus = Gpus(1);
    gpu.idle.gpus = Gpus(1);
    farm.host("b-cpu", 4, 64);
    let first = farm.job("first", 90);
    farm.layer(first, "cpu", 1, 1, 4);
    let second = farm.job("second", 10);
    farm.layer(second, "gpu", 2, 1, 1).gpus = Gpus(1);
    let outcome = farm.plan();
    assert_eq!(outcome.booked(), [("cpu", "b-cpu", 1, 4), ("gpu", "a-gpu", 2, 1)]);
}

#[test]
fn a_layer_goes_on_to_as_many_hosts_as_it_can_fill() {
    let mut farm = Farm::new();
    for at in 0..30 {
        farm.host(&format!("host-{at:02}"), 2, 16);
    }
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 1, 60);
    let outcome = farm.plan();
    assert_eq!(outcome.placements.len(), 30);
    assert_eq!(outcome.waiting(), []);
}

#[test]
fn a_layer_with_tags_of_several_kinds_takes_the_best_host_of_all_of_them() {
    let mut farm = Farm::new();
    farm.host("a-wide", 16, 64);
    farm.host("b-tight", 2, 16).tags = vec![tag("desk"), tag("b-tight")];
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 1, 3).tags = vec!["general".into(), "b-tight".into(), "desk".into()];
    assert_eq!(farm.plan().booked(), [("layer", "b-tight", 1, 2), ("layer", "a-wide", 1, 1)]);
}

#[test]
fn a_host_that_claims_more_idle_than_it_has_is_not_believed() {
    let mut farm = Farm::new();
    farm.host("liar", 0, 64).idle.cores = Centicores::cores(64);
    farm.host("boaster", 4, 64).idle.cores = Centicores::cores(64);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 1, 10);
    assert_eq!(farm.plan().booked(), [("layer", "boaster", 1, 4)]);
}
