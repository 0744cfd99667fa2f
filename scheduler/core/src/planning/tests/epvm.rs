//! The E-PVM strategy as a studio sees it: which host gets the work.

use crate::domain::amount::{Centicores, Gpus, Kb};
use crate::planning::epvm::{Epvm, Weights};
use crate::planning::score::Strategy;
use crate::planning::{Policy, plan};
use crate::test_farm::{Farm, amounts, at_most, policy, weights};

fn epvm(max_candidates: u32, weights: Weights) -> Policy {
    Policy { strategy: Strategy::Epvm(Epvm { max_candidates, weights }), ..policy() }
}

/// Gigabytes of 10⁹ bytes.
fn gb(gb: i64) -> Kb {
    Kb(gb * 1_000_000_000 / 1024)
}

/// Four hosts, and a layer of frames with 4 cores and 8 GB: the published example.
fn example(frames: u32) -> Farm {
    let mut farm = Farm::new();
    for (name, cores, memory, gpus, gpu_memory) in
        [("A", 32, 96, 0, 0), ("B", 24, 48, 0, 0), ("C", 16, 36, 0, 0), ("D", 24, 48, 2, 48)]
    {
        let host = farm.host(name, cores, 0);
        host.total.memory = gb(memory);
        host.total.gpus = Gpus(gpus);
        host.total.gpu_memory = gb(gpu_memory);
        host.idle = host.total;
    }
    let job = farm.job("job", 50);
    let layer = farm.layer(job, "layer", 4, 0, frames);
    layer.memory = gb(8);
    // Else later frames get more, as memory runs down.
    layer.cores_max = Some(Centicores::cores(4));
    farm
}

/// The hosts in the order in which they are filled.
fn order(farm: &Farm, policy: &Policy) -> String {
    let mut names = String::new();
    for (_, host, ..) in farm.plan_by(policy).booked() {
        if !names.ends_with(host) {
            names += host;
        }
    }
    names
}

#[test]
fn hosts_are_filled_in_the_order_of_the_published_example() {
    let policy = epvm(20, weights());
    assert_eq!(order(&example(100), &policy), "BCAD");

    let mut capped = example(100);
    capped.0.jobs[0].cores = at_most(2_000);
    capped.0.jobs[0].cores.used = 800;
    assert_eq!(order(&capped, &policy), "C", "with three frames left under a cap a smaller host wins");
}

#[test]
fn a_plan_tells_the_score_of_the_host_when_it_was_chosen() {
    let placements = plan(&example(100).0, &epvm(20, weights())).placements;
    let scores: Vec<f64> = placements.iter().filter_map(|placement| Some(placement.score?.0)).collect();
    for (score, wanted) in scores.iter().zip([0.0, 0.5, 4.0, 100.0]) {
        assert!((score - wanted).abs() < 1e-5, "{scores:?}");
    }
    assert_eq!((scores.len(), placements.len()), (4, 4));
    assert!(plan(&example(9).0, &policy()).placements.iter().all(|placed| placed.score.is_none()));
}

#[test]
fn few_frames_are_given_to_a_host_that_they_fill() {
    for (frames, host) in [(4, "C"), (6, "B")] {
        assert_eq!(order(&example(frames), &epvm(20, weights())), host, "{frames} frames");
    }
}

#[test]
fn every_cap_counts_not_just_the_jobs() {
    type Edit = fn(&mut Farm);
    let caps: [Edit; 3] = [
        |farm| farm.0.subscriptions[0].cores = at_most(1_200),
        |farm| farm.0.folders[0].cores = at_most(1_200),
        |farm| {
            let limit = farm.limit("limit", 3);
            farm.0.layers[0].limits = vec![limit];
        },
    ];
    for edit in caps {
        let mut farm = example(100);
        edit(&mut farm);
        assert_eq!(order(&farm, &epvm(20, weights())), "C");
    }
}

#[test]
fn the_size_that_counts_is_the_one_that_is_reserved() {
    // One frame of 1 core and 8 GiB takes 4 cores of the first host, and leaves nothing; of the second it takes one.
    let mut farm = Farm::new();
    farm.host("a-exact", 4, 10).total.cores = Centicores::cores(4);
    farm.host("b-minimum-exact", 1, 10).total.cores = Centicores::cores(1);
    farm.host("c-wide", 16, 40);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 8, 1);
    let outcome = farm.plan_by(&epvm(20, Weights { memory: 0.0, ..weights() }));
    assert_eq!(outcome.booked(), [("layer", "b-minimum-exact", 1, 1)]);
    farm.0.hosts.remove(1);
    assert_eq!(
        farm.plan_by(&epvm(20, Weights { memory: 0.0, ..weights() })).booked(),
        [("layer", "a-exact", 4, 1)],
        "three cores would be left over if the minimum were what counts"
    );
}

#[test]
fn candidates_are_taken_from_all_numbers_of_idle_cores_and_not_only_from_the_fewest() {
    let mut farm = Farm::new();
    for at in 0..40 {
        farm.host(&format!("poor-{at:02}"), 5, 64);
    }
    farm.host("perfect", 32, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 4, 8, 8).cores_max = Some(Centicores::cores(4));
    assert_eq!(order(&farm, &epvm(4, weights())), "perfect");
}

#[test]
fn of_hosts_with_equally_many_idle_cores_those_with_fitting_memory_are_candidates_first() {
    let mut farm = Farm::new();
    for at in 0..40 {
        farm.host(&format!("poor-{at:02}"), 8, 9);
        farm.host(&format!("rich-{at:02}"), 8, 200);
    }
    farm.host("perfect", 8, 32);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 2, 8, 4).cores_max = Some(Centicores::cores(2));
    assert_eq!(farm.plan_by(&epvm(1, weights())).booked(), [("layer", "perfect", 2, 4)]);
}

#[test]
fn no_candidates_at_all_count_as_one() {
    let mut farm = Farm::new();
    farm.host("host", 8, 32);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 2, 8, 4).cores_max = Some(Centicores::cores(2));
    assert_eq!(farm.plan_by(&epvm(0, weights())).booked(), [("layer", "host", 2, 4)]);
}

#[test]
fn gpu_hosts_are_taken_by_other_work_only_where_the_weights_say_so() {
    let mut farm = Farm::new();
    let host = farm.host("a-gpu", 8, 32);
    host.total.gpus = Gpus(1);
    host.idle.gpus = Gpus(1);
    farm.host("b-worse", 8, 64).idle = amounts(8, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 2, 8, 4).cores_max = Some(Centicores::cores(2));
    assert_eq!(order(&farm, &epvm(9, Weights { gpu_count_reservation: 5.0, ..weights() })), "b-worse");
    assert_eq!(order(&farm, &epvm(9, Weights { gpu_count_reservation: 0.0, ..weights() })), "a-gpu");
}
