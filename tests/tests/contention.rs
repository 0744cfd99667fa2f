//! Two loops of bookings, undos and reconciles meet Cuebot's completions, dependencies, releases and own bookings on the same few rows.
//!
//! Both know nothing of each other and plan blindly, so that every guard and every lock is met many times a second. Frames run
//! for a moment, some fail and come again. What must come out: Cuebot never loses a deadlock with us, no cap is passed for an
//! instant, no start of a frame happens twice, and in the end every counter is exact.
//!
//! Where frames wait for others, Cuebot waits in a circle with itself: what ends a dependency locks `layer_stat` after
//! `job_stat`, what ends a frame the other way round. No order of ours cures that, so there the question is who took part.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cue_scheduler::accounting::Accounting;
use cue_scheduler::booking::{
    Booked, BookingSettings, Chunk, ChunkHost, ChunkLayer, Refusal, Refusals, Slot, book, undo,
};
use cue_scheduler::store::{Store, StoreError};
use cue_scheduler_core::domain::amount::{Centicores, Kb, Resources};
use cue_scheduler_core::launch::{Booking, Hold};
use cue_scheduler_core::run_frame::{FrameRef, LaunchSource, LaunchTemplate, MemoryFactors};
use cue_scheduler_proto::report::rqd_report_interface_client::RqdReportInterfaceClient;
use cue_scheduler_proto::report::{
    FrameCompleteReport, RenderHost, RqdReportRunningFrameCompletionRequest, RunningFrameInfo,
};
use rand::RngExt as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use sqlx::PgPool;
use testbed::auditor::{DeadlockLog, Deadlocks, Sampler, audit};
use testbed::cuebot_sim::{CuebotConfig, CuebotCounts, CuebotSim, Generation, LegacyBooking};
use testbed::loader::description::FarmDescription;
use testbed::loader::{Loaded, load};
use testbed::postgres::{Options, Server};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// How long the loops go on.
const DURATION: Duration = Duration::from_secs(10);

const SETTINGS: BookingSettings = BookingSettings {
    memory_factors: MemoryFactors { soft: 1.6, hard: 2.0 },
    memory_used_at_start: 262_144,
    take_reported_memory: false,
    uncounted_exit_statuses: Vec::new(),
};

/// Two shows of ours and one of Cuebot's on the same hosts; every kind of cap is smaller than what wants to run under it.
const FARM: &str = "
seed: 17
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
limits: [{name: licence, max: 5}]
shows:
  - name: alpha
    subscriptions: [{allocation: local.general, size: 20, burst: 24}]
    folders: [{name: shots, max_cores: 14}]
  - {name: beta, subscriptions: [{allocation: local.general, size: 10, burst: 12}]}
  - {name: legacy, managed: false, subscriptions: [{allocation: local.general, size: 10, burst: 10}]}
hosts: [{allocation: local.general, count: 6, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs:
  - name: alpha-1
    show: alpha
    folder: shots
    max_cores: 9
    max_retries: 16
    layers: [{name: a, range: 1-900}, {name: b, range: 1-900, limits: [licence]}, {name: c, range: 1-900}]
  - name: alpha-2
    show: alpha
    folder: shots
    max_cores: 9
    max_retries: 16
    layers: [{name: a, range: 1-900, limits: [licence]}, {name: b, range: 1-900}]
  - {name: beta-1, show: beta, max_retries: 16, layers: [{name: a, range: 1-900}, {name: b, range: 1-900}]}
  - {name: legacy-1, show: legacy, layers: [{name: a, range: 1-900}, {name: b, range: 1-900}]}";

/// What two loops did.
#[derive(Default)]
struct Tally {
    /// Every start: frame and version after it.
    starts: Vec<(String, i32)>,
    undone: usize,
    refusals: Refusals,
    retries: BTreeMap<&'static str, usize>,
    healed: u32,
}

/// One scheduler's loop: blind plans of one show after the other.
struct Booker {
    store: Store,
    pool: PgPool,
    loaded: Arc<Loaded>,
    client: RqdReportInterfaceClient<Channel>,
}

impl Booker {
    async fn run(self, until: Instant) -> Tally {
        let mut tally = Tally::default();
        let mut ends = JoinSet::new();
        while Instant::now() < until {
            for show in ["alpha", "beta"] {
                let chunk = self.chunk(show).await;
                let Booked { mut bookings, refusals, retries, healed, .. } =
                    book(&self.store, chunk, &SETTINGS).await.unwrap();
                tally.refusals.merge(&refusals);
                tally.healed += healed;
                for sqlstate in retries {
                    *tally.retries.entry(sqlstate).or_default() += 1;
                }
                let started = |Booking { hold, .. }: &Booking| (hold.frame.to_string(), hold.frame_version);
                tally.starts.extend(bookings.iter().map(started));
                // Some hosts refuse.
                let refused: Vec<Hold> = bookings
                    .extract_if(.., |_| rand::rng().random_bool(0.1))
                    .map(|Booking { hold, .. }| hold)
                    .collect();
                if !refused.is_empty() {
                    tally.undone += self.take_back(&refused).await;
                }
                for Booking { hold, .. } in bookings {
                    ends.spawn(end(self.client.clone(), hold));
                }
            }
        }
        ends.join_all().await;
        tally
    }

    /// Undoes bookings, again and again while others hold the rows, as the launcher does; answers how many it undid.
    async fn take_back(&self, refused: &[Hold]) -> usize {
        let began = Instant::now();
        loop {
            match undo(&self.store, refused).await {
                Ok(undone) => return undone.len(),
                Err(error) => {
                    let busy = error.retryable().is_some() || matches!(error, StoreError::Busy { .. });
                    assert!(busy && began.elapsed() < DURATION, "{error:?}");
                }
            }
        }
    }

    /// A few layers of the show in any order, some frames of each on any hosts.
    async fn chunk(&self, show: &str) -> Chunk {
        let of_show = self.loaded.layers.iter().filter(|(name, _)| name.starts_with(show));
        let mut layers: Vec<(&String, &String)> = of_show.collect();
        let mut hosts: Vec<ChunkHost> = self
            .loaded
            .hosts
            .iter()
            .map(|(name, id)| ChunkHost { id: id.as_str().into(), name: name.as_str().into(), os: "linux".into() })
            .collect();
        layers.shuffle(&mut rand::rng());
        layers.truncate(4);
        hosts.shuffle(&mut rand::rng());
        let mut chunk = Chunk {
            show: self.loaded.shows[show].as_str().into(),
            show_name: show.into(),
            alloc: self.loaded.allocations["local.general"].as_str().into(),
            layers: Vec::new(),
            hosts,
            slots: Vec::new(),
        };
        for (name, id) in layers {
            // Both loops want the same frames.
            let waiting: Vec<(String, String, Option<i32>)> = sqlx::query_as(
                "SELECT pk_frame, str_name, int_version FROM frame WHERE pk_layer = $1 AND str_state = 'WAITING'
                 ORDER BY int_dispatch_order LIMIT 8",
            )
            .bind(id)
            .fetch_all(&self.pool)
            .await
            .unwrap();
            let job = name.split('/').next().unwrap();
            let limits: Vec<String> = sqlx::query_scalar("SELECT pk_limit_record FROM layer_limit WHERE pk_layer = $1")
                .bind(id)
                .fetch_all(&self.pool)
                .await
                .unwrap();
            chunk.layers.push(ChunkLayer {
                id: id.as_str().into(),
                job: self.loaded.jobs[job].as_str().into(),
                limits: limits.iter().map(|limit| limit.as_str().into()).collect(),
                template: template(show, job, &self.loaded.jobs[job], id),
                candidates: waiting
                    .into_iter()
                    .map(|(id, name, version)| FrameRef { id: id.as_str().into(), name: name.into(), version })
                    .collect(),
            });
        }
        let size = Resources { cores: Centicores::CORE, memory: Kb(1 << 20), ..Resources::default() };
        let mut draw = rand::rng();
        let at: Vec<usize> = (0..chunk.hosts.len()).collect();
        for layer in 0..chunk.layers.len() {
            for _ in 0..draw.random_range(1..=8) {
                chunk.slots.push(Slot { layer, host: *at.choose(&mut draw).unwrap(), size });
            }
        }
        chunk
    }
}

fn template(show: &str, job_name: &str, job: &str, layer: &str) -> Arc<LaunchTemplate> {
    let source = LaunchSource {
        job: job.into(),
        job_name: job_name.into(),
        show: show.into(),
        shot: "shot".into(),
        user: "artist".into(),
        uid: Some(1000),
        log_dir: "/logs".into(),
        loki_url: None,
        layer: layer.into(),
        layer_name: "comp".into(),
        command: "true".into(),
        range: "1-900".into(),
        chunk_size: 1,
        threadable: true,
        memory: Kb(1 << 20),
        job_env: Vec::new(),
        layer_env: Vec::new(),
    };
    Arc::new(LaunchTemplate::parse(source).unwrap())
}

/// The frame runs for a moment and its agent reports the end; some fail.
async fn end(mut client: RqdReportInterfaceClient<Channel>, hold: Hold) {
    let (runs_for, exit_status) = {
        let mut draw = rand::rng();
        (Duration::from_millis(draw.random_range(0..150)), i32::from(draw.random_bool(0.1)))
    };
    tokio::time::sleep(runs_for).await;
    let frame = RunningFrameInfo {
        frame_id: hold.frame.to_string(),
        resource_id: hold.proc.to_string(),
        ..RunningFrameInfo::default()
    };
    let host = RenderHost { name: hold.host_name.to_string(), ..RenderHost::default() };
    let report =
        FrameCompleteReport { host: Some(host), frame: Some(frame), exit_status, ..FrameCompleteReport::default() };
    let request = RqdReportRunningFrameCompletionRequest { frame_complete_report: Some(report) };
    client.report_running_frame_completion(request).await.unwrap();
}

fn has_no_double<T: std::hash::Hash + Eq>(all: impl IntoIterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    all.into_iter().all(|one| seen.insert(one))
}

/// What a run has to answer for.
struct Outcome {
    tallies: Vec<Tally>,
    cuebot: CuebotCounts,
    deadlocks: Deadlocks,
    /// Counters that the reconcile loops set right while all went on.
    corrections: usize,
}

/// Lets two loops and Cuebot loose on the farm and checks what must hold whatever there was to do.
async fn contend(farm: &str, generation: Generation) -> Outcome {
    let server = Server::start(Options::default()).await.unwrap();
    let database = server.database().await.unwrap();
    let pool = database.pool().await.unwrap();
    let loaded = Arc::new(load(&pool, &FarmDescription::from_yaml(farm).unwrap()).await.unwrap());
    let legacy = LegacyBooking {
        bookers: 1,
        pause: Duration::from_millis(20),
        run_for: Some(Duration::from_millis(50)),
        managed_too: false,
    };
    let config = CuebotConfig { legacy: Some(legacy), generation, ..CuebotConfig::default() };
    let cuebot = CuebotSim::start(config, database.pool().await.unwrap()).await.unwrap();
    let client = RqdReportInterfaceClient::connect(format!("http://{}", cuebot.address())).await.unwrap();
    let sampler = Sampler::start(pool.clone(), Duration::from_millis(20));

    // Each with connections of its own, as two processes have.
    let stores = [(); 2].map(|()| Store::new(&database.target(6)));
    let until = Instant::now() + DURATION;
    let loops = stores.clone().map(|store| {
        let booker = Booker { store, pool: pool.clone(), loaded: loaded.clone(), client: client.clone() };
        tokio::spawn(booker.run(until))
    });
    let counting = stores.clone().map(|store| tokio::spawn(reconcile(store, until)));
    let tallies: Vec<Tally> = futures::future::try_join_all(loops).await.unwrap();
    let corrections: usize = futures::future::try_join_all(counting).await.unwrap().into_iter().sum();
    cuebot.settle().await;
    // What was released since the last round.
    Accounting::default().reconcile(&stores[0]).await.unwrap();
    let accepted = cuebot.accepted();
    let counts = cuebot.shutdown().await;
    let caps = sampler.finish().await.unwrap();
    let deadlocks = deadlocks(&pool).await;

    for (at, tally) in tallies.iter().enumerate() {
        let Tally { starts, undone, refusals, retries, healed } = tally;
        let starts = starts.len();
        println!(
            "loop {at}: {starts} starts, {undone} undone, healed {healed}, retries {retries:?}, refused: {refusals}"
        );
    }
    println!("{corrections} counters set right");
    println!("Cuebot: {counts}\n{} deadlocks, with us: {:?}\ncaps: {caps}", deadlocks.all, deadlocks.with_them);

    let over: Vec<String> = caps.passed().map(ToString::to_string).collect();
    assert_eq!(over, Vec::<String>::new(), "caps were passed");
    assert!(caps.samples > 50, "the watch saw too little: {caps}");

    // Each start of a frame raises its version, so no version is started twice, by whichever loop.
    let starts = tallies.iter().flat_map(|tally| &tally.starts);
    assert!(has_no_double(starts), "a version of a frame was started twice");
    assert!(has_no_double(accepted.iter().map(|done| &done.resource)), "a proc was completed twice");
    let done = accepted.iter().filter(|done| done.exit_status == 0).map(|done| &done.frame);
    assert!(has_no_double(done), "a frame was done twice");

    let audit = audit(&pool).await.unwrap();
    assert!(audit.is_clean(), "{audit}");
    let running: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM frame JOIN job USING (pk_job) WHERE frame.str_state = 'RUNNING' AND job.str_name NOT LIKE 'legacy%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(running, 0, "everything that was booked was undone or has ended");
    assert_eq!(counts.failures, 0, "{counts}");
    // That all this was put to the test.
    assert!(tallies.iter().all(|tally| tally.starts.len() > 10), "both loops booked");
    assert!(tallies.iter().any(|tally| tally.undone > 0), "something was undone");
    assert!(counts.retries > 0 && counts.bookings > 0, "{counts}");
    Outcome { tallies, cuebot: counts, deadlocks, corrections }
}

/// Sets counters right again and again; answers how many were wrong.
async fn reconcile(store: Store, until: Instant) -> usize {
    let mut accounting = Accounting::default();
    let mut corrections = 0;
    while Instant::now() < until {
        match accounting.reconcile(&store).await {
            Ok(some) => corrections += some.len(),
            Err(error) => assert!(error.retryable().is_some(), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    corrections
}

/// Our sessions are still open, so it is known which they are.
async fn deadlocks(pool: &PgPool) -> Deadlocks {
    let ours: BTreeSet<i32> =
        sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'cue-scheduler/%'")
            .fetch_all(pool)
            .await
            .unwrap()
            .into_iter()
            .collect();
    assert!(ours.len() >= 2, "our sessions are not found: {ours:?}");
    DeadlockLog::whole().read(pool, &ours).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookings_and_undos_never_wait_in_a_circle_with_cuebot_and_pass_no_cap() {
    let Outcome { cuebot, tallies, deadlocks, corrections } = contend(FARM, Generation::C).await;
    assert_eq!((cuebot.deadlocks, deadlocks.all), (0, 0), "neither Cuebot nor we: {cuebot}");
    assert_eq!(corrections, 0, "where releases count, nothing is ever wrong");
    let mut refusals = Refusals::default();
    for tally in &tallies {
        refusals.merge(&tally.refusals);
    }
    for cause in [Refusal::FrameTaken, Refusal::Subscription, Refusal::JobCores, Refusal::FolderCores, Refusal::Limit] {
        assert!(refusals.of(cause) > 0, "no {cause:?}: {refusals}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_circles_that_cuebots_dependencies_make_we_take_no_part() {
    let waiting = "
  - name: alpha-3
    show: alpha
    max_retries: 16
    layers:
      - {name: a, range: 1-900}
      - {name: b, range: 1-900, after: [{kind: FRAME_BY_FRAME, layer: a}]}
      - {name: c, range: 1-900, after: [{kind: FRAME_BY_FRAME, layer: a}]}
";
    let Outcome { cuebot, deadlocks, .. } = contend(&format!("{FARM}{waiting}"), Generation::C).await;
    assert!(cuebot.dependencies_satisfied > 0, "{cuebot}");
    assert_eq!(deadlocks.with_them, Vec::<String>::new(), "of {} deadlocks", deadlocks.all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_releases_leave_the_counters_alone_they_are_set_right_under_load() {
    let Outcome { cuebot, deadlocks, corrections, .. } = contend(FARM, Generation::B1).await;
    assert_eq!((cuebot.deadlocks, deadlocks.all), (0, 0), "neither Cuebot nor we: {cuebot}");
    assert!(corrections > 100, "only {corrections} counters were wrong");
}
