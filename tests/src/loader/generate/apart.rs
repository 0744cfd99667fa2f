//! Pools that have nothing in common but what they must: each allocation has hosts and jobs of its own. Shows may be shared by
//! all pools or be one for each, so that what replicas share by nature can be told from what they get in each other's way.

use super::super::amount::{Cores, Memory};
use super::super::description::{
    AllocationDescription, FacilityDescription, FarmDescription, HostGroup, JobDescription, LayerDescription,
    ShowDescription, SubscriptionDescription,
};

/// The parameters.
#[derive(Clone, Debug)]
pub struct ApartShape {
    /// Of ids.
    pub seed: u64,
    /// Number of allocations.
    pub pools: usize,
    /// Number of shows: a pool's jobs are all of one of them.
    pub shows: usize,
    /// Hosts of each pool, with 64 cores each.
    pub hosts_per_pool: u32,
    /// Jobs of each pool, with four layers of five frames of one core.
    pub jobs_per_pool: usize,
}

impl ApartShape {
    /// How many frames wait.
    pub fn frames(&self) -> usize {
        self.pools * self.jobs_per_pool * 20
    }
}

/// The farm: one facility, managed shows with a subscription to each allocation.
pub fn apart(shape: &ApartShape) -> FarmDescription {
    let allocations: Vec<String> = (0..shape.pools).map(|n| format!("apart_a{n}")).collect();
    let show = |n: usize| format!("apart_show{}", n % shape.shows.max(1));
    let subscription = |allocation: &String| SubscriptionDescription {
        allocation: allocation.clone(),
        size: Cores::whole(90_000),
        burst: Cores::whole(90_000),
    };
    let hosts = |allocation: &String| HostGroup {
        allocation: allocation.clone(),
        count: shape.hosts_per_pool,
        cores: Cores::whole(64),
        memory: Memory::gib(256),
        hostname_tag: false,
        ..HostGroup::default()
    };
    let job = |n: usize| {
        let name = format!("apart_j{n}");
        let layer = |at: usize| LayerDescription {
            name: format!("{name}_l{at}"),
            range: "1-5".to_owned(),
            tags: vec![allocations[n % shape.pools].clone()],
            ..LayerDescription::default()
        };
        JobDescription {
            show: show(n % shape.pools),
            max_cores: Cores::whole(100_000),
            layers: (0..4).map(layer).collect(),
            name,
            ..JobDescription::default()
        }
    };
    FarmDescription {
        seed: shape.seed,
        shows: (0..shape.shows)
            .map(|n| ShowDescription {
                name: show(n),
                subscriptions: allocations.iter().map(subscription).collect(),
                ..ShowDescription::default()
            })
            .collect(),
        hosts: allocations.iter().map(hosts).collect(),
        jobs: (0..shape.pools * shape.jobs_per_pool).map(job).collect(),
        facilities: vec![FacilityDescription {
            name: "apart".to_owned(),
            allocations: allocations
                .iter()
                .map(|name| AllocationDescription { name: name.clone(), ..AllocationDescription::default() })
                .collect(),
        }],
        ..FarmDescription::default()
    }
}
