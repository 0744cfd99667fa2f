//! One turn of one pool: snapshot → plan → book → launch → report. The only file that knows the order.
//!
//! A pass holds nothing that others wait for: what it read may be old when it books, and the booking transaction decides.
//! Chunks are booked side by side, and the frames of each are launched as soon as it is committed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cue_scheduler_core::domain::id::{HostId, LayerId};
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::planning::{Plan, Policy, plan};
use cue_scheduler_core::reason::Reason;
use cue_scheduler_core::snapshot::{LayerIx, Snapshot};
use futures::StreamExt as _;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::booking::{Booked, BookingSettings, Cut, Launchable, Refusal, Refusals, book, cut};
use crate::feed::Turn;
use crate::launch::Launcher;
use crate::snapshot::{Launches, PoolReader};
use crate::store::{Store, StoreError};

/// What passes are made with; shared by all.
pub struct PassContext {
    /// The database.
    pub store: Store,
    /// Launches what is committed, in tasks of its own: an agent that doesn't answer must not hold up a pool. `None` in
    /// dry-run mode.
    pub launch: Option<(Arc<Launcher>, TaskTracker)>,
    /// How to place.
    pub policy: Policy,
    /// How to book.
    pub booking: BookingSettings,
    /// Frames of one transaction: `booking.chunk_frames`.
    pub chunk_frames: usize,
    /// Chunks in flight at once: `queue.stream.job_buffer_size`.
    pub chunks_in_flight: usize,
    /// Layers that can't be launched.
    pub launches: Mutex<Launches>,
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct PassReport {
    /// The pool's name.
    pub pool: String,
    /// Layers with waiting frames that were read, and the jobs they belong to.
    pub layers: usize,
    /// Jobs of those layers, by show name.
    pub jobs: BTreeMap<Arc<str>, usize>,
    /// Hosts that were read.
    pub hosts: usize,
    /// Frames that the plan placed.
    pub planned: usize,
    /// Frames that were booked, by show name.
    pub booked: BTreeMap<Arc<str>, usize>,
    /// Frames that were booked, by the kind of tag by which they matched.
    pub booked_by_kind: BTreeMap<TagKind, usize>,
    /// How long each booked frame had waited.
    pub waited: Vec<Duration>,
    /// Frames left waiting, by reason.
    pub waiting: BTreeMap<Reason, u64>,
    /// Frames that the database refused.
    pub refusals: Refusals,
    /// Transactions that were repeated, by SQLSTATE.
    pub retries: Vec<&'static str>,
    /// Counters that were set right.
    pub healed: u32,
    /// How long reading, planning and booking took.
    pub took: [Duration; 3],
    /// What ended the booking of some chunk, if something did; the other chunks were booked all the same.
    pub failed: Option<StoreError>,
}

impl PassReport {
    /// Frames booked.
    pub fn frames(&self) -> usize {
        self.booked.values().sum()
    }

    /// When to come again.
    pub fn turn(&self) -> Turn {
        let lost = [Refusal::FrameTaken, Refusal::FrameChanged, Refusal::HostFull, Refusal::ProcExists];
        let waiting = self.waiting.values().sum::<u64>() > 0;
        if self.failed.is_some() {
            Turn::Saturated
        } else if self.layers == 0 {
            Turn::Empty
        } else if self.frames() > 0 && (!waiting || lost.iter().any(|refusal| self.refusals.of(*refusal) > 0)) {
            Turn::Again
        } else {
            Turn::Saturated
        }
    }
}

/// Makes one pass.
pub async fn pass(context: &PassContext, reader: &mut PoolReader) -> Result<PassReport, StoreError> {
    let began = Instant::now();
    let mut report = PassReport { pool: reader.pool.name.to_string(), ..PassReport::default() };

    let mut snapshot = reader.read(&context.store).await?;
    {
        let launches = context.launches.lock().await;
        snapshot.layers.retain(|layer| !launches.is_left_alone(&layer.id));
    }
    if let Some((launcher, _)) = &context.launch {
        let paused: HashSet<HostId> = launcher.paused().into_iter().map(|paused| paused.host).collect();
        snapshot.hosts.retain(|host| !paused.contains(&host.id));
    }
    report.layers = snapshot.layers.len();
    report.hosts = snapshot.hosts.len();
    for job in &snapshot.jobs {
        tracing::debug!(job.id = %job.id, "Found job: Job(id={}, name={})", job.id, job.name);
        *report.jobs.entry(snapshot[job.subscription].show_name.clone()).or_default() += 1;
    }
    report.took[0] = began.elapsed();

    let planning = Instant::now();
    let plan = tokio::task::block_in_place(|| plan(&snapshot, &context.policy));
    for waiting in &plan.waiting {
        *report.waiting.entry(waiting.reason).or_default() += u64::from(waiting.frames);
    }
    report.planned = plan.placements.iter().map(|placement| placement.frames as usize).sum();
    report.took[1] = planning.elapsed();

    let booking = Instant::now();
    if !plan.placements.is_empty() {
        let chunks = prepare(context, reader, &snapshot, &plan).await?;
        let booked = carry_out(context, reader, chunks, &mut report).await;
        for (layer, frames) in booked {
            let layer = &snapshot[layer];
            if frames >= layer.waiting {
                let job = &snapshot[layer.job].name;
                tracing::debug!(layer.id = %layer.id, "Layer {job}.{} fully consumed.", layer.name);
            }
        }
    }
    report.took[2] = booking.elapsed();
    reader.keep(snapshot);
    Ok(report)
}

/// Reads what the placed layers' frames are and how they are launched, and cuts the plan into chunks.
async fn prepare(
    context: &PassContext,
    reader: &mut PoolReader,
    snapshot: &Snapshot,
    plan: &Plan,
) -> Result<Cut, StoreError> {
    let mut planned: HashMap<LayerId, usize> = HashMap::new();
    for placement in &plan.placements {
        *planned.entry(snapshot[placement.layer].id.clone()).or_default() += placement.frames as usize;
    }
    let planned: Vec<(LayerId, usize)> = planned.into_iter().collect();
    let layers: Vec<LayerId> = planned.iter().map(|(layer, _)| layer.clone()).collect();
    let templates = context.launches.lock().await.read(&layers, &context.store).await?;
    let windows = reader.windows.take(&planned, &context.store).await?;
    Ok(cut(snapshot, plan, &Launchable { templates, windows }, context.chunk_frames))
}

/// Books the chunks, some at a time, and launches what is booked. Answers how many frames of each layer were booked.
async fn carry_out(
    context: &PassContext,
    reader: &mut PoolReader,
    plan: Cut,
    report: &mut PassReport,
) -> HashMap<LayerIx, u32> {
    let Cut { chunks, frames } = plan;
    let mut booked_of: HashMap<LayerIx, u32> = HashMap::new();
    let mut results = futures::stream::iter(chunks)
        .map(|chunk| async {
            let layers: Vec<LayerId> = chunk.layers.iter().map(|layer| layer.id.clone()).collect();
            let mut booked = book(&context.store, chunk, context.booking).await?;
            let frames: Vec<_> = booked
                .bookings
                .iter()
                .map(|booking| (booking.hold.frame.clone(), booking.hold.show_name.clone()))
                .collect();
            if let Some((launcher, tasks)) = &context.launch
                && !booked.bookings.is_empty()
            {
                let (launcher, bookings) = (launcher.clone(), std::mem::take(&mut booked.bookings));
                tasks.spawn(async move { launcher.launch(bookings).await });
            }
            Ok::<_, StoreError>((layers, frames, booked))
        })
        .buffer_unordered(context.chunks_in_flight.max(1));
    while let Some(result) = results.next().await {
        match result {
            Ok((layers, booked_frames, booked)) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
                for (frame, show) in booked_frames {
                    *report.booked.entry(show).or_default() += 1;
                    if let Some(known) = frames.get(&frame) {
                        *report.booked_by_kind.entry(known.kind).or_default() += 1;
                        *booked_of.entry(known.layer).or_default() += 1;
                        let waited = u64::try_from(now - known.waiting_since).unwrap_or(0);
                        report.waited.push(Duration::from_millis(waited));
                    }
                }
                let Booked { refusals, retries, healed, .. } = booked;
                if refusals.iter().next().is_some() {
                    for layer in &layers {
                        reader.windows.forget(layer);
                    }
                }
                report.refusals.merge(&refusals);
                report.retries.extend(retries);
                report.healed += healed;
            }
            // The other chunks go on: what they commit has to be counted and launched.
            Err(error) => report.failed = Some(error),
        }
    }
    booked_of
}
