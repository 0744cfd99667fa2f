//! Hosts with their statistics and tags.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, bail};
use sqlx::PgConnection;

use super::description::HostGroup;
use super::places::{Allocation, Places};
use super::seeded::Ids;

/// The first address given out when a group names none: far from 127.0.0.1, on which other programs listen.
pub(crate) const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 16, 0, 1);

/// The last address of loopback; a broadcast address, which can't be dialled.
const LAST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// The most characters of `host.str_tags`, a copy of the tags for display that is left out when it does not fit.
const TAGS_COPY_LENGTH: usize = 128;

#[derive(Default)]
struct Rows {
    id: Vec<String>,
    alloc: Vec<String>,
    name: Vec<String>,
    lock_state: Vec<&'static str>,
    cores: Vec<i64>,
    memory: Vec<i64>,
    gpus: Vec<i64>,
    gpu_memory: Vec<i64>,
    thread_mode: Vec<i32>,
    tags: Vec<Option<String>>,
    os: Vec<String>,
    tag_id: Vec<String>,
    tag_host: Vec<String>,
    tag: Vec<String>,
    tag_kind: Vec<&'static str>,
}

/// Inserts them and gives their ids by name.
pub(super) async fn insert(
    connection: &mut PgConnection,
    groups: &[HostGroup],
    places: &Places,
    ids: Ids,
) -> anyhow::Result<BTreeMap<String, String>> {
    let rows = build(groups, places, ids)?;
    sqlx::query(include_str!("queries/insert_hosts.sql"))
        .bind(&rows.id)
        .bind(&rows.alloc)
        .bind(&rows.name)
        .bind(&rows.lock_state)
        .bind(&rows.cores)
        .bind(&rows.memory)
        .bind(&rows.gpus)
        .bind(&rows.gpu_memory)
        .bind(&rows.thread_mode)
        .bind(&rows.tags)
        .execute(&mut *connection)
        .await?;
    sqlx::query(include_str!("queries/insert_host_stats.sql"))
        .bind(&rows.id)
        .bind(&rows.memory)
        .bind(&rows.gpu_memory)
        .bind(&rows.os)
        .execute(&mut *connection)
        .await?;
    sqlx::query(include_str!("queries/insert_host_tags.sql"))
        .bind(&rows.tag_id)
        .bind(&rows.tag_host)
        .bind(&rows.tag)
        .bind(&rows.tag_kind)
        .execute(&mut *connection)
        .await?;
    Ok(rows.name.into_iter().zip(rows.id).collect())
}

fn build(groups: &[HostGroup], places: &Places, ids: Ids) -> anyhow::Result<Rows> {
    let mut rows = Rows::default();
    let mut next = u32::from(FIRST_ADDRESS);
    for group in groups {
        let allocation = places.allocation(&group.allocation)?;
        for name in names(group, &mut next)? {
            push(&mut rows, group, allocation, name, ids);
        }
    }
    Ok(rows)
}

fn names(group: &HostGroup, next: &mut u32) -> anyhow::Result<Vec<String>> {
    if !group.names.is_empty() {
        return Ok(group.names.clone());
    }
    let first = group.first_address.map_or(*next, u32::from);
    let last = first
        .checked_add(group.count.saturating_sub(1))
        .context("a range of host addresses ends after 255.255.255.255")?;
    if group.first_address.is_none() && Ipv4Addr::from(last) >= LAST_ADDRESS {
        bail!("there are more hosts than loopback addresses; give `first_address`");
    }
    *next = last.saturating_add(1);
    Ok((first..=last).take(group.count as usize).map(|address| Ipv4Addr::from(address).to_string()).collect())
}

fn push(rows: &mut Rows, group: &HostGroup, allocation: &Allocation, name: String, ids: Ids) {
    let id = ids.id("host", &[&name]);
    let mut tags: Vec<(&'static str, &str)> = Vec::new();
    if group.allocation_tag {
        tags.push(("ALLOC", &allocation.tag));
    }
    tags.extend(group.hardware_tags.iter().map(|tag| ("HARDWARE", tag.as_str())));
    if group.hostname_tag {
        tags.push(("HOSTNAME", &name));
    }
    tags.extend(group.manual_tags.iter().map(|tag| ("MANUAL", tag.as_str())));
    let copy = tags.iter().map(|(_, tag)| *tag).collect::<Vec<_>>().join(" ");
    for (kind, tag) in tags {
        rows.tag_id.push(ids.id("host_tag", &[&name, kind, tag]));
        rows.tag_host.push(id.clone());
        rows.tag.push(tag.to_owned());
        rows.tag_kind.push(kind);
    }
    rows.id.push(id);
    rows.alloc.push(allocation.id.clone());
    rows.lock_state.push(if group.locked { "LOCKED" } else { "OPEN" });
    rows.cores.push(group.cores.to_centicores());
    rows.memory.push(group.memory.to_kib());
    rows.gpus.push(group.gpus);
    rows.gpu_memory.push(group.gpu_memory.to_kib());
    rows.thread_mode.push(group.thread_mode.column());
    rows.tags.push((copy.len() <= TAGS_COPY_LENGTH).then_some(copy));
    rows.os.push(group.os.clone());
    rows.name.push(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_by_following_loopback_addresses_unless_named() {
        let mut next = u32::from(FIRST_ADDRESS);
        let group = |count| HostGroup { count, ..HostGroup::default() };
        assert_eq!(names(&group(2), &mut next).unwrap(), ["127.16.0.1", "127.16.0.2"]);
        assert_eq!(names(&group(1), &mut next).unwrap(), ["127.16.0.3"]);
        assert_eq!(names(&group(0), &mut next).unwrap(), [""; 0]);
        let named = HostGroup { names: vec!["wolf".to_owned()], ..group(7) };
        assert_eq!(names(&named, &mut next).unwrap(), ["wolf"]);
        assert!(names(&group(u32::MAX), &mut next).is_err());
        assert!(names(&group(16_000_000), &mut next).is_err());
    }
}
