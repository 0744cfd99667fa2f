//! What moves the metrics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::launch::{Booking, Hold, Settlement};
use cue_scheduler_core::reason::Reason;

use super::Metrics;
use crate::accounting::{self, Correction};
use crate::engine;
use crate::feed::{FeedCounts, Standstill, Turn};
use crate::launch;
use crate::pass::PassReport;
use crate::store::StoreError;

/// The steps of a pass that are timed, in the order of [`PassReport::took`].
const STEPS: [&str; 3] = ["read", "plan", "book"];

impl Metrics {
    /// Whether the database answers.
    pub fn database(&self, up: bool) {
        self.database_up.set(f64::from(u8::from(up)));
    }

    /// How many hosts are left alone. Pauses end by themselves, so it is told when somebody asks.
    pub fn quarantined(&self, hosts: usize) {
        self.hosts_quarantined.set(hosts as f64);
    }

    fn pass_ended(&self, report: &PassReport) {
        self.jobs_queried.inc_by(report.jobs.values().sum::<usize>() as f64);
        for (show, jobs) in &report.jobs_planned {
            self.per_show.jobs_processed(show, *jobs);
        }
        self.job_query_duration.observe(report.took[0].as_secs_f64());
        for (step, took) in STEPS.iter().zip(report.took) {
            self.pass_duration.with_label_values(&[step]).observe(took.as_secs_f64());
        }
        for (show, frames) in &report.booked {
            self.per_show.frames_dispatched(show, *frames);
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
        self.sight.pass_ended(report);
        self.layers(report);
        for (refusal, frames) in report.refusals.iter() {
            self.booking_refused.with_label_values(&[refusal.label()]).inc_by(f64::from(frames));
            if let Some(table) = refusal.accounting_table() {
                self.limit_exceeded.with_label_values(&[table]).inc_by(f64::from(frames));
            }
        }
        self.inner_retries_exhausted.inc_by(report.given_up as f64);
        for sqlstate in &report.retries {
            self.booking_retries.with_label_values(&[sqlstate]).inc();
        }
        for waited in &report.lock_waits {
            self.booking_lock_wait.observe(waited.as_secs_f64());
        }
        self.counters_healed.inc_by(f64::from(report.healed));
    }

    /// What is counted once per layer and pass.
    fn layers(&self, report: &PassReport) {
        let outcomes = &report.layer_outcomes;
        for (outcome, layers) in [
            ("booked", outcomes.booked),
            ("no_progress", outcomes.no_progress),
            ("no_match", outcomes.no_match),
            ("dispatch_error", outcomes.dispatch_error),
        ] {
            self.checkout_outcome.with_label_values(&[outcome]).inc_by(layers as f64);
        }
        for hosts in &outcomes.candidates {
            self.candidates_per_layer.observe(*hosts as f64);
        }
        for score in &report.scores {
            self.placement_score.observe(*score);
        }
        for (reason, layers) in &report.waiting_layers {
            let layers = *layers as f64;
            if reason.is_about_hosts() {
                self.no_candidate.inc_by(layers);
            }
            if let Some(table) = capped_table(*reason) {
                self.limit_exceeded.with_label_values(&[table]).inc_by(layers);
            }
            if matches!(reason, Reason::JobCores | Reason::JobGpus) {
                self.job_cap_skip.inc_by(layers);
            }
        }
    }

    fn launch(&self, outcome: &'static str) {
        self.launches.with_label_values(&[outcome]).inc();
    }
}

/// The `table` label for a cap at which a plan leaves layers waiting.
fn capped_table(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::SubscriptionFrozen | Reason::SubscriptionFull => Some("subscription"),
        Reason::FolderCores => Some("folder"),
        Reason::FolderGpus => Some("folder_gpus"),
        Reason::JobCores => Some("job"),
        Reason::JobGpus => Some("job_gpus"),
        _ => None,
    }
}

impl engine::Observer for Metrics {
    fn pass_ended(&self, result: &Result<PassReport, StoreError>, took: Duration) {
        if let Ok(report) = result {
            self.pass_ended(report);
        } else {
            // A pass fails only while it reads.
            self.job_query_duration.observe(took.as_secs_f64());
            self.pass_terminated.with_label_values(&["query_error"]).inc();
        }
    }

    fn scanned(&self, result: &Result<FeedCounts, StoreError>, took: Duration) {
        self.active_scan_duration.observe(took.as_secs_f64());
        self.database(result.is_ok());
        if let Ok(counts) = result {
            for (kind, clusters) in &counts.clusters {
                self.clusters.with_label_values(&[kind.label()]).set(*clusters as f64);
            }
            for cause in Standstill::ALL {
                let stands = f64::from(u8::from(counts.standstill == Some(cause)));
                self.standstill.with_label_values(&[cause.label()]).set(stands);
            }
            self.clusters_active.set(counts.active as f64);
            self.clusters_sleeping.set(counts.sleeping as f64);
            self.active_tags.set(counts.tags as f64);
            self.sight.scanned(counts);
        }
    }

    fn reloaded(&self, shows: &BTreeSet<Arc<str>>) {
        self.per_show.are(shows);
    }

    fn came_round(&self, kinds: &BTreeSet<TagKind>, took: Duration) {
        for kind in kinds {
            self.cluster_round_trip.with_label_values(&[kind.label()]).observe(took.as_secs_f64());
        }
    }
}

impl accounting::Observer for Metrics {
    fn noticed(&self, kind: &'static str) {
        self.notices.with_label_values(&[kind]).inc();
    }

    fn reconciled(&self, result: &Result<Vec<Correction>, StoreError>, took: Duration) {
        self.recompute_duration.observe(took.as_secs_f64());
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
