//! Hands on what happens: to the metrics, to the readiness probe, to the log.
//!
//! The log has the lines that the deploying guide tells operators to look for. What would come with every pass of a farm under
//! pressure comes once a while for each pool or host, with what came in between added up: see [`Sparing`].

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::launch::{Booking, Hold, Settlement};
use cue_scheduler_core::reason::Reason;

use crate::accounting::{self, Correction};
use crate::booking::Refusal;
use crate::engine;
use crate::engine::chain;
use crate::feed::{FeedCounts, Standstill};
use crate::http::{Metrics, Readiness};
use crate::launch::{self, Outcome};
use crate::ownership::{self, HandOver, Table, View};
use crate::pass::PassReport;
use crate::store::StoreError;

/// How often a line of one kind about one pool or host is written.
const SPARED: Duration = Duration::from_secs(30);

/// SQLSTATE of a lock that was not to be had in time.
const LOCK_TIMEOUT: &str = "55P03";

/// Observer of the engine and of the launcher.
pub struct Reporter {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    table: Arc<Table>,
    frames: AtomicU64,
    capped: AtomicU64,
    sparing: Sparing,
    /// What forbids booking, as it was told last.
    standstill: Mutex<Option<Standstill>>,
}

impl Reporter {
    /// Hands on to these.
    pub fn new(metrics: Arc<Metrics>, readiness: Readiness, table: Arc<Table>) -> Self {
        let (frames, capped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { metrics, readiness, table, frames, capped, sparing: Sparing::default(), standstill: Mutex::default() }
    }

    /// The line that operators know, once a `period`, for ever.
    pub async fn heartbeat(self: Arc<Self>, period: Duration) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            let (frames, capped) = (self.frames.swap(0, Ordering::Relaxed), self.capped.swap(0, Ordering::Relaxed));
            let took = last.elapsed().as_millis();
            last = Instant::now();
            tracing::info!("Dispatched {frames} frames in the last {took}ms ({capped} resource-limit-exceeded)");
        }
    }

    /// Tells once what forbids booking, and once that it is over.
    fn tell_standstill(&self, now: Option<Standstill>) {
        let mut told = self.standstill.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != now {
            if let Some(cause) = now {
                tracing::warn!("nothing is booked: {cause}");
            } else {
                tracing::info!("booking goes on: what forbade it is gone");
            }
            *told = now;
        }
    }

    fn pass(&self, report: &PassReport, took: Duration) {
        let (pool, frames) = (report.pool.as_str(), report.frames());
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        let capped = report.refusals.iter().filter(|(refusal, _)| refusal.accounting_table().is_some());
        self.capped.fetch_add(capped.map(|(_, frames)| u64::from(frames)).sum(), Ordering::Relaxed);
        if frames > 0 {
            tracing::info!(pool, "Processed {} layers, dispatched {frames} frames in {pool}", report.layers);
        }
        let [read, plan, book] = report.took;
        tracing::debug!(
            pool,
            "pass of {pool}: {frames} of {} planned frames booked in {took:?}, {} left waiting, refused: {}; \
             read in {read:?}, planned in {plan:?}, booked in {book:?}, {} transactions repeated",
            report.planned,
            report.waiting.values().sum::<u64>(),
            report.refusals,
            report.retries.len()
        );
        if let Some(error) = &report.failed {
            tracing::warn!(pool, "a booking of pool {pool} failed: {}", chain(error));
        }
        self.refusals(report);
    }

    fn refusals(&self, report: &PassReport) {
        let pool = report.pool.as_str();
        let of = |refusal: Refusal| u64::from(report.refusals.of(refusal));
        let waiting = |reason: Reason| report.waiting.get(&reason).copied().unwrap_or_default();

        let over_burst = of(Refusal::Subscription) + of(Refusal::NoSubscription);
        if let Some(frames) = self.sparing.count("burst", pool, over_burst) {
            tracing::warn!(
                pool,
                "AllocationOverBurst: {frames} frames were not booked in {pool}: a subscription has exceeded its burst"
            );
        }
        // Mostly the plan sees it, and the booking is not even tried.
        let wait = waiting(Reason::SubscriptionFull) + waiting(Reason::SubscriptionFrozen);
        if let Some(passes) = self.sparing.count("burst of plans", pool, wait.min(1)) {
            tracing::info!(
                pool,
                "AllocationOverBurst: {wait} frames wait in {pool} since their subscription's burst is used up (seen by \
                 {passes} passes)"
            );
        }
        if let Some(frames) = self.sparing.count("host not open", pool, of(Refusal::HostNotOpen)) {
            tracing::info!(
                pool,
                "HostLock: {frames} frames were not booked in {pool}: their hosts are locked or down since they were read"
            );
        }
        let lost = report.retries.iter().filter(|sqlstate| **sqlstate == LOCK_TIMEOUT).count() as u64;
        if let Some(times) = self.sparing.count("locks", pool, lost) {
            tracing::warn!(
                pool,
                "HostLock: {times} bookings in {pool} failed to acquire a lock, which somebody else has on a host or a counter, \
                 and were repeated"
            );
        }
    }
}

impl engine::Observer for Reporter {
    fn pass_ended(&self, result: &Result<PassReport, StoreError>, took: Duration) {
        engine::Observer::pass_ended(&*self.metrics, result, took);
        match result {
            Ok(report) => self.pass(report, took),
            Err(error) => tracing::warn!("a pass failed: {}", chain(error)),
        }
    }

    fn reloaded(&self, shows: &BTreeSet<Arc<str>>) {
        engine::Observer::reloaded(&*self.metrics, shows);
    }

    fn came_round(&self, kinds: &BTreeSet<TagKind>, took: Duration) {
        engine::Observer::came_round(&*self.metrics, kinds, took);
    }

    fn scanned(&self, result: &Result<FeedCounts, StoreError>, took: Duration) {
        engine::Observer::scanned(&*self.metrics, result, took);
        let was_ready = self.readiness.missing().is_none();
        match result {
            Ok(FeedCounts { missing: Some(missing), .. }) => self.readiness.waits_for(missing),
            Ok(counts) => {
                self.tell_standstill(counts.standstill);
                if let Some(missing) = self.table.missing() {
                    self.readiness.waits_for(missing);
                    return;
                }
                if !was_ready {
                    tracing::info!("ready");
                }
                self.readiness.ready();
            }
            Err(error) => {
                let text = told(error);
                if was_ready && error.is_unanswered() {
                    tracing::error!("Failed to connect to database; nothing is booked until it is back: {text}");
                } else if was_ready {
                    tracing::error!("the awake scan failed: {text}");
                }
                self.readiness.waits_for(text);
            }
        }
    }
}

impl ownership::Observer for Reporter {
    fn handed_over(&self, how: HandOver, pools: usize) {
        self.metrics.handed_over(how, pools);
    }

    fn ended(&self, member: &str) {
        self.metrics.ended(member);
    }

    fn left_behind(&self, procs: usize) {
        self.metrics.left_behind(procs);
    }

    fn looked(&self, view: &View) {
        self.metrics.looked(view);
    }
}

impl accounting::Observer for Reporter {
    fn noticed(&self, kind: &'static str) {
        accounting::Observer::noticed(&*self.metrics, kind);
    }

    fn reconciled(&self, result: &Result<Vec<Correction>, StoreError>, took: Duration) {
        accounting::Observer::reconciled(&*self.metrics, result, took);
        match result {
            Ok(corrections) => {
                for Correction { table, key, was, is } in corrections.iter().filter(|correction| correction.was_low()) {
                    tracing::warn!("{} {key} counted {was:?} (centicores, GPUs) where procs hold {is:?}", table.name());
                }
                tracing::debug!("{} counters were set right in {took:?}", corrections.len());
            }
            Err(error) => tracing::warn!("counters could not be compared with procs: {}", chain(error)),
        }
    }
}

impl launch::Observer for Reporter {
    fn called(&self, booking: &Booking, outcome: &Outcome, took: Duration) {
        launch::Observer::called(&*self.metrics, booking, outcome, took);
        let why = match outcome {
            Outcome::Launched => return,
            Outcome::RefusedForCertain { code, message } => format!("refused ({code}): {message}"),
            Outcome::NotSent { message } => format!("not sent: {message}"),
            Outcome::Unknown { message } => format!("no answer: {message}"),
        };
        let host = booking.hold.host_name.as_ref();
        if let Some(launches) = self.sparing.count("launch", host, 1) {
            tracing::warn!(host.name = host, "GrpcFailure: {launches} launches on {host} failed, the last one: {why}");
        }
    }

    fn fenced(&self, booking: &Booking) {
        launch::Observer::fenced(&*self.metrics, booking);
    }

    fn settled(&self, hold: &Hold, settlement: Settlement) {
        launch::Observer::settled(&*self.metrics, hold, settlement);
    }
}

/// An error of the database, with its causes and what would help.
pub fn told(error: &StoreError) -> String {
    match error.advice() {
        Some(advice) => format!("{} ({advice})", chain(error)),
        None => chain(error),
    }
}

/// Lines that are written once in [`SPARED`] for each kind and each pool or host.
#[derive(Debug, Default)]
struct Sparing(Mutex<HashMap<(&'static str, String), Spared>>);

#[derive(Debug)]
struct Spared {
    told: Option<Instant>,
    since: u64,
}

impl Sparing {
    /// Most entries that are kept while nothing happens with them; a large farm has some hundred pools and thousands of
    /// hosts, of which few fail.
    const KEPT: usize = 4096;

    /// `more` have come; how many there were since the last line, if one is to be written now.
    fn count(&self, kind: &'static str, whom: &str, more: u64) -> Option<u64> {
        self.count_at(kind, whom, more, Instant::now())
    }

    fn count_at(&self, kind: &'static str, whom: &str, more: u64, now: Instant) -> Option<u64> {
        if more == 0 {
            return None;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |told: Option<Instant>| told.is_none_or(|told| now.saturating_duration_since(told) >= SPARED);
        if all.len() >= Self::KEPT {
            all.retain(|_, spared| !is_due(spared.told));
        }
        let spared = all.entry((kind, whom.to_owned())).or_insert(Spared { told: None, since: 0 });
        spared.since += more;
        if !is_due(spared.told) {
            return None;
        }
        spared.told = Some(now);
        Some(std::mem::take(&mut spared.since))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::booking::Refusals;

    /// What is logged meanwhile, with levels and without times.
    fn logged(action: impl FnOnce()) -> Vec<String> {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false);
        tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), action);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn what_the_guide_says_to_look_for_is_told_once_a_while_and_only_when_it_happens() {
        let reporter = Reporter::new(Arc::new(Metrics::new().unwrap()), Readiness::default(), Arc::new(Table::alone()));
        let mut report = PassReport { pool: "general".to_owned(), layers: 5, ..PassReport::default() };
        let pass = |report: &PassReport| logged(|| reporter.pass(report, Duration::from_millis(5)));
        assert_eq!(pass(&report), [""; 0]);

        report.booked.insert("alpha".into(), 120);
        report.refusals = Refusals::default();
        report.refusals.add(Refusal::Subscription, 7);
        report.refusals.add(Refusal::HostNotOpen, 2);
        report.retries = vec!["55P03", "40P01", "55P03"];
        report.waiting.insert(Reason::SubscriptionFull, 30);
        let expected = [
            "INFO Processed 5 layers, dispatched 120 frames in general",
            "WARN AllocationOverBurst: 7 frames were not booked in general: a subscription has exceeded its burst",
            "INFO AllocationOverBurst: 30 frames wait in general since their subscription's burst is used up",
            "INFO HostLock: 2 frames were not booked in general: their hosts are locked or down since they were read",
            "WARN HostLock: 2 bookings in general failed to acquire a lock",
        ];
        let lines = pass(&report);
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
        }
        // The next pass of the same pool repeats nothing but what it booked.
        assert_eq!(pass(&report).len(), 1);
        report.pool = "other".to_owned();
        assert_eq!(pass(&report).len(), 5);
    }

    #[test]
    fn a_line_is_written_at_once_and_then_once_a_while_with_what_came_in_between() {
        let (sparing, now) = (Sparing::default(), Instant::now());
        let count = |whom, more, seconds| sparing.count_at("k", whom, more, now + Duration::from_secs(seconds));
        assert_eq!(count("a", 0, 0), None);
        assert_eq!(count("a", 2, 0), Some(2));
        assert_eq!(count("b", 1, 0), Some(1));
        assert_eq!(count("a", 3, 1), None);
        assert_eq!(count("a", 4, 29), None);
        assert_eq!(count("a", 0, 40), None);
        assert_eq!(count("a", 1, 41), Some(8));
    }
}
