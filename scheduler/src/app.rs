//! Wiring: from a configuration to a running scheduler, and its ordered end.
//!
//! Start: the HTTP listener first, so that probes answer while the database is waited for; then the facility; then the
//! engine. End, on SIGTERM or SIGINT: no new passes; what is being booked lands; launches get their answers; then the
//! connections close. All of it within `scheduler.drain_timeout`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cue_scheduler_config::{Config, Loaded};
use cue_scheduler_core::cluster::ChunkSizes;
use cue_scheduler_core::domain::amount::Kb;
use cue_scheduler_core::domain::id::FacilityId;
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::planning::Policy;
use cue_scheduler_core::planning::epvm::{Epvm, Weights};
use cue_scheduler_core::planning::score::{Saturation, Strategy};
use cue_scheduler_core::run_frame::MemoryFactors;
use rand::RngExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounting::{self, Correction, Dirty};
use crate::booking::{BookingSettings, DatabaseLedger};
use crate::engine::{Engine, EngineSettings, Observer, chain};
use crate::feed::{Feed, FeedCounts, Pace, Scope, Standstill, Wake};
use crate::http::{self, Metrics, Readiness, Status};
use crate::launch::{ClientSettings, LaunchSettings, Launcher};
use crate::pass::{PassContext, PassReport};
use crate::snapshot::{Launches, ReadSettings};
use crate::store::{Password, Store, StoreError, Target};

/// Longest pause between two tries to reach the database at the start.
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub async fn run(loaded: Loaded) -> anyhow::Result<()> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let config = loaded.config;
    let policy = policy(&config);
    raise_open_files();
    let stop = on_signal()?;

    let metrics = Arc::new(Metrics::new()?);
    let readiness = Readiness::default();
    let port = config.queue.metrics_port;
    let ignored_tags = config.scheduler.ignore_tags.iter().cloned().collect();
    let status = Status::new(config.scheduler.facility.clone(), ignored_tags, readiness.clone(), metrics.sight());
    let status = Arc::new(status);
    let server = http::bind(port, metrics.clone(), readiness.clone(), status.clone())
        .await
        .with_context(|| format!("queue.metrics_port: port {port} can't be listened on"))?;
    tracing::info!("Metrics server listening on http://{}/metrics", server.address()?);
    let serving = CancellationToken::new();
    let http = tokio::spawn(server.run(serving.clone()));

    let target = target(&config);
    let store = Store::new(&target);
    if wait_for_database(&store, &target, &readiness, &stop).await {
        let facility = facility(&config, &store).await?;
        let launcher = (!config.rqd.dry_run_mode).then(|| {
            let ledger = Arc::new(DatabaseLedger(store.clone()));
            Arc::new(Launcher::new(launch_settings(&config), ledger, metrics.clone()))
        });
        status.launches_by(launcher.clone());
        let observer = Arc::new(Reporter::new(metrics, readiness.clone()));
        let launching = TaskTracker::new();
        let launch = launcher.clone().map(|launcher| (launcher, launching.clone()));
        let engine = engine(&config, policy, facility, store.clone(), launch, observer.clone());
        let period = config.accounting.recompute_interval;
        let heartbeat = tokio::spawn(heartbeat(observer.clone(), period));
        let counting = keep_counters(&store, period, &engine.wake, &observer, &stop);
        engine.run(stop).await;
        heartbeat.abort();
        for task in counting {
            task.await.context("the accounting")?;
        }
        readiness.waits_for("stopping");
        drain(launcher.as_deref(), &launching, config.scheduler.drain_timeout).await;
    }
    store.close().await;
    serving.cancel();
    http.await?.context("the HTTP listener")?;
    tracing::info!("stopped");
    Ok(())
}

/// Starts the reconcile loop, and the ear for what Cuebot announces.
fn keep_counters(
    store: &Store,
    period: Duration,
    wake: &Arc<Wake>,
    observer: &Arc<Reporter>,
    stop: &CancellationToken,
) -> [JoinHandle<()>; 2] {
    let dirty = Arc::new(Dirty::default());
    let reconciling = {
        let (store, dirty, observer, stop) = (store.clone(), dirty.clone(), observer.clone(), stop.clone());
        async move { accounting::run(store, period, &dirty, &*observer, stop).await }
    };
    let listening = {
        let (store, wake, observer, stop) = (store.clone(), wake.clone(), observer.clone(), stop.clone());
        async move { accounting::listen(store, &wake, &dirty, &*observer, stop).await }
    };
    [tokio::spawn(reconciling), tokio::spawn(listening)]
}

/// Puts the parts together. `launch` is `None` in dry-run mode.
pub fn engine(
    config: &Config,
    policy: Policy,
    facility: Option<FacilityId>,
    store: Store,
    launch: Option<(Arc<Launcher>, TaskTracker)>,
    observer: Arc<dyn Observer>,
) -> Engine {
    let queue = &config.queue;
    let read = Arc::new(read_settings(config));
    let ignored_tags = read.ignored_tags.clone();
    let chunks =
        ChunkSizes { manual: queue.manual_tags_chunk_size as usize, hostname: queue.hostname_tags_chunk_size as usize };
    let pace =
        Pace { saturated: queue.backlog_pace(), empty: queue.cluster_empty_sleep, longest: queue.monitor_interval };
    // Replicas that start together would otherwise make the same passes in the same order.
    let position = rand::rng().random_range(0..1024);
    Engine {
        context: Arc::new(PassContext {
            store,
            launch,
            policy,
            booking: BookingSettings {
                memory_factors: MemoryFactors {
                    soft: queue.frame_memory_soft_limit,
                    hard: queue.frame_memory_hard_limit,
                },
                memory_used_at_start: kb(queue.mem_reserved_min.0).0,
            },
            chunk_frames: config.booking.chunk_frames,
            chunks_in_flight: queue.stream.job_buffer_size.permits(),
            launches: Mutex::new(Launches::new(queue.job_back_off_duration)),
        }),
        feed: Feed::new(Scope { facility, ignored_tags, chunks }, pace, read, position),
        settings: EngineSettings {
            scan_interval: queue.active_scan_interval,
            reload_interval: queue.cluster_reload_interval,
            passes_in_flight: queue.stream.cluster_buffer_size.permits(),
        },
        observer,
        wake: Arc::default(),
    }
}

/// How pools are read.
pub(crate) fn read_settings(config: &Config) -> ReadSettings {
    ReadSettings {
        host_staleness: config.host_cache.host_staleness_threshold,
        host_interval: config.host_cache.monitoring_interval,
        ignored_tags: config.scheduler.ignore_tags.iter().cloned().collect(),
    }
}

/// How work is placed.
pub fn policy(config: &Config) -> Policy {
    let queue = &config.queue;
    let strategy = match queue.host_booking_strategy.choice() {
        cue_scheduler_config::Strategy::Saturation { cores, memory } => {
            Strategy::Saturation(Saturation { cores, memory })
        }
        cue_scheduler_config::Strategy::Epvm { max_candidates, weights } => Strategy::Epvm(Epvm {
            max_candidates,
            weights: Weights {
                cores: weights.cores,
                memory: weights.mem,
                gpus: weights.gpus,
                gpu_memory: weights.gpu_mem,
                gpu_count_reservation: weights.gpu_count_reservation,
                gpu_memory_reservation: weights.gpu_mem_reservation,
            },
        }),
    };
    Policy {
        strategy,
        memory_stranded: kb(queue.memory_stranded_threshold.0),
        selfish_services: queue.selfish_services.clone(),
        frames_per_layer: queue.dispatch_frames_per_layer_limit,
        hosts_per_layer: queue.host_candidate_attempts_per_layer,
        jobs_per_show: queue.max_jobs_per_cluster_pass,
    }
}

fn kb(bytes: u64) -> Kb {
    Kb(i64::try_from(bytes / 1024).unwrap_or(i64::MAX))
}

pub(crate) fn target(config: &Config) -> Target {
    let database = &config.database;
    let facility = config.scheduler.facility.as_deref().unwrap_or("*");
    let id: u32 = rand::rng().random();
    let member = format!("cue-scheduler/{facility}/{id:08x}");
    Target {
        host: database.db_host.clone(),
        port: database.db_port,
        database: database.db_name.clone(),
        user: database.db_user.clone(),
        password: Password(database.db_pass.expose().to_owned()),
        pool_size: database.pool_size,
        booking_connections: u32::try_from(config.queue.stream.job_buffer_size.permits()).unwrap_or(u32::MAX),
        member: member.chars().take(63).collect(),
    }
}

fn launch_settings(config: &Config) -> LaunchSettings {
    let rqd = &config.rqd;
    LaunchSettings {
        client: ClientSettings {
            port: rqd.grpc_port,
            connect_timeout: rqd.connect_timeout,
            call_timeout: rqd.call_timeout,
            channels_max: rqd.max_channels,
            channel_idle_max: rqd.channel_idle_timeout,
        },
        in_flight_max: rqd.max_launches_in_flight,
        in_flight_per_host_max: rqd.max_launches_per_host,
        ..LaunchSettings::default()
    }
}

/// Tries to reach the database until it is there; `false` when told to stop before.
async fn wait_for_database(store: &Store, target: &Target, readiness: &Readiness, stop: &CancellationToken) -> bool {
    let Target { host, port, database, .. } = target;
    // Said before the first try, which may take its time.
    readiness.waits_for(format!("database {database} at {host}:{port}"));
    let mut pause = Duration::from_millis(250);
    loop {
        let error = tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            answer = store.reach() => match answer {
                Ok(()) => return true,
                Err(error) => chain(&error),
            },
        };
        tracing::error!("Failed to connect to database {database} at {host}:{port}, next try in {pause:?}: {error}");
        readiness.waits_for(format!("database {database} at {host}:{port}: {error}"));
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(CONNECT_PAUSE_MAX);
    }
}

async fn facility(config: &Config, store: &Store) -> anyhow::Result<Option<FacilityId>> {
    let Some(name) = &config.scheduler.facility else { return Ok(None) };
    match store.facility(name).await? {
        Some(id) => Ok(Some(id)),
        None => bail!(
            "scheduler.facility: Invalid facility name: there is no facility `{name}` (the name is compared exactly)"
        ),
    }
}

/// Lets launches get their answers.
async fn drain(launcher: Option<&Launcher>, launching: &TaskTracker, limit: Duration) {
    let Some(launcher) = launcher else { return };
    let began = Instant::now();
    launching.close();
    if tokio::time::timeout(limit, launching.wait()).await.is_err() {
        tracing::warn!("{} launches got no answer within {limit:?}", launching.len());
    }
    let left = launcher.drain(limit.saturating_sub(began.elapsed())).await;
    if left > 0 {
        tracing::warn!("{left} launches stay unknown; their procs are left to Cuebot's sweep");
    }
}

fn on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let token = stop.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name}: no new passes; what has begun lands");
        token.cancel();
    });
    Ok(stop)
}

/// Thousands of agents mean thousands of connections.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let shown = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
    match raised {
        Ok(()) => tracing::info!("open files: at most {}", shown(limit.maximum)),
        Err(error) => tracing::warn!("open files: at most {}; not raised: {error}", shown(limit.current)),
    }
}

/// Hands on what happens: to the metrics, to the readiness probe, to the log.
struct Reporter {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    frames: AtomicU64,
    capped: AtomicU64,
    /// What forbids booking, as it was told last.
    standstill: std::sync::Mutex<Option<Standstill>>,
}

impl Reporter {
    fn new(metrics: Arc<Metrics>, readiness: Readiness) -> Self {
        Self {
            metrics,
            readiness,
            frames: AtomicU64::new(0),
            capped: AtomicU64::new(0),
            standstill: std::sync::Mutex::default(),
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
}

impl Observer for Reporter {
    fn pass_ended(&self, result: &Result<PassReport, StoreError>, took: Duration) {
        self.metrics.pass_ended(result, took);
        match result {
            Ok(report) => {
                self.frames.fetch_add(report.frames() as u64, Ordering::Relaxed);
                let capped = report.refusals.iter().filter(|(refusal, _)| refusal.accounting_table().is_some());
                self.capped.fetch_add(capped.map(|(_, frames)| u64::from(frames)).sum(), Ordering::Relaxed);
                tracing::debug!(
                    pool = report.pool,
                    "pass of {}: {} of {} planned frames booked in {took:?}, {} left waiting, refused: {}",
                    report.pool,
                    report.frames(),
                    report.planned,
                    report.waiting.values().sum::<u64>(),
                    report.refusals
                );
                if let Some(error) = &report.failed {
                    tracing::warn!("a booking of pool {} failed: {}", report.pool, chain(error));
                }
            }
            Err(error) => tracing::warn!("a pass failed: {}", chain(error)),
        }
    }

    fn reloaded(&self, shows: &BTreeSet<Arc<str>>) {
        self.metrics.reloaded(shows);
    }

    fn came_round(&self, kinds: &BTreeSet<TagKind>, took: Duration) {
        self.metrics.came_round(kinds, took);
    }

    fn scanned(&self, result: &Result<FeedCounts, StoreError>, took: Duration) {
        self.metrics.scanned(result, took);
        match result {
            Ok(counts) => {
                if self.readiness.missing().is_some() {
                    tracing::info!("ready");
                }
                self.readiness.ready();
                self.tell_standstill(counts.standstill);
            }
            Err(error) => {
                let text = format!("database: {}", chain(error));
                if self.readiness.missing().is_none() {
                    tracing::error!("the awake scan failed; {text}");
                }
                self.readiness.waits_for(text);
            }
        }
    }
}

impl accounting::Observer for Reporter {
    fn noticed(&self, kind: &'static str) {
        self.metrics.noticed(kind);
    }

    fn reconciled(&self, result: &Result<Vec<Correction>, StoreError>, took: Duration) {
        self.metrics.reconciled(result, took);
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

/// The line that operators know.
async fn heartbeat(reporter: Arc<Reporter>, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let (frames, capped) = (reporter.frames.swap(0, Ordering::Relaxed), reporter.capped.swap(0, Ordering::Relaxed));
        let took = last.elapsed().as_millis();
        last = Instant::now();
        tracing::info!("Dispatched {frames} frames in the last {took}ms ({capped} resource-limit-exceeded)");
    }
}
