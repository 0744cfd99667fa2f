//! Bounds of the configuration on a pass.

use crate::planning::{Policy, plan};
use crate::reason::{Bound, Obstacle, Reason};
use crate::snapshot::{Given, SubscriptionIx};
use crate::test_farm::{Farm, policy};

fn jobs(most: u32) -> Policy {
    Policy { jobs_per_show: Some(most), ..policy() }
}

/// Three jobs with two layers each, the first of the highest priority, and room for all.
fn farm() -> Farm {
    let mut farm = Farm::new();
    farm.host("host", 32, 64);
    for (name, priority) in [("c", 90), ("b", 50), ("a", 10)] {
        let job = farm.job(name, priority);
        farm.layer(job, &format!("{name}1"), 1, 1, 1);
        farm.layer(job, &format!("{name}2"), 1, 1, 1);
    }
    farm
}

fn served(farm: &Farm, policy: &Policy) -> Vec<String> {
    farm.plan_by(policy).booked().iter().map(|(layer, ..)| (*layer).to_owned()).collect()
}

#[test]
fn so_many_jobs_of_a_show_get_frames_those_of_the_highest_priority() {
    assert_eq!(served(&farm(), &jobs(2)), ["c1", "c2", "b1", "b2"]);
    let outcome = farm().plan_by(&jobs(2));
    assert_eq!(outcome.waiting(), [("a1", 1, Reason::PassBound), ("a2", 1, Reason::PassBound)]);
    assert_eq!(outcome.waiting[0].2, Obstacle::PassBound(Bound::Jobs(2)));
    assert_eq!(served(&farm(), &jobs(0)), Vec::<String>::new());
    assert_eq!(served(&farm(), &jobs(3)).len(), 6);
}

#[test]
fn jobs_that_find_no_host_do_not_count() {
    let mut farm = farm();
    for layer in &mut farm.0.layers[..2] {
        layer.tags = vec!["nowhere".into()];
    }
    assert_eq!(served(&farm, &jobs(1)), ["b1", "b2"]);
}

#[test]
fn each_show_has_its_own_bound() {
    let mut farm = farm();
    let mut other = farm.0.subscriptions[0].clone();
    other.show = "other".into();
    farm.0.subscriptions.push(other);
    farm.0.jobs[2].subscription = SubscriptionIx(1);
    assert_eq!(served(&farm, &jobs(1)), ["c1", "c2", "a1", "a2"]);
}

#[test]
fn what_earlier_rounds_of_the_pass_gave_counts() {
    let mut farm = farm();
    farm.0.layers[4].given = Given { frames: 1, hosts: 1 };
    assert_eq!(served(&farm, &jobs(2)), ["c1", "c2", "a1", "a2"]);

    let both = Policy { frames_per_layer: Some(3), hosts_per_layer: Some(2), ..policy() };
    for (given, frames) in [
        (Given { frames: 0, hosts: 0 }, 3),
        (Given { frames: 2, hosts: 1 }, 1),
        (Given { frames: 3, hosts: 1 }, 0),
        (Given { frames: 1, hosts: 2 }, 0),
    ] {
        let mut farm = Farm::new();
        farm.host("host", 32, 64);
        let job = farm.job("job", 50);
        farm.layer(job, "layer", 1, 1, 9).given = given;
        let planned: u32 = plan(&farm.0, &both).placements.iter().map(|placement| placement.frames).sum();
        assert_eq!(planned, frames, "{given:?}");
        assert_eq!(farm.plan_by(&both).waiting(), [("layer", 9 - frames, Reason::PassBound)]);
    }
}
