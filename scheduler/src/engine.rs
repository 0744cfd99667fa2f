//! The loop: scans, reloads, and passes in flight, until it is told to stop.
//!
//! One task owns the feed. It starts passes and takes their reports; passes run beside each other and never start anything
//! themselves. On a stop nothing new begins, and what has begun ends by itself: a transaction is not a thing to cancel midway.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cue_scheduler_core::domain::tag::TagKind;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::feed::{Feed, FeedCounts, PoolAt, Turn, Wake, Wanted};
use crate::pass::{PassContext, PassReport, pass};
use crate::store::StoreError;

/// Hears what happens: metrics in production, counters in a benchmark.
pub trait Observer: Send + Sync {
    /// A pass ended.
    fn pass_ended(&self, result: &Result<PassReport, StoreError>, took: Duration);
    /// An awake scan ended.
    fn scanned(&self, result: &Result<FeedCounts, StoreError>, took: Duration);
    /// The clusters were read anew: the names of the managed shows.
    fn reloaded(&self, _shows: &BTreeSet<Arc<str>>) {}
    /// A pool has its turn again and had work all the time since the turn before, under these kinds of tags.
    fn came_round(&self, _kinds: &BTreeSet<TagKind>, _took: Duration) {}
}

/// How often and how much at once.
#[derive(Clone, Copy, Debug)]
pub struct EngineSettings {
    /// `queue.active_scan_interval`
    pub scan_interval: Duration,
    /// `queue.cluster_reload_interval`
    pub reload_interval: Duration,
    /// `queue.stream.cluster_buffer_size`
    pub passes_in_flight: usize,
    /// `host_cache.clean_up_interval`
    pub clean_up_interval: Duration,
    /// `host_cache.group_idle_timeout`
    pub pool_idle_max: Duration,
    /// `queue.empty_job_cycles_before_quiting`
    pub empty_looks_max: Option<u32>,
}

/// Why the engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// There was no work for as many looks as it was to wait for.
    NoWork,
}

/// Whether a scan or a pass saw work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Work,
    Nothing,
    /// The database did not answer, or the scan can't say: what it saw is under way.
    Unclear,
}

/// Counts looks in a row that found no work.
#[derive(Debug)]
struct EmptyLooks {
    found: u32,
    max: Option<u32>,
}

impl EmptyLooks {
    fn count(&mut self, look: Look) {
        match look {
            Look::Work => self.found = 0,
            Look::Nothing => self.found = self.found.saturating_add(1),
            Look::Unclear => {}
        }
    }

    fn are_enough(&self) -> bool {
        // None was asked for where 0 is written: the first one ends it.
        self.max.is_some_and(|max| self.found >= max.max(1))
    }
}

/// The running scheduler.
pub struct Engine {
    /// What passes are made with.
    pub context: Arc<PassContext>,
    /// Whose turn it is.
    pub feed: Feed,
    /// How often and how much.
    pub settings: EngineSettings,
    /// Who hears of it.
    pub observer: Arc<dyn Observer>,
    /// Says that pools should not wait for their pace.
    pub wake: Arc<Wake>,
}

enum Event {
    Stop,
    Woken(Wanted),
    Scan,
    Reload,
    CleanUp,
    Ended(PassEnd),
    Due,
}

struct PassEnd {
    pool: PoolAt,
    turn: Turn,
    look: Look,
}

impl Engine {
    /// Runs until `stop`, or until there was no work for long enough, and then until the passes in flight have ended.
    pub async fn run(mut self, stop: CancellationToken) -> Ended {
        let mut scan = tokio::time::interval(self.settings.scan_interval);
        let mut reload = tokio::time::interval(self.settings.reload_interval);
        // After a slow scan the missed ones would run back to back, under the load that made it slow.
        let mut clean_up = tokio::time::interval(self.settings.clean_up_interval);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reload.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clean_up.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first reload comes before the first scan.
        reload.tick().await;
        stop.run_until_cancelled(self.reload()).await;
        let mut passes: JoinSet<PassEnd> = JoinSet::new();
        let mut empty_looks = EmptyLooks { found: 0, max: self.settings.empty_looks_max };
        tracing::info!("Starting scheduler feed");
        let ended = loop {
            if empty_looks.are_enough() {
                tracing::info!(
                    "no work in {} looks in a row, as queue.empty_job_cycles_before_quiting has it: ending",
                    empty_looks.found
                );
                break Ended::NoWork;
            }
            self.start_passes(&mut passes);
            let due = self.feed.turns.next_due().filter(|_| passes.len() < self.settings.passes_in_flight.max(1));
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => Event::Stop,
                Some(ended) = passes.join_next() => match ended {
                    Ok(end) => Event::Ended(end),
                    // Passes don't panic on data; if one does, the process must not go on as if it hadn't.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                wanted = self.wake.said() => Event::Woken(wanted),
                _ = scan.tick() => Event::Scan,
                _ = reload.tick() => Event::Reload,
                _ = clean_up.tick() => Event::CleanUp,
                () = until(due) => Event::Due,
            };
            match event {
                Event::Stop => break Ended::Told,
                // Both only read, so a stop need not wait for a database that doesn't answer.
                Event::Scan => {
                    if let Some(look) = stop.run_until_cancelled(self.scan()).await {
                        // What a scan misses may be what a pass has just taken.
                        empty_looks.count(if passes.is_empty() { look } else { Look::Unclear });
                    }
                }
                Event::Reload => drop(stop.run_until_cancelled(self.reload()).await),
                Event::CleanUp => {
                    self.feed.turns.clean_up(self.settings.pool_idle_max, Instant::now());
                    self.context.launches.lock().await.clean_up();
                }
                Event::Ended(PassEnd { pool, turn, look }) => {
                    empty_looks.count(look);
                    self.feed.turns.done(&pool, turn, Instant::now());
                }
                Event::Woken(wanted) => self.feed.turns.wake(&wanted, Instant::now()),
                Event::Due => {}
            }
        };
        while passes.join_next().await.is_some() {}
        ended
    }

    fn start_passes(&mut self, passes: &mut JoinSet<PassEnd>) {
        while passes.len() < self.settings.passes_in_flight.max(1) {
            let Some(turned) = self.feed.next(Instant::now()) else {
                break;
            };
            let (context, observer) = (self.context.clone(), self.observer.clone());
            if let Some(took) = turned.came_round {
                observer.came_round(&turned.kinds, took);
            }
            passes.spawn(async move {
                let began = Instant::now();
                let result = pass(&context, &mut *turned.reader.lock().await).await;
                observer.pass_ended(&result, began.elapsed());
                let (turn, look) = match &result {
                    Ok(report) if report.failed.is_some() => (report.turn(), Look::Unclear),
                    Ok(report) if report.layers == 0 => (report.turn(), Look::Nothing),
                    Ok(report) => (report.turn(), Look::Work),
                    Err(_) => (Turn::Saturated, Look::Unclear),
                };
                drop(turned.in_flight);
                PassEnd { pool: turned.at, turn, look }
            });
        }
    }

    /// A scan that sees work is unclear: only a pass can tell whether there is any that could start.
    async fn scan(&mut self) -> Look {
        let began = Instant::now();
        let result = self.feed.scan(&self.context.store, began).await;
        self.observer.scanned(&result, began.elapsed());
        match result {
            Ok(counts) if counts.missing.is_none() && counts.standstill.is_none() && !self.feed.turns.has_work() => {
                Look::Nothing
            }
            _ => Look::Unclear,
        }
    }

    async fn reload(&mut self) {
        match self.feed.reload(&self.context.store).await {
            Ok(()) => {
                tracing::debug!("cluster set reloaded: {} pools", self.feed.pool_count());
                self.observer.reloaded(self.feed.shows());
            }
            Err(error) => tracing::warn!("cluster reload failed, the old set stays: {}", chain(&error)),
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Many an error says its cause itself.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_looks_in_a_row_that_found_nothing_end_the_engine() {
        use Look::{Nothing, Unclear, Work};
        let ends_after = |max, looks: &[Look]| {
            let mut counted = EmptyLooks { found: 0, max };
            looks.iter().position(|look| {
                counted.count(*look);
                counted.are_enough()
            })
        };
        assert_eq!(ends_after(None, &[Nothing; 9]), None);
        assert_eq!(ends_after(Some(3), &[Nothing; 9]), Some(2));
        assert_eq!(ends_after(Some(3), &[Nothing, Nothing, Work, Nothing, Unclear, Nothing, Nothing]), Some(6));
        assert_eq!(ends_after(Some(0), &[Work, Unclear, Nothing]), Some(2));
        assert_eq!(ends_after(Some(1), &[Work, Unclear, Work]), None);
    }
}
