//! Watches a farm during a run: the largest use of each cap and by how much it was ever passed, what started while a cap was
//! passed, and hosts and frames that were given away twice.
//!
//! A cap may move meanwhile. Lowering one below its use is legal and the use then decays, so a run whose caps stand still must show
//! no excess at all ([`CapRecords::passed`]), and one whose caps move must show no *start* above a cap
//! ([`CapRecords::starts_over`]). That is told from two samples in a row: if the cap and what it counts are the same in both, the
//! last start between them left the use within the cap, and what came after it were ends. So a proc that is new in the second,
//! under a cap that is passed there, is a fault, however short the time between. Under a limit of hosts it is one on a new host.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Cap, CapUse, Difference, caps, differences};

/// A limit's record, and a job's place in a folder, are locked by nobody who books, so a start that was under way when a person
/// lowered the limit or moved the job may land a moment later. After so long nothing is under way any more.
const SETTLES_IN: Duration = Duration::from_secs(1);

/// What was seen of one cap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapRecord {
    /// The moment of the largest use, with the cap as it stood then.
    pub largest: CapUse,
    /// The moment at which the use was furthest above the cap, if it ever was.
    pub furthest_over: Option<CapUse>,
}

/// Procs that came while a cap was passed that had not been lowered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOver {
    /// The cap and its use after the start.
    pub cap: CapUse,
    /// The new ones: `proc.pk_proc`.
    pub procs: Vec<String>,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapRecords {
    /// How many times the farm was looked at.
    pub samples: u64,
    /// How many looks failed, where that is allowed.
    pub failed: u64,
    /// Every cap that was in use at a sample, sorted by kind and name.
    pub caps: Vec<CapRecord>,
    /// Starts above a cap, in the order in which they were seen.
    pub starts_over: Vec<StartOver>,
    /// Hosts with other idle amounts than their procs leave, or with negative ones, and frames that two procs held. The first ones
    /// seen.
    pub given_twice: Vec<Difference>,
    /// Backends of schedulers.
    pub scheduler_sessions: BTreeSet<i32>,
}

impl CapRecords {
    /// The caps that were passed.
    pub fn passed(&self) -> impl Iterator<Item = &CapUse> {
        self.caps.iter().filter_map(|record| record.furthest_over.as_ref())
    }
}

impl fmt::Display for CapRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples, {} caps in use", self.samples, self.caps.len())?;
        for over in self.passed() {
            write!(f, "\n  {over}")?;
        }
        for over in &self.starts_over {
            write!(f, "\n  started above a cap: {}", over.cap)?;
        }
        for twice in &self.given_twice {
            write!(f, "\n  {twice}")?;
        }
        Ok(())
    }
}

/// A running watch. Dropping it ends it without an answer.
pub struct Sampler {
    task: JoinHandle<Result<CapRecords, sqlx::Error>>,
    stop: DropGuard,
    samples: watch::Receiver<u64>,
}

impl Sampler {
    /// Looks at the farm at once, then every `interval`, and once more at the end.
    pub fn start(pool: PgPool, interval: Duration) -> Self {
        Self::watch(pool, interval, false)
    }

    /// The same while the database comes and goes: a look that fails is counted ([`CapRecords::failed`]) and the next one is compared
    /// with the one before. Only for runs in which nobody moves caps, since one could be moved and moved back in between.
    pub fn through_outages(pool: PgPool, interval: Duration) -> Self {
        Self::watch(pool, interval, true)
    }

    fn watch(pool: PgPool, interval: Duration, outages: bool) -> Self {
        let stop = CancellationToken::new();
        let (counted, samples) = watch::channel(0);
        let task = tokio::spawn(watch_farm(pool, interval, outages, stop.clone(), counted));
        Self { task, stop: stop.drop_guard(), samples }
    }

    /// Waits until a sample was begun and ended after this call, or the watch has failed.
    pub async fn sampled(&self) {
        let mut samples = self.samples.clone();
        // The next one may have begun before; the one after it has not.
        let wanted = *samples.borrow() + 2;
        let _ = samples.wait_for(|samples| *samples >= wanted).await;
    }

    /// Ends the watch and gives what was seen. A sample that failed fails here, since a hole in the watch proves nothing.
    pub async fn finish(self) -> anyhow::Result<CapRecords> {
        drop(self.stop);
        Ok(self.task.await??)
    }
}

async fn watch_farm(
    pool: PgPool,
    interval: Duration,
    outages: bool,
    stop: CancellationToken,
    counted: watch::Sender<u64>,
) -> Result<CapRecords, sqlx::Error> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut seen = Seen::default();
    loop {
        let last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        match look(&pool).await {
            Ok(Look { caps, twice, sessions }) => {
                seen.twice(twice);
                seen.scheduler_sessions.extend(sessions);
                seen.sample(caps, Instant::now());
                counted.send_replace(seen.samples);
            }
            Err(_) if outages && !last => seen.failed += 1,
            Err(error) => return Err(error),
        }
        if last {
            return Ok(seen.into_records());
        }
    }
}

/// What one snapshot shows.
struct Look {
    caps: Vec<Cap>,
    twice: Vec<Difference>,
    sessions: Vec<i32>,
}

async fn look(pool: &PgPool) -> Result<Look, sqlx::Error> {
    let mut snapshot = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let caps = caps(&mut snapshot).await?;
    let mut twice = differences(&mut snapshot, include_str!("queries/hosts.sql")).await?;
    twice.extend(differences(&mut snapshot, include_str!("queries/doubles.sql")).await?);
    let sessions = sqlx::query_scalar(include_str!("queries/scheduler_sessions.sql")).fetch_all(&mut *snapshot).await?;
    snapshot.commit().await?;
    Ok(Look { caps, twice, sessions })
}

/// As many are enough to find a fault; one that stays would fill the memory.
const TWICE_KEPT: usize = 20;

#[derive(Default)]
struct Seen {
    samples: u64,
    failed: u64,
    caps: BTreeMap<Key, CapRecord>,
    /// Every cap at the sample before.
    before: BTreeMap<Key, Before>,
    /// What took a place under some cap at the sample before: procs, and hosts under limits that count them.
    places: HashSet<String>,
    starts_over: Vec<StartOver>,
    given_twice: Vec<Difference>,
    scheduler_sessions: BTreeSet<i32>,
}

/// Kind, name and id.
type Key = (String, String, String);

struct Before {
    allowed: i64,
    counted: String,
    /// When the cap was first seen as it stands.
    since: Instant,
    /// When what it counts was last seen to become another set.
    moved: Option<Instant>,
}

impl Seen {
    fn sample(&mut self, caps: Vec<Cap>, now: Instant) {
        self.samples += 1;
        let mut before = BTreeMap::new();
        let mut places = HashSet::new();
        for cap in caps {
            let Cap { used, counted, .. } = &cap;
            let key = (used.cap.clone(), used.name.clone(), used.id.clone());
            let stood =
                self.before.get(&key).filter(|before| before.allowed == used.allowed && before.counted == *counted);
            let since = stood.map_or(now, |before| before.since);
            let moved = match self.before.get(&key) {
                Some(before) if before.counted == *counted => before.moved,
                Some(_) => Some(now),
                None => None,
            };
            let unsettled = if used.cap == "limit" { Some(since) } else { moved };
            let settled = unsettled.is_none_or(|from| now.duration_since(from) >= SETTLES_IN);
            if stood.is_some() && settled && used.is_passed() {
                let new = cap.taken().filter(|(_, place)| !self.places.contains(*place));
                let new: Vec<String> = new.map(|(proc, _)| proc.clone()).collect();
                if !new.is_empty() {
                    self.starts_over.push(StartOver { cap: used.clone(), procs: new });
                }
            }
            before.insert(key.clone(), Before { allowed: used.allowed, counted: counted.clone(), since, moved });
            places.extend(cap.taken().map(|(_, place)| place.clone()));
            if used.used > 0 {
                self.record(key, cap.used);
            }
        }
        (self.before, self.places) = (before, places);
    }

    fn record(&mut self, key: Key, used: CapUse) {
        let record = self.caps.entry(key).or_insert_with(|| CapRecord { largest: used.clone(), furthest_over: None });
        let excess = used.used - used.allowed;
        let before = record.furthest_over.as_ref().map_or(0, |over| over.used - over.allowed);
        if excess > before {
            record.furthest_over = Some(used.clone());
        }
        if used.used > record.largest.used {
            record.largest = used;
        }
    }

    fn twice(&mut self, found: Vec<Difference>) {
        let room = TWICE_KEPT.saturating_sub(self.given_twice.len());
        self.given_twice.extend(found.into_iter().take(room));
    }

    fn into_records(self) -> CapRecords {
        let Self { samples, failed, caps, starts_over, given_twice, scheduler_sessions, .. } = self;
        CapRecords { samples, failed, caps: caps.into_values().collect(), starts_over, given_twice, scheduler_sessions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(kind: &str, used: i64, allowed: i64) -> CapUse {
        CapUse { cap: kind.to_owned(), id: "1".to_owned(), name: "licence".to_owned(), used, allowed }
    }

    fn cap(kind: &str, allowed: i64, procs: &[&str]) -> Cap {
        let procs: Vec<String> = procs.iter().map(ToString::to_string).collect();
        Cap { used: used(kind, procs.len() as i64, allowed), procs, places: Vec::new(), counted: String::new() }
    }

    /// A limit of hosts, and the host of each proc.
    fn seats(allowed: i64, procs: &[(&str, &str)]) -> Cap {
        let hosts: BTreeSet<&str> = procs.iter().map(|(_, host)| *host).collect();
        Cap {
            used: used("limit", hosts.len() as i64, allowed),
            procs: procs.iter().map(|(proc, _)| (*proc).to_owned()).collect(),
            places: procs.iter().map(|(_, host)| (*host).to_owned()).collect(),
            counted: String::new(),
        }
    }

    /// What a cap shows over some samples, a second and a half apart.
    fn seen(samples: Vec<Cap>) -> CapRecords {
        let (mut seen, mut now) = (Seen::default(), Instant::now());
        for sample in samples {
            seen.sample(vec![sample], now);
            now += Duration::from_millis(1500);
        }
        seen.into_records()
    }

    #[test]
    fn the_largest_use_and_the_furthest_excess_are_kept_apart() {
        let at = |now: usize, allowed| cap("job", allowed, &["p"; 9][..now]);
        let records = seen([(3, 5), (9, 10), (8, 5), (6, 5), (1, 5)].map(|(now, allowed)| at(now, allowed)).to_vec());
        assert_eq!(records.samples, 5);
        assert_eq!(records.caps, [CapRecord { largest: used("job", 9, 10), furthest_over: Some(used("job", 8, 5)) }]);
        assert_eq!(records.passed().collect::<Vec<_>>(), [&used("job", 8, 5)]);
        assert_eq!(records.starts_over, []);
    }

    #[test]
    fn a_cap_that_held_shows_no_excess() {
        let records = seen(vec![cap("job", 2, &["a", "b"]), cap("job", 2, &["b", "c"])]);
        assert_eq!((records.passed().count(), records.starts_over.len()), (0, 0));
    }

    #[test]
    fn what_starts_above_a_cap_that_was_lowered_is_a_fault_even_while_the_use_falls() {
        let lowered = vec![cap("job", 4, &["a", "b", "c", "d"]), cap("job", 1, &["a", "b", "c", "d"])];
        let falls = [lowered.clone(), vec![cap("job", 1, &["c", "d"])]].concat();
        assert_eq!(seen(falls).starts_over, []);
        let starts = [lowered, vec![cap("job", 1, &["d", "e"])]].concat();
        let over = StartOver { cap: used("job", 2, 1), procs: vec!["e".to_owned()] };
        assert_eq!(seen(starts).starts_over, [over]);
    }

    #[test]
    fn a_start_is_not_blamed_where_the_cap_or_what_it_counts_moved_meanwhile() {
        let lowered = vec![cap("job", 4, &["a"]), cap("job", 1, &["a", "b", "c"])];
        assert_eq!(seen(lowered).starts_over, []);
        let mut moved = cap("folder", 1, &["a", "b"]);
        moved.counted = "another job".to_owned();
        assert_eq!(seen(vec![cap("folder", 1, &["a"]), moved.clone()]).starts_over, []);
        // What was under way at the move lands soon after it, and nothing later.
        let landed =
            Cap { used: used("folder", 3, 1), procs: ["a", "b", "c"].map(str::to_owned).to_vec(), ..moved.clone() };
        for (after, starts) in [(50, 0), (1500, 1)] {
            let (mut seen, now) = (Seen::default(), Instant::now());
            seen.sample(vec![cap("folder", 1, &["a"])], now);
            seen.sample(vec![moved.clone()], now);
            seen.sample(vec![landed.clone()], now + Duration::from_millis(after));
            assert_eq!(seen.into_records().starts_over.len(), starts, "{after} ms after the move");
        }
    }

    #[test]
    fn under_a_limit_of_hosts_a_new_host_is_a_start_and_a_further_frame_of_a_host_is_none() {
        let lowered = vec![seats(2, &[("a", "h"), ("b", "i")]), seats(1, &[("a", "h"), ("b", "i")])];
        let further = [lowered.clone(), vec![seats(1, &[("a", "h"), ("b", "i"), ("c", "i")])]].concat();
        assert_eq!(seen(further).starts_over, []);
        let new_host = [lowered, vec![seats(1, &[("a", "h"), ("d", "j")])]].concat();
        let over = StartOver { cap: used("limit", 2, 1), procs: vec!["d".to_owned()] };
        assert_eq!(seen(new_host).starts_over, [over]);
    }

    #[test]
    fn a_start_under_a_limit_has_a_moment_to_land() {
        let at = |limit: &str, after: Duration| {
            let (mut seen, now) = (Seen::default(), Instant::now());
            seen.sample(vec![cap(limit, 4, &["a", "b"])], now);
            seen.sample(vec![cap(limit, 1, &["a", "b"])], now + Duration::from_millis(50));
            seen.sample(vec![cap(limit, 1, &["b", "c"])], now + Duration::from_millis(50) + after);
            seen.into_records().starts_over.len()
        };
        assert_eq!(at("limit", Duration::from_millis(100)), 0);
        assert_eq!(at("limit", Duration::from_millis(1100)), 1);
        assert_eq!(at("job", Duration::from_millis(100)), 1);
    }
}
