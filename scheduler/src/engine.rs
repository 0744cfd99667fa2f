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
    Ended(PoolAt, Turn),
    Due,
}

impl Engine {
    /// Runs until `stop`, and then until the passes in flight have ended.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut scan = tokio::time::interval(self.settings.scan_interval);
        let mut reload = tokio::time::interval(self.settings.reload_interval);
        // After a slow scan the missed ones would run back to back, under the load that made it slow.
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reload.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first reload comes before the first scan.
        reload.tick().await;
        stop.run_until_cancelled(self.reload()).await;
        let mut passes: JoinSet<(PoolAt, Turn)> = JoinSet::new();
        tracing::info!("Starting scheduler feed");
        loop {
            self.start_passes(&mut passes);
            let due = self.feed.next_due().filter(|_| passes.len() < self.settings.passes_in_flight.max(1));
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => Event::Stop,
                Some(ended) = passes.join_next() => match ended {
                    Ok((pool, turn)) => Event::Ended(pool, turn),
                    // Passes don't panic on data; if one does, the process must not go on as if it hadn't.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                wanted = self.wake.said() => Event::Woken(wanted),
                _ = scan.tick() => Event::Scan,
                _ = reload.tick() => Event::Reload,
                () = until(due) => Event::Due,
            };
            match event {
                Event::Stop => break,
                // Both only read, so a stop need not wait for a database that doesn't answer.
                Event::Scan => drop(stop.run_until_cancelled(self.scan()).await),
                Event::Reload => drop(stop.run_until_cancelled(self.reload()).await),
                Event::Ended(pool, turn) => self.feed.done(&pool, turn, Instant::now()),
                Event::Woken(wanted) => self.feed.wake(&wanted, Instant::now()),
                Event::Due => {}
            }
        }
        while passes.join_next().await.is_some() {}
    }

    fn start_passes(&mut self, passes: &mut JoinSet<(PoolAt, Turn)>) {
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
                let turn = match &result {
                    Ok(report) => report.turn(),
                    Err(_) => Turn::Saturated,
                };
                (turned.at, turn)
            });
        }
    }

    async fn scan(&mut self) {
        let began = Instant::now();
        let result = self.feed.scan(&self.context.store, began).await;
        self.observer.scanned(&result, began.elapsed());
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
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
