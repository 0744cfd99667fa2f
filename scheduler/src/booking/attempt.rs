//! One booking transaction, step by step.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cue_scheduler_core::domain::id::{FrameId, ProcId};
use cue_scheduler_core::landing::{Landed, Truth};
use cue_scheduler_core::launch::{Booking, Hold};
use cue_scheduler_core::run_frame::{FrameRef, RunFrame};
use uuid::Uuid;

use super::chunk::{Chunk, Slot};
use super::limits::under_limits;
use super::refusal::{Found, Refusal};
use super::resources::{Held, distinct};
use super::{Booked, BookingSettings, Rejected};
use crate::engine::chain;
use crate::launch::clock;
use crate::store::booking::{BookingTx, ProcColumns, StartColumns, saturate};
use crate::store::{Store, StoreError};

/// How an attempt ended.
pub(super) enum Attempt {
    /// Something was committed, or nothing was left to book.
    Committed,
    /// Something was refused after frames had been started: rolled back, and the chunk has shrunk.
    Refused,
}

/// A frame with its room, on its way through the transaction.
pub(super) struct Candidate {
    pub(super) slot: Slot,
    frame: FrameRef,
    proc: ProcId,
    run_frame: RunFrame,
    /// The version after the start.
    started: i32,
}

/// What a transaction holds before it ends.
enum Tried {
    /// Everything is written and can be committed.
    Ready(Vec<Candidate>),
    /// Frames were started, and something was refused after: it must not be committed. The chunk has shrunk.
    Refused,
    /// No frame was left to start.
    Nothing,
}

/// Tries to book the chunk once.
pub(super) async fn attempt(
    store: &Store,
    chunk: &mut Chunk,
    settings: &BookingSettings,
    booked: &mut Booked,
) -> Result<Attempt, StoreError> {
    // Read before the transaction begins, so that it is never later than `proc.ts_booked`: the launch must follow within a
    // fixed time, and whoever looks for bookings left behind counts that time from there.
    let committed_at = clock::now();
    let mut tx = store.begin().await?;
    let mut found = Found::default();
    let tried = write(&mut tx, chunk, settings, booked, &mut found).await;
    booked.lock_waits.push(tx.waited());
    let mut candidates = match tried? {
        Tried::Ready(candidates) => candidates,
        unready => {
            tx.roll_back().await?;
            booked.learn(found);
            return Ok(match unready {
                Tried::Refused => Attempt::Refused,
                _ => Attempt::Committed,
            });
        }
    };
    if let Err(error) = tx.commit().await
        && (!error.is_unanswered() || !settle_commit(store, &mut candidates).await?)
    {
        return Err(error);
    }
    booked.learn(found);
    booked.landed.extend(candidates.iter().map(|candidate| Landed {
        layer: chunk.layers[candidate.slot.layer].id.clone(),
        host: chunk.hosts[candidate.slot.host].id.clone(),
        size: candidate.slot.size,
    }));
    booked.bookings.extend(candidates.into_iter().map(|candidate| {
        let host = &chunk.hosts[candidate.slot.host];
        let hold = Hold {
            proc: candidate.proc,
            frame: candidate.frame.id,
            frame_version: candidate.started,
            host: host.id.clone(),
            host_name: host.name.clone(),
            show_name: chunk.show_name.clone(),
            size: candidate.slot.size,
        };
        Booking { hold, run_frame: candidate.run_frame, committed_at }
    }));
    Ok(Attempt::Committed)
}

/// All steps up to the commit.
async fn write(
    tx: &mut BookingTx,
    chunk: &mut Chunk,
    settings: &BookingSettings,
    booked: &mut Booked,
    found: &mut Found,
) -> Result<Tried, StoreError> {
    let claimed = claim(tx, chunk, settings, found).await?;
    let mut candidates = under_limits(tx, chunk, claimed, found).await?;
    start(tx, chunk, settings, &mut candidates, found).await?;
    if candidates.is_empty() {
        return Ok(Tried::Nothing);
    }

    let slots: Vec<Slot> = candidates.iter().map(|candidate| candidate.slot).collect();
    let elsewhere = insert_procs(tx, chunk, &candidates, settings).await?;
    if !elsewhere.is_empty() {
        // No truth of its own: where no other frame takes the room, the next attempt says so.
        found.refusals.add(Refusal::ProcExists, elsewhere.len());
        chunk.forget(&elsewhere);
        chunk.slots = slots;
        return Ok(Tried::Refused);
    }

    let mut resources = Held::lock(tx, chunk, &slots).await?;
    booked.healed += resources.heal(tx).await?;
    let admitted = resources.admitted(found);
    if admitted.len() < slots.len() {
        chunk.slots = admitted;
        return Ok(Tried::Refused);
    }
    let taken = resources.taken();
    tx.apply(chunk.show.as_str(), &taken).await?;
    if settings.take_reported_memory {
        tx.take_reported_memory(&taken).await?;
    }
    Ok(Tried::Ready(candidates))
}

/// Steps 1: claims frames, and builds what will be sent for each before anything is written: what can't be built is never
/// booked.
async fn claim(
    tx: &mut BookingTx,
    chunk: &Chunk,
    settings: &BookingSettings,
    found: &mut Found,
) -> Result<Vec<Candidate>, StoreError> {
    let wanted = chunk.wanted();
    let (mut of_layer, mut ids) = (Vec::new(), Vec::new());
    for (at, layer) in chunk.layers.iter().enumerate().filter(|(at, _)| wanted[*at] > 0) {
        for candidate in &layer.candidates {
            of_layer.push(at as i32);
            ids.push(candidate.id.as_str());
        }
    }
    let asked: Vec<i32> = (0..chunk.layers.len() as i32).filter(|at| wanted[*at as usize] > 0).collect();
    let counts: Vec<i32> = asked.iter().map(|at| wanted[*at as usize] as i32).collect();
    let mut versions: HashMap<String, Option<i32>> = HashMap::new();
    for row in tx.claim(&of_layer, &ids, &asked, &counts).await? {
        versions.insert(row.pk_frame, row.int_version);
    }

    for (at, layer) in chunk.layers.iter().enumerate().filter(|(at, _)| wanted[*at] > 0) {
        let ids = layer.candidates.iter().map(|candidate| &candidate.id);
        let missed: Vec<FrameId> = ids.filter(|id| !versions.contains_key(id.as_str())).cloned().collect();
        // Where enough were to be had, the others were not even tried.
        if layer.candidates.len() - missed.len() < wanted[at] as usize {
            found.taken.push((layer.id.clone(), missed));
        }
    }

    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
    let mut free: Vec<std::vec::IntoIter<FrameRef>> = chunk
        .layers
        .iter()
        .map(|layer| {
            let claimed = layer.candidates.iter().filter_map(|candidate| {
                let version = *versions.get(candidate.id.as_str())?;
                Some(FrameRef { version, ..candidate.clone() })
            });
            claimed.collect::<Vec<_>>().into_iter()
        })
        .collect();
    let mut candidates = Vec::with_capacity(chunk.slots.len());
    for slot in &chunk.slots {
        let Some(frame) = free[slot.layer].next() else {
            found.gone(Refusal::FrameTaken, &chunk.layers[slot.layer].id, 1);
            continue;
        };
        let proc = ProcId::from(Uuid::new_v4().to_string());
        let host = &chunk.hosts[slot.host];
        let template = &chunk.layers[slot.layer].template;
        match template.build(&frame, &proc, &host.os, &slot.size, now_ms, &settings.memory_factors) {
            Ok(run_frame) => candidates.push(Candidate { slot: *slot, frame, proc, run_frame, started: 0 }),
            Err(error) => {
                tracing::debug!(frame.id = %frame.id, "frame {} can't be launched: {error}", frame.name);
                found.gone(Refusal::FrameUnbuildable, &chunk.layers[slot.layer].id, 1);
            }
        }
    }
    Ok(candidates)
}

/// Steps 3 and 4: starts frames, with the rows of their counts locked first; what was not started leaves the plan.
async fn start(
    tx: &mut BookingTx,
    chunk: &Chunk,
    settings: &BookingSettings,
    candidates: &mut Vec<Candidate>,
    found: &mut Found,
) -> Result<(), StoreError> {
    if candidates.is_empty() {
        return Ok(());
    }
    let layers = distinct(candidates.iter().map(|candidate| chunk.layers[candidate.slot.layer].id.as_str()));
    let jobs = distinct(candidates.iter().map(|candidate| chunk.layers[candidate.slot.layer].job.as_str()));
    tx.lock_stats(&layers, &jobs).await?;

    let mut columns = StartColumns::default();
    for Candidate { slot, frame, .. } in &*candidates {
        columns.frame.push(frame.id.as_str());
        columns.version.push(frame.version);
        columns.host.push(&chunk.hosts[slot.host].name);
        columns.cores.push(saturate(slot.size.cores.0));
        columns.memory.push(slot.size.memory.0);
        columns.gpus.push(saturate(slot.size.gpus.0));
        columns.gpu_memory.push(slot.size.gpu_memory.0);
    }
    let started: HashMap<String, i32> =
        tx.start_frames(&columns, &settings.uncounted_exit_statuses).await?.into_iter().collect();
    if started.len() < candidates.len() {
        let missing: Vec<&str> = columns.frame.iter().copied().filter(|id| !started.contains_key(*id)).collect();
        let causes = tx.why_not_started(&missing).await?;
        let causes: HashMap<&str, &str> = causes.iter().map(|(frame, cause)| (&**frame, &**cause)).collect();
        for candidate in candidates.iter().filter(|candidate| !started.contains_key(candidate.frame.id.as_str())) {
            let cause = causes.get(candidate.frame.id.as_str()).copied().map_or(Refusal::FrameTaken, Refusal::of_cause);
            not_started(chunk, candidate.slot, &candidate.frame, cause, found);
        }
    }
    candidates.retain_mut(|candidate| match started.get(candidate.frame.id.as_str()) {
        Some(version) => {
            candidate.started = *version;
            true
        }
        None => false,
    });
    Ok(())
}

/// What it means for the rest of the plan that a frame was not started.
fn not_started(chunk: &Chunk, slot: Slot, frame: &FrameRef, cause: Refusal, found: &mut Found) {
    let layer = &chunk.layers[slot.layer];
    if cause == Refusal::FrameWornOut {
        let FrameRef { id, name, .. } = frame;
        tracing::warn!(frame.id = %id, "frame {name} can't be started: its version or its count of retries is at its end");
        found.rejected.push(Rejected::Frame(id.clone()));
    }
    let truth = match cause {
        Refusal::JobPaused | Refusal::JobNotPending => Truth::JobOut(layer.job.clone()),
        Refusal::StartAfter => Truth::LayerOut(layer.id.clone()),
        Refusal::ShowNotManaged => Truth::ShowOut(chunk.show.clone()),
        _ => Truth::FramesGone { layer: layer.id.clone(), frames: 1 },
    };
    found.refusals.add(cause, 1);
    found.truths.push(truth);
}

/// Step 5: inserts the procs; answers the frames that another proc still holds.
async fn insert_procs(
    tx: &mut BookingTx,
    chunk: &Chunk,
    candidates: &[Candidate],
    settings: &BookingSettings,
) -> Result<HashSet<FrameId>, StoreError> {
    let mut columns = ProcColumns::default();
    for Candidate { slot, frame, proc, .. } in candidates {
        let layer = &chunk.layers[slot.layer];
        columns.proc.push(proc.as_str());
        columns.host.push(chunk.hosts[slot.host].id.as_str());
        columns.layer.push(layer.id.as_str());
        columns.job.push(layer.job.as_str());
        columns.frame.push(frame.id.as_str());
        columns.cores.push(slot.size.cores.0);
        columns.memory.push(slot.size.memory.0);
        columns.gpus.push(saturate(slot.size.gpus.0));
        columns.gpu_memory.push(slot.size.gpu_memory.0);
    }
    let inserted = tx.insert_procs(chunk.show.as_str(), &columns, settings.memory_used_at_start).await?;
    let inserted: HashSet<&str> = inserted.iter().map(String::as_str).collect();
    let held = candidates.iter().filter(|candidate| !inserted.contains(candidate.proc.as_str()));
    Ok(held.map(|candidate| candidate.frame.id.clone()).collect())
}

/// After a commit without an answer: asks on another connection which procs exist, and keeps those candidates. A transaction
/// is whole, so it is all or none. `false`: nothing was committed.
///
/// It asks until it is answered, however long the database is gone: if it gave up, frames that were committed would run nowhere
/// and be taken for running. What turns out to be committed too long ago to be launched is settled by the launch protocol.
async fn settle_commit(store: &Store, candidates: &mut Vec<Candidate>) -> Result<bool, StoreError> {
    const PAUSE_MAX: Duration = Duration::from_secs(2);
    let procs: Vec<&str> = candidates.iter().map(|candidate| candidate.proc.as_str()).collect();
    let mut pause = Duration::from_millis(100);
    let existing = loop {
        match store.existing_procs(&procs).await {
            Ok(existing) => break existing,
            Err(error) if error.is_closed() => return Err(error),
            Err(error) => {
                let (frames, error) = (procs.len(), chain(&error));
                tracing::warn!("{frames} bookings may be committed, and are asked about again in {pause:?}: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    };
    let existing: HashSet<String> = existing.into_iter().collect();
    candidates.retain(|candidate| existing.contains(candidate.proc.as_str()));
    Ok(!candidates.is_empty())
}
