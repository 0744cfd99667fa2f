//! The metrics: names, types, labels and buckets of the retired scheduler, moved where they mean something here, and ours.
//!
//! All families are there from the start, with 0, so that a dashboard shows a quiet scheduler and not an empty page.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::launch::{Booking, Hold, Settlement};
use cue_scheduler_core::reason::Reason;
use prometheus::{
    Counter, CounterVec, Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry,
    TextEncoder,
};

use crate::accounting::{self, Correction};
use crate::booking::Refusal;
use crate::engine;
use crate::feed::{FeedCounts, Turn};
use crate::launch;
use crate::pass::PassReport;
use crate::store::StoreError;
use crate::store::accounting::CounterTable;

/// All metrics of a scheduler.
pub struct Metrics {
    registry: Registry,
    jobs_queried: Counter,
    jobs_processed: CounterVec,
    job_query_duration: Histogram,
    frames_dispatched: CounterVec,
    time_to_book: Histogram,
    frames_per_pass: HistogramVec,
    pass_terminated: CounterVec,
    limit_exceeded: CounterVec,
    clusters: GaugeVec,
    clusters_active: Gauge,
    clusters_sleeping: Gauge,
    active_tags: Gauge,
    active_scan_duration: Histogram,
    waiting_frames: GaugeVec,
    /// By pool: what its last pass left waiting.
    waiting: Mutex<HashMap<String, BTreeMap<Reason, u64>>>,
    booking_refused: CounterVec,
    booking_retries: CounterVec,
    counters_healed: Counter,
    counters_reconciled: CounterVec,
    launches: CounterVec,
    pass_duration: HistogramVec,
    database_up: Gauge,
}

const QUERY_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// What can become of a launch.
const LAUNCH_OUTCOMES: [&str; 8] =
    ["launched", "refused", "not_sent", "unknown", "fenced", "adopted", "undone", "left"];

impl Metrics {
    /// Registers every family. An error is a name given twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let metrics = Self {
            jobs_queried: make.counter("scheduler_jobs_queried_total", "Jobs with waiting work that passes read")?,
            jobs_processed: make.counters("scheduler_jobs_processed_total", "Jobs that passes planned", "show_name")?,
            job_query_duration: make.histogram(
                "scheduler_job_query_duration_seconds",
                "Time to read a pool's waiting work and hosts",
                &QUERY_SECONDS,
            )?,
            frames_dispatched: make.counters("scheduler_frames_dispatched_total", "Frames booked", "show_name")?,
            time_to_book: make.histogram(
                "scheduler_time_to_book_seconds",
                "From a frame's last change to its booking",
                &[0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0],
            )?,
            frames_per_pass: make.histograms(
                "scheduler_frames_dispatched_per_pass",
                "Frames booked in a pass, by the kind of tag by which they matched",
                &[0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 500.0],
                "cluster_type",
            )?,
            pass_terminated: make.counters("scheduler_pass_terminated_reason_total", "How passes ended", "reason")?,
            limit_exceeded: make.counters(
                "scheduler_accounting_limit_exceeded_total",
                "Frames that a cap refused in the booking transaction",
                "table",
            )?,
            clusters: make.gauges("scheduler_clusters_total", "Clusters", "cluster_type")?,
            clusters_active: make.gauge("scheduler_clusters_active", "Clusters with waiting work")?,
            clusters_sleeping: make.gauge("scheduler_clusters_sleeping", "Clusters without waiting work")?,
            active_tags: make.gauge("scheduler_active_tags", "Tag lists with waiting work")?,
            active_scan_duration: make.histogram(
                "scheduler_active_scan_duration_seconds",
                "Time of an awake scan",
                &QUERY_SECONDS,
            )?,
            waiting_frames: make.gauges(
                "scheduler_waiting_frames",
                "Frames that the last pass of each pool left waiting, by reason; work of several pools counts in each",
                "reason",
            )?,
            booking_refused: make.counters(
                "scheduler_booking_refused_total",
                "Frames that the booking transaction refused, by cause",
                "cause",
            )?,
            booking_retries: make.counters(
                "scheduler_booking_retries_total",
                "Booking transactions that were repeated, by SQLSTATE",
                "sqlstate",
            )?,
            counters_healed: make.counter(
                "scheduler_counters_healed_total",
                "Counters that refused wrongly and were set to what procs really hold",
            )?,
            counters_reconciled: make.counters(
                "scheduler_counters_reconciled_total",
                "Rows of counters that differed from their procs and were set right, by table",
                "table",
            )?,
            launches: make.counters("scheduler_launch_outcomes_total", "What became of launches", "outcome")?,
            pass_duration: make.histograms(
                "scheduler_pass_duration_seconds",
                "Time of a pass, by step",
                &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
                "step",
            )?,
            waiting: Mutex::default(),
            database_up: make.gauge("scheduler_database_up", "1 while the database answers")?,
            registry,
        };
        metrics.show_zeros();
        Ok(metrics)
    }

    /// Labelled families appear only with their first label.
    fn show_zeros(&self) {
        for kind in TagKind::ALL {
            self.clusters.with_label_values(&[kind.label()]);
            self.frames_per_pass.with_label_values(&[kind.label()]);
        }
        for reason in ["booked", "saturated", "no_jobs", "query_error"] {
            self.pass_terminated.with_label_values(&[reason]);
        }
        for reason in Reason::ALL {
            self.waiting_frames.with_label_values(&[reason.label()]);
        }
        for refusal in Refusal::ALL {
            self.booking_refused.with_label_values(&[refusal.label()]);
            if let Some(table) = refusal.accounting_table() {
                self.limit_exceeded.with_label_values(&[table]);
            }
        }
        for outcome in LAUNCH_OUTCOMES {
            self.launches.with_label_values(&[outcome]);
        }
        for table in CounterTable::ALL {
            self.counters_reconciled.with_label_values(&[table.name()]);
        }
        for sqlstate in StoreError::RETRYABLE {
            self.booking_retries.with_label_values(&[sqlstate]);
        }
        for step in STEPS {
            self.pass_duration.with_label_values(&[step]);
        }
    }

    /// In the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!("metrics can't be written: {error}");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Whether the database answers.
    pub fn database(&self, up: bool) {
        self.database_up.set(f64::from(u8::from(up)));
    }

    fn pass_ended(&self, report: &PassReport) {
        self.jobs_queried.inc_by(report.jobs.values().sum::<usize>() as f64);
        for (show, jobs) in &report.jobs {
            self.jobs_processed.with_label_values(&[show.as_ref()]).inc_by(*jobs as f64);
        }
        self.job_query_duration.observe(report.took[0].as_secs_f64());
        for (step, took) in STEPS.iter().zip(report.took) {
            self.pass_duration.with_label_values(&[step]).observe(took.as_secs_f64());
        }
        for (show, frames) in &report.booked {
            self.frames_dispatched.with_label_values(&[show.as_ref()]).inc_by(*frames as f64);
        }
        for (kind, frames) in &report.booked_by_kind {
            self.frames_per_pass.with_label_values(&[kind.label()]).observe(*frames as f64);
        }
        for waited in &report.waited {
            self.time_to_book.observe(waited.as_secs_f64());
        }
        let ended = match report.turn() {
            _ if report.frames() > 0 => "booked",
            _ if report.failed.is_some() => "query_error",
            Turn::Empty => "no_jobs",
            Turn::Again | Turn::Saturated => "saturated",
        };
        self.pass_terminated.with_label_values(&[ended]).inc();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(report.pool.clone(), report.waiting.clone());
        for reason in Reason::ALL {
            let frames: u64 = waiting.values().filter_map(|reasons| reasons.get(&reason)).sum();
            self.waiting_frames.with_label_values(&[reason.label()]).set(frames as f64);
        }
        drop(waiting);
        for (refusal, frames) in report.refusals.iter() {
            self.booking_refused.with_label_values(&[refusal.label()]).inc_by(f64::from(frames));
            if let Some(table) = refusal.accounting_table() {
                self.limit_exceeded.with_label_values(&[table]).inc_by(f64::from(frames));
            }
        }
        for sqlstate in &report.retries {
            self.booking_retries.with_label_values(&[sqlstate]).inc();
        }
        self.counters_healed.inc_by(f64::from(report.healed));
    }

    fn launch(&self, outcome: &'static str) {
        self.launches.with_label_values(&[outcome]).inc();
    }
}

/// The steps of a pass that are timed, in the order of [`PassReport::took`].
const STEPS: [&str; 3] = ["read", "plan", "book"];

impl engine::Observer for Metrics {
    fn pass_ended(&self, result: &Result<PassReport, StoreError>, _took: Duration) {
        match result {
            Ok(report) => self.pass_ended(report),
            Err(_) => self.pass_terminated.with_label_values(&["query_error"]).inc(),
        }
    }

    fn scanned(&self, result: &Result<FeedCounts, StoreError>, took: Duration) {
        self.active_scan_duration.observe(took.as_secs_f64());
        self.database(result.is_ok());
        if let Ok(counts) = result {
            for (kind, clusters) in &counts.clusters {
                self.clusters.with_label_values(&[kind.label()]).set(*clusters as f64);
            }
            self.clusters_active.set(counts.active as f64);
            self.clusters_sleeping.set(counts.sleeping as f64);
            self.active_tags.set(counts.tags as f64);
        }
    }
}

impl accounting::Observer for Metrics {
    fn reconciled(&self, result: &Result<Vec<Correction>, StoreError>, _took: Duration) {
        for correction in result.iter().flatten() {
            self.counters_reconciled.with_label_values(&[correction.table.name()]).inc();
        }
    }
}

impl launch::Observer for Metrics {
    fn called(&self, _booking: &Booking, outcome: &launch::Outcome, _took: Duration) {
        self.launch(match outcome {
            launch::Outcome::Launched => "launched",
            launch::Outcome::RefusedForCertain { .. } => "refused",
            launch::Outcome::NotSent { .. } => "not_sent",
            launch::Outcome::Unknown { .. } => "unknown",
        });
    }

    fn fenced(&self, _booking: &Booking) {
        self.launch("fenced");
    }

    fn settled(&self, _hold: &Hold, settlement: Settlement) {
        self.launch(match settlement {
            Settlement::Adopted => "adopted",
            Settlement::Undone => "undone",
            Settlement::Left(_) => "left",
        });
    }
}

/// Makes metrics and registers them.
struct Maker<'r>(&'r Registry);

impl Maker<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<Counter, prometheus::Error> {
        self.register(Counter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> Result<CounterVec, prometheus::Error> {
        self.register(CounterVec::new(Opts::new(name, help), &[label])?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(Opts::new(name, help), &[label])?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        label: &str,
    ) -> Result<HistogramVec, prometheus::Error> {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &[label])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_there_from_the_start() {
        let text = Metrics::new().unwrap().text();
        let families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(
            families,
            [
                "scheduler_accounting_limit_exceeded_total counter",
                "scheduler_active_scan_duration_seconds histogram",
                "scheduler_active_tags gauge",
                "scheduler_booking_refused_total counter",
                "scheduler_booking_retries_total counter",
                "scheduler_clusters_active gauge",
                "scheduler_clusters_sleeping gauge",
                "scheduler_clusters_total gauge",
                "scheduler_counters_healed_total counter",
                "scheduler_counters_reconciled_total counter",
                "scheduler_database_up gauge",
                "scheduler_frames_dispatched_per_pass histogram",
                "scheduler_job_query_duration_seconds histogram",
                "scheduler_jobs_queried_total counter",
                "scheduler_launch_outcomes_total counter",
                "scheduler_pass_duration_seconds histogram",
                "scheduler_pass_terminated_reason_total counter",
                "scheduler_time_to_book_seconds histogram",
                "scheduler_waiting_frames gauge",
            ]
        );
    }
}
