//! The feed: which pools there are, and what waits for them.
//!
//! Clusters and pools are read anew now and then. A light *awake scan* tells which of them have work that could start, and
//! [`Turns`] whose turn it is.

mod facility;
mod sharing;
mod standstill;
mod turns;
mod wake;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cue_scheduler_core::cluster::{AllocTag, ChunkSizes, Cluster, Right, WaitingWork, clusters, pools};
use cue_scheduler_core::domain::id::AllocId;
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::slicing::Slicing;

use crate::snapshot::ReadSettings;
use crate::store::feed::TagRow;
use crate::store::{Store, StoreError};
use facility::Facility;
use standstill::Lookout;

pub use standstill::Standstill;
pub use turns::{Pace, PoolAt, Turn, Turned, Turns};
pub use wake::{Wake, Wanted};

/// Which clusters and pools there are.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Only the facility of this exact name, or all: `scheduler.facility`.
    pub facility: Option<String>,
    /// Tags that make no cluster: `scheduler.ignore_tags`.
    pub ignored_tags: BTreeSet<String>,
    /// Sizes of tag clusters.
    pub chunks: ChunkSizes,
    /// Most hosts that a pool should have: `scheduler.pool_hosts_max`.
    pub hosts_max: u64,
}

/// Clusters, pools, and their turns.
pub struct Feed {
    /// When each pool is planned.
    pub turns: Turns,
    scope: Scope,
    read: Arc<ReadSettings>,
    facility: Facility,
    clusters: Vec<Cluster>,
    /// Names of the managed shows that may use an allocation.
    shows: BTreeSet<Arc<str>>,
    lookout: Lookout,
    slicing: Slicing,
    /// The facility of each allocation, as members' names have it.
    scopes: BTreeMap<AllocId, Arc<str>>,
}

/// Counts for the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedCounts {
    /// What forbids booking altogether.
    pub standstill: Option<Standstill>,
    /// Clusters by kind.
    pub clusters: Vec<(TagKind, usize)>,
    /// Clusters with work.
    pub active: usize,
    /// Clusters without.
    pub sleeping: usize,
    /// (show, facility, tag list) triples with work.
    pub tags: usize,
    /// Why nothing is looked for: the facility is missing.
    pub missing: Option<String>,
    /// Names of all pools.
    pub pools: BTreeSet<Arc<str>>,
    /// Names of the pools of ours that have work.
    pub awake_pools: BTreeSet<Arc<str>>,
    /// By show: frames that could start, with tags that no pool has.
    pub unserved: BTreeMap<Arc<str>, u64>,
}

impl Feed {
    /// A feed without pools; reload it first.
    pub fn new(scope: Scope, pace: Pace, read: Arc<ReadSettings>, position: usize) -> Self {
        Self {
            turns: Turns::new(pace, position),
            scope,
            read,
            facility: Facility::Unread,
            clusters: Vec::new(),
            shows: BTreeSet::new(),
            lookout: Lookout::default(),
            slicing: Slicing::default(),
            scopes: BTreeMap::new(),
        }
    }

    /// Reads clusters and pools anew. Pools that stay keep what they remember. On an error all stays as it is; without the
    /// facility there are none.
    pub async fn reload(&mut self, store: &Store) -> Result<(), StoreError> {
        if self.lookout.look(store, Instant::now()).await? == Some(Standstill::NoManagedFlag) {
            return Ok(());
        }
        let found = Facility::find(self.scope.facility.as_deref(), store).await?;
        found.tell_after(&self.facility);
        if matches!(found, Facility::Missing(_)) {
            self.facility = found;
            self.clusters.clear();
            self.turns.replace(Vec::new(), &self.read, Instant::now());
            self.tell_pools();
            return Ok(());
        }
        let facility = found.id();
        let tags: Vec<AllocTag> = store.tags(facility).await?.into_iter().filter_map(TagRow::known).collect();
        let subscriptions = store.subscriptions(facility).await?;
        self.shows = subscriptions.iter().map(|row| Arc::from(row.show_name.as_str())).collect();
        let rights: Vec<Right> =
            subscriptions.into_iter().map(|row| Right { show: row.show, alloc: row.alloc }).collect();
        self.cut_anew(facility, store).await?;
        self.facility = found;
        self.clusters = clusters(&tags, &rights, &self.scope.ignored_tags, self.scope.chunks);
        let pools = pools(&tags, &rights, &self.scope.ignored_tags, &self.slicing);
        self.turns.replace(pools, &self.read, Instant::now());
        self.tell_pools();
        Ok(())
    }

    /// Takes in an awake scan.
    pub async fn scan(&mut self, store: &Store, now: Instant) -> Result<FeedCounts, StoreError> {
        let before = self.lookout.found();
        let standstill = self.lookout.look(store, now).await?;
        let has_flag = before == Some(Standstill::NoManagedFlag) && standstill != before;
        if has_flag || matches!(self.facility, Facility::Unread | Facility::Missing(_)) {
            self.reload(store).await?;
        }
        if let Facility::Missing(what) = &self.facility {
            return Ok(FeedCounts { missing: Some(what.clone()), standstill, ..FeedCounts::default() });
        }
        // Where nothing may be booked all pools sleep.
        let rows = match standstill {
            Some(_) => Vec::new(),
            None => store.awake(self.facility.id()).await?,
        };
        let mut shows: Vec<Arc<str>> = Vec::with_capacity(rows.len());
        let work: Vec<WaitingWork> = rows
            .into_iter()
            .map(|row| {
                shows.push(row.show_name.into());
                let starts_in = row.starts_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let frames = u64::try_from(row.frames).unwrap_or(0);
                WaitingWork::new(row.show, row.facility, &row.tags, frames, starts_in)
            })
            .collect();
        self.turns.see(&work, now);
        self.tell_pools();
        let active = self
            .clusters
            .iter()
            .filter(|cluster| work.iter().any(|work| work.frames > 0 && work.in_cluster(cluster)))
            .count();
        let of_kind = |kind| self.clusters.iter().filter(|cluster| cluster.kind == kind).count();
        Ok(FeedCounts {
            standstill,
            clusters: TagKind::ALL.iter().map(|kind| (*kind, of_kind(*kind))).collect(),
            active,
            sleeping: self.clusters.len() - active,
            tags: work.len(),
            missing: None,
            pools: self.turns.pools.iter().map(|state| state.pool.name.clone()).collect(),
            unserved: self.unserved(&work, &shows),
            awake_pools: self
                .turns
                .pools
                .iter()
                .filter(|state| !state.work.is_empty() && self.turns.table.owns(&state.pool.id()))
                .map(|state| state.pool.name.clone())
                .collect(),
        })
    }

    /// The next pool whose turn it is; none where nothing may be booked.
    pub fn next(&mut self, now: Instant) -> Option<Turned> {
        if self.lookout.found().is_some() { None } else { self.turns.next(now) }
    }

    /// Frames that no pool could run, by the show's name.
    fn unserved(&self, work: &[WaitingWork], shows: &[Arc<str>]) -> BTreeMap<Arc<str>, u64> {
        let mut served = vec![false; work.len()];
        for at in self.turns.pools.iter().flat_map(|state| &state.work) {
            served[*at] = true;
        }
        let mut frames: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for ((work, show), _) in
            work.iter().zip(shows).zip(served).filter(|((work, _), served)| work.frames > 0 && !served)
        {
            *frames.entry(show.clone()).or_default() += work.frames;
        }
        frames
    }

    /// The names of the managed shows that may use an allocation, as of the last reload.
    pub fn shows(&self) -> &BTreeSet<Arc<str>> {
        &self.shows
    }

    /// How many pools there are.
    pub fn pool_count(&self) -> usize {
        self.turns.pools.len()
    }
}
