//! What holds for every farm.

use proptest::prelude::*;

use crate::planning::{Plan, Policy, Violation, check, plan};
use crate::reason::Reason;
use crate::snapshot::{Layer, Snapshot};
use crate::test_farm::{Outcome, any_farm, any_policy, applied, planned, shuffled};

/// Everything by which the planner could tell two layers apart, but their place in the order.
fn same_profile(snapshot: &Snapshot, one: &Layer, other: &Layer) -> bool {
    let key = |layer: &Layer| {
        let mut layer = layer.clone();
        layer.tags.sort();
        layer.limits.sort();
        layer.limits.dedup();
        let job = &snapshot[layer.job];
        format!(
            "{:?}",
            (
                (layer.job, &job.os, &layer.tags, &layer.limits, &layer.services),
                (layer.cores, layer.cores_max, layer.threadable),
                (layer.memory, layer.gpus, layer.gpu_memory),
            )
        )
    };
    key(one) == key(other)
}

/// A farm with many layers of few profiles, so that equal ones compete.
fn crowded_farm() -> impl Strategy<Value = Snapshot> {
    any_farm().prop_map(|mut farm| {
        if let Some(model) = farm.layers.first().cloned() {
            for (at, layer) in farm.layers.iter_mut().enumerate().filter(|(at, _)| at % 2 == 0) {
                *layer = Layer { id: format!("{at}").as_str().into(), dispatch_order: at as i64 % 3, ..model.clone() };
            }
        }
        farm
    })
}

fn unbounded(policy: Policy) -> Policy {
    Policy { frames_per_layer: None, hosts_per_layer: None, jobs_per_show: None, ..policy }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Caps, idle resources, gates, sizes, bounds, sums, order and reasons, as the checker verifies them.
    #[test]
    fn the_checker_finds_nothing_wrong(farm in any_farm(), policy in any_policy()) {
        let plan = plan(&farm, &policy);
        prop_assert_eq!(check(&farm, &policy, &plan), Vec::<Violation>::new());
    }

    /// Stated apart from the checker, since the scheduler stands on it.
    #[test]
    fn nothing_is_taken_that_is_not_there(farm in any_farm(), policy in any_policy()) {
        let plan = plan(&farm, &policy);
        let after = applied(&farm, &plan);
        for (before, after) in farm.hosts.iter().zip(&after.hosts) {
            let touched = before.idle != after.idle;
            prop_assert!(!touched || crate::domain::amount::Resources::default().fits(&after.idle));
        }
        let budgets = |of: &Snapshot| {
            let mut all: Vec<_> = of.subscriptions.iter().map(|s| s.cores).collect();
            all.extend(of.folders.iter().flat_map(|folder| [folder.cores, folder.gpus]));
            all.extend(of.jobs.iter().flat_map(|job| [job.cores, job.gpus]));
            all.extend(of.limits.iter().map(|limit| limit.running));
            all
        };
        for (before, after) in budgets(&farm).into_iter().zip(budgets(&after)) {
            prop_assert!(before.used == after.used || after.allows(0));
        }
    }

    #[test]
    fn every_frame_is_planned_or_waits_and_none_does_both(
        farm in any_farm(),
        policy in any_policy(),
    ) {
        let plan = plan(&farm, &policy);
        let mut sums = planned(&plan);
        for waiting in &plan.waiting {
            *sums.entry(waiting.layer).or_default() += u64::from(waiting.frames);
        }
        for (at, layer) in farm.layers.iter().enumerate() {
            let sum = sums.remove(&crate::snapshot::LayerIx(at as u32)).unwrap_or(0);
            prop_assert_eq!(sum, u64::from(layer.waiting));
        }
        prop_assert!(sums.is_empty());
    }

    #[test]
    fn the_order_of_the_snapshots_lists_changes_nothing(
        farm in any_farm(),
        policy in any_policy(),
        seed in 0..1_000_u64,
    ) {
        let other = shuffled(&farm, seed);
        prop_assert_eq!(
            Outcome::of(&farm, &plan(&farm, &policy)),
            Outcome::of(&other, &plan(&other, &policy))
        );
    }

    #[test]
    fn a_second_pass_over_the_outcome_books_nothing(farm in any_farm(), policy in any_policy()) {
        let policy = unbounded(policy);
        let first = plan(&farm, &policy);
        let second = plan(&applied(&farm, &first), &policy);
        prop_assert_eq!(second.placements, Vec::new());
        prop_assert_eq!(
            second.waiting.iter().map(|w| (w.layer, w.frames)).collect::<Vec<_>>(),
            first.waiting.iter().map(|w| (w.layer, w.frames)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn no_later_layer_of_the_same_profile_gets_a_host_while_an_earlier_one_finds_all_busy(
        farm in crowded_farm(),
        policy in any_policy(),
    ) {
        let plan = plan(&farm, &policy);
        let rank = |at| crate::planning::order::rank(&farm, at);
        for waiting in plan.waiting.iter().filter(|w| w.reason() == Reason::HostsBusy) {
            for placement in &plan.placements {
                prop_assert!(
                    rank(placement.layer) <= rank(waiting.layer)
                        || !same_profile(&farm, &farm[waiting.layer], &farm[placement.layer])
                );
            }
        }
    }

    #[test]
    fn absurd_amounts_give_no_panic_and_a_plan_that_the_checker_accepts(
        mut farm in any_farm(),
        amounts in prop::collection::vec(
            prop_oneof![
                Just(i64::MIN), Just(i64::MIN + 1), Just(-1), Just(0), Just(1), Just(99),
                Just(i64::MAX - 1), Just(i64::MAX), any::<i64>(),
            ],
            64,
        ),
    ) {
        use crate::domain::request::CoreRequest;
        let mut amounts = amounts.into_iter().cycle();
        let mut next = || amounts.next().unwrap_or(0);
        for host in &mut farm.hosts {
            host.total.cores.0 = next();
            host.idle.memory.0 = next();
            host.idle.cores.0 = next();
            host.total.memory.0 = next();
            host.idle.gpus.0 = next();
        }
        for layer in &mut farm.layers {
            layer.cores = CoreRequest::from_column(next());
            layer.memory.0 = next();
            layer.gpus.0 = next();
            layer.cores_max = Some(crate::domain::amount::Centicores(next()));
            layer.waiting = next() as u32;
        }
        for job in &mut farm.jobs {
            job.cores.used = next();
            job.gpus.used = next();
        }
        let policy = crate::test_farm::policy();
        let plan: Plan = plan(&farm, &policy);
        prop_assert_eq!(check(&farm, &policy, &plan), Vec::<Violation>::new());
    }
}
