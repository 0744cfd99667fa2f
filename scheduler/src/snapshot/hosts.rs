//! The hosts of a pool, between two whole readings.
//!
//! The table `host` has no column that tells a change, so all hosts of the pool with their tags are read every
//! `host_cache.monitoring_interval`. A pass in between reads just those with an idle core and takes all others for busy.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use cue_scheduler_core::cluster::Pool;
use cue_scheduler_core::domain::amount::Resources;
use cue_scheduler_core::domain::id::HostId;
use cue_scheduler_core::snapshot::Host;

use super::ReadSettings;
use crate::store::{Store, StoreError};

pub(super) struct HostCache {
    pub(super) settings: Arc<ReadSettings>,
    hosts: Vec<Host>,
    /// When all of `hosts` were read; `None` while a pass has them, and for good if it doesn't bring them back.
    read_at: Option<Instant>,
    lent: Option<Instant>,
}

impl HostCache {
    pub(super) fn new(settings: Arc<ReadSettings>) -> Self {
        Self { settings, hosts: Vec::new(), read_at: None, lent: None }
    }

    pub(super) async fn read(&mut self, pool: &Pool, store: &Store) -> Result<Vec<Host>, StoreError> {
        // It is never closed.
        let _permit = self.settings.host_reads.acquire().await;
        let staleness = self.settings.host_staleness;
        let fresh = self.read_at.is_some_and(|at| at.elapsed() < self.settings.host_interval);
        if fresh {
            let idle = store.hosts(&pool.alloc, pool.slice, staleness, true).await?;
            let mut idle: HashMap<HostId, Resources> = idle.into_iter().map(|host| (host.id, host.idle)).collect();
            for host in &mut self.hosts {
                host.idle = idle.remove(&host.id).unwrap_or_default();
            }
        } else {
            let mut hosts = store.hosts(&pool.alloc, pool.slice, staleness, false).await?;
            let mut tags = store.host_tags(&pool.alloc, pool.slice).await?;
            for host in &mut hosts {
                host.tags = tags.remove(&host.id).unwrap_or_default();
                host.tags.retain(|tag| !self.settings.ignored_tags.contains(tag.name.as_ref()));
                // They stay for as long as the pool is ours, and most have one or two.
                host.tags.shrink_to_fit();
            }
            self.hosts = hosts;
            self.read_at = Some(Instant::now());
        }
        self.lent = self.read_at.take();
        Ok(std::mem::take(&mut self.hosts))
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn keep(&mut self, hosts: Vec<Host>) {
        self.hosts = hosts;
        self.read_at = self.lent.take();
    }
}
