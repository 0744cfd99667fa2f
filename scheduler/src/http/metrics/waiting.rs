//! The gauge of frames that wait, by reason: the last word of each pool that has waiting work.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use cue_scheduler_core::reason::Reason;
use prometheus::{Error, GaugeVec};

use super::families;
use super::register::Maker;

pub(super) struct WaitingFrames {
    gauge: GaugeVec,
    /// By pool: what its last pass left waiting.
    last: Mutex<HashMap<String, BTreeMap<Reason, u64>>>,
}

impl WaitingFrames {
    pub(super) fn new(make: &Maker) -> Result<Self, Error> {
        Ok(Self { gauge: make.gauges(&families::WAITING_FRAMES)?, last: Mutex::default() })
    }

    /// A pass of a pool ended.
    pub(super) fn of_pool(&self, pool: &str, waiting: &BTreeMap<Reason, u64>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(pool.to_owned(), waiting.clone());
        self.show(&last);
    }

    /// Pools without waiting work have no more passes, which could say that nothing waits.
    pub(super) fn awake(&self, pools: &BTreeSet<Arc<str>>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.len();
        last.retain(|pool, _| pools.contains(pool.as_str()));
        if last.len() < before {
            self.show(&last);
        }
    }

    fn show(&self, last: &HashMap<String, BTreeMap<Reason, u64>>) {
        for reason in Reason::ALL {
            let frames: u64 = last.values().filter_map(|reasons| reasons.get(&reason)).sum();
            self.gauge.with_label_values(&[reason.label()]).set(frames as f64);
        }
    }
}
