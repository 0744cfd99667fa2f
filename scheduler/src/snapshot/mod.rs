//! Reading what a pass sees. One [`PoolReader`] per pool keeps what is worth remembering between passes: the hosts, which
//! counters were found wrong, and the next frames of layers. All of it is a hint; nothing here takes a lock.

mod hosts;
mod launches;
mod windows;
mod work;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::cluster::Pool;
use cue_scheduler_core::domain::tag::parse_layer_tags;
use cue_scheduler_core::snapshot::Snapshot;
use tokio::sync::Semaphore;

use crate::store::{Store, StoreError};
use hosts::HostCache;
use work::TrueSums;

pub use launches::Launches;
pub use windows::{FrameWindows, WaitingFrame};

/// What reading needs to know from the configuration, shared by the readers of all pools.
#[derive(Debug)]
pub struct ReadSettings {
    /// Longest time without a report after which a host is not used: `host_cache.host_staleness_threshold`.
    pub host_staleness: Duration,
    /// How often a pool's hosts are read whole: `host_cache.monitoring_interval`.
    pub host_interval: Duration,
    /// Tags by which nothing is matched: `scheduler.ignore_tags`.
    pub ignored_tags: BTreeSet<String>,
    /// A permit for each pool whose hosts may be read at once: `host_cache.concurrent_fetch_permit`.
    pub host_reads: Semaphore,
}

/// Reads one pool.
pub struct PoolReader {
    /// The pool.
    pub pool: Pool,
    hosts: HostCache,
    sums: TrueSums,
    /// The next frames of the layers that this pool placed.
    pub windows: FrameWindows,
}

impl PoolReader {
    /// A reader that remembers nothing yet.
    pub fn new(pool: Pool, settings: Arc<ReadSettings>) -> Self {
        let windows = FrameWindows::new(pool.slice);
        Self { pool, hosts: HostCache::new(settings), sums: TrueSums::default(), windows }
    }

    /// Reads the pool as it is now. Give the snapshot's hosts back with [`PoolReader::keep`] when the pass is over.
    pub async fn read(&mut self, store: &Store) -> Result<Snapshot, StoreError> {
        let mut rows = store.layers(&self.pool.facility, &self.pool.alloc).await?;
        // Work with other tags is the business of other pools, and what it waits for is theirs to say.
        rows.retain(|row| self.pool.kind_of(&parse_layer_tags(&row.str_tags)).is_some());
        let mut snapshot = work::assemble(rows, &self.pool.alloc);
        if snapshot.layers.is_empty() {
            return Ok(snapshot);
        }
        work::attach_limits(&mut snapshot, store).await?;
        self.sums.correct(&mut snapshot, &self.pool.alloc, store).await?;
        snapshot.hosts = self.hosts.read(&self.pool, store).await?;
        Ok(snapshot)
    }

    /// Forgets everything, to give memory back; the next reading is as the first.
    pub fn forget(&mut self) {
        *self = Self::new(self.pool.clone(), self.hosts.settings.clone());
    }

    /// How many hosts are kept.
    pub fn known_hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Takes the hosts of a snapshot back, so that they need not be built anew.
    pub fn keep(&mut self, snapshot: Snapshot) {
        let Snapshot { mut hosts, paused, .. } = snapshot;
        hosts.extend(paused);
        self.hosts.keep(hosts);
    }
}
