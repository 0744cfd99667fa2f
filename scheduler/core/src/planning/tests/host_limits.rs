//! Limits that count hosts instead of frames.

use std::collections::BTreeSet;

use crate::domain::amount::Hosts;
use crate::domain::cap::{Budget, Cap};
use crate::planning::epvm::Epvm;
use crate::planning::score::Strategy;
use crate::planning::{Policy, check, plan};
use crate::reason::{Full, Obstacle, Reason};
use crate::snapshot::{Counted, HostIx, LimitIx};
use crate::test_farm::{Farm, at_most, policy, weights};

/// Three hosts of 4 cores, and a layer of frames of one core under a limit of `most` hosts that `holders` use.
fn farm(most: i64, holders: &[&str], frames: u32) -> Farm {
    let mut farm = Farm::new();
    for name in ["a", "b", "c"] {
        farm.host(name, 4, 64);
    }
    let limit = host_limit(&mut farm, "seats", most, holders);
    let job = farm.job("job", 50);
    let layer = farm.layer(job, "layer", 1, 1, frames);
    layer.threadable = false;
    layer.limits = vec![limit];
    farm
}

fn host_limit(farm: &mut Farm, name: &str, most: i64, holders: &[&str]) -> LimitIx {
    let at = farm.limit(name, most);
    let limit = &mut farm.0.limits[at.0 as usize];
    limit.running = Budget { cap: Cap::AtMost(most), used: holders.len() as i64 };
    limit.counted = Counted::Hosts(holders.iter().map(|name| (*name).into()).collect());
    at
}

fn hosts(farm: &Farm) -> Vec<(String, u32)> {
    farm.plan().booked().iter().map(|(_, host, _, frames)| ((*host).to_owned(), *frames)).collect()
}

fn of(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
    pairs.iter().map(|(host, frames)| ((*host).to_owned(), *frames)).collect()
}

#[test]
fn a_seat_is_taken_once_a_host_however_many_frames_run_there() {
    let farm = farm(2, &[], 12);
    assert_eq!(hosts(&farm), of(&[("a", 4), ("b", 4)]));
    let outcome = farm.plan();
    assert_eq!(outcome.waiting(), [("layer", 4, Reason::Limit)]);
    let hosts = Full { wanted: Hosts(1), used: Hosts(2), most: Hosts(2) };
    assert_eq!(outcome.waiting[0].2, Obstacle::HostLimit { name: "seats".into(), hosts });
}

#[test]
fn hosts_that_hold_a_seat_are_taken_first_and_when_none_is_left_they_are_the_only_ones() {
    assert_eq!(hosts(&farm(2, &["c"], 6)), of(&[("c", 4), ("a", 2)]));
    assert_eq!(hosts(&farm(1, &["c"], 6)), of(&[("c", 4)]));
    assert_eq!(hosts(&farm(0, &["c"], 6)), of(&[("c", 4)]), "a limit that was lowered takes no seat away");
    assert_eq!(hosts(&farm(2, &["in another pool", "and another"], 6)), of(&[]));
}

#[test]
fn a_seat_that_one_layer_takes_serves_the_next_as_well() {
    let mut farm = farm(1, &[], 2);
    let job = farm.job("later", 10);
    let layer = farm.layer(job, "second", 1, 1, 6);
    layer.threadable = false;
    layer.limits = vec![LimitIx(0)];
    let outcome = farm.plan();
    assert_eq!(outcome.booked(), [("layer", "a", 1, 2), ("second", "a", 1, 2)]);
    assert_eq!(outcome.waiting(), [("second", 4, Reason::Limit)]);
}

#[test]
fn all_limits_of_a_layer_must_have_room_whatever_they_count() {
    let mut farm = farm(5, &["a", "b"], 12);
    let other = host_limit(&mut farm, "full", 2, &["b", "c"]);
    let frames = farm.limit("frames", 3);
    farm.0.layers[0].limits.extend([other, frames]);
    let outcome = farm.plan();
    assert_eq!(outcome.booked(), [("layer", "b", 1, 3)], "the host with both seats, as far as frames go");
    assert_eq!(outcome.waiting(), [("layer", 9, Reason::Limit)]);

    farm.0.limits[2].running = at_most(100);
    assert_eq!(hosts(&farm), of(&[("b", 4), ("c", 4)]), "then the one that holds the seat of the full one");

    let mut apart = self::farm(1, &["a"], 4);
    let other = host_limit(&mut apart, "other", 1, &["b"]);
    apart.0.layers[0].limits.push(other);
    assert_eq!(apart.plan().waiting(), [("layer", 4, Reason::Limit)], "no host holds both");
}

#[test]
fn with_scores_seats_go_first_too() {
    let policy = Policy { strategy: Strategy::Epvm(Epvm { max_candidates: 9, weights: weights() }), ..policy() };
    let farm = farm(2, &["c"], 12);
    let outcome = farm.plan_by(&policy);
    let booked: Vec<_> = outcome.booked().iter().map(|(_, host, ..)| (*host).to_owned()).collect();
    assert_eq!(booked, ["c", "a"]);
    assert!(plan(&farm.0, &policy).placements.iter().all(|placement| placement.score.is_some()));
}

#[test]
fn the_checker_sees_a_host_without_a_seat() {
    let farm = farm(1, &["c"], 4);
    let mut wrong = plan(&farm.0, &policy());
    assert_eq!(check(&farm.0, &policy(), &wrong), []);
    wrong.placements[0].host = HostIx(0);
    assert_ne!(check(&farm.0, &policy(), &wrong), []);
    let unlimited = BTreeSet::from(["a".into(), "c".into()]);
    let mut right = farm;
    right.0.limits[0].counted = Counted::Hosts(unlimited);
    assert_eq!(check(&right.0, &policy(), &wrong), []);
}
