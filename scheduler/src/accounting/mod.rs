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
//! transaction, its rows sorted as everybody sorts them: no cycle of waits can run through here.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::accounting::CounterTable;
use crate::store::booking::CounterColumns;
use crate::store::retry::pause;
use crate::store::{Store, StoreError};

/// How long the counters of a show are kept right after it left our hands: Cuebots remember the flag for 30 s, and until
/// then release its procs as if it were managed.
const AFTERCARE: Duration = Duration::from_mins(1);

/// Rows of one transaction. A booking of the same show waits for as long as its sums take.
const ROWS: usize = 20;

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
    /// A reconcile ended, after `took`.
    fn reconciled(&self, result: &Result<Vec<Correction>, StoreError>, took: Duration);
}

/// Reconciles every `period` until `stop`; what has begun then ends by itself.
pub async fn run(store: Store, period: Duration, observer: &dyn Observer, stop: CancellationToken) {
    let mut accounting = Accounting::default();
    let mut ticks = tokio::time::interval(period);
    // After a slow reconcile the missed ones would run back to back, under the load that made it slow.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let began = Instant::now();
        let result = accounting.reconcile(&store).await;
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
        let mut rows: BTreeMap<CounterTable, Vec<String>> = BTreeMap::new();
        for (table, key) in store.differing_counters(&shows).await? {
            rows.entry(table).or_default().push(key);
        }
        let mut corrections = Vec::new();
        for (table, mut keys) in rows {
            keys.sort_unstable();
            for keys in keys.chunks(ROWS) {
                corrections.extend(correct(store, table, keys).await?);
            }
        }
        Ok(corrections)
    }
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

async fn correct_once(store: &Store, table: CounterTable, keys: &[&str]) -> Result<Vec<Correction>, StoreError> {
    let mut tx = store.begin_counters(table).await?;
    let counters = tx.lock(keys).await?;
    let sums: HashMap<String, (i64, i64)> =
        tx.booked(keys).await?.into_iter().map(|row| (row.key, (row.cores, row.gpus))).collect();
    let corrections: Vec<Correction> = counters
        .into_iter()
        .map(|row| {
            let is = sums.get(&row.key).copied().unwrap_or_default();
            Correction { table, was: (row.cores, row.gpus), is, key: row.key }
        })
        .filter(|correction| correction.was != correction.is)
        .collect();
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
