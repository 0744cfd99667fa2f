//! One turn of one pool: snapshot → plan → book → launch → report. The only file that knows the order.
//!
//! A pass holds nothing that others wait for: what it read may be old when it books, and the booking transaction decides.
//! Chunks are booked side by side, and the frames of each are launched as soon as it is committed. What the database
//! refuses heals the snapshot, and what is left is planned and booked again at once, so that no frame waits behind a host
//! that refused it. Where nothing is refused there is one round, and nothing is read twice.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cue_scheduler_core::domain::id::{HostId, LayerId};
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::landing::{Landing, Truth, settle};
use cue_scheduler_core::launch::Booking;
use cue_scheduler_core::planning::{Plan, Policy, plan};
use cue_scheduler_core::reason::Reason;
use cue_scheduler_core::snapshot::{Job, JobIx, LayerIx, Snapshot};
use futures::StreamExt as _;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::booking::{Booked, BookingSettings, Cut, Launchable, Refusal, Refusals, Rejected, book, cut};
use crate::feed::Turn;
use crate::launch::Launcher;
use crate::snapshot::{Launches, PoolReader};
use crate::store::{Store, StoreError};
use crate::tally::{LayerOutcomes, Tally};
use crate::waitlist::{Left, Waitlist};

/// How often a pass plans. Refusals of a second round are rare: they take somebody who is faster twice.
const ROUNDS: usize = 4;

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
    /// Those of which some layer was planned, by show name.
    pub jobs_planned: BTreeMap<Arc<str>, usize>,
    /// Hosts that were read.
    pub hosts: usize,
    /// Frames that the plans of the pass placed; one that was refused and placed again counts twice.
    pub planned: usize,
    /// Frames that were booked, by show name.
    pub booked: BTreeMap<Arc<str>, usize>,
    /// Frames that were booked, by the kind of tag by which they matched; with 0 for kinds under which work only waited.
    pub booked_by_kind: BTreeMap<TagKind, usize>,
    /// How long each booked frame had waited.
    pub waited: Vec<Duration>,
    /// What became of the layers that looked for hosts.
    pub layer_outcomes: LayerOutcomes,
    /// Frames that the last plan left waiting, by reason.
    pub waiting: BTreeMap<Reason, u64>,
    /// Layers left waiting, by reason.
    pub waiting_layers: BTreeMap<Reason, usize>,
    /// Each layer left waiting, the most important first, with its one obstacle.
    pub left: Arc<[Left]>,
    /// Frames that the database refused.
    pub refusals: Refusals,
    /// The last plan was refused in part, and the pass had no further round to plan the rest again.
    pub unsettled: bool,
    /// Transactions that were repeated, by SQLSTATE.
    pub retries: Vec<&'static str>,
    /// By booking transaction: how long its statements took that wait for what others hold.
    pub lock_waits: Vec<Duration>,
    /// Scores of the hosts that the plan chose, where its strategy has scores.
    pub scores: Vec<f64>,
    /// Chunks that were given up after their last try.
    pub given_up: usize,
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

    /// Takes in a plan, the first of the pass or what is left after the database has refused some of the one before.
    fn planned_anew(&mut self, plan: &Plan) {
        self.unsettled = false;
        self.scores.extend(plan.placements.iter().filter_map(|placement| Some(placement.score?.0)));
        self.planned += plan.placements.iter().map(|placement| placement.frames as usize).sum::<usize>();
        self.waiting.clear();
        self.waiting_layers.clear();
        for waiting in &plan.waiting {
            let reason = waiting.reason();
            *self.waiting.entry(reason).or_default() += u64::from(waiting.frames);
            *self.waiting_layers.entry(reason).or_default() += 1;
        }
    }

    /// When to come again.
    pub fn turn(&self) -> Turn {
        let waiting = self.waiting.values().sum::<u64>() > 0;
        let cut_short = self.unsettled || self.waiting.contains_key(&Reason::PassBound);
        if self.failed.is_some() {
            Turn::Saturated
        } else if self.layers == 0 {
            Turn::Empty
        } else if self.frames() > 0 && (!waiting || cut_short) {
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

    reader.windows.begin_pass();
    let mut snapshot = reader.read(&context.store).await?;
    count_jobs(&mut report.jobs, &snapshot, snapshot.jobs.iter());
    let mut waitlist = Waitlist::default();
    {
        let mut launches = context.launches.lock().await;
        for (layer, why) in context.launch.iter().flat_map(|(launcher, _)| launcher.take_blamed()) {
            launches.reject(layer, &why);
        }
        if snapshot.layers.iter().any(|layer| launches.is_left_alone(&layer.id)) {
            launches.look_again(&context.store).await?;
        }
        waitlist.take_unbuildable(&mut snapshot, &launches);
    }
    report.layers = snapshot.layers.len();
    report.hosts = snapshot.hosts.len();
    for job in &snapshot.jobs {
        tracing::debug!(job.id = %job.id, "Found job: Job(id={}, name={})", job.id, job.name);
    }
    let planned: BTreeSet<JobIx> = snapshot.layers.iter().map(|layer| layer.job).collect();
    count_jobs(&mut report.jobs_planned, &snapshot, planned.into_iter().map(|at| &snapshot[at]));
    for kind in snapshot.layers.iter().filter_map(|layer| reader.pool.kind_of(&layer.tags)) {
        report.booked_by_kind.entry(kind).or_default();
    }
    report.took[0] = began.elapsed();

    let mut tally = Tally::default();
    let mut last = Plan::default();
    for _ in 0..ROUNDS {
        leave_out_paused(context, &mut snapshot);
        let planning = Instant::now();
        let plan = tokio::task::block_in_place(|| plan(&snapshot, &context.policy));
        tally.planned(&snapshot, &plan);
        report.planned_anew(&plan);
        report.took[1] += planning.elapsed();
        last = plan;
        if last.placements.is_empty() {
            break;
        }

        let booking = Instant::now();
        let landing = match prepare(context, reader, &snapshot, &last, &mut waitlist).await {
            Ok(cut) => {
                let follow = Follow { report: &mut report, tally: &mut tally, waitlist: &mut waitlist };
                carry_out(context, reader, &snapshot, cut, follow).await
            }
            Err(error) => {
                tally.failed(last.placements.iter().map(|placement| placement.layer));
                report.failed = Some(error);
                Landing::default()
            }
        };
        report.took[2] += booking.elapsed();
        if landing.truths.is_empty() || report.failed.is_some() {
            break;
        }
        settle(&mut snapshot, &last, &landing);
        report.unsettled = true;
    }
    for layer in tally.consumed().map(|layer| &snapshot[layer]) {
        tracing::debug!(layer.id = %layer.id, "Layer {}.{} fully consumed.", snapshot[layer.job].name, layer.name);
    }
    report.layer_outcomes = tally.outcomes();
    report.left = waitlist.close(&snapshot, last, &tally, &*context.launches.lock().await).into();
    reader.keep(snapshot);
    Ok(report)
}

/// Hosts that don't answer are not planned for; the launches of an earlier round may have shown more of them.
fn leave_out_paused(context: &PassContext, snapshot: &mut Snapshot) {
    if let Some((launcher, _)) = &context.launch {
        let paused: HashSet<HostId> = launcher.paused().into_iter().map(|paused| paused.host).collect();
        let Snapshot { hosts, paused: left_out, .. } = snapshot;
        left_out.extend(hosts.extract_if(.., |host| paused.contains(&host.id)));
    }
}

fn count_jobs<'s>(by_show: &mut BTreeMap<Arc<str>, usize>, snapshot: &Snapshot, jobs: impl Iterator<Item = &'s Job>) {
    for job in jobs {
        *by_show.entry(snapshot[job.subscription].show_name.clone()).or_default() += 1;
    }
}

/// Reads what the placed layers' frames are and how they are launched, and cuts the plan into chunks.
async fn prepare(
    context: &PassContext,
    reader: &mut PoolReader,
    snapshot: &Snapshot,
    plan: &Plan,
    waitlist: &mut Waitlist,
) -> Result<Cut, StoreError> {
    let mut planned: HashMap<LayerId, usize> = HashMap::new();
    for placement in &plan.placements {
        *planned.entry(snapshot[placement.layer].id.clone()).or_default() += placement.frames as usize;
    }
    let planned: Vec<(LayerId, usize)> = planned.into_iter().collect();
    let layers: Vec<LayerId> = planned.iter().map(|(layer, _)| layer.clone()).collect();
    let templates = context.launches.lock().await.read(&layers, &context.store).await?;
    let windows = reader.windows.take(&planned, &context.store).await?;
    let with_gaps: Vec<LayerId> = layers.into_iter().filter(|layer| reader.windows.has_gaps(layer)).collect();
    waitlist.refused(&with_gaps, Refusal::FrameUnbuildable);
    Ok(cut(snapshot, plan, &Launchable { templates, windows }, context.chunk_frames))
}

/// Who follows what becomes of a plan.
struct Follow<'p> {
    report: &'p mut PassReport,
    tally: &'p mut Tally,
    waitlist: &'p mut Waitlist,
}

/// Books the chunks, some at a time, and launches what is booked.
async fn carry_out(
    context: &PassContext,
    reader: &mut PoolReader,
    snapshot: &Snapshot,
    plan: Cut,
    Follow { report, tally, waitlist }: Follow<'_>,
) -> Landing {
    let Cut { chunks, frames, unlaunchable, unbuildable, missing } = plan;
    let mut landing = Landing::default();
    tally.failed(unlaunchable.iter().copied());
    for layer in unlaunchable {
        landing.truths.push(Truth::LayerOut(snapshot[layer].id.clone()));
    }
    for (layer, frames) in missing {
        let bad = unbuildable.get(&layer).map_or(0, Vec::len);
        report.refusals.add(Refusal::FrameTaken, frames.saturating_sub(bad));
        let (layer, frames) = (snapshot[layer].id.clone(), u32::try_from(frames).unwrap_or(u32::MAX));
        landing.truths.push(Truth::FramesGone { layer, frames });
    }
    for (layer, frames) in unbuildable {
        waitlist.refused(&[snapshot[layer].id.clone()], Refusal::FrameUnbuildable);
        report.refusals.add(Refusal::FrameUnbuildable, frames.len());
        leave_alone(context, reader, frames.into_iter().map(Rejected::Frame).collect()).await;
    }
    let mut results = futures::stream::iter(chunks)
        .map(|chunk| async {
            let layers: Vec<LayerId> = chunk.layers.iter().map(|layer| layer.id.clone()).collect();
            let candidates = chunk.layers.iter().filter_map(|layer| layer.candidates.first());
            let at: Vec<LayerIx> =
                candidates.filter_map(|frame| frames.get(&frame.id)).map(|known| known.layer).collect();
            let mut booked = match book(&context.store, chunk, &context.booking).await {
                Ok(booked) => booked,
                Err(error) => return Err((at, error)),
            };
            let booked_frames: Vec<_> = booked
                .bookings
                .iter()
                .map(|Booking { hold, .. }| (hold.frame.clone(), hold.host.clone(), hold.show_name.clone()))
                .collect();
            if let Some((launcher, tasks)) = &context.launch
                && !booked.bookings.is_empty()
            {
                let (launcher, bookings) = (launcher.clone(), std::mem::take(&mut booked.bookings));
                tasks.spawn(async move { launcher.launch(bookings).await });
            }
            Ok((layers, at, booked_frames, booked))
        })
        .buffer_unordered(context.chunks_in_flight.max(1));
    while let Some(result) = results.next().await {
        match result {
            Ok((layers, at, booked_frames, booked)) => {
                for (frame, host, show) in booked_frames {
                    *report.booked.entry(show).or_default() += 1;
                    if let Some(known) = frames.get(&frame) {
                        *report.booked_by_kind.entry(known.kind).or_default() += 1;
                        report.waited.push(known.waited + known.read_at.elapsed());
                        tally.booked(known.layer, host);
                    }
                }
                let Booked { landed, refusals, truths, retries, lock_waits, healed, rejected, taken, failed, .. } =
                    booked;
                landing.landed.extend(landed);
                landing.truths.extend(truths);
                leave_alone(context, reader, rejected).await;
                for (layer, frames) in taken {
                    reader.windows.pass_over(&layer, frames);
                }
                if let Some(error) = failed {
                    tally.failed(at);
                    report.failed = Some(error);
                }
                report.given_up += usize::from(refusals.of(Refusal::GivenUp) > 0);
                if let Some(cause) = refusals.chief() {
                    waitlist.refused(&layers, cause);
                    for layer in &layers {
                        reader.windows.forget(layer);
                    }
                }
                report.refusals.merge(&refusals);
                report.retries.extend(retries);
                report.lock_waits.extend(lock_waits);
                report.healed += healed;
            }
            // The other chunks go on: what they commit has to be counted and launched.
            Err((at, error)) => {
                tally.failed(at);
                report.failed = Some(error);
            }
        }
    }
    landing
}

/// Keeps what can't be built, or what the database can't book, out of the passes that follow, for a while.
async fn leave_alone(context: &PassContext, reader: &mut PoolReader, rejected: Vec<Rejected>) {
    if rejected.is_empty() {
        return;
    }
    let mut launches = context.launches.lock().await;
    for rejected in rejected {
        match rejected {
            Rejected::Frame(frame) => reader.windows.avoid(frame, launches.back_off()),
            Rejected::Layer(layer, why) => launches.reject(layer, &why),
        }
    }
}
