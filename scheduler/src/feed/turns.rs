//! Turns: which pool is planned next.
//!
//! A pool with nothing sleeps. An awake pool has its turn when its pace says so: at once when the scan found something new,
//! after a short pause while a backlog waits for hosts. Two pools that could serve the same waiting work are not planned at
//! the same time by one replica: each would plan the same frames, and one of them in vain.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cue_scheduler_core::cluster::{Pool, WaitingWork};
use cue_scheduler_core::domain::tag::TagKind;
use tokio::sync::Mutex;

use super::wake::Wanted;
use crate::ownership::{InFlight, Table};
use crate::snapshot::{PoolReader, ReadSettings};

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
pub struct Turns {
    pace: Pace,
    /// All pools of the scope.
    pub(super) pools: Vec<PoolState>,
    /// Where the round robin stands.
    position: usize,
    /// Which pools are ours.
    pub(super) table: Arc<Table>,
}

/// A pool, what waits for it, and when it has its turn.
pub(super) struct PoolState {
    pub(super) pool: Pool,
    reader: Arc<Mutex<PoolReader>>,
    /// Positions in the last scan of the work that concerns the pool.
    pub(super) work: Vec<usize>,
    /// Frames of that work.
    pub(super) frames: u64,
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

impl Turns {
    /// No pools yet; all that come are ours.
    pub(super) fn new(pace: Pace, position: usize) -> Self {
        Self { pace, pools: Vec::new(), position, table: Arc::new(Table::alone()) }
    }

    /// Takes other pools. Those that stay keep what they remember.
    pub(super) fn replace(&mut self, pools: Vec<Pool>, read: &Arc<ReadSettings>, now: Instant) {
        let mut old = std::mem::take(&mut self.pools);
        for pool in pools {
            let kept = old.iter().position(|state| state.pool == pool).map(|at| old.swap_remove(at));
            self.pools.push(kept.unwrap_or_else(|| PoolState::new(pool, read, now)));
        }
    }

    /// Takes in what waits. Positions in it are meant by the pools' lists of work.
    pub(super) fn see(&mut self, work: &[WaitingWork], now: Instant) {
        for state in &mut self.pools {
            state.see(work, now);
        }
    }

    /// The next pool whose turn it is, round robin.
    pub(super) fn next(&mut self, now: Instant) -> Option<Turned> {
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
}

impl PoolState {
    fn new(pool: Pool, read: &Arc<ReadSettings>, now: Instant) -> Self {
        Self {
            reader: Arc::new(Mutex::new(PoolReader::new(pool.clone(), read.clone()))),
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
        }
    }

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

    /// Turns of a pool for each list of tags, all of show `s`.
    fn turns(tags: &[&[&str]]) -> Turns {
        let read = Arc::new(ReadSettings {
            host_staleness: Duration::from_mins(2),
            host_interval: Duration::from_secs(1),
            ignored_tags: BTreeSet::new(),
            host_reads: Semaphore::new(1),
        });
        let pool = |(at, tags): (usize, &&[&str])| Pool {
            facility: "f".into(),
            alloc: format!("a{at}").into(),
            slice: Slice::WHOLE,
            name: format!("a{at}").into(),
            shows: BTreeSet::from(["s".into()]),
            tags: tags.iter().map(|tag| (Arc::from(*tag), TagKind::Alloc)).collect(),
        };
        let mut turns = Turns::new(PACE, 0);
        turns.replace(tags.iter().enumerate().map(pool).collect(), &read, Instant::now());
        turns
    }

    fn work(tags: &str, frames: u64, starts_in: Option<u64>) -> WaitingWork {
        WaitingWork::new("s".into(), "f".into(), tags, frames, starts_in.map(Duration::from_secs))
    }

    fn next(turns: &mut Turns, now: Instant) -> Option<String> {
        turns.next(now).map(|turned| turned.at.0.name.to_string())
    }

    #[test]
    fn a_pool_has_its_turn_when_work_for_it_appears_and_not_before() {
        let (mut turns, now) = (turns(&[&["x"], &["y"]]), Instant::now());
        assert_eq!(next(&mut turns, now), None);
        turns.see(&[work("y", 3, None)], now);
        assert_eq!(next(&mut turns, now).as_deref(), Some("a1"));
        assert_eq!(next(&mut turns, now), None);
    }

    #[test]
    fn pools_that_could_serve_the_same_work_are_not_planned_at_the_same_time() {
        let (mut turns, now) = (turns(&[&["x", "both"], &["y", "both"], &["z"]]), Instant::now());
        turns.see(&[work("both", 3, None), work("z", 1, None)], now);
        assert_eq!(next(&mut turns, now).as_deref(), Some("a0"));
        assert_eq!(next(&mut turns, now).as_deref(), Some("a2"));
        assert_eq!(next(&mut turns, now), None);
        let at = PoolAt(turns.pools[0].pool.clone());
        turns.done(&at, Turn::Saturated, now);
        assert_eq!(next(&mut turns, now).as_deref(), Some("a1"));
    }

    #[test]
    fn a_backlog_is_looked_at_again_after_a_pause_or_at_once_when_something_is_new() {
        let (mut turns, now) = (turns(&[&["x"]]), Instant::now());
        turns.see(&[work("x", 3, None)], now);
        let at = turns.next(now).unwrap().at;
        turns.done(&at, Turn::Saturated, now);
        turns.see(&[work("x", 3, None)], now);
        assert_eq!(next(&mut turns, now), None);
        assert_eq!(turns.next_due(), Some(now + PACE.saturated));
        turns.see(&[work("x", 4, None)], now);
        assert_eq!(next(&mut turns, now).as_deref(), Some("a0"));
    }

    #[test]
    fn a_word_that_hosts_have_room_cuts_the_pause_short_but_not_below_its_own() {
        let (mut turns, now) = (turns(&[&["x"], &["y"], &["z"]]), Instant::now());
        turns.see(&[work("x", 3, None), work("y", 1, None)], now);
        for _ in 0..2 {
            let at = turns.next(now).unwrap().at;
            turns.done(&at, Turn::Saturated, now);
        }
        let later = now + Duration::from_millis(10);
        turns.wake(&Wanted::Of(BTreeSet::from(["a1".into(), "a2".into()])), later);
        assert_eq!(turns.next_due(), Some(now + WAKE_PAUSE), "the pool without work sleeps on");
        assert_eq!(next(&mut turns, now + WAKE_PAUSE).as_deref(), Some("a1"));
        assert_eq!(next(&mut turns, now + WAKE_PAUSE), None, "the other allocation's pool keeps its pace");
        turns.wake(&Wanted::All, now + WAKE_PAUSE);
        assert_eq!(next(&mut turns, now + WAKE_PAUSE).as_deref(), Some("a0"));
    }

    #[test]
    fn work_like_the_last_that_comes_between_two_scans_is_not_taken_for_it() {
        let (mut turns, now) = (turns(&[&["x"]]), Instant::now());
        for _ in 0..3 {
            turns.see(&[work("x", 2, None)], now);
            for turn in [Turn::Again, Turn::Empty] {
                let at = turns.next(now).expect("looked for").at;
                turns.done(&at, turn, now);
            }
        }
    }

    #[test]
    fn work_that_only_the_scan_sees_is_looked_for_once_more_and_then_at_the_pace() {
        let (mut turns, now) = (turns(&[&["x"]]), Instant::now());
        for looked_for in [true, true, false, false] {
            turns.see(&[work("x", 2, None)], now);
            let turned = turns.next(now);
            assert_eq!(turned.is_some(), looked_for);
            if let Some(turned) = turned {
                turns.done(&turned.at, Turn::Empty, now);
            }
        }
    }

    #[test]
    fn delayed_work_wakes_its_pool_by_itself() {
        let (mut turns, now) = (turns(&[&["x"]]), Instant::now());
        turns.see(&[work("x", 0, Some(7))], now);
        assert_eq!(next(&mut turns, now), None);
        assert_eq!(turns.next_due(), Some(now + Duration::from_secs(7)));
        assert_eq!(next(&mut turns, now + Duration::from_secs(7)).as_deref(), Some("a0"));
    }

    #[test]
    fn a_pool_without_work_forgets_its_hosts_after_a_while_and_one_with_work_does_not() {
        let (mut turns, now) = (turns(&[&["x"], &["y"], &["z"]]), Instant::now());
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
        for state in &turns.pools {
            let snapshot = Snapshot { hosts: vec![host.clone()], ..Snapshot::default() };
            state.reader.try_lock().unwrap().keep(snapshot);
        }
        let known = |turns: &Turns| -> Vec<usize> {
            turns.pools.iter().map(|state| state.reader.try_lock().unwrap().known_hosts()).collect()
        };
        turns.see(&[work("y", 1, None), work("z", 1, None)], now + idle / 2);
        turns.see(&[work("z", 1, None)], now + idle);
        turns.clean_up(idle, now + idle / 2);
        assert_eq!(known(&turns), [1, 1, 1]);
        turns.clean_up(idle, now + idle + idle / 4);
        assert_eq!(known(&turns), [0, 1, 1]);
        turns.clean_up(idle, now + idle * 9);
        assert_eq!(known(&turns), [0, 0, 1]);
    }

    #[test]
    fn a_pool_of_another_replica_has_no_turn_and_nobody_waits_for_it() {
        let (mut turns, now) = (turns(&[&["x"]]), Instant::now());
        turns.table = Arc::new(Table::new("me".into()));
        turns.see(&[work("x", 3, None)], now);
        assert_eq!((next(&mut turns, now), turns.next_due()), (None, None));
        turns.table = Arc::new(Table::alone());
        assert_eq!(turns.next_due(), Some(now));
        assert_eq!(next(&mut turns, now).as_deref(), Some("a0"));
    }

    #[test]
    fn turns_go_round() {
        let (mut turns, now) = (turns(&[&["x"], &["y"]]), Instant::now());
        turns.see(&[work("x", 1, None), work("y", 1, None)], now);
        for expected in ["a0", "a1", "a0", "a1"] {
            let turned = turns.next(now).unwrap();
            assert_eq!(turned.at.0.name.as_ref(), expected);
            turns.done(&turned.at, Turn::Again, now);
        }
    }
}
