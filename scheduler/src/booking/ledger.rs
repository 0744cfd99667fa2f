//! Undoing bookings whose frame certainly does not run, and asking which still stand.
//!
//! The order of locks is that of a booking. What is given back to hosts and counters is what the deletion of the procs
//! returned, never what was booked: memory may have grown since, and a proc that Cuebot has released gives nothing.

use std::collections::{BTreeMap, HashMap};

use cue_scheduler_core::domain::id::ProcId;
use cue_scheduler_core::launch::Hold;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::resources::distinct;
use crate::launch::{Ledger, LedgerError};
use crate::store::booking::{ApplyColumns, BookingTx, CounterColumns, ResourceRow, kind};
use crate::store::retry::pause;
use crate::store::undo::DeletedProc;
use crate::store::{Store, StoreError};

/// How often an undo is tried whose rows are locked or in a deadlock. The launcher tries again later, and in the end leaves the
/// procs to Cuebot's sweep.
const TRIES: u32 = 8;

/// The database, as the launcher knows it.
#[derive(Clone, Debug)]
pub struct DatabaseLedger(pub Store);

impl Ledger for DatabaseLedger {
    fn undo<'a>(&'a self, holds: &'a [Hold]) -> BoxFuture<'a, Result<Vec<ProcId>, LedgerError>> {
        async move {
            undo(&self.0, holds).await.map_err(|error| LedgerError { what: "undo bookings", source: error.into() })
        }
        .boxed()
    }

    fn still_held<'a>(&'a self, holds: &'a [Hold]) -> BoxFuture<'a, Result<Vec<ProcId>, LedgerError>> {
        async move {
            still_held(&self.0, holds)
                .await
                .map_err(|error| LedgerError { what: "say which bookings stand", source: error.into() })
        }
        .boxed()
    }
}

/// Takes bookings back; answers the procs that were. One transaction a show: the rows of two shows, taken one show after the
/// other, would break the order of locks.
pub async fn undo(store: &Store, holds: &[Hold]) -> Result<Vec<ProcId>, StoreError> {
    let mut by_show: BTreeMap<&str, Vec<Hold>> = BTreeMap::new();
    for hold in holds {
        by_show.entry(&hold.show_name).or_default().push(hold.clone());
    }
    let mut undone = Vec::new();
    for holds in by_show.into_values() {
        undone.extend(undo_of_show(store, holds).await?);
    }
    Ok(undone)
}

async fn undo_of_show(store: &Store, mut holds: Vec<Hold>) -> Result<Vec<ProcId>, StoreError> {
    let mut undone: Vec<ProcId> = Vec::new();
    for tries in 1..=TRIES {
        match undo_once(store, &holds).await {
            Ok(some) => {
                holds.retain(|hold| !some.contains(&hold.proc));
                undone.extend(some);
                if holds.is_empty() {
                    return Ok(undone);
                }
                // A frame that is locked is skipped: perhaps Cuebot ends it, perhaps somebody only tried to claim it.
                let standing = still_held(store, &holds).await?;
                holds.retain(|hold| standing.contains(&hold.proc));
                if holds.is_empty() {
                    return Ok(undone);
                }
            }
            Err(error) if error.retryable().is_some() && tries < TRIES => {}
            Err(error) => return Err(error),
        }
        pause(tries).await;
    }
    Err(StoreError::Busy { what: "undoing bookings" })
}

/// Which bookings still stand: the frame runs, and our proc holds it.
pub async fn still_held(store: &Store, holds: &[Hold]) -> Result<Vec<ProcId>, StoreError> {
    let procs: Vec<&str> = holds.iter().map(|hold| hold.proc.as_str()).collect();
    let frames: Vec<&str> = holds.iter().map(|hold| hold.frame.as_str()).collect();
    let versions: Vec<i32> = holds.iter().map(|hold| hold.frame_version).collect();
    Ok(store.still_held(&procs, &frames, &versions).await?.into_iter().map(ProcId::from).collect())
}

async fn undo_once(store: &Store, holds: &[Hold]) -> Result<Vec<ProcId>, StoreError> {
    let mut tx = store.begin().await?;
    let frames: Vec<&str> = holds.iter().map(|hold| hold.frame.as_str()).collect();
    let versions: Vec<i32> = holds.iter().map(|hold| hold.frame_version).collect();
    let procs: Vec<&str> = holds.iter().map(|hold| hold.proc.as_str()).collect();
    let locked = tx.lock_started(&frames, &versions, &procs).await?;
    let ours: HashMap<&str, &Hold> = holds
        .iter()
        .filter(|hold| locked.iter().any(|row| row.pk_frame == hold.frame.as_str()))
        .map(|hold| (hold.proc.as_str(), hold))
        .collect();
    if ours.is_empty() {
        tx.roll_back().await?;
        return Ok(Vec::new());
    }
    let layers = distinct(locked.iter().map(|row| row.pk_layer.as_str()));
    let jobs = distinct(locked.iter().map(|row| row.pk_job.as_str()));
    tx.lock_stats(&layers, &jobs).await?;

    let mut procs: Vec<&str> = ours.keys().copied().collect();
    procs.sort_unstable();
    let frames: Vec<&str> = procs.iter().map(|proc| ours[proc].frame.as_str()).collect();
    let deleted = tx.delete_procs(&procs, &frames).await?;

    let mut by_show: BTreeMap<&str, Vec<&DeletedProc>> = BTreeMap::new();
    for proc in &deleted {
        by_show.entry(&proc.pk_show).or_default().push(proc);
    }
    for (show, procs) in by_show {
        give_back(&mut tx, show, &procs).await?;
    }
    let (frames, versions): (Vec<&str>, Vec<i32>) = deleted
        .iter()
        .filter_map(|proc| ours.get(proc.pk_proc.as_str()))
        .map(|hold| (hold.frame.as_str(), hold.frame_version))
        .unzip();
    tx.clear_frames(&frames, &versions).await?;
    tx.commit().await?;
    Ok(deleted.into_iter().map(|proc| ProcId::from(proc.pk_proc)).collect())
}

/// Gives back what procs of one show held.
async fn give_back(tx: &mut BookingTx, show: &str, procs: &[&DeletedProc]) -> Result<(), StoreError> {
    let hosts = distinct(procs.iter().map(|proc| proc.pk_host.as_str()));
    let layers = distinct(procs.iter().map(|proc| proc.pk_layer.as_str()));
    let jobs = distinct(procs.iter().map(|proc| proc.pk_job.as_str()));
    let rows = tx.lock_resources(&hosts, show, &layers, &jobs).await?;
    let find = |wanted: i32| -> HashMap<&str, &ResourceRow> {
        rows.iter().filter(|row| row.kind == wanted).map(|row| (row.key.as_str(), row)).collect()
    };
    let (host_rows, job_rows) = (find(kind::HOST), find(kind::JOB));

    let mut columns = ApplyColumns::default();
    for host in hosts {
        let on_host = || procs.iter().filter(|proc| proc.pk_host == host);
        columns.host.push(host);
        columns.host_cores.push(on_host().map(|proc| proc.int_cores_reserved).sum());
        columns.host_memory.push(on_host().map(|proc| proc.int_mem_reserved).sum());
        columns.host_gpus.push(on_host().map(|proc| i64::from(proc.int_gpus_reserved)).sum());
        columns.host_gpu_memory.push(on_host().map(|proc| proc.int_gpu_mem_reserved).sum());
    }
    let alloc = |proc: &DeletedProc| host_rows.get(proc.pk_host.as_str()).and_then(|row| row.other.as_deref());
    let folder = |proc: &DeletedProc| job_rows.get(proc.pk_job.as_str()).and_then(|row| row.other.as_deref());
    let department = |proc: &DeletedProc| job_rows.get(proc.pk_job.as_str()).and_then(|row| row.third.as_deref());
    add_up(&mut columns.subscriptions, procs, alloc);
    add_up(&mut columns.layers, procs, |proc| Some(proc.pk_layer.as_str()));
    add_up(&mut columns.jobs, procs, |proc| Some(proc.pk_job.as_str()));
    add_up(&mut columns.folders, procs, folder);
    add_up(&mut columns.points, procs, department);
    tx.give_back(show, &columns).await
}

/// Sums procs by a key.
fn add_up<'p>(
    columns: &mut CounterColumns<'p>,
    procs: &[&'p DeletedProc],
    key: impl Fn(&'p DeletedProc) -> Option<&'p str>,
) {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for proc in procs {
        if let Some(key) = key(proc) {
            let (cores, gpus) = sums.entry(key).or_default();
            *cores += proc.int_cores_reserved;
            *gpus += i64::from(proc.int_gpus_reserved);
        }
    }
    for (key, (cores, gpus)) in sums {
        columns.push(key, cores, gpus);
    }
}
