//! Wiring: from a configuration to a running scheduler, and its ordered end.
//!
//! Start: the HTTP listener first, so that probes answer while the database is waited for; then the engine. End, on SIGTERM or
//! SIGINT: no new passes; what is being booked lands; launches get their answers; then the connections close. All of it
//! within `scheduler.drain_timeout`, or what is left is cut off; a second signal cuts it off at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cue_scheduler_config::{Config, Loaded};
use cue_scheduler_core::cluster::ChunkSizes;
use cue_scheduler_core::domain::amount::Kb;
use cue_scheduler_core::planning::Policy;
use cue_scheduler_core::planning::epvm::{Epvm, Weights};
use cue_scheduler_core::planning::score::{Saturation, Strategy};
use cue_scheduler_core::run_frame::MemoryFactors;
use rand::RngExt as _;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounting::{self, Dirty};
use crate::booking::{BookingSettings, DatabaseLedger};
use crate::engine::{Engine, EngineSettings, Observer};
use crate::feed::{Feed, Pace, Scope, Wake};
use crate::http::{self, Metrics, Readiness, Status};
use crate::launch::{ClientSettings, LaunchSettings, Launcher};
use crate::logging::Levels;
use crate::ownership::members::member_name;
use crate::ownership::{Ownership, Table};
use crate::pass::PassContext;
use crate::reporter::{Reporter, told};
use crate::signals::{CutShort, StopSignals, switch_levels};
use crate::snapshot::{Launches, ReadSettings};
use crate::store::{Direct, Password, Store, Target, Tls};
use crate::takeover;

/// Longest pause between two tries to reach the database at the start.
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often the file with the password is looked at while the program runs.
const PASSWORD_CHECK: Duration = Duration::from_secs(5);

/// Kept of the time for a stop, for closing what is open after launches had their time.
const CLOSING: Duration = Duration::from_secs(1);

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it was told, or since there was no work for as long as configured, and all that was under way landed.
    InOrder,
    /// Before all had landed.
    CutShort(CutShort),
}

/// Runs until SIGTERM or SIGINT, or until there was no work for as long as configured.
pub async fn run(loaded: Loaded, levels: Levels) -> anyhow::Result<End> {
    let stop = CancellationToken::new();
    let signals = StopSignals::listen()?;
    switch_levels(levels)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let limit = loaded.config.scheduler.drain_timeout;
    tokio::select! {
        biased;
        ended = work(loaded.config, stop.clone()) => ended.map(|()| End::InOrder),
        cut_short = signals.end(&stop, limit) => Ok(End::CutShort(cut_short)),
    }
}

async fn work(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let policy = policy(&config);
    tracing::info!("host booking strategy: {}", strategy_in_words(&config));
    raise_open_files();

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
        let table = Arc::new(Table::new(target.member.as_str().into()));
        let reporter = Arc::new(Reporter::new(metrics, readiness.clone(), table.clone()));
        let launcher = (!config.rqd.dry_run_mode).then(|| {
            let ledger = Arc::new(DatabaseLedger(store.clone()));
            Arc::new(Launcher::new(launch_settings(&config), ledger, reporter.clone()))
        });
        status.launches_by(launcher.clone());
        let launching = TaskTracker::new();
        let launch = launcher.clone().map(|launcher| (launcher, launching.clone()));
        let mut engine = engine(&config, policy, store.clone(), launch, reporter.clone());
        engine.feed.share(table.clone());
        status.shares_by(table.clone());
        let taking_over = launcher.clone().map(|launcher| {
            tokio::spawn(takeover::run(store.clone(), launcher, table.clone(), reporter.clone(), stop.clone()))
        });
        let (of_store, wake) = (store.clone(), engine.wake.clone());
        let place = Ownership { store: of_store, table, wake, observer: reporter.clone() }.start();
        let period = config.accounting.recompute_interval;
        let beside = [tokio::spawn(reporter.clone().heartbeat(period)), tokio::spawn(follow_password(store.clone()))];
        let counting = keep_counters(&store, period, &engine.wake, &reporter, &stop);
        engine.run(stop.clone()).await;
        // Before launches have their time: they don't need it, and others wait for the pools.
        place.leave().await;
        // Where there was no work, nobody has told the others yet.
        stop.cancel();
        for task in counting {
            task.await.context("the accounting")?;
        }
        if let Some(task) = taking_over {
            task.await.context("the takeover")?;
        }
        readiness.waits_for("stopping");
        drain(launcher.as_deref(), &launching, config.scheduler.drain_timeout.saturating_sub(CLOSING)).await;
        beside.iter().for_each(JoinHandle::abort);
    }
    // Only reads that the stop has cut short can still hold a connection.
    drop(tokio::time::timeout(CLOSING, store.close()).await);
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
    store: Store,
    launch: Option<(Arc<Launcher>, TaskTracker)>,
    observer: Arc<dyn Observer>,
) -> Engine {
    let queue = &config.queue;
    let facility = config.scheduler.facility.clone();
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
                take_reported_memory: config.host_cache.update_stat_on_book,
                uncounted_exit_statuses: config.booking.uncounted_exit_statuses.iter().map(|&s| s.into()).collect(),
            },
            chunk_frames: config.booking.chunk_frames,
            chunks_in_flight: queue.stream.job_buffer_size.permits(),
            launches: Mutex::new(Launches::new(queue.job_back_off_duration)),
        }),
        feed: Feed::new(
            Scope { facility, ignored_tags, chunks, hosts_max: config.scheduler.pool_hosts_max },
            pace,
            read,
            position,
        ),
        settings: EngineSettings {
            scan_interval: queue.active_scan_interval,
            reload_interval: queue.cluster_reload_interval,
            passes_in_flight: queue.stream.cluster_buffer_size.permits(),
            clean_up_interval: config.host_cache.clean_up_interval,
            pool_idle_max: config.host_cache.group_idle_timeout,
            empty_looks_max: queue.empty_job_cycles_before_quiting,
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
        host_reads: Semaphore::new(config.host_cache.concurrent_fetch_permit),
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

fn strategy_in_words(config: &Config) -> String {
    use cue_scheduler_config::Strategy::{Epvm, Saturation};
    match config.queue.host_booking_strategy.choice() {
        Saturation { cores, memory } => format!("saturation, core_saturation {cores}, memory_saturation {memory}"),
        Epvm { max_candidates, weights } => format!("epvm, max_candidates {max_candidates}, {weights:?}"),
    }
}

fn kb(bytes: u64) -> Kb {
    Kb(i64::try_from(bytes / 1024).unwrap_or(i64::MAX))
}

pub(crate) fn target(config: &Config) -> Target {
    let database = &config.database;
    Target {
        host: database.db_host.clone(),
        port: database.db_port,
        database: database.db_name.clone(),
        user: database.db_user.clone(),
        password: match &database.db_pass_file {
            Some(file) => Password::File(file.clone()),
            None => Password::Text(database.db_pass.expose().to_owned()),
        },
        direct: Direct { host: database.direct_host.clone(), port: database.direct_port },
        tls: Tls {
            mode: database.sslmode,
            root_cert: database.ssl_root_cert.clone(),
            client: database.ssl_cert.clone().zip(database.ssl_key.clone()),
        },
        pool_size: database.pool_size,
        booking_connections: u32::try_from(config.queue.stream.job_buffer_size.permits()).unwrap_or(u32::MAX),
        member: member_name(config.scheduler.facility.as_deref(), rand::rng().random()),
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
                Err(error) => told(&error),
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

/// Takes a new password when the file has one, for ever.
async fn follow_password(store: Store) {
    let mut ticks = tokio::time::interval(PASSWORD_CHECK);
    let mut failed = false;
    loop {
        ticks.tick().await;
        match store.refresh_password().await {
            Ok(()) => failed = false,
            // Said once: the old password may do for ever.
            Err(error) if !failed => {
                failed = true;
                tracing::warn!("{}", told(&error));
            }
            Err(_) => {}
        }
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
