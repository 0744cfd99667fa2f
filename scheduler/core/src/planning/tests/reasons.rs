//! For each reason, a farm in which a layer waits for it, and a farm with one thing changed in which it does not.

use crate::domain::amount::{Centicores, Gpus, Kb};
use crate::domain::cap::{Budget, Cap};
use crate::domain::request::ThreadMode;
use crate::planning::Policy;
use crate::reason::Reason;
use crate::test_farm::{Farm, GIB, NO_CAP, amounts, at_most, policy, tag};

/// One 8-core host with a GPU, and a layer of two frames of 2 cores.
fn farm() -> Farm {
    let mut farm = Farm::new();
    let host = farm.host("host", 8, 64);
    host.total.gpus = Gpus(2);
    host.total.gpu_memory = Kb(16 * GIB);
    host.idle = host.total;
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 2, 1, 2);
    farm
}

fn used(cap: i64, used: i64) -> Budget {
    Budget { cap: Cap::AtMost(cap), used }
}

type Edit = fn(&mut Farm);

#[test]
fn each_obstacle_has_its_reason_and_is_gone_with_its_cause() {
    // reason, what is in the way, what makes room for both frames
    let cases: [(Reason, Edit, Edit); 19] = [
        (
            Reason::SubscriptionFrozen,
            |farm| farm.0.subscriptions[0].cores = at_most(0),
            |farm| farm.0.subscriptions[0].cores = at_most(400),
        ),
        (
            Reason::SubscriptionFrozen,
            |farm| farm.0.subscriptions[0].cores = at_most(-100),
            |farm| farm.0.subscriptions[0].cores = NO_CAP,
        ),
        (
            Reason::SubscriptionFull,
            |farm| farm.0.subscriptions[0].cores = used(1000, 801),
            |farm| farm.0.subscriptions[0].cores = used(1000, 600),
        ),
        (
            Reason::FolderCores,
            |farm| farm.0.folders[0].cores = at_most(199),
            |farm| farm.0.folders[0].cores = at_most(400),
        ),
        (
            Reason::FolderGpus,
            |farm| {
                farm.0.layers[0].gpus = Gpus(1);
                farm.0.folders[0].gpus = at_most(0);
            },
            |farm| farm.0.folders[0].gpus = at_most(2),
        ),
        (Reason::FolderGpus, |farm| farm.0.folders[0].gpus = used(2, 3), |farm| farm.0.folders[0].gpus = used(2, 2)),
        (Reason::JobCores, |farm| farm.0.jobs[0].cores = at_most(0), |farm| farm.0.jobs[0].cores = at_most(400)),
        (
            Reason::JobGpus,
            |farm| {
                farm.0.layers[0].gpus = Gpus(1);
                farm.0.jobs[0].gpus = at_most(0);
            },
            |farm| farm.0.jobs[0].gpus = at_most(2),
        ),
        (Reason::JobGpus, |farm| farm.0.jobs[0].gpus = used(2, 3), |farm| farm.0.jobs[0].gpus = used(2, 2)),
        (
            Reason::Limit,
            |farm| {
                let (wide, full) = (farm.limit("wide", 10), farm.limit("full", 0));
                farm.0.layers[0].limits = vec![wide, full];
            },
            |farm| farm.0.limits[1].running = at_most(2),
        ),
        (
            Reason::NoHostWithTag,
            |farm| farm.0.layers[0].tags = vec!["gener".into()],
            |farm| farm.0.hosts[0].tags.push(tag("gener")),
        ),
        (
            Reason::NoHostWithTag,
            |farm| farm.0.layers[0].tags.clear(),
            |farm| farm.0.layers[0].tags.push("general".into()),
        ),
        (
            Reason::NoHostWithOs,
            |farm| farm.0.jobs[0].os = Some("windows".into()),
            |farm| farm.0.hosts[0].os = "linux, windows".into(),
        ),
        (
            Reason::NoHostForUnthreaded,
            |farm| {
                farm.0.layers[0].threadable = false;
                farm.0.hosts[0].thread_mode = ThreadMode::All;
            },
            |farm| farm.0.hosts[0].thread_mode = ThreadMode::Auto,
        ),
        (
            Reason::NoHostLargeEnough,
            |farm| farm.0.layers[0].memory = Kb(64 * GIB + 1),
            |farm| farm.0.layers[0].memory = Kb(24 * GIB),
        ),
        (Reason::NoHostLargeEnough, |farm| farm.0.layers[0].memory = Kb(-1), |farm| farm.0.layers[0].memory = Kb(0)),
        (Reason::HostsBusy, |farm| farm.0.hosts[0].idle = amounts(1, 64), |farm| farm.0.hosts[0].idle = amounts(4, 64)),
        (
            Reason::HostsBusy,
            |farm| {
                farm.0.layers[0].gpus = Gpus(1);
                farm.0.hosts[0].idle.gpus = Gpus(0);
            },
            |farm| farm.0.hosts[0].idle.gpus = Gpus(2),
        ),
        (
            Reason::HostsBusy,
            |farm| farm.0.hosts[0].idle.memory = Kb(-1),
            |farm| farm.0.hosts[0].idle.memory = Kb(8 * GIB),
        ),
    ];
    for (at, (reason, obstacle, remedy)) in cases.into_iter().enumerate() {
        let mut farm = farm();
        obstacle(&mut farm);
        let outcome = farm.plan();
        assert_eq!(outcome.waiting(), [("layer", 2, reason)], "case {at}");
        assert!(outcome.placements.is_empty(), "case {at}");

        remedy(&mut farm);
        assert_eq!(farm.plan().waiting(), [], "case {at}, remedied");
    }
}

#[test]
fn of_several_obstacles_the_first_is_named() {
    let mut farm = farm();
    let full = farm.limit("full", 0);
    farm.0.layers[0].limits = vec![full];
    farm.0.layers[0].gpus = Gpus(1);
    farm.0.layers[0].tags = vec!["nowhere".into()];
    farm.0.subscriptions[0].cores = at_most(0);
    farm.0.folders[0].cores = at_most(0);
    farm.0.folders[0].gpus = at_most(0);
    farm.0.jobs[0].cores = at_most(0);
    farm.0.jobs[0].gpus = at_most(0);

    let mut seen = Vec::new();
    let remedies: [Edit; 8] = [
        |farm| farm.0.subscriptions[0].cores = used(800, 800),
        |farm| farm.0.subscriptions[0].cores = NO_CAP,
        |farm| farm.0.folders[0].cores = NO_CAP,
        |farm| farm.0.folders[0].gpus = NO_CAP,
        |farm| farm.0.jobs[0].cores = NO_CAP,
        |farm| farm.0.jobs[0].gpus = NO_CAP,
        |farm| farm.0.limits[0].running = at_most(2),
        |farm| farm.0.layers[0].tags = vec!["general".into()],
    ];
    for remedy in remedies {
        seen.extend(farm.plan().waiting().iter().map(|(_, _, reason)| *reason));
        remedy(&mut farm);
    }
    assert_eq!(seen, Reason::ALL[..8]);
    assert_eq!(farm.plan().waiting(), []);
}

#[test]
fn bounds_of_the_configuration_end_a_turn_unless_something_else_did_before() {
    let bounded = |frames, hosts| Policy { frames_per_layer: frames, hosts_per_layer: hosts, ..policy() };
    let mut farm = farm();
    farm.0.layers[0].waiting = 3;
    farm.host("other", 2, 8);
    for (policy, waiting) in [
        (bounded(Some(1), None), vec![("layer", 2, Reason::PassBound)]),
        (bounded(None, Some(1)), vec![("layer", 2, Reason::PassBound)]),
        (bounded(Some(0), None), vec![("layer", 3, Reason::PassBound)]),
        (bounded(Some(3), Some(2)), vec![]),
    ] {
        assert_eq!(farm.plan_by(&policy).waiting(), waiting);
    }

    farm.0.layers[0].waiting = 6;
    let all_busy = farm.plan_by(&bounded(Some(5), None));
    assert_eq!(all_busy.waiting(), [("layer", 1, Reason::HostsBusy)]);
    farm.0.jobs[0].cores = at_most(200);
    let capped = farm.plan_by(&bounded(Some(1), None));
    assert_eq!(capped.waiting(), [("layer", 5, Reason::JobCores)]);
}

#[test]
fn what_is_left_of_a_layer_has_the_obstacle_of_its_next_frame() {
    let mut farm = farm();
    farm.0.layers[0].waiting = 10;
    assert_eq!(farm.plan().booked(), [("layer", "host", 2, 4)]);
    assert_eq!(farm.plan().waiting(), [("layer", 6, Reason::HostsBusy)]);

    let limit = farm.limit("three", 3);
    farm.0.layers[0].limits = vec![limit, limit];
    assert_eq!(farm.plan().booked(), [("layer", "host", 2, 3)]);
    assert_eq!(farm.plan().waiting(), [("layer", 7, Reason::Limit)]);
}

#[test]
fn a_cap_too_low_for_the_hosts_that_are_idle_is_why_a_whole_host_layer_waits() {
    let mut farm = Farm::new();
    farm.host("large", 32, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "whole", 0, 1, 1);
    farm.edit_job(job).cores = at_most(1600);
    assert_eq!(farm.plan().waiting(), [("whole", 1, Reason::JobCores)]);

    farm.host("small", 16, 64);
    assert_eq!(farm.plan().booked(), [("whole", "small", 16, 1)]);
}

#[test]
fn a_host_of_mode_variable_needs_room_for_two_cores_under_the_cap() {
    let mut farm = Farm::new();
    farm.host("host", 8, 32).thread_mode = ThreadMode::Variable;
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 1, 1);
    farm.edit_job(job).cores = at_most(199);
    assert_eq!(farm.plan().waiting(), [("layer", 1, Reason::JobCores)]);

    farm.0.layers[0].cores_max = Some(Centicores(100));
    assert_eq!(farm.plan().booked(), [("layer", "host", 1, 1)]);
}

#[test]
fn a_fraction_under_a_cap_stays_unused_since_cores_are_whole() {
    let mut farm = farm();
    farm.0.layers[0].waiting = 8;
    farm.0.subscriptions[0].cores = at_most(599);
    assert_eq!(farm.plan().booked(), [("layer", "host", 2, 2)]);
    assert_eq!(farm.plan().waiting(), [("layer", 6, Reason::SubscriptionFull)]);
}

#[test]
fn labels_are_one_for_each_reason() {
    let labels: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
    assert_eq!(labels.len(), Reason::ALL.len());
    assert!(Reason::ALL.is_sorted(), "ALL is in the order of the questions");
}
