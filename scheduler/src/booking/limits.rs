//! Step 2: limits, one booking at a time under each among schedulers, counted in statements of their own after the locks.

use std::collections::{BTreeSet, HashMap};

use cue_scheduler_core::domain::cap::{Budget, Cap};
use cue_scheduler_core::domain::id::{HostId, LimitId};
use cue_scheduler_core::landing::Truth;
use cue_scheduler_core::snapshot::Counted;

use super::attempt::Candidate;
use super::chunk::Chunk;
use super::refusal::{Found, Refusal};
use crate::store::StoreError;
use crate::store::booking::BookingTx;

/// A limit under its lock.
struct Locked {
    running: Budget,
    counted: Counted,
}

impl Locked {
    fn allows(&self, host: &HostId) -> bool {
        self.running.allows(1) || matches!(&self.counted, Counted::Hosts(holders) if holders.contains(host))
    }

    fn take(&mut self, host: &HostId) {
        let new = match &mut self.counted {
            Counted::Frames => true,
            Counted::Hosts(holders) => holders.insert(host.clone()),
        };
        self.running.used += i64::from(new);
    }
}

/// Drops what the limits have no room for. All of a layer's limits must have room; one that counts hosts has it on a host that
/// runs a frame under it already.
pub(super) async fn under_limits(
    tx: &mut BookingTx,
    chunk: &Chunk,
    candidates: Vec<Candidate>,
    found: &mut Found,
) -> Result<Vec<Candidate>, StoreError> {
    let mut ids: Vec<&str> = candidates
        .iter()
        .flat_map(|candidate| &chunk.layers[candidate.slot.layer].limits)
        .map(LimitId::as_str)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(candidates);
    }
    let mut locked = lock(tx, &ids).await?;
    let mut kept = Vec::with_capacity(candidates.len());
    let mut refusing: BTreeSet<&LimitId> = BTreeSet::new();
    for candidate in candidates {
        let host = &chunk.hosts[candidate.slot.host].id;
        let limits = &chunk.layers[candidate.slot.layer].limits;
        // A limit that has vanished limits nothing.
        let full = |limit: &&LimitId| locked.get(*limit).is_some_and(|locked| !locked.allows(host));
        let full: Vec<&LimitId> = limits.iter().filter(full).collect();
        if !full.is_empty() {
            found.refusals.add(Refusal::Limit, 1);
            refusing.extend(full);
            continue;
        }
        for limit in limits {
            if let Some(locked) = locked.get_mut(limit) {
                locked.take(host);
            }
        }
        kept.push(candidate);
    }
    found.truths.extend(refusing.into_iter().filter_map(|limit| {
        let Locked { running, counted } = locked.remove(limit)?;
        Some(Truth::Limit { limit: limit.clone(), running, counted })
    }));
    Ok(kept)
}

/// Locks the limits and counts what runs under them.
async fn lock(tx: &mut BookingTx, ids: &[&str]) -> Result<HashMap<LimitId, Locked>, StoreError> {
    let mut locked: HashMap<LimitId, Locked> = HashMap::new();
    let mut counting = Vec::new();
    for (id, max, running, counts_hosts) in tx.lock_limits(ids).await? {
        let mut running = Budget { cap: Cap::of_limit(max), used: running };
        let mut counted = Counted::Frames;
        if counts_hosts {
            running.used = 0;
            counted = Counted::Hosts(BTreeSet::new());
            counting.push(id.clone());
        }
        locked.insert(LimitId::from(id), Locked { running, counted });
    }
    if !counting.is_empty() {
        let counting: Vec<&str> = counting.iter().map(String::as_str).collect();
        for (limit, host) in tx.hosts_under_limits(&counting).await? {
            if let Some(locked) = locked.get_mut(&LimitId::from(limit)) {
                locked.take(&host.into());
            }
        }
    }
    Ok(locked)
}
