//! The simulated hosts of a described farm.

use std::net::Ipv4Addr;

use anyhow::ensure;

use crate::farm_sim::HostSet;
use crate::loader::FIRST_ADDRESS;
use crate::loader::description::FarmDescription;

/// As the loader names them: a group without an address follows the one before.
pub fn simulated(farm: &FarmDescription) -> anyhow::Result<Vec<HostSet>> {
    let mut next = u32::from(FIRST_ADDRESS);
    farm.hosts
        .iter()
        .map(|group| {
            ensure!(
                group.names.is_empty(),
                "hosts with names of their own, such as {}, can't be simulated",
                group.names[0]
            );
            let first = group.first_address.map_or(next, u32::from);
            next = first.saturating_add(group.count);
            let of_allocation = farm
                .facilities
                .iter()
                .find(|facility| facility.allocations.iter().any(|allocation| allocation.name == group.allocation));
            Ok(HostSet {
                first: Ipv4Addr::from(first),
                count: group.count,
                cores: u32::try_from(group.cores.to_centicores() / 100)?,
                memory_kb: u64::try_from(group.memory.to_kib())?,
                gpus: u32::try_from(group.gpus)?,
                gpu_memory_kb: u64::try_from(group.gpu_memory.to_kib())?,
                os: group.os.clone(),
                facility: of_allocation.map(|facility| facility.name.clone()).unwrap_or_default(),
                tags: group.hardware_tags.clone(),
            })
        })
        .collect()
}
