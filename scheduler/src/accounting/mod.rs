//! Keeps the counters that Cuebot and its tools read equal to what procs hold.
//!
//! Bookings count in their own transaction, and so do Cuebot's releases, in most generations of it. In one, a release leaves the
//! counters of managed shows alone, so that they only grow; and in all of them a job that moves to another folder, or
//! a host that moves to another allocation, takes counts to the wrong place. The booking transaction looks at the
//! truth where a counter refuses, so no cap depends on this loop: it is for everybody else who reads the counters.
//!
//! [`Accounting::reconcile`] finds rows that differ in one snapshot, locks some of them, sums their procs in a *new* statement, and writes
//! what is still different. Whoever changes procs and counters meanwhile has either committed both before the sum began, or
//! waits for the lock and then adds to what was written: there is no third case, so what is written is exact. One table a
//! transaction, its rows sorted as everybody sorts them: no cycle of waits can run through here. A job's own row keeps it in sight
//! until its layers are right.
//!
//! The Cuebot that leaves counters alone announces its releases instead. [`listen()`] hears them, where they are sent, and what
//! they name is set right within a second or two; nothing rests on that either.

mod dirty;
mod listener;
mod notice;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::accounting::{CounterTable, CountersTx};
use crate::store::booking::CounterColumns;
use crate::store::retry::pause;
use crate::store::{Store, StoreError};
use dirty::Marks;

pub use dirty::Dirty;
pub use listener::listen;
pub use notice::Released;

/// How long the counters of a show are kept right after it left our hands: Cuebots remember the flag for 30 s, and until
/// then release its procs as if it were managed.
const AFTERCARE: Duration = Duration::from_mins(1);

/// Rows of one transaction. A booking of the same show waits for as long as its sums take.
const ROWS: usize = 20;

/// How long marks are gathered. A farm's releases come in crowds, and share their rows.
const GATHER: Duration = Duration::from_secs(1);

/// How often a transaction is repeated whose rows were locked. What is left after that is left to the next reconcile.
const RETRIES: u32 = 5;

/// A counter that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Its table.
    pub table: CounterTable,
    /// The row's key.
    pub key: String,
    /// Centicores and GPUs that the row said.
    pub was: (i64, i64),
    /// Centicores and GPUs that procs hold.
    pub is: (i64, i64),
}

impl Correction {
    /// Whether the counter stood too low in some amount: until it was set right, its cap let too much in wherever nobody summed
    /// the procs.
    pub fn was_low(&self) -> bool {
        self.was.0 < self.is.0 || self.was.1 < self.is.1
    }
}

/// Hears what reconciles did.
pub trait Observer: Send + Sync {
    /// Cuebot announced something: `release`, `cap`, or `malformed` for what can't be read.
    fn noticed(&self, kind: &'static str);

    /// A reconcile ended, after `took`.
    fn reconciled(&self, result: &Result<Vec<Correction>, StoreError>, took: Duration);
}

/// Reconciles every `period`, and what is marked dirty soon after, until `stop`; what has begun then ends by itself.
pub async fn run(store: Store, period: Duration, dirty: &Dirty, observer: &dyn Observer, stop: CancellationToken) {
    let mut accounting = Accounting::default();
    let mut ticks = tokio::time::interval(period);
    // After a slow reconcile the missed ones would run back to back, under the load that made it slow.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let marks = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                // All is compared, what is marked too.
                dirty.take();
                Marks::All
            }
            () = dirty.marked() => {
                stop.run_until_cancelled(tokio::time::sleep(GATHER)).await;
                dirty.take()
            }
        };
        let began = Instant::now();
        let result = match &marks {
            Marks::None => continue,
            Marks::Some(released) => accounting.reconcile_marked(&store, released).await,
            Marks::All => accounting.reconcile(&store).await,
        };
        observer.reconciled(&result, began.elapsed());
    }
}

/// The shows that are kept right, with when each was last seen managed.
#[derive(Debug, Default)]
pub struct Accounting {
    shows: HashMap<String, Instant>,
}

impl Accounting {
    /// Sets right what differs now; answers what it changed. An error ends it early, and what is left is found again.
    pub async fn reconcile(&mut self, store: &Store) -> Result<Vec<Correction>, StoreError> {
        let now = Instant::now();
        for show in store.managed_shows().await? {
            self.shows.insert(show, now);
        }
        self.shows.retain(|_, seen| now.duration_since(*seen) < AFTERCARE);
        let shows: Vec<&str> = self.shows.keys().map(String::as_str).collect();
        if shows.is_empty() {
            return Ok(Vec::new());
        }
        set_right(store, store.differing_counters(&shows).await?).await
    }

    /// Sets right what released procs counted in; answers what it changed. Shows that were not managed at the last reconcile are
    /// left alone.
    pub async fn reconcile_marked(
        &mut self,
        store: &Store,
        released: &HashSet<Released>,
    ) -> Result<Vec<Correction>, StoreError> {
        let ours: Vec<&Released> = released.iter().filter(|one| self.shows.contains_key(&one.show)).collect();
        let pairs = |other: fn(&Released) -> &str| -> Vec<(&str, &str)> {
            let pairs: BTreeSet<_> = ours.iter().map(|one| (one.show.as_str(), other(one))).collect();
            pairs.into_iter().collect()
        };
        let mut rows = store.counters_of(&pairs(|one| &one.alloc), &pairs(|one| &one.department)).await?;
        for one in ours {
            rows.push((CounterTable::Layer, one.layer.clone()));
            rows.push((CounterTable::Job, one.job.clone()));
            rows.push((CounterTable::Folder, one.folder.clone()));
        }
        set_right(store, rows).await
    }
}

/// Sets rows right, a few of one table at a time, the tables in their order.
async fn set_right(store: &Store, rows: Vec<(CounterTable, String)>) -> Result<Vec<Correction>, StoreError> {
    let mut keys_of: BTreeMap<CounterTable, BTreeSet<String>> = BTreeMap::new();
    for (table, key) in rows {
        keys_of.entry(table).or_default().insert(key);
    }
    let mut corrections = Vec::new();
    for (table, keys) in keys_of {
        let keys: Vec<String> = keys.into_iter().collect();
        for keys in keys.chunks(ROWS) {
            corrections.extend(correct(store, table, keys).await?);
        }
    }
    Ok(corrections)
}

/// Sets some rows of a table right, in one transaction that is repeated when it waited too long for a lock.
async fn correct(store: &Store, table: CounterTable, keys: &[String]) -> Result<Vec<Correction>, StoreError> {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut retries = 0;
    loop {
        match correct_once(store, table, &keys).await {
            Err(error) if error.retryable().is_some() && retries < RETRIES => {
                retries += 1;
                pause(retries).await;
            }
            result => return result,
        }
    }
}

/// A job that has ended is found by what its own row still counts, so its row must not become zero before its layers are right: a
/// proc that was released between the layers' turn and the job's would stay in its layer for good. Such a job has its turn the next
/// time.
async fn keep_in_sight(tx: &mut CountersTx, corrections: &mut Vec<Correction>) -> Result<(), StoreError> {
    let to_zero: Vec<&str> = corrections.iter().filter(|one| one.is == (0, 0)).map(|one| one.key.as_str()).collect();
    if to_zero.is_empty() {
        return Ok(());
    }
    let waiting: HashSet<String> = tx.jobs_with_wrong_layers(&to_zero).await?.into_iter().collect();
    corrections.retain(|one| one.is != (0, 0) || !waiting.contains(&one.key));
    Ok(())
}

async fn correct_once(store: &Store, table: CounterTable, keys: &[&str]) -> Result<Vec<Correction>, StoreError> {
    let mut tx = store.begin_counters(table).await?;
    let counters = tx.lock(keys).await?;
    let sums: HashMap<String, (i64, i64)> =
        tx.booked(keys).await?.into_iter().map(|row| (row.key, (row.cores, row.gpus))).collect();
    let mut corrections: Vec<Correction> = counters
        .into_iter()
        .map(|row| {
            let is = sums.get(&row.key).copied().unwrap_or_default();
            Correction { table, was: (row.cores, row.gpus), is, key: row.key }
        })
        .filter(|correction| correction.was != correction.is)
        .collect();
    if table == CounterTable::Job {
        keep_in_sight(&mut tx, &mut corrections).await?;
    }
    if corrections.is_empty() {
        tx.roll_back().await?;
        return Ok(corrections);
    }
    let mut columns = CounterColumns::default();
    for Correction { key, is: (cores, gpus), .. } in &corrections {
        columns.push(key, *cores, *gpus);
    }
    tx.set(&columns).await?;
    tx.commit().await?;
    Ok(corrections)
}
