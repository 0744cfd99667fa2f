//! The metrics: names, types, labels and buckets of the retired scheduler, moved where they mean something here, and ours.
//!
//! What there is stands in one table, [`families`], from which everything is registered and the reference is written.
//! All families are there from the start, with 0, so that a dashboard shows a quiet scheduler and not an empty page.
//! `recording.rs` says what moves them. No label has values without a bound: they are from closed sets, except for the names
//! of shows, which [`shows`] keeps to those that are managed.

pub mod families;
pub mod family;
mod ownership;
mod process;
mod recording;
pub mod reference;
mod register;
mod shows;
mod waiting;

use std::fmt::Write as _;
use std::sync::Arc;

use prometheus::{
    Counter, CounterVec, Encoder as _, Error, Gauge, GaugeVec, Histogram, HistogramVec, Registry, TextEncoder,
};

use family::Kind;
use ownership::OwnershipMetrics;
use process::Process;
use register::Maker;
use shows::PerShow;
use waiting::WaitingFrames;

use crate::sight::Sight;

/// All metrics of a scheduler.
pub struct Metrics {
    registry: Registry,
    per_show: PerShow,
    waiting: WaitingFrames,
    sight: Arc<Sight>,
    process: Process,
    jobs_queried: Counter,
    job_query_duration: Histogram,
    no_candidate: Counter,
    checkout_outcome: CounterVec,
    candidates_per_layer: Histogram,
    time_to_book: Histogram,
    frames_per_pass: HistogramVec,
    pass_terminated: CounterVec,
    limit_exceeded: CounterVec,
    job_cap_skip: Counter,
    recompute_duration: Histogram,
    cluster_round_trip: HistogramVec,
    clusters: GaugeVec,
    clusters_active: Gauge,
    clusters_sleeping: Gauge,
    active_tags: Gauge,
    active_scan_duration: Histogram,
    placement_score: Histogram,
    inner_retries_exhausted: Counter,
    booking_refused: CounterVec,
    booking_retries: CounterVec,
    booking_lock_wait: Histogram,
    counters_healed: Counter,
    counters_reconciled: CounterVec,
    launches: CounterVec,
    pass_duration: HistogramVec,
    notices: CounterVec,
    standstill: GaugeVec,
    database_up: Gauge,
    ownership: OwnershipMetrics,
    hosts_quarantined: Gauge,
}

impl Metrics {
    /// Registers every family. An error is a name given twice.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let make = Maker(&registry);
        Ok(Self {
            per_show: PerShow::new(&make)?,
            waiting: WaitingFrames::new(&make)?,
            sight: Arc::default(),
            process: Process::new(&make)?,
            jobs_queried: make.counter(&families::JOBS_QUERIED)?,
            job_query_duration: make.histogram(&families::JOB_QUERY_DURATION)?,
            no_candidate: make.counter(&families::NO_CANDIDATE)?,
            checkout_outcome: make.counters(&families::CHECKOUT_OUTCOME)?,
            candidates_per_layer: make.histogram(&families::CANDIDATES_PER_LAYER)?,
            time_to_book: make.histogram(&families::TIME_TO_BOOK)?,
            frames_per_pass: make.histograms(&families::FRAMES_PER_PASS)?,
            pass_terminated: make.counters(&families::PASS_TERMINATED)?,
            limit_exceeded: make.counters(&families::LIMIT_EXCEEDED)?,
            job_cap_skip: make.counter(&families::JOB_CAP_SKIP)?,
            recompute_duration: make.histogram(&families::RECOMPUTE_DURATION)?,
            cluster_round_trip: make.histograms(&families::CLUSTER_ROUND_TRIP)?,
            clusters: make.gauges(&families::CLUSTERS)?,
            clusters_active: make.gauge(&families::CLUSTERS_ACTIVE)?,
            clusters_sleeping: make.gauge(&families::CLUSTERS_SLEEPING)?,
            active_tags: make.gauge(&families::ACTIVE_TAGS)?,
            active_scan_duration: make.histogram(&families::ACTIVE_SCAN_DURATION)?,
            placement_score: make.histogram(&families::PLACEMENT_SCORE)?,
            inner_retries_exhausted: make.counter(&families::INNER_RETRIES_EXHAUSTED)?,
            booking_refused: make.counters(&families::BOOKING_REFUSED)?,
            booking_retries: make.counters(&families::BOOKING_RETRIES)?,
            booking_lock_wait: make.histogram(&families::BOOKING_LOCK_WAIT)?,
            counters_healed: make.counter(&families::COUNTERS_HEALED)?,
            counters_reconciled: make.counters(&families::COUNTERS_RECONCILED)?,
            launches: make.counters(&families::LAUNCH_OUTCOMES)?,
            pass_duration: make.histograms(&families::PASS_DURATION)?,
            notices: make.counters(&families::NOTICES)?,
            standstill: make.gauges(&families::STANDSTILL)?,
            database_up: make.gauge(&families::DATABASE_UP)?,
            ownership: OwnershipMetrics::new(&make)?,
            hosts_quarantined: make.gauge(&families::HOSTS_QUARANTINED)?,
            registry,
        })
    }

    /// What can be said of the work, kept up to date with the metrics.
    pub fn sight(&self) -> Arc<Sight> {
        self.sight.clone()
    }

    /// In the text format of Prometheus.
    pub fn text(&self) -> String {
        self.process.refresh();
        self.waiting.refresh(&self.sight, self.per_show.names());
        let gathered = self.registry.gather();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&gathered, &mut text) {
            tracing::error!("metrics can't be written: {error}");
        }
        let mut text = String::from_utf8_lossy(&text).into_owned();
        // Families by show have no series while no show is managed. Their names are told all the same.
        for family in families::ALL {
            if !gathered.iter().any(|known| known.name() == family.name) {
                let kind = kind_name(family.kind);
                // Writing to a text can't fail.
                let _ = write!(text, "# HELP {0} {1}\n# TYPE {0} {kind}\n", family.name, family.help);
            }
        }
        text
    }
}

/// As the text format calls it.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

#[cfg(test)]
mod tests;
