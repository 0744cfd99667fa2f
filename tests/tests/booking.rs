//! The booking transaction against a real PostgreSQL: each guard refuses with its cause, counters heal, caps hold whoever
//! books at the same time, and undoing restores what was taken.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cue_scheduler::booking::{Booked, BookingSettings, Chunk, ChunkHost, ChunkLayer, Refusal, Slot, book, undo};
use cue_scheduler::snapshot::{PoolReader, ReadSettings};
use cue_scheduler::store::{Store, StoreError, Target};
use cue_scheduler_core::cluster::Pool;
use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb, Resources};
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::launch::Hold;
use cue_scheduler_core::run_frame::{FrameRef, LaunchSource, LaunchTemplate, MemoryFactors};
use cue_scheduler_core::slicing::Slice;
use sqlx::PgPool;
use testbed::auditor::audit;
use testbed::loader::description::FarmDescription;
use testbed::loader::{Loaded, load};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const SETTINGS: BookingSettings = BookingSettings {
    memory_factors: MemoryFactors { soft: 1.6, hard: 2.0 },
    memory_used_at_start: 262_144,
    take_reported_memory: false,
    uncounted_exit_statuses: Vec::new(),
};

/// One show with a burst of 20 cores, one folder, two jobs of one layer of ten frames, two hosts of 8 cores.
const FARM: &str = "
seed: 7
facilities: [{name: local, allocations: [{name: local.general, tag: general, default: true}]}]
shows:
  - name: alpha
    subscriptions: [{allocation: local.general, size: 20, burst: 20}]
    folders: [{name: shots}]
limits: [{name: licence, max: 3}]
hosts: [{allocation: local.general, count: 2, first_address: 127.1.0.1, cores: 8, memory: 32 GiB, gpus: 2, gpu_memory: 8 GiB}]
jobs:
  - {name: one, show: alpha, folder: shots, layers: [{name: comp, range: 1-10, memory: 1 GiB}]}
  - {name: two, show: alpha, folder: shots, layers: [{name: comp, range: 1-10, memory: 1 GiB}]}
";

struct Farm {
    pool: PgPool,
    store: Store,
    loaded: Loaded,
}

impl Farm {
    async fn new() -> Self {
        let pool = common::database().await;
        let loaded = load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
        Self { store: Store::on(pool.clone()), pool, loaded }
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// A chunk of the show with `frames` one-core frames of each layer on each host named.
    fn chunk(&self, wanted: &[(&str, &str, usize)]) -> Chunk {
        self.chunk_of(wanted, Resources { cores: Centicores::CORE, memory: Kb(1 << 20), ..Resources::default() })
    }

    fn chunk_of(&self, wanted: &[(&str, &str, usize)], size: Resources) -> Chunk {
        let mut chunk = Chunk {
            show: self.loaded.shows["alpha"].as_str().into(),
            show_name: "alpha".into(),
            alloc: self.loaded.allocations["local.general"].as_str().into(),
            layers: Vec::new(),
            hosts: Vec::new(),
            slots: Vec::new(),
        };
        for (job, host, frames) in wanted {
            let layer = format!("{job}/comp");
            let id = self.loaded.layers[&layer].as_str().into();
            let layer_at = chunk.layers.iter().position(|layer| layer.id == id).unwrap_or_else(|| {
                let job_id = self.loaded.jobs[*job].as_str();
                chunk.layers.push(ChunkLayer {
                    id,
                    job: job_id.into(),
                    limits: Vec::new(),
                    template: template(job_id, &self.loaded.layers[&layer], job),
                    candidates: self.loaded.frames[&layer]
                        .iter()
                        .map(|frame| FrameRef {
                            id: frame.id.as_str().into(),
                            name: format!("{:04}-comp", frame.number).into(),
                            version: Some(0),
                        })
                        .collect(),
                });
                chunk.layers.len() - 1
            });
            let id = self.loaded.hosts[*host].as_str().into();
            let host_at = chunk.hosts.iter().position(|host| host.id == id).unwrap_or_else(|| {
                chunk.hosts.push(ChunkHost { id, name: (*host).into(), os: "linux".into() });
                chunk.hosts.len() - 1
            });
            chunk.slots.extend(std::iter::repeat_n(Slot { layer: layer_at, host: host_at, size }, *frames));
        }
        chunk
    }

    async fn book(&self, wanted: &[(&str, &str, usize)]) -> Booked {
        book(&self.store, self.chunk(wanted), &SETTINGS).await.unwrap()
    }

    async fn assert_exact(&self) {
        let audit = audit(&self.pool).await.unwrap();
        assert!(audit.is_clean(), "{audit}");
    }
}

fn template(job: &str, layer: &str, job_name: &str) -> Arc<LaunchTemplate> {
    let source = LaunchSource {
        job: job.into(),
        job_name: job_name.into(),
        show: "alpha".into(),
        shot: "shot".into(),
        user: "artist".into(),
        uid: Some(1000),
        log_dir: "/logs".into(),
        loki_url: None,
        layer: layer.into(),
        layer_name: "comp".into(),
        command: "true".into(),
        range: "1-10".into(),
        chunk_size: 1,
        threadable: true,
        memory: Kb(1 << 20),
        job_env: Vec::new(),
        layer_env: Vec::new(),
    };
    Arc::new(LaunchTemplate::parse(source).unwrap())
}

fn holds(booked: &Booked) -> Vec<Hold> {
    booked.bookings.iter().map(|booking| booking.hold.clone()).collect()
}

const HOST: &str = "127.1.0.1";
const OTHER: &str = "127.1.0.2";

#[tokio::test]
async fn the_free_memory_that_a_host_reported_is_taken_from_only_where_that_is_configured() {
    const FREE: &str = "SELECT (int_mem_free / 1048576)::int8 FROM host_stat JOIN host USING (pk_host) \
                        WHERE str_name = '127.1.0.1'";
    let farm = Farm::new().await;
    let reported = farm.number(FREE).await;
    farm.book(&[("one", HOST, 2)]).await;
    assert_eq!(farm.number(FREE).await, reported);
    let settings = BookingSettings { take_reported_memory: true, ..SETTINGS };
    let booked = book(&farm.store, farm.chunk(&[("two", HOST, 3)]), &settings).await.unwrap();
    assert_eq!(booked.bookings.len(), 3);
    assert_eq!(farm.number(FREE).await, reported - 3);
    // What is more than was free leaves nothing, and not less.
    farm.execute("UPDATE host_stat SET int_mem_free = 1000").await;
    book(&farm.store, farm.chunk(&[("two", HOST, 1)]), &settings).await.unwrap();
    assert_eq!(farm.number(FREE).await, 0);
    farm.assert_exact().await;
}

#[tokio::test]
async fn no_more_pools_have_their_hosts_read_at_once_than_configured() {
    let farm = Farm::new().await;
    let settings = Arc::new(ReadSettings {
        host_staleness: Duration::from_mins(2),
        host_interval: Duration::from_secs(1),
        ignored_tags: BTreeSet::new(),
        host_reads: Semaphore::new(1),
    });
    let pool = Pool {
        facility: farm.loaded.facilities["local"].as_str().into(),
        alloc: farm.loaded.allocations["local.general"].as_str().into(),
        slice: Slice::WHOLE,
        name: "local.general".into(),
        shows: BTreeSet::from([farm.loaded.shows["alpha"].as_str().into()]),
        tags: BTreeMap::from([("general".into(), TagKind::Alloc)]),
    };
    let mut reader = PoolReader::new(pool, settings.clone());
    let other = settings.host_reads.acquire().await.unwrap();
    let mut reading = std::pin::pin!(reader.read(&farm.store));
    let read = tokio::time::timeout(Duration::from_millis(500), &mut reading).await;
    assert!(read.is_err(), "the hosts were read beside another pool's");
    drop(other);
    assert_eq!(reading.await.unwrap().hosts.len(), 2);
}

/// A way to the database on which the first commit loses its answer: everything is cut, and for a while nobody comes through.
/// `arrives` says whether the commit itself still gets there.
async fn way_that_loses_an_answer(database: u16, arrives: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (cut, open) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (cut, open) = (cut.clone(), open.clone());
            if !open.load(Ordering::SeqCst) {
                continue;
            }
            let mut far = TcpStream::connect(("127.0.0.1", database)).await.unwrap();
            tokio::spawn(async move {
                let (mut near_read, mut near_write) = near.into_split();
                let (mut far_read, mut far_write) = far.split();
                let mut buffer = vec![0; 1 << 16];
                let back = tokio::io::copy(&mut far_read, &mut near_write);
                let mut back = std::pin::pin!(back);
                loop {
                    let read = tokio::select! {
                        read = near_read.read(&mut buffer) => read.unwrap_or(0),
                        _ = &mut back => 0,
                    };
                    if read == 0 {
                        return;
                    }
                    let is_commit = buffer[..read].windows(7).any(|word| word == b"COMMIT\0");
                    if is_commit && !cut.swap(true, Ordering::SeqCst) {
                        open.store(false, Ordering::SeqCst);
                        if arrives {
                            far_write.write_all(&buffer[..read]).await.unwrap();
                        }
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(700)).await;
                            open.store(true, Ordering::SeqCst);
                        });
                        return;
                    }
                    far_write.write_all(&buffer[..read]).await.unwrap();
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_asked_about_until_the_database_is_back() {
    for arrives in [true, false] {
        let database = common::new_database().await;
        let pool = database.pool().await.unwrap();
        let loaded = load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
        let target = database.target(4);
        let port = way_that_loses_an_answer(target.port, arrives).await;
        let store = Store::new(&Target { port, ..target });
        let farm = Farm { pool, store, loaded };
        let booked = book(&farm.store, farm.chunk(&[("one", HOST, 3)]), &SETTINGS).await;
        let procs = farm.number("SELECT count(*) FROM proc").await;
        // What was committed is known and will be launched; what was not is known to be free.
        assert_eq!(booked.map_or(0, |booked| booked.bookings.len()), if arrives { 3 } else { 0 });
        assert_eq!(procs, if arrives { 3 } else { 0 });
        farm.assert_exact().await;
    }
}

#[tokio::test]
async fn frames_start_procs_exist_and_every_counter_is_exact_after_a_booking() {
    let farm = Farm::new().await;
    let booked = farm.book(&[("one", HOST, 3), ("two", OTHER, 2)]).await;
    assert_eq!(booked.bookings.len(), 5);
    assert_eq!(booked.refusals.iter().count(), 0);
    farm.assert_exact().await;
    assert_eq!(farm.number("SELECT count(*) FROM frame WHERE str_state = 'RUNNING' AND int_version = 1").await, 5);
    assert_eq!(farm.number("SELECT int_cores::int8 FROM subscription").await, 500);
    assert_eq!(farm.number("SELECT sum(int_waiting_count)::int8 FROM layer_stat").await, 15);
    let first = &booked.bookings[0];
    let proc: (String, String) = sqlx::query_as("SELECT pk_frame, pk_host FROM proc WHERE pk_proc = $1")
        .bind(first.hold.proc.as_str())
        .fetch_one(&farm.pool)
        .await
        .unwrap();
    assert_eq!((proc.0.as_str(), proc.1.as_str()), (first.hold.frame.as_str(), first.hold.host.as_str()));
}

#[tokio::test]
async fn frames_are_claimed_in_dispatch_order() {
    let farm = Farm::new().await;
    farm.book(&[("one", HOST, 3)]).await;
    let running: Vec<i64> =
        sqlx::query_scalar("SELECT int_number FROM frame WHERE str_state = 'RUNNING' ORDER BY int_number")
            .fetch_all(&farm.pool)
            .await
            .unwrap();
    assert_eq!(running, [1, 2, 3]);
}

#[tokio::test]
async fn a_frame_that_somebody_holds_is_passed_over_for_the_next() {
    let farm = Farm::new().await;
    let mut other = farm.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM frame WHERE int_number = 1 FOR UPDATE").execute(&mut *other).await.unwrap();
    let booked = farm.book(&[("one", HOST, 2)]).await;
    assert_eq!(booked.bookings.len(), 2);
    let booked = farm.book(&[("one", HOST, 10)]).await;
    other.rollback().await.unwrap();
    assert_eq!(booked.refusals.of(Refusal::FrameTaken), 3);
    assert_eq!(booked.bookings.len() + 2, farm.number("SELECT count(*) FROM proc").await as usize);
    farm.assert_exact().await;
}

/// What a user or Cuebot does between plan and booking, and the cause by which the booking is refused.
const GUARDS: [(&str, Refusal); 16] = [
    ("UPDATE job SET b_paused = true", Refusal::JobPaused),
    ("UPDATE job SET str_state = 'FINISHED'", Refusal::JobNotPending),
    ("UPDATE layer SET ts_start_after = now() + interval '5 minutes'", Refusal::StartAfter),
    ("UPDATE show SET b_scheduler_managed = false", Refusal::ShowNotManaged),
    ("UPDATE show SET b_active = false", Refusal::ShowNotManaged),
    ("UPDATE frame SET str_state = 'DEAD'", Refusal::FrameTaken),
    ("UPDATE host SET str_lock_state = 'LOCKED'", Refusal::HostNotOpen),
    ("UPDATE host SET str_lock_state = 'NIMBY_LOCKED'", Refusal::HostNotOpen),
    ("UPDATE host_stat SET str_state = 'DOWN'", Refusal::HostNotOpen),
    ("UPDATE host SET int_cores_idle = 0", Refusal::HostFull),
    ("UPDATE host SET int_mem_idle = 1000", Refusal::HostFull),
    ("UPDATE subscription SET int_burst = 0", Refusal::Subscription),
    ("UPDATE subscription SET int_burst = -1", Refusal::Subscription),
    ("UPDATE job_resource SET int_max_cores = -1", Refusal::JobCores),
    ("UPDATE job_resource SET int_max_cores = 0", Refusal::JobCores),
    ("UPDATE folder_resource SET int_max_cores = 0", Refusal::FolderCores),
];

#[tokio::test]
async fn each_guard_refuses_with_its_cause_and_leaves_no_trace() {
    for (change, cause) in GUARDS {
        let farm = Farm::new().await;
        farm.execute(change).await;
        let booked = farm.book(&[("one", HOST, 2)]).await;
        assert_eq!(booked.refusals.of(cause), 2, "{change}: {}", booked.refusals);
        assert_eq!(booked.bookings.len(), 0, "{change}");
        assert_eq!(farm.number("SELECT count(*) FROM proc").await, 0, "{change}");
        assert_eq!(farm.number("SELECT count(*) FROM frame WHERE str_state = 'RUNNING'").await, 0, "{change}");
    }
}

#[tokio::test]
async fn a_folder_maximum_below_zero_is_no_cap() {
    let farm = Farm::new().await;
    farm.execute("UPDATE folder_resource SET int_max_cores = -1, int_max_gpus = -1").await;
    assert_eq!(farm.book(&[("one", HOST, 2)]).await.bookings.len(), 2);
}

/// A cap with room for part of what is planned.
const PARTS: [(&str, Refusal); 5] = [
    ("UPDATE subscription SET int_burst = 300", Refusal::Subscription),
    ("UPDATE job_resource SET int_max_cores = 350", Refusal::JobCores),
    ("UPDATE folder_resource SET int_max_cores = 300", Refusal::FolderCores),
    ("UPDATE host SET int_cores_idle = 399", Refusal::HostFull),
    ("UPDATE host SET int_mem_idle = 3 * 1048576", Refusal::HostFull),
];

#[tokio::test]
async fn what_a_cap_has_room_for_is_booked_and_the_rest_refused() {
    for (change, cause) in PARTS {
        let farm = Farm::new().await;
        farm.execute(change).await;
        let booked = farm.book(&[("one", HOST, 5)]).await;
        assert_eq!((booked.bookings.len(), booked.refusals.of(cause)), (3, 2), "{change}: {}", booked.refusals);
    }
}

#[tokio::test]
async fn gpu_maxima_of_job_and_folder_hold() {
    let gpu = Resources { cores: Centicores::CORE, memory: Kb(1 << 20), gpus: Gpus(1), gpu_memory: Kb(1 << 20) };
    for (change, cause) in [
        ("UPDATE job_resource SET int_max_gpus = 1", Refusal::JobGpus),
        ("UPDATE folder_resource SET int_max_gpus = 1", Refusal::FolderGpus),
        ("UPDATE host SET int_gpus_idle = 1", Refusal::HostFull),
        ("UPDATE host SET int_gpu_mem_idle = 1048576", Refusal::HostFull),
    ] {
        let farm = Farm::new().await;
        farm.execute(change).await;
        let booked = book(&farm.store, farm.chunk_of(&[("one", HOST, 2)], gpu), &SETTINGS).await.unwrap();
        assert_eq!((booked.bookings.len(), booked.refusals.of(cause)), (1, 1), "{change}: {}", booked.refusals);
    }
}

#[tokio::test]
async fn a_limit_is_held_over_all_layers_that_share_it() {
    let farm = Farm::new().await;
    farm.execute(
        "INSERT INTO layer_limit (pk_layer_limit, pk_layer, pk_limit_record)
         SELECT gen_random_uuid()::text, pk_layer, pk_limit_record FROM layer, limit_record",
    )
    .await;
    let mut chunk = farm.chunk(&[("one", HOST, 2), ("two", OTHER, 2)]);
    for layer in &mut chunk.layers {
        layer.limits = vec![farm.loaded.limits["licence"].as_str().into()];
    }
    let booked = book(&farm.store, chunk, &SETTINGS).await.unwrap();
    assert_eq!((booked.bookings.len(), booked.refusals.of(Refusal::Limit)), (3, 1));
}

#[tokio::test]
async fn a_frame_that_a_stale_proc_holds_is_left_to_cuebot() {
    let farm = Farm::new().await;
    farm.execute(
        "INSERT INTO proc (pk_proc, pk_host, pk_show, pk_layer, pk_job, pk_frame, int_cores_reserved, int_mem_reserved)
         SELECT 'stale', (SELECT min(pk_host) FROM host), j.pk_show, f.pk_layer, f.pk_job, f.pk_frame, 100, 1048576
         FROM frame f JOIN job j USING (pk_job) WHERE f.int_number = 1 AND j.str_name = 'one'",
    )
    .await;
    let booked = farm.book(&[("one", HOST, 3)]).await;
    assert_eq!(booked.refusals.of(Refusal::ProcExists), 1);
    assert_eq!(booked.bookings.len(), 3, "the next frames of the window take the room");
    assert_eq!(farm.number("SELECT count(*) FROM proc WHERE pk_proc = 'stale'").await, 1);
}

#[tokio::test]
async fn counters_that_are_too_high_are_set_right_instead_of_refusing() {
    let farm = Farm::new().await;
    farm.book(&[("two", HOST, 1)]).await;
    farm.execute("UPDATE subscription SET int_cores = 2000").await;
    farm.execute("UPDATE job_resource SET int_max_cores = 500, int_cores = 500").await;
    farm.execute("UPDATE folder_resource SET int_max_cores = 500, int_cores = 500").await;
    let booked = farm.book(&[("one", HOST, 2)]).await;
    assert_eq!((booked.bookings.len(), booked.healed), (2, 3), "{}", booked.refusals);
    assert_eq!(farm.number("SELECT int_cores::int8 FROM subscription").await, 300);
    assert_eq!(
        farm.number("SELECT jr.int_cores FROM job_resource jr JOIN job USING (pk_job) WHERE str_name = 'one'").await,
        200
    );
    assert_eq!(farm.number("SELECT max(int_cores)::int8 FROM folder_resource WHERE int_cores <> 500").await, 300);
}

#[tokio::test]
async fn a_layer_without_a_version_starts_and_gets_one() {
    let farm = Farm::new().await;
    farm.execute("UPDATE frame SET int_version = NULL WHERE int_number = 1").await;
    let booked = farm.book(&[("one", HOST, 1)]).await;
    assert_eq!(booked.bookings[0].hold.frame_version, 1);
}

#[tokio::test]
async fn the_retry_counter_rises_exactly_for_ends_that_cuebot_counts() {
    for (status, retries) in
        [(-1, 0), (0, 1), (1, 1), (33, 1), (256, 0), (286, 0), (299, 0), (301, 0), (302, 0), (399, 0), (137, 1)]
    {
        let farm = Farm::new().await;
        sqlx::query("UPDATE frame SET int_exit_status = $1").bind(status as i64).execute(&farm.pool).await.unwrap();
        farm.book(&[("one", HOST, 1)]).await;
        let counted = farm.number("SELECT int_retries FROM frame WHERE str_state = 'RUNNING'").await;
        assert_eq!(counted, retries, "exit status {status}");
    }
}

#[tokio::test]
async fn an_end_that_cuebot_answers_with_a_delay_of_the_layer_counts_no_retry_where_the_file_says_so() {
    for (status, retries) in [(61, 0), (62, 1), (299, 0)] {
        let farm = Farm::new().await;
        sqlx::query("UPDATE frame SET int_exit_status = $1").bind(status as i64).execute(&farm.pool).await.unwrap();
        let settings = BookingSettings { uncounted_exit_statuses: vec![61], ..SETTINGS };
        book(&farm.store, farm.chunk(&[("one", HOST, 1)]), &settings).await.unwrap();
        let counted = farm.number("SELECT int_retries FROM frame WHERE str_state = 'RUNNING'").await;
        assert_eq!(counted, retries, "exit status {status}");
    }
}

#[tokio::test]
async fn how_long_a_booking_waited_for_a_counter_that_somebody_else_holds_is_known() {
    const HELD: Duration = Duration::from_millis(200);
    let farm = Farm::new().await;
    let mut other = farm.pool.begin().await.unwrap();
    sqlx::query("UPDATE subscription SET int_size = int_size").execute(&mut *other).await.unwrap();
    let release = async {
        tokio::time::sleep(HELD).await;
        other.commit().await.unwrap();
    };
    let (booked, ()) = tokio::join!(farm.book(&[("one", HOST, 2)]), release);
    assert_eq!(booked.bookings.len(), 2);
    // It may have been given up once and repeated, if this machine was slow.
    assert_eq!(booked.lock_waits.len(), 1 + booked.retries.len());
    assert!(booked.lock_waits.iter().sum::<Duration>() >= HELD / 2, "{:?}", booked.lock_waits);
}

#[tokio::test]
async fn undoing_restores_frames_hosts_and_counters() {
    let farm = Farm::new().await;
    let booked = farm.book(&[("one", HOST, 3), ("two", OTHER, 2)]).await;
    let holds = holds(&booked);
    let (undone, kept) = holds.split_at(3);
    assert_eq!(undo(&farm.store, undone).await.unwrap().len(), 3);
    farm.assert_exact().await;
    assert_eq!(farm.number("SELECT count(*) FROM proc").await, kept.len() as i64);
    assert_eq!(
        farm.number("SELECT count(*) FROM frame WHERE str_state = 'WAITING' AND int_exit_status = 299").await,
        3
    );
    assert_eq!(farm.number("SELECT sum(int_cores_idle)::int8 FROM host").await, 1600 - 200);
    assert_eq!(undo(&farm.store, undone).await.unwrap().len(), 0, "a second undo finds nothing to give back");
    farm.assert_exact().await;
}

#[tokio::test]
async fn undoing_gives_back_the_memory_that_the_proc_holds_now() {
    let farm = Farm::new().await;
    let booked = farm.book(&[("one", HOST, 1)]).await;
    farm.execute("UPDATE proc SET int_mem_reserved = int_mem_reserved + 1000").await;
    undo(&farm.store, &holds(&booked)).await.unwrap();
    farm.assert_exact().await;
}

#[tokio::test]
async fn undoing_leaves_a_frame_alone_that_has_moved_on() {
    let farm = Farm::new().await;
    let booked = farm.book(&[("one", HOST, 1)]).await;
    farm.execute("UPDATE frame SET int_version = int_version + 1 WHERE str_state = 'RUNNING'").await;
    assert_eq!(undo(&farm.store, &holds(&booked)).await.unwrap().len(), 0);
    assert_eq!(farm.number("SELECT count(*) FROM proc").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn schedulers_at_the_same_time_pass_no_cap_and_book_no_frame_twice() {
    let farm = Farm::new().await;
    farm.execute("UPDATE subscription SET int_burst = 900").await;
    farm.execute("UPDATE job_resource SET int_max_cores = 500").await;
    let tasks = (0..8).map(|n| {
        let chunk = if n % 2 == 0 {
            farm.chunk(&[("one", HOST, 4), ("two", OTHER, 4)])
        } else {
            farm.chunk(&[("two", HOST, 4), ("one", OTHER, 4)])
        };
        let store = farm.store.clone();
        tokio::spawn(async move { book(&store, chunk, &SETTINGS).await.unwrap() })
    });
    let all = futures::future::join_all(tasks.collect::<Vec<_>>()).await;
    let mut frames: Vec<String> = all
        .into_iter()
        .flat_map(|booked| booked.unwrap().bookings)
        .map(|booking| booking.hold.frame.to_string())
        .collect();
    let total = frames.len();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), total, "a frame was booked twice");
    assert_eq!(total, 9, "burst of 9");
    farm.assert_exact().await;
}

#[tokio::test]
async fn a_frame_that_somebody_just_looks_at_is_undone_all_the_same() {
    let farm = Farm::new().await;
    let booked = farm.book(&[("one", HOST, 2)]).await;
    let mut other = farm.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM frame WHERE int_number = 1 FOR UPDATE").execute(&mut *other).await.unwrap();
    let error = undo(&farm.store, &holds(&booked)).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "it is not given up for somebody else's: {error:?}");
    other.rollback().await.unwrap();
    undo(&farm.store, &holds(&booked)).await.unwrap();
    assert_eq!(farm.number("SELECT count(*) FROM proc").await, 0);
    farm.assert_exact().await;
}
