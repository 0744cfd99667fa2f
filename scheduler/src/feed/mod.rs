//! The feed: whose turn it is.
//!
//! A light *awake scan* tells which pools have work that could start; a pool with nothing sleeps. An awake pool has its turn
//! when its pace says so: at once when the scan found something new, after a short pause while a backlog waits for hosts.
//! Two pools that could serve the same waiting work are not planned at the same time by one replica: each would plan
//! the same frames, and one of them in vain.

mod sharing;
mod standstill;
mod wake;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cue_scheduler_core::cluster::{AllocTag, ChunkSizes, Cluster, Pool, Right, WaitingWork, clusters, pools};
use cue_scheduler_core::domain::id::{AllocId, FacilityId};
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::slicing::Slicing;
use tokio::sync::Mutex;

use crate::ownership::{InFlight, Table};
use crate::snapshot::{PoolReader, ReadSettings};
use crate::store::feed::TagRow;
use crate::store::{Store, StoreError};
use standstill::Lookout;

pub use standstill::Standstill;
pub use wake::{Wake, Wanted};

/// The least between two passes of a pool that is woken again and again: on a busy farm something is freed all the time.
const WAKE_PAUSE: Duration = Duration::from_millis(50);

/// How often a pool is looked at.
#[derive(Clone, Debug)]
pub struct Pace {
    /// After a pass that left work waiting for room.
    pub saturated: Duration,
    /// After a pass that found no work where the scan had seen some.
    pub empty: Duration,
    /// Longest time between two passes of a pool with waiting work: `queue.monitor_interval`.
    pub longest: Duration,
}

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

/// What a pass says about when to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Frames were booked, and others may follow at once: part of the plan was lost to somebody else, or cut short.
    Again,
    /// Work waits for room.
    Saturated,
    /// Nothing waits.
    Empty,
}

/// The pools, and when each has its turn.
pub struct Feed {
    scope: Scope,
    pace: Pace,
    read: Arc<ReadSettings>,
    facility: Facility,
    clusters: Vec<Cluster>,
    pools: Vec<PoolState>,
    /// Names of the managed shows that may use an allocation.
    shows: BTreeSet<Arc<str>>,
    /// Where the round robin stands.
    position: usize,
    lookout: Lookout,
    /// Which pools are ours.
    table: Arc<Table>,
    slicing: Slicing,
    /// The facility of each allocation, as members' names have it.
    scopes: BTreeMap<AllocId, Arc<str>>,
}

/// What the configured name of the facility stands for now. It can be made, renamed and removed while we run.
#[derive(Debug)]
enum Facility {
    /// Nothing was read yet.
    Unread,
    All,
    One(FacilityId),
    /// There is none of that name. What to say of it.
    Missing(String),
}

impl Facility {
    fn id(&self) -> Option<&FacilityId> {
        match self {
            Self::One(id) => Some(id),
            Self::Unread | Self::All | Self::Missing(_) => None,
        }
    }
}

struct PoolState {
    pool: Pool,
    reader: Arc<Mutex<PoolReader>>,
    /// Positions in the last scan of the work that concerns the pool.
    work: Vec<usize>,
    /// Frames of that work.
    frames: u64,
    /// The kinds of tags by which that work asks for the pool's hosts.
    kinds: BTreeSet<TagKind>,
    /// Fingerprint of that work, to see that something is new.
    seen: u64,
    /// Fingerprint of work that a pass did not find any more. Where the next scan sees the same, it may be like work that has
    /// come since, and is looked for once more.
    doubted: Option<u64>,
    due: Option<Instant>,
    /// When its last pass ended.
    ended: Option<Instant>,
    in_flight: bool,
    /// When work was last seen for it, or a pass of it ended.
    worked: Instant,
    /// When its last turn began, if it hasn't slept since.
    turned: Option<Instant>,
}

/// A pool whose turn it is.
pub struct Turned {
    /// Which one.
    pub at: PoolAt,
    /// Its reader.
    pub reader: Arc<Mutex<PoolReader>>,
    /// The kinds of tags by which the waiting work asks for its hosts.
    pub kinds: BTreeSet<TagKind>,
    /// Since its turn before, if work waited all the time.
    pub came_round: Option<Duration>,
    /// Keeps the pool from being given away while its pass lasts.
    pub in_flight: InFlight,
}

/// Identifies a pool's turn: a reload may have replaced the pools while it was in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolAt(Pool);

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
            scope,
            pace,
            read,
            facility: Facility::Unread,
            clusters: Vec::new(),
            pools: Vec::new(),
            shows: BTreeSet::new(),
            position,
            lookout: Lookout::default(),
            table: Arc::new(Table::alone()),
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
        let found = self.find_facility(store).await?;
        self.tell_of(&found);
        if matches!(found, Facility::Missing(_)) {
            self.facility = found;
            self.clusters.clear();
            self.pools.clear();
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
        let now = Instant::now();
        self.facility = found;
        self.clusters = clusters(&tags, &rights, &self.scope.ignored_tags, self.scope.chunks);
        let mut old = std::mem::take(&mut self.pools);
        for pool in pools(&tags, &rights, &self.scope.ignored_tags, &self.slicing) {
            let kept = old.iter().position(|state| state.pool == pool).map(|at| old.swap_remove(at));
            self.pools.push(kept.unwrap_or_else(|| PoolState {
                reader: Arc::new(Mutex::new(PoolReader::new(pool.clone(), self.read.clone()))),
                pool,
                work: Vec::new(),
                frames: 0,
                kinds: BTreeSet::new(),
                seen: 0,
                doubted: None,
                due: None,
                ended: None,
                in_flight: false,
                worked: now,
                turned: None,
            }));
        }
        self.tell_pools();
        Ok(())
    }

    async fn find_facility(&self, store: &Store) -> Result<Facility, StoreError> {
        let Some(name) = &self.scope.facility else { return Ok(Facility::All) };
        if let Some(id) = store.facility(name).await? {
            return Ok(Facility::One(id));
        }
        let known = store.facility_names().await?.join(", ");
        Ok(Facility::Missing(format!(
            "Invalid facility name: there is no facility `{name}` (scheduler.facility, compared exactly); known are: {known}"
        )))
    }

    /// Says what changed.
    fn tell_of(&self, found: &Facility) {
        match (&self.facility, found) {
            (Facility::Missing(before), Facility::Missing(now)) if before == now => {}
            (_, Facility::Missing(now)) => tracing::warn!("{now}; waiting for it"),
            (Facility::Missing(_), Facility::One(id)) => tracing::info!(facility.id = %id, "the facility is there"),
            (Facility::One(before), Facility::One(now)) if before != now => {
                tracing::info!(facility.id = %now, "the facility is another one of the same name");
            }
            _ => {}
        }
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
        for state in &mut self.pools {
            state.see(&work, now);
        }
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
            pools: self.pools.iter().map(|state| state.pool.name.clone()).collect(),
            unserved: self.unserved(&work, &shows),
            awake_pools: self
                .pools
                .iter()
                .filter(|state| !state.work.is_empty() && self.table.owns(&state.pool.id()))
                .map(|state| state.pool.name.clone())
                .collect(),
        })
    }

    /// Frames that no pool could run, by the show's name.
    fn unserved(&self, work: &[WaitingWork], shows: &[Arc<str>]) -> BTreeMap<Arc<str>, u64> {
        let mut served = vec![false; work.len()];
        for at in self.pools.iter().flat_map(|state| &state.work) {
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

    /// The next pool whose turn it is, round robin.
    pub fn next(&mut self, now: Instant) -> Option<Turned> {
        if self.lookout.found().is_some() {
            return None;
        }
        let count = self.pools.len();
        for step in 0..count {
            let at = (self.position + step) % count;
            let state = &self.pools[at];
            if state.in_flight || state.due.is_none_or(|due| due > now) || self.meets_one_in_flight(state) {
                continue;
            }
            // Asked last, and again for each pass: another replica may have it by now.
            let Some(in_flight) = self.table.begin(&state.pool.id()) else { continue };
            self.position = at + 1;
            let state = &mut self.pools[at];
            state.in_flight = true;
            state.due = None;
            let before = state.turned.replace(now);
            return Some(Turned {
                at: PoolAt(state.pool.clone()),
                reader: state.reader.clone(),
                kinds: state.kinds.clone(),
                came_round: before.map(|before| now.saturating_duration_since(before)),
                in_flight,
            });
        }
        None
    }

    fn meets_one_in_flight(&self, state: &PoolState) -> bool {
        let shared = |other: &PoolState| other.work.iter().any(|row| state.work.binary_search(row).is_ok());
        self.pools.iter().any(|other| other.in_flight && shared(other))
    }

    /// A pool's pass has ended.
    pub fn done(&mut self, at: &PoolAt, turn: Turn, now: Instant) {
        if let Some(state) = self.pools.iter_mut().find(|state| state.pool == at.0) {
            state.in_flight = false;
            state.worked = now;
            state.ended = Some(now);
            if turn != Turn::Empty {
                state.doubted = None;
            } else if state.doubted != Some(state.seen) {
                state.doubted = Some(std::mem::take(&mut state.seen));
            }
            let pause = match turn {
                Turn::Again => Duration::ZERO,
                Turn::Saturated => self.pace.saturated,
                Turn::Empty => self.pace.empty,
            };
            let due = now + pause.min(self.pace.longest);
            state.due = Some(state.due.map_or(due, |sooner| sooner.min(due)));
        }
    }

    /// Pools with waiting work need not wait for their pace: hosts may have room.
    pub fn wake(&mut self, wanted: &Wanted, now: Instant) {
        for state in self.pools.iter_mut().filter(|state| !state.work.is_empty()) {
            if matches!(wanted, Wanted::Of(allocs) if !allocs.contains(&state.pool.alloc)) {
                continue;
            }
            // What a pass under way has read may be older than the word.
            let from = if state.in_flight { now } else { state.ended.unwrap_or(now) };
            let due = (from + WAKE_PAUSE).max(now);
            state.due = Some(state.due.map_or(due, |sooner| sooner.min(due)));
        }
    }

    /// When the next turn is due, if none is now.
    pub fn next_due(&self) -> Option<Instant> {
        let waits = |state: &&PoolState| !state.in_flight && state.due.is_some() && self.table.owns(&state.pool.id());
        self.pools.iter().filter(waits).filter_map(|state| state.due).min()
    }

    /// Whether work waits that a pool could take.
    pub fn has_work(&self) -> bool {
        self.pools.iter().any(|state| !state.work.is_empty())
    }

    /// Lets pools that had no work for `idle` forget what they know of their hosts and layers.
    pub fn clean_up(&mut self, idle: Duration, now: Instant) {
        for state in self.pools.iter_mut().filter(|state| !state.in_flight && state.work.is_empty()) {
            // Somebody has the reader only while its pass is in flight.
            if now.saturating_duration_since(state.worked) >= idle
                && let Ok(mut reader) = state.reader.try_lock()
                && reader.known_hosts() > 0
            {
                tracing::debug!("pool {} had no work for {idle:?}, its hosts are forgotten", state.pool.name);
                reader.forget();
            }
        }
    }

    /// The names of the managed shows that may use an allocation, as of the last reload.
    pub fn shows(&self) -> &BTreeSet<Arc<str>> {
        &self.shows
    }

    /// How many pools there are.
    pub fn pool_count(&self) -> usize {
        self.pools.len()
    }
}

impl PoolState {
    fn see(&mut self, work: &[WaitingWork], now: Instant) {
        let mut hasher = DefaultHasher::new();
        let mut starts_in: Option<Duration> = None;
        self.work.clear();
        self.frames = 0;
        self.kinds.clear();
        for (at, work) in work.iter().enumerate() {
            let Some(kind) = work.concerns(&self.pool) else { continue };
            if work.frames > 0 {
                self.work.push(at);
                self.frames = self.frames.saturating_add(work.frames);
                self.kinds.insert(kind);
                (work.show.as_str(), &work.tags, work.frames).hash(&mut hasher);
            }
            starts_in = starts_in.into_iter().chain(work.starts_in).min();
        }
        let seen = hasher.finish();
        if self.work.is_empty() {
            // It sleeps; the earliest delayed work wakes it by itself.
            self.turned = None;
            self.due = starts_in.map(|pause| now + pause);
        } else {
            self.worked = now;
            if seen != self.seen {
                self.due = Some(now);
            }
        }
        self.seen = seen;
    }
}

#[cfg(test)]
mod tests {
    use cue_scheduler_core::domain::amount::Resources;
    use cue_scheduler_core::domain::request::ThreadMode;
    use cue_scheduler_core::slicing::Slice;
    use cue_scheduler_core::snapshot::{Host, Snapshot};
    use tokio::sync::Semaphore;

    use super::*;

    const PACE: Pace =
        Pace { saturated: Duration::from_millis(200), empty: Duration::from_secs(30), longest: Duration::from_secs(5) };

    /// A feed with a pool for each list of tags, all of show `s`.
    fn feed(pools: &[&[&str]]) -> Feed {
        let scope = Scope {
            facility: None,
            ignored_tags: BTreeSet::new(),
            chunks: ChunkSizes { manual: 50, hostname: 50 },
            hosts_max: 5_000,
        };
        let read = Arc::new(ReadSettings {
            host_staleness: Duration::from_mins(2),
            host_interval: Duration::from_secs(1),
            ignored_tags: BTreeSet::new(),
            host_reads: Semaphore::new(1),
        });
        let mut feed = Feed::new(scope, PACE, read.clone(), 0);
        for (at, tags) in pools.iter().enumerate() {
            let pool = Pool {
                facility: "f".into(),
                alloc: format!("a{at}").into(),
                slice: Slice::WHOLE,
                name: format!("a{at}").into(),
                shows: BTreeSet::from(["s".into()]),
                tags: tags.iter().map(|tag| (Arc::from(*tag), TagKind::Alloc)).collect(),
            };
            let reader = Arc::new(Mutex::new(PoolReader::new(pool.clone(), read.clone())));
            let worked = Instant::now();
            feed.pools.push(PoolState {
                pool,
                reader,
                work: Vec::new(),
                frames: 0,
                kinds: BTreeSet::new(),
                seen: 0,
                doubted: None,
                due: None,
                ended: None,
                in_flight: false,
                worked,
                turned: None,
            });
        }
        feed
    }

    fn work(tags: &str, frames: u64, starts_in: Option<u64>) -> WaitingWork {
        WaitingWork::new("s".into(), "f".into(), tags, frames, starts_in.map(Duration::from_secs))
    }

    fn scan(feed: &mut Feed, work: &[WaitingWork], now: Instant) {
        feed.pools.iter_mut().for_each(|state| state.see(work, now));
    }

    fn next(feed: &mut Feed, now: Instant) -> Option<String> {
        feed.next(now).map(|turned| turned.at.0.name.to_string())
    }

    #[test]
    fn a_pool_has_its_turn_when_work_for_it_appears_and_not_before() {
        let (mut feed, now) = (feed(&[&["x"], &["y"]]), Instant::now());
        assert_eq!(next(&mut feed, now), None);
        scan(&mut feed, &[work("y", 3, None)], now);
        assert_eq!(next(&mut feed, now).as_deref(), Some("a1"));
        assert_eq!(next(&mut feed, now), None);
    }

    #[test]
    fn pools_that_could_serve_the_same_work_are_not_planned_at_the_same_time() {
        let (mut feed, now) = (feed(&[&["x", "both"], &["y", "both"], &["z"]]), Instant::now());
        scan(&mut feed, &[work("both", 3, None), work("z", 1, None)], now);
        assert_eq!(next(&mut feed, now).as_deref(), Some("a0"));
        assert_eq!(next(&mut feed, now).as_deref(), Some("a2"));
        assert_eq!(next(&mut feed, now), None);
        let at = PoolAt(feed.pools[0].pool.clone());
        feed.done(&at, Turn::Saturated, now);
        assert_eq!(next(&mut feed, now).as_deref(), Some("a1"));
    }

    #[test]
    fn a_backlog_is_looked_at_again_after_a_pause_or_at_once_when_something_is_new() {
        let (mut feed, now) = (feed(&[&["x"]]), Instant::now());
        scan(&mut feed, &[work("x", 3, None)], now);
        let at = feed.next(now).unwrap().at;
        feed.done(&at, Turn::Saturated, now);
        scan(&mut feed, &[work("x", 3, None)], now);
        assert_eq!(next(&mut feed, now), None);
        assert_eq!(feed.next_due(), Some(now + PACE.saturated));
        scan(&mut feed, &[work("x", 4, None)], now);
        assert_eq!(next(&mut feed, now).as_deref(), Some("a0"));
    }

    #[test]
    fn a_word_that_hosts_have_room_cuts_the_pause_short_but_not_below_its_own() {
        let (mut feed, now) = (feed(&[&["x"], &["y"], &["z"]]), Instant::now());
        scan(&mut feed, &[work("x", 3, None), work("y", 1, None)], now);
        for _ in 0..2 {
            let at = feed.next(now).unwrap().at;
            feed.done(&at, Turn::Saturated, now);
        }
        let later = now + Duration::from_millis(10);
        feed.wake(&Wanted::Of(BTreeSet::from(["a1".into(), "a2".into()])), later);
        assert_eq!(feed.next_due(), Some(now + WAKE_PAUSE), "the pool without work sleeps on");
        assert_eq!(next(&mut feed, now + WAKE_PAUSE).as_deref(), Some("a1"));
        assert_eq!(next(&mut feed, now + WAKE_PAUSE), None, "the other allocation's pool keeps its pace");
        feed.wake(&Wanted::All, now + WAKE_PAUSE);
        assert_eq!(next(&mut feed, now + WAKE_PAUSE).as_deref(), Some("a0"));
    }

    #[test]
    fn work_like_the_last_that_comes_between_two_scans_is_not_taken_for_it() {
        let (mut feed, now) = (feed(&[&["x"]]), Instant::now());
        for _ in 0..3 {
            scan(&mut feed, &[work("x", 2, None)], now);
            for turn in [Turn::Again, Turn::Empty] {
                let at = feed.next(now).expect("looked for").at;
                feed.done(&at, turn, now);
            }
        }
    }

    #[test]
    fn work_that_only_the_scan_sees_is_looked_for_once_more_and_then_at_the_pace() {
        let (mut feed, now) = (feed(&[&["x"]]), Instant::now());
        for looked_for in [true, true, false, false] {
            scan(&mut feed, &[work("x", 2, None)], now);
            let turned = feed.next(now);
            assert_eq!(turned.is_some(), looked_for);
            if let Some(turned) = turned {
                feed.done(&turned.at, Turn::Empty, now);
            }
        }
    }

    #[test]
    fn delayed_work_wakes_its_pool_by_itself() {
        let (mut feed, now) = (feed(&[&["x"]]), Instant::now());
        scan(&mut feed, &[work("x", 0, Some(7))], now);
        assert_eq!(next(&mut feed, now), None);
        assert_eq!(feed.next_due(), Some(now + Duration::from_secs(7)));
        assert_eq!(next(&mut feed, now + Duration::from_secs(7)).as_deref(), Some("a0"));
    }

    #[test]
    fn a_pool_without_work_forgets_its_hosts_after_a_while_and_one_with_work_does_not() {
        let (mut feed, now) = (feed(&[&["x"], &["y"], &["z"]]), Instant::now());
        let idle = Duration::from_secs(10);
        let host = Host {
            id: "h".into(),
            name: "h".into(),
            os: "linux".into(),
            tags: Vec::new(),
            thread_mode: ThreadMode::from_column(0),
            total: Resources::default(),
            idle: Resources::default(),
        };
        for state in &feed.pools {
            let snapshot = Snapshot { hosts: vec![host.clone()], ..Snapshot::default() };
            state.reader.try_lock().unwrap().keep(snapshot);
        }
        let known = |feed: &Feed| -> Vec<usize> {
            feed.pools.iter().map(|state| state.reader.try_lock().unwrap().known_hosts()).collect()
        };
        scan(&mut feed, &[work("y", 1, None), work("z", 1, None)], now + idle / 2);
        scan(&mut feed, &[work("z", 1, None)], now + idle);
        feed.clean_up(idle, now + idle / 2);
        assert_eq!(known(&feed), [1, 1, 1]);
        feed.clean_up(idle, now + idle + idle / 4);
        assert_eq!(known(&feed), [0, 1, 1]);
        feed.clean_up(idle, now + idle * 9);
        assert_eq!(known(&feed), [0, 0, 1]);
    }

    #[test]
    fn a_pool_of_another_replica_has_no_turn_and_nobody_waits_for_it() {
        let (mut feed, now) = (feed(&[&["x"]]), Instant::now());
        feed.share(Arc::new(Table::new("me".into())));
        scan(&mut feed, &[work("x", 3, None)], now);
        assert_eq!((next(&mut feed, now), feed.next_due()), (None, None));
        feed.share(Arc::new(Table::alone()));
        assert_eq!(feed.next_due(), Some(now));
        assert_eq!(next(&mut feed, now).as_deref(), Some("a0"));
    }

    #[test]
    fn turns_go_round() {
        let (mut feed, now) = (feed(&[&["x"], &["y"]]), Instant::now());
        scan(&mut feed, &[work("x", 1, None), work("y", 1, None)], now);
        for expected in ["a0", "a1", "a0", "a1"] {
            let turned = feed.next(now).unwrap();
            assert_eq!(turned.at.0.name.as_ref(), expected);
            feed.done(&turned.at, Turn::Again, now);
        }
    }
}
