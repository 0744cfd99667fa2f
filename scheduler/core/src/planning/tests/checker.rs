//! The checker sees what is wrong: each kind of fault, put into a right plan.

use crate::domain::amount::{Centicores, Kb};
use crate::planning::{Plan, Policy, Violation, Waiting, check, plan};
use crate::reason::{Bound, Obstacle, Reason};
use crate::snapshot::{HostIx, LayerIx};
use crate::test_farm::{Farm, at_most, policy, tag};

/// Two hosts of 8 cores; `first` fills one of them, `second` gets 4 of its 12 frames before its limit is reached.
fn farm() -> Farm {
    let mut farm = Farm::new();
    farm.host("a", 8, 64);
    farm.host("b", 8, 64);
    let limit = farm.limit("four", 4);
    let job = farm.job("job", 50);
    farm.edit_job(job).cores = at_most(1_400);
    farm.layer(job, "first", 2, 1, 4);
    farm.layer(job, "second", 1, 1, 12).limits = vec![limit];
    farm
}

fn violations(policy: &Policy, farm: &Farm, fault: impl FnOnce(&mut Plan)) -> Vec<Violation> {
    let mut plan = plan(&farm.0, policy);
    assert_eq!(check(&farm.0, policy, &plan), []);
    fault(&mut plan);
    check(&farm.0, policy, &plan)
}

#[test]
fn each_fault_is_found_and_named() {
    type Fault = fn(&mut Plan);
    type Named = fn(&Violation) -> bool;
    let cases: [(&str, Fault, Named); 16] = [
        (
            "a host that is not there",
            |plan| plan.placements[0].host = HostIx(9),
            |v| matches!(v, Violation::Unknown { host: 9, .. }),
        ),
        (
            "a layer that is not there",
            |plan| plan.waiting[0].layer = LayerIx(9),
            |v| matches!(v, Violation::Unknown { layer: 9, .. }),
        ),
        ("no frames placed", |plan| plan.placements[0].frames = 0, |v| matches!(v, Violation::Empty { .. })),
        ("no frames waiting", |plan| plan.waiting[0].frames = 0, |v| matches!(v, Violation::Empty { .. })),
        (
            "half a core",
            |plan| plan.placements[0].size.cores = Centicores(250),
            |v| matches!(v, Violation::Size { why, .. } if why.contains("whole")),
        ),
        (
            "no core",
            |plan| plan.placements[0].size.cores = Centicores(0),
            |v| matches!(v, Violation::Size { why, .. } if why.contains("none")),
        ),
        (
            "below the minimum",
            |plan| plan.placements[0].size.cores = Centicores(100),
            |v| matches!(v, Violation::Size { why, .. } if why.contains("fewer")),
        ),
        (
            "other memory",
            |plan| plan.placements[0].size.memory = Kb(1),
            |v| matches!(v, Violation::Size { why, .. } if why.contains("memory")),
        ),
        (
            "more than idle",
            |plan| plan.placements[0].size.cores = Centicores(300),
            |v| matches!(v, Violation::Idle { host, .. } if host == "a"),
        ),
        (
            "a limit passed",
            |plan| plan.placements[1].frames = 5,
            |v| matches!(v, Violation::Cap { reason: Reason::Limit, .. }),
        ),
        (
            "a job's cap passed",
            |plan| plan.placements[1].size.cores = Centicores(200),
            |v| matches!(v, Violation::Cap { reason: Reason::JobCores, .. }),
        ),
        (
            "a frame lost",
            |plan| plan.waiting[0].frames -= 1,
            |v| matches!(v, Violation::Sum { waiting: 12, planned: 4, left: 7, .. }),
        ),
        ("a frame twice", |plan| plan.waiting[0].frames += 1, |v| matches!(v, Violation::Sum { left: 9, .. })),
        (
            "out of turn",
            |plan| plan.placements.swap(0, 1),
            |v| matches!(v, Violation::Order { layer } if layer == "first"),
        ),
        (
            "two reasons",
            |plan| plan.waiting.push(plan.waiting[0].clone()),
            |v| matches!(v, Violation::Order { layer } if layer == "second"),
        ),
        (
            "a wrong reason",
            |plan| plan.waiting[0].obstacle = Obstacle::HostsBusy { hosts: 1, nearest: None },
            |v| matches!(v, Violation::Reason { given: Reason::HostsBusy, right, .. } if right.contains(&Reason::Limit)),
        ),
    ];
    for (what, fault, named) in cases {
        let found = violations(&policy(), &farm(), fault);
        assert!(found.iter().any(named), "{what}: {found:?}");
    }
}

#[test]
fn work_left_waiting_without_an_obstacle_is_found() {
    let found = violations(&policy(), &farm(), |plan| {
        plan.placements.truncate(1);
        plan.waiting[0].frames = 12;
    });
    assert!(matches!(&found[..], [Violation::Reason { right, .. }] if right.is_empty()), "{found:?}");
}

#[test]
fn a_host_that_is_barred_is_found() {
    let mut farm = farm();
    farm.0.hosts[1].tags = vec![tag("elsewhere")];
    let found = violations(&policy(), &farm, |plan| plan.placements[0].host = HostIx(1));
    assert!(found.iter().any(|v| matches!(v, Violation::Gate { why: "no tag in common", .. })), "{found:?}");
}

#[test]
fn passed_bounds_are_found_and_a_bound_is_a_reason_only_where_it_was_reached() {
    let farm = farm();
    let bounded = Policy { frames_per_layer: Some(3), hosts_per_layer: Some(1), ..policy() };
    let free = plan(&farm.0, &policy());
    let found = check(&farm.0, &bounded, &free);
    assert!(found.contains(&Violation::Bound { layer: "first".to_owned(), what: "frames" }));

    let found = violations(&policy(), &farm, |plan| {
        plan.placements[0].frames = 3;
        let obstacle = Obstacle::PassBound(Bound::Frames(3));
        plan.waiting.insert(0, Waiting { layer: LayerIx(0), frames: 1, obstacle });
    });
    assert!(found.iter().any(|v| matches!(v, Violation::Reason { given: Reason::PassBound, .. })), "{found:?}");
}
