//! The numbers behind reasons: what was wanted, what was there, who came nearest.

use proptest::prelude::*;

use crate::domain::amount::{Centicores, Frames, Gpus, Kb};
use crate::domain::cap::{Budget, Cap};
use crate::domain::request::{CoreRequest, ThreadMode};
use crate::planning::{Policy, plan};
use crate::reason::{Bound, Full, Lack, Nearest, Obstacle, Short};
use crate::snapshot::{Host, Snapshot};
use crate::test_farm::{Farm, GIB, amounts, any_farm, any_policy, applied, at_most, policy};

/// An 8-core and a 16-core host with 32 GiB each, and a layer of two frames of 2 cores.
fn farm() -> Farm {
    let mut farm = Farm::new();
    farm.host("eight", 8, 32);
    farm.host("sixteen", 16, 32);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 2, 1, 2);
    farm
}

fn used(cap: i64, used: i64) -> Budget {
    Budget { cap: Cap::AtMost(cap), used }
}

fn nearest(host: &str, lack: Lack) -> Nearest {
    Nearest { host: host.into(), lack }
}

fn cores(wanted: i64, used: i64, most: i64) -> Full<Centicores> {
    Full { wanted: Centicores(wanted), used: Centicores(used), most: Centicores(most) }
}

type Edit = fn(&mut Farm);

#[test]
fn an_obstacle_says_what_was_wanted_what_was_there_and_who_came_nearest() {
    let cases: [(Edit, Obstacle); 18] = [
        (|farm| farm.0.subscriptions[0].cores = at_most(0), Obstacle::SubscriptionFrozen),
        (|farm| farm.0.subscriptions[0].cores = used(1000, 801), Obstacle::SubscriptionFull(cores(200, 801, 1000))),
        (|farm| farm.0.folders[0].cores = used(100, 400), Obstacle::FolderCores(cores(200, 400, 100))),
        (
            |farm| farm.0.folders[0].gpus = used(2, 3),
            Obstacle::FolderGpus(Full { wanted: Gpus(0), used: Gpus(3), most: Gpus(2) }),
        ),
        // The first frame is planned, and counts.
        (|farm| farm.0.jobs[0].cores = at_most(300), Obstacle::JobCores(cores(200, 200, 300))),
        (
            |farm| {
                farm.0.layers[0].gpus = Gpus(1);
                farm.0.jobs[0].gpus = at_most(0);
            },
            Obstacle::JobGpus(Full { wanted: Gpus(1), used: Gpus(0), most: Gpus(0) }),
        ),
        (
            |farm| {
                let (full, fuller) = (farm.limit("full", 0), farm.limit("fuller", 3));
                farm.0.limits[1].running.used = 5;
                farm.0.layers[0].limits = vec![full, fuller];
            },
            Obstacle::Limit {
                name: "fuller".into(),
                frames: Full { wanted: Frames(1), used: Frames(5), most: Frames(3) },
            },
        ),
        (|farm| farm.0.layers[0].tags = vec!["nowhere".into()], Obstacle::NoHostWithTag { hosts: 2 }),
        (|farm| farm.0.jobs[0].os = Some("windows".into()), Obstacle::NoHostWithOs { hosts: 2, os: "windows".into() }),
        (
            |farm| {
                farm.0.layers[0].threadable = false;
                farm.0.hosts.iter_mut().for_each(|host| host.thread_mode = ThreadMode::All);
            },
            Obstacle::NoHostForUnthreaded { hosts: 2 },
        ),
        (
            |farm| farm.0.layers[0].memory = Kb(33 * GIB),
            Obstacle::NoHostLargeEnough {
                hosts: 2,
                nearest: Some(nearest("sixteen", Lack::Memory(Short { wanted: Kb(33 * GIB), had: Kb(32 * GIB) }))),
            },
        ),
        (
            |farm| farm.0.layers[0].memory = Kb(-1),
            Obstacle::NoHostLargeEnough { hosts: 2, nearest: Some(nearest("sixteen", Lack::BelowZero)) },
        ),
        (
            |farm| {
                farm.0.layers[0].cores = CoreRequest::from_column(1200);
                farm.0.hosts[0].idle = amounts(8, 32);
                farm.0.hosts[1].idle = amounts(11, 32);
            },
            Obstacle::HostsBusy {
                hosts: 2,
                nearest: Some(nearest(
                    "sixteen",
                    Lack::Cores(Short { wanted: Centicores(1200), had: Centicores(1100) }),
                )),
            },
        ),
        (
            |farm| {
                farm.0.layers[0].memory = Kb(8 * GIB);
                farm.0.hosts[0].idle = amounts(8, 6);
                farm.0.hosts[1].idle = amounts(16, 5);
            },
            Obstacle::HostsBusy {
                hosts: 2,
                nearest: Some(nearest("eight", Lack::Memory(Short { wanted: Kb(8 * GIB), had: Kb(6 * GIB) }))),
            },
        ),
        (
            |farm| {
                farm.0.layers[0].cores = CoreRequest::WholeHost;
                farm.0.hosts[0].idle = amounts(7, 32);
                farm.0.hosts[1].idle = amounts(15, 32);
            },
            Obstacle::HostsBusy {
                hosts: 2,
                nearest: Some(nearest(
                    "sixteen",
                    Lack::WholeHost(Short { wanted: Centicores(1600), had: Centicores(1500) }),
                )),
            },
        ),
        (
            |farm| farm.0.hosts.iter_mut().for_each(|host| host.idle = amounts(0, 32)),
            Obstacle::HostsBusy { hosts: 2, nearest: None },
        ),
        (
            |farm| {
                farm.0.paused = farm.0.hosts.split_off(1);
                farm.0.hosts[0].idle = amounts(1, 32);
            },
            Obstacle::HostsQuarantined { hosts: 1, host: "sixteen".into() },
        ),
        (
            |farm| {
                farm.0.paused = std::mem::take(&mut farm.0.hosts);
                farm.0.paused.iter_mut().for_each(|host| host.idle = amounts(0, 0));
            },
            Obstacle::HostsQuarantined { hosts: 2, host: "eight".into() },
        ),
    ];
    for (at, (edit, obstacle)) in cases.into_iter().enumerate() {
        let mut farm = farm();
        edit(&mut farm);
        let waiting: Vec<_> = farm.plan().waiting.into_iter().map(|(_, _, obstacle)| obstacle).collect();
        assert_eq!(waiting, [obstacle], "case {at}");
    }
}

#[test]
fn a_bound_of_the_configuration_is_named_with_its_number() {
    let mut farm = farm();
    farm.0.layers[0].waiting = 10;
    let bounded = |frames, hosts| Policy { frames_per_layer: frames, hosts_per_layer: hosts, ..policy() };
    for (policy, bound) in [(bounded(Some(3), None), Bound::Frames(3)), (bounded(None, Some(1)), Bound::Hosts(1))] {
        assert_eq!(farm.plan_by(&policy).waiting[0].2, Obstacle::PassBound(bound));
    }
}

#[test]
fn a_paused_host_is_the_reason_only_where_it_would_help() {
    let mut farm = farm();
    farm.0.hosts.iter_mut().for_each(|host| host.idle = amounts(1, 32));
    let mut small = farm.0.hosts[0].clone();
    small.name = "small".into();
    farm.0.paused = vec![small];
    assert!(matches!(farm.plan().waiting[0].2, Obstacle::HostsBusy { .. }), "it is as busy as the others");
    farm.0.paused[0].idle = amounts(8, 32);
    assert!(matches!(farm.plan().waiting[0].2, Obstacle::HostsQuarantined { hosts: 1, .. }));
    farm.0.jobs[0].cores = at_most(0);
    assert!(matches!(farm.plan().waiting[0].2, Obstacle::JobCores(_)), "a cap is in the way of any host");
}

fn is_full<U: Copy>(full: Full<U>, number: fn(U) -> i64) -> bool {
    i128::from(number(full.used)) + i128::from(number(full.wanted)) > i128::from(number(full.most))
}

/// Whether a host really has what the lack says, and less than is wanted.
fn is_true(lack: Lack, has: &Host) -> bool {
    match lack {
        Lack::Cores(short) => short.had < short.wanted && short.had == has.idle.cores.round_down(),
        Lack::WholeHost(short) => short.had < short.wanted && short.had == has.idle.cores,
        Lack::Memory(short) => short.had < short.wanted && short.had == has.idle.memory,
        Lack::Gpus(short) => short.had < short.wanted && short.had == has.idle.gpus,
        Lack::GpuMemory(short) => short.had < short.wanted && short.had == has.idle.gpu_memory,
        Lack::BelowZero => true,
    }
}

fn consistent(after: &Snapshot, obstacle: &Obstacle) -> bool {
    let near = |hosts: u32, nearest: &Option<Nearest>, state: fn(&Host) -> Host| {
        let named = nearest.as_ref().map(|nearest| {
            let host = after.hosts.iter().find(|host| host.name == nearest.host);
            host.is_some_and(|host| is_true(nearest.lack, &state(host)))
        });
        (1..=after.hosts.len()).contains(&(hosts as usize)) && named.unwrap_or(true)
    };
    match obstacle {
        Obstacle::SubscriptionFull(full) | Obstacle::FolderCores(full) | Obstacle::JobCores(full) => {
            is_full(*full, |n| n.0) && full.wanted.0 > 0
        }
        Obstacle::FolderGpus(full) | Obstacle::JobGpus(full) => is_full(*full, |n| n.0),
        Obstacle::Limit { name, frames } => {
            let limit = after.limits.iter().find(|limit| limit.name == *name);
            is_full(*frames, |n| n.0) && limit.is_some_and(|limit| limit.running.used >= frames.used.0)
        }
        Obstacle::HostLimit { name, hosts } => {
            let limit = after.limits.iter().find(|limit| limit.name == *name);
            is_full(*hosts, |n| n.0) && limit.is_some_and(|limit| limit.running.used >= hosts.used.0)
        }
        Obstacle::NoHostWithTag { hosts } => *hosts as usize == after.hosts.len(),
        Obstacle::NoHostWithOs { hosts, .. } | Obstacle::NoHostForUnthreaded { hosts } => {
            (1..=after.hosts.len()).contains(&(*hosts as usize))
        }
        Obstacle::NoHostLargeEnough { hosts, nearest } => {
            nearest.is_some() && near(*hosts, nearest, |host| Host { idle: host.total, ..host.clone() })
        }
        Obstacle::HostsBusy { hosts, nearest } => near(*hosts, nearest, Host::clone),
        Obstacle::HostsQuarantined { hosts, host } => {
            *hosts >= 1 && after.paused.iter().any(|paused| paused.name == *host)
        }
        Obstacle::SubscriptionFrozen | Obstacle::PassBound(_) => true,
        Obstacle::Unbuildable { .. } | Obstacle::Refused { .. } => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn each_layer_left_waiting_has_one_obstacle_and_its_numbers_are_true_after_the_plan(
        mut farm in any_farm(),
        policy in any_policy(),
    ) {
        // What a host claims beyond its total is not believed, nor shown.
        for host in &mut farm.hosts {
            host.idle.gpus = host.idle.gpus.min(host.total.gpus);
        }
        let plan = plan(&farm, &policy);
        let after = applied(&farm, &plan);
        for (at, layer) in after.layers.iter().enumerate() {
            let obstacles = plan.waiting.iter().filter(|w| w.layer.0 as usize == at);
            prop_assert_eq!(obstacles.count(), usize::from(layer.waiting > 0));
        }
        for waiting in &plan.waiting {
            prop_assert!(consistent(&after, &waiting.obstacle), "{:?}", waiting);
        }
    }
}
