//! What a running scheduler can say of its work: the last pass of each pool, and what waits and why.
//!
//! Everything here is replaced by the next pass of its pool and dropped when the pool sleeps or is gone, so it is no larger than
//! what the last passes read. Nothing is computed until somebody asks.
//!
//! **A layer counts once**, however many pools could serve it. It waits for the reason of the pool that came nearest to running
//! it ([`Reason::nearness`]): what finds only busy hosts in one pool and a full subscription in another waits for hosts. Its
//! frames are those that the latest of the passes left. A layer is the business of the pools with whose hosts it has a tag in
//! common; what has none with any pool is counted by the awake scan, as waiting for a host with its tag.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cue_scheduler_core::domain::id::LayerId;
use cue_scheduler_core::reason::Reason;

use crate::booking::Refusals;
use crate::engine::chain;
use crate::feed::{FeedCounts, Standstill};
use crate::pass::PassReport;
use crate::waitlist::Left;

/// See the module.
#[derive(Debug, Default)]
pub struct Sight(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// By name.
    pools: BTreeMap<Arc<str>, PoolSeen>,
    /// By show: frames whose tags no pool has.
    unserved: BTreeMap<Arc<str>, u64>,
    /// What forbade booking at the last scan.
    standstill: Option<Standstill>,
    /// Passes so far, to tell which was later.
    passes: u64,
}

#[derive(Debug, Default)]
struct PoolSeen {
    awake: bool,
    last: Option<LastPass>,
    left: Arc<[Left]>,
}

/// A pass that ended.
#[derive(Clone, Debug)]
pub struct LastPass {
    number: u64,
    /// When it ended.
    pub ended: SystemTime,
    /// How long reading, planning and booking took.
    pub took: [Duration; 3],
    /// Hosts that were read.
    pub hosts: usize,
    /// Layers with waiting frames that were planned.
    pub layers: usize,
    /// Frames that were booked, by show.
    pub booked: BTreeMap<Arc<str>, usize>,
    /// Frames that the database refused.
    pub refusals: Refusals,
    /// What ended the booking of some of it, if something did.
    pub failed: Option<String>,
}

/// A pool as it is shown.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it has work that could start.
    pub awake: bool,
    /// Its last pass; `None` before the first.
    pub last: Option<LastPass>,
    /// What that left waiting, all of it, also what other pools could run.
    pub waiting: BTreeMap<Reason, Count>,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames.
    pub frames: u64,
    /// Layers that they belong to.
    pub layers: u64,
}

impl Count {
    fn add(&mut self, frames: u64, layers: u64) {
        self.frames += frames;
        self.layers += layers;
    }
}

/// A waiting layer as it is shown.
#[derive(Clone, Debug)]
pub struct LayerView {
    /// The pool that came nearest to running it.
    pub pool: Arc<str>,
    /// What is left of it there.
    pub left: Left,
}

impl Sight {
    /// A pass ended.
    pub fn pass_ended(&self, report: &PassReport) {
        let mut seen = self.seen();
        seen.passes += 1;
        let number = seen.passes;
        let pool = seen.pools.entry(report.pool.as_str().into()).or_default();
        pool.awake = true;
        pool.left = report.left.clone();
        pool.last = Some(LastPass {
            number,
            ended: SystemTime::now(),
            took: report.took,
            hosts: report.hosts,
            layers: report.layers,
            booked: report.booked.clone(),
            refusals: report.refusals.clone(),
            failed: report.failed.as_ref().map(|error| chain(error)),
        });
    }

    /// An awake scan ended. A pool without work has no further pass, which could say that nothing waits.
    pub fn scanned(&self, counts: &FeedCounts) {
        let mut seen = self.seen();
        seen.pools.retain(|pool, _| counts.pools.contains(pool));
        for name in &counts.pools {
            let pool = seen.pools.entry(name.clone()).or_default();
            pool.awake = counts.awake_pools.contains(name);
            if !pool.awake {
                pool.left = Arc::default();
            }
        }
        seen.unserved.clone_from(&counts.unserved);
        seen.standstill = counts.standstill;
    }

    /// What forbids booking altogether, as of the last scan.
    pub fn standstill(&self) -> Option<Standstill> {
        self.seen().standstill
    }

    /// The pools, by name.
    pub fn pools(&self) -> Vec<PoolView> {
        let seen = self.seen();
        let pools = seen.pools.iter().map(|(name, pool)| {
            let mut waiting: BTreeMap<Reason, Count> = BTreeMap::new();
            for left in &*pool.left {
                waiting.entry(left.reason()).or_default().add(left.frames.into(), 1);
            }
            PoolView { name: name.clone(), awake: pool.awake, last: pool.last.clone(), waiting }
        });
        pools.collect()
    }

    /// What waits, by show and reason, each layer once.
    pub fn waiting(&self) -> BTreeMap<(Arc<str>, Reason), Count> {
        let seen = self.seen();
        let mut waiting: BTreeMap<(Arc<str>, Reason), Count> = BTreeMap::new();
        for layer in seen.layers().into_values() {
            let key = (layer.nearest.show.clone(), layer.nearest.reason());
            waiting.entry(key).or_default().add(layer.frames.into(), 1);
        }
        for (show, frames) in &seen.unserved {
            waiting.entry((show.clone(), Reason::NoHostWithTag)).or_default().add(*frames, 0);
        }
        waiting
    }

    /// The waiting layers, the most important first, at most `most` of them; and how many there are.
    pub fn layers(&self, most: usize) -> (Vec<LayerView>, usize) {
        let seen = self.seen();
        let mut layers: Vec<Seat> = seen.layers().into_values().collect();
        let total = layers.len();
        layers.sort_unstable_by_key(|layer| (Reverse(layer.nearest.priority), layer.place, layer.pool.clone()));
        let shown = layers.into_iter().take(most).map(|layer| LayerView {
            pool: layer.pool.clone(),
            left: Left { frames: layer.frames, ..layer.nearest.clone() },
        });
        (shown.collect(), total)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a layer over all pools.
struct Seat<'s> {
    /// The latest pass that left it, and how many frames that was.
    latest: u64,
    frames: u32,
    /// The pool that came nearest, and the layer's place in what that left.
    pool: &'s Arc<str>,
    place: usize,
    nearest: &'s Left,
}

impl Seen {
    fn layers(&self) -> HashMap<&LayerId, Seat<'_>> {
        let mut layers: HashMap<&LayerId, Seat> = HashMap::new();
        for (pool, seen) in &self.pools {
            let number = seen.last.as_ref().map_or(0, |last| last.number);
            for (place, left) in seen.left.iter().enumerate() {
                let seat = layers.entry(&left.layer).or_insert(Seat {
                    latest: number,
                    frames: left.frames,
                    pool,
                    place,
                    nearest: left,
                });
                if left.reason().nearness() > seat.nearest.reason().nearness() {
                    (seat.pool, seat.place, seat.nearest) = (pool, place, left);
                }
                if number > seat.latest {
                    (seat.latest, seat.frames) = (number, left.frames);
                }
            }
        }
        layers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cue_scheduler_core::reason::Obstacle;

    use super::*;

    fn left(layer: &str, show: &str, priority: i32, frames: u32, obstacle: Obstacle) -> Left {
        Left {
            layer: layer.into(),
            layer_name: layer.into(),
            job: "job".into(),
            show: show.into(),
            priority,
            frames,
            obstacle,
        }
    }

    fn report(pool: &str, left: Vec<Left>) -> PassReport {
        PassReport { pool: pool.to_owned(), left: left.into(), ..PassReport::default() }
    }

    const BUSY: Obstacle = Obstacle::HostsBusy { hosts: 3, nearest: None };
    const NO_TAG: Obstacle = Obstacle::NoHostWithTag { hosts: 3 };

    fn sums(sight: &Sight) -> Vec<(String, Reason, u64, u64)> {
        let waiting = sight.waiting().into_iter();
        waiting.map(|((show, reason), count)| (show.to_string(), reason, count.frames, count.layers)).collect()
    }

    #[test]
    fn a_layer_of_two_pools_counts_once_under_the_reason_that_came_nearest() {
        let sight = Sight::default();
        sight.pass_ended(&report("b", vec![left("l", "alpha", 1, 9, BUSY)]));
        sight.pass_ended(&report("a", vec![left("l", "alpha", 1, 7, Obstacle::SubscriptionFrozen)]));
        assert_eq!(sums(&sight), [("alpha".to_owned(), Reason::HostsBusy, 7, 1)], "frames are the latest");
        assert_eq!(sight.layers(10).0[0].pool.as_ref(), "b");
    }

    #[test]
    fn what_a_pool_left_is_gone_when_it_sleeps_and_the_pool_when_it_vanishes() {
        let sight = Sight::default();
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<BTreeSet<Arc<str>>>();
        let scan = |pools: &[&str], awake: &[&str]| {
            let counts = FeedCounts { pools: names(pools), awake_pools: names(awake), ..FeedCounts::default() };
            sight.scanned(&counts);
        };
        sight.pass_ended(&report("a", vec![left("l", "alpha", 1, 9, BUSY)]));
        sight.pass_ended(&report("b", vec![left("m", "beta", 1, 2, NO_TAG)]));
        scan(&["a", "b", "c"], &["a"]);
        assert_eq!(sums(&sight), [("alpha".to_owned(), Reason::HostsBusy, 9, 1)]);
        let pools = sight.pools();
        assert_eq!(
            pools.iter().map(|pool| (&*pool.name, pool.awake)).collect::<Vec<_>>(),
            [("a", true), ("b", false), ("c", false)]
        );
        assert!(pools[1].last.is_some() && pools[2].last.is_none());
        scan(&["b"], &[]);
        assert!(sums(&sight).is_empty());
        assert_eq!(sight.pools().len(), 1);
    }

    #[test]
    fn work_that_no_pool_could_run_waits_for_a_host_with_its_tag() {
        let sight = Sight::default();
        let unserved = BTreeMap::from([(Arc::from("alpha"), 4)]);
        sight.scanned(&FeedCounts { unserved, ..FeedCounts::default() });
        assert_eq!(sums(&sight), [("alpha".to_owned(), Reason::NoHostWithTag, 4, 0)]);
    }

    #[test]
    fn the_most_important_layers_are_shown_and_all_are_counted() {
        let sight = Sight::default();
        let many = (0..50).map(|n| left(&format!("l{n}"), "alpha", n % 10, 1, BUSY)).collect();
        sight.pass_ended(&report("a", many));
        let (shown, total) = sight.layers(5);
        assert_eq!((shown.len(), total), (5, 50));
        assert!(shown.iter().all(|layer| layer.left.priority == 9));
    }
}
