//! What every booking rate is compared with: the writes of the same bookings and their commits, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::ensure;
use cue_scheduler::store::Store;
use cue_scheduler::store::booking::{ApplyColumns, CounterColumns, ProcColumns, StartColumns};
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::postgres::{Database, Options, Server};

/// Frames of one transaction, as the scheduler has it unless configured.
const CHUNK: usize = 100;

/// A server that keeps what it commits, with room for the whole database in memory.
pub(super) async fn server() -> anyhow::Result<Server> {
    Server::start(Options {
        fsync: true,
        settings: [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "1h")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..Options::default()
    })
    .await
}

/// Fresh reports of all hosts (an old report means that a host is not used) and nothing left to write from before.
pub(super) async fn prepare(database: &Database) -> anyhow::Result<PgPool> {
    let pool = database.pool().await?;
    sqlx::query("UPDATE host_stat SET ts_ping = now() + interval '1 hour'").execute(&pool).await?;
    sqlx::query("CHECKPOINT").execute(&pool).await?;
    Ok(pool)
}

/// A booking, as a run left it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Row {
    pk_proc: String,
    pk_host: String,
    host_name: String,
    pk_show: String,
    pk_alloc: String,
    pk_folder: String,
    pk_dept: String,
    has_point: bool,
    pk_job: String,
    pk_layer: String,
    pk_frame: String,
    cores: i64,
    memory: i64,
}

/// All bookings of a run.
pub(super) struct Rows(pub(super) Vec<Row>);

impl Rows {
    /// In the order in which they were booked, so that the floor's chunks are as local as the scheduler's.
    pub(super) async fn read(database: &Database) -> anyhow::Result<Self> {
        let pool = database.pool().await?;
        let rows = sqlx::query_as(
            "SELECT p.pk_proc, p.pk_host, h.str_name AS host_name, p.pk_show, h.pk_alloc, j.pk_folder, j.pk_dept,
                    EXISTS (SELECT FROM point WHERE point.pk_show = j.pk_show AND point.pk_dept = j.pk_dept) AS has_point,
                    p.pk_job, p.pk_layer, p.pk_frame, p.int_cores_reserved AS cores, p.int_mem_reserved AS memory
             FROM proc p JOIN host h USING (pk_host) JOIN job j ON j.pk_job = p.pk_job
             ORDER BY p.ts_booked, p.pk_job, p.pk_layer, p.pk_frame",
        )
        .fetch_all(&pool)
        .await?;
        pool.close().await;
        Ok(Self(rows))
    }
}

/// Writes the rows, and nothing else: frames/s. Each connection writes the rows of its own allocations, so that they wait for
/// nothing but what the rows share by nature.
pub(super) async fn floor(server: &Server, loaded: &Database, rows: &Rows, connections: usize) -> anyhow::Result<f64> {
    let copy = server.copy_of(loaded).await?;
    let pool = prepare(&copy).await?;
    let stores: Vec<Store> = (0..connections).map(|_| Store::new(&copy.target(2))).collect();
    for store in &stores {
        store.warm().await?;
    }
    let allocations: BTreeSet<&str> = rows.0.iter().map(|row| &*row.pk_alloc).collect();
    let mut shares = vec![Vec::new(); connections];
    for row in &rows.0 {
        let at = allocations.iter().position(|alloc| *alloc == row.pk_alloc).unwrap_or_default();
        shares[at % connections].push(row.clone());
    }
    let began = Instant::now();
    let mut writers: JoinSet<anyhow::Result<Store>> = JoinSet::new();
    for (store, share) in stores.into_iter().zip(shares) {
        writers.spawn(async move {
            let mut booked = Booked::default();
            // A transaction is of one show; rows of several come in turns.
            let mut shows: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
            for row in &share {
                let waiting = shows.entry(&row.pk_show).or_default();
                waiting.push(row);
                if waiting.len() == CHUNK {
                    write(&store, &std::mem::take(waiting), &mut booked).await?;
                }
            }
            for rest in shows.into_values().filter(|rest| !rest.is_empty()) {
                write(&store, &rest, &mut booked).await?;
            }
            Ok(store)
        });
    }
    let stores = writers.join_all().await.into_iter().collect::<anyhow::Result<Vec<Store>>>()?;
    let took = began.elapsed();
    for store in stores {
        store.close().await;
    }
    pool.close().await;
    copy.drop().await?;
    Ok(rows.0.len() as f64 / took.as_secs_f64())
}

/// Counters as they grow; the farm starts empty.
#[derive(Default)]
struct Booked {
    subscriptions: BTreeMap<String, i64>,
    jobs: BTreeMap<String, i64>,
    folders: BTreeMap<String, i64>,
}

async fn write(store: &Store, chunk: &[&Row], booked: &mut Booked) -> anyhow::Result<()> {
    let mut tx = store.begin().await?;
    let mut start = StartColumns::default();
    let mut procs = ProcColumns::default();
    for row in chunk {
        start.frame.push(&row.pk_frame);
        start.version.push(Some(0));
        start.host.push(&row.host_name);
        start.cores.push(i32::try_from(row.cores)?);
        start.memory.push(row.memory);
        start.gpus.push(0);
        start.gpu_memory.push(0);
        procs.proc.push(&row.pk_proc);
        procs.host.push(&row.pk_host);
        procs.layer.push(&row.pk_layer);
        procs.job.push(&row.pk_job);
        procs.frame.push(&row.pk_frame);
        procs.cores.push(row.cores);
        procs.memory.push(row.memory);
        procs.gpus.push(0);
        procs.gpu_memory.push(0);
    }
    let show = chunk.first().map_or("", |row| row.pk_show.as_str());
    let started = tx.start_frames(&start, &[]).await?;
    ensure!(started.len() == chunk.len(), "{} of {} frames of the floor started", started.len(), chunk.len());
    tx.insert_procs(show, &procs, 262_144).await?;

    let mut apply = ApplyColumns::default();
    let mut hosts: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for row in chunk {
        let (cores, memory) = hosts.entry(&row.pk_host).or_default();
        *cores += row.cores;
        *memory += row.memory;
    }
    for (host, (cores, memory)) in hosts {
        apply.host.push(host);
        apply.host_cores.push(cores);
        apply.host_memory.push(memory);
        apply.host_gpus.push(0);
        apply.host_gpu_memory.push(0);
    }
    added(&mut apply.layers, chunk, |row| Some(&row.pk_layer));
    added(&mut apply.points, chunk, |row| row.has_point.then_some(&row.pk_dept));
    grown(&mut apply.subscriptions, &mut booked.subscriptions, chunk, |row| &row.pk_alloc);
    grown(&mut apply.jobs, &mut booked.jobs, chunk, |row| &row.pk_job);
    grown(&mut apply.folders, &mut booked.folders, chunk, |row| &row.pk_folder);
    tx.apply(show, &apply).await?;
    tx.commit().await?;
    Ok(())
}

fn added<'r>(columns: &mut CounterColumns<'r>, chunk: &[&'r Row], key: impl Fn(&'r Row) -> Option<&'r String>) {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for row in chunk {
        if let Some(key) = key(row) {
            *sums.entry(key).or_default() += row.cores;
        }
    }
    for (key, cores) in sums {
        columns.push(key, cores, 0);
    }
}

fn grown<'r>(
    columns: &mut CounterColumns<'r>,
    booked: &mut BTreeMap<String, i64>,
    chunk: &[&'r Row],
    key: impl Fn(&'r Row) -> &'r String,
) {
    let mut keys: BTreeMap<&str, i64> = BTreeMap::new();
    for row in chunk {
        let sum = booked.entry(key(row).clone()).or_default();
        *sum += row.cores;
        keys.insert(key(row), *sum);
    }
    for (key, cores) in keys {
        columns.push(key, cores, 0);
    }
}
