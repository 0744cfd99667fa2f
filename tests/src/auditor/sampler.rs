//! Watches caps during a run: the largest use of each, and by how much it was ever passed.
//!
//! A cap may move meanwhile. Lowering one below its use is legal and the use then decays, so the excess is kept beside the
//! largest use and the reader judges; a run whose caps stand still must show no excess at all.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{CapUse, cap_uses};

/// What was seen of one cap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapRecord {
    /// The moment of the largest use, with the cap as it stood then.
    pub largest: CapUse,
    /// The moment at which the use was furthest above the cap, if it ever was.
    pub furthest_over: Option<CapUse>,
}

/// What was seen of all caps, by cap and id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapRecords {
    /// How many times the farm was looked at.
    pub samples: u64,
    /// Every cap that was in use at a sample, sorted by kind and name.
    pub caps: Vec<CapRecord>,
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
    /// Looks at the caps at once, then every `interval`, and once more at the end.
    pub fn start(pool: PgPool, interval: Duration) -> Self {
        let stop = CancellationToken::new();
        let (counted, samples) = watch::channel(0);
        let task = tokio::spawn(watch_caps(pool, interval, stop.clone(), counted));
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

async fn watch_caps(
    pool: PgPool,
    interval: Duration,
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
        let mut connection = pool.acquire().await?;
        seen.sample(cap_uses(&mut connection).await?);
        counted.send_replace(seen.samples);
        if last {
            return Ok(seen.into_records());
        }
    }
}

#[derive(Default)]
struct Seen {
    samples: u64,
    caps: BTreeMap<(String, String, String), CapRecord>,
}

impl Seen {
    fn sample(&mut self, uses: Vec<CapUse>) {
        self.samples += 1;
        for used in uses {
            let key = (used.cap.clone(), used.name.clone(), used.id.clone());
            let record =
                self.caps.entry(key).or_insert_with(|| CapRecord { largest: used.clone(), furthest_over: None });
            let excess = used.used - used.allowed;
            let before = record.furthest_over.as_ref().map_or(0, |over| over.used - over.allowed);
            if excess > before {
                record.furthest_over = Some(used.clone());
            }
            if used.used > record.largest.used {
                record.largest = used;
            }
        }
    }

    fn into_records(self) -> CapRecords {
        CapRecords { samples: self.samples, caps: self.caps.into_values().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(used: i64, allowed: i64) -> CapUse {
        CapUse { cap: "limit".to_owned(), id: "1".to_owned(), name: "licence".to_owned(), used, allowed }
    }

    #[test]
    fn the_largest_use_and_the_furthest_excess_are_kept_apart() {
        let mut seen = Seen::default();
        for (now, allowed) in [(3, 5), (9, 10), (8, 5), (6, 5), (1, 5)] {
            seen.sample(vec![used(now, allowed)]);
        }
        let records = seen.into_records();
        assert_eq!(records.samples, 5);
        assert_eq!(records.caps, [CapRecord { largest: used(9, 10), furthest_over: Some(used(8, 5)) }]);
        assert_eq!(records.passed().collect::<Vec<_>>(), [&used(8, 5)]);
    }

    #[test]
    fn a_cap_that_held_shows_no_excess() {
        let mut seen = Seen::default();
        seen.sample(vec![used(5, 5)]);
        assert_eq!(seen.into_records().passed().count(), 0);
    }
}
