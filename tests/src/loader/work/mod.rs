//! Jobs, layers and frames: rows are built from the description first, without a database, and then inserted table by table.

pub(super) mod dependencies;

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use sqlx::PgConnection;

use super::description::{JobDescription, LayerDescription};
use super::places::Places;
use super::range;
use super::seeded::Ids;

/// How many frames one statement carries: arrays of a few megabytes.
const FRAMES_PER_STATEMENT: usize = 20_000;

/// Whether the farm is being made or runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submission {
    /// Frames are inserted in the state that they wait in: half the writes.
    Loaded,
    /// Frames are inserted in SETUP and opened afterwards, as Cuebot does.
    Running,
}

/// All rows, column by column as the statements take them.
#[derive(Default)]
pub(super) struct Rows {
    jobs: JobRows,
    job_env: [Vec<String>; 4],
    layers: LayerRows,
    layer_env: [Vec<String>; 5],
    layer_limits: [Vec<String>; 3],
    frames: FrameRows,
    depends: dependencies::DependRows,
    /// What dependencies and the caller look for, by job name.
    pub known: BTreeMap<String, KnownJob>,
}

/// A job with the ids of what it holds.
pub(super) struct KnownJob {
    pub id: String,
    pub layers: BTreeMap<String, KnownLayer>,
}

/// A layer with its frames in dispatch order.
pub(super) struct KnownLayer {
    pub id: String,
    pub frames: Vec<KnownFrame>,
}

/// A frame.
pub(super) struct KnownFrame {
    pub id: String,
    /// The numbers of its chunk.
    pub numbers: Vec<i64>,
    /// It has ended well already: nobody waits for it.
    pub done: bool,
    /// Its place among the rows to be inserted; none if it stands in the database.
    row: Option<usize>,
}

#[derive(Default)]
struct JobRows {
    id: Vec<String>,
    folder: Vec<String>,
    show: Vec<String>,
    facility: Vec<String>,
    dept: Vec<String>,
    name: Vec<String>,
    shot: Vec<String>,
    user: Vec<String>,
    log_dir: Vec<String>,
    uid: Vec<Option<i64>>,
    paused: Vec<bool>,
    auto_eat: Vec<bool>,
    max_retries: Vec<i16>,
    show_name: Vec<String>,
    os: Vec<Option<String>>,
    loki_url: Vec<Option<String>>,
    layers: Vec<i32>,
    min_cores: Vec<i32>,
    max_cores: Vec<i32>,
    max_gpus: Vec<i32>,
    priority: Vec<i32>,
}

#[derive(Default)]
struct LayerRows {
    id: Vec<String>,
    job: Vec<String>,
    name: Vec<String>,
    command: Vec<String>,
    range: Vec<String>,
    chunk: Vec<i64>,
    order: Vec<i64>,
    min_cores: Vec<i64>,
    max_cores: Vec<i32>,
    memory: Vec<i64>,
    gpus: Vec<i64>,
    gpu_memory: Vec<i64>,
    tags: Vec<String>,
    kind: Vec<String>,
    threadable: Vec<bool>,
    services: Vec<String>,
    timeout: Vec<i32>,
}

#[derive(Default)]
struct FrameRows {
    id: Vec<String>,
    layer: Vec<String>,
    job: Vec<String>,
    name: Vec<String>,
    number: Vec<i64>,
    order: Vec<i32>,
    depends: Vec<i64>,
}

/// The rows of these jobs, without their dependencies.
pub(super) fn build(jobs: &[JobDescription], places: &Places, ids: Ids) -> anyhow::Result<Rows> {
    let mut rows = Rows::default();
    for job in jobs {
        push_job(&mut rows, job, places, ids).with_context(|| format!("job `{}`", job.name))?;
    }
    Ok(rows)
}

fn push_job(rows: &mut Rows, job: &JobDescription, places: &Places, ids: Ids) -> anyhow::Result<()> {
    let id = ids.id("job", &[&job.name]);
    let folder = places.folder(&job.show, job.folder.as_deref())?;
    let to = &mut rows.jobs;
    to.folder.push(folder.id.clone());
    to.show.push(places.show(&job.show)?.to_owned());
    to.facility.push(places.facility(job.facility.as_deref())?.to_owned());
    to.dept.push(folder.department.clone());
    to.name.push(job.name.clone());
    to.shot.push(job.shot.clone());
    to.user.push(job.user.clone());
    to.log_dir.push(job.log_dir.clone());
    to.uid.push(job.uid);
    to.paused.push(job.paused);
    to.auto_eat.push(job.auto_eat);
    to.max_retries.push(job.max_retries);
    to.show_name.push(job.show.clone());
    to.os.push(job.os.clone());
    to.loki_url.push(job.loki_url.clone());
    to.layers.push(i32::try_from(job.layers.len())?);
    to.min_cores.push(i32::try_from(job.min_cores.to_centicores())?);
    to.max_cores.push(i32::try_from(job.max_cores.to_centicores())?);
    to.max_gpus.push(job.max_gpus);
    to.priority.push(job.priority);
    to.id.push(id.clone());
    for (key, value) in &job.env {
        let env_id = ids.id("job_env", &[&job.name, key]);
        push_all(&mut rows.job_env, [&env_id, &id, key, value]);
    }
    let mut known = KnownJob { id, layers: BTreeMap::new() };
    for (order, layer) in job.layers.iter().enumerate() {
        let pushed = push_layer(rows, job, &known.id, order, layer, places, ids)
            .with_context(|| format!("layer `{}`", layer.name))?;
        if known.layers.insert(layer.name.clone(), pushed).is_some() {
            bail!("two layers are called `{}`; their names must differ", layer.name);
        }
    }
    if rows.known.insert(job.name.clone(), known).is_some() {
        bail!("another job has the name; names must differ");
    }
    Ok(())
}

fn push_layer(
    rows: &mut Rows,
    job: &JobDescription,
    job_id: &str,
    order: usize,
    layer: &LayerDescription,
    places: &Places,
    ids: Ids,
) -> anyhow::Result<KnownLayer> {
    let id = ids.id("layer", &[&job.name, &layer.name]);
    let to = &mut rows.layers;
    to.id.push(id.clone());
    to.job.push(job_id.to_owned());
    to.name.push(layer.name.clone());
    to.command.push(layer.command.clone());
    to.range.push(layer.range.clone());
    to.chunk.push(layer.chunk.into());
    to.order.push(i64::try_from(order)? + 1);
    to.min_cores.push(layer.min_cores.to_centicores());
    to.max_cores.push(i32::try_from(layer.max_cores.to_centicores())?);
    to.memory.push(layer.memory.to_kib());
    to.gpus.push(layer.gpus);
    to.gpu_memory.push(layer.gpu_memory.to_kib());
    to.tags.push(layer.tags.join(" | "));
    to.kind.push(layer.kind.clone());
    to.threadable.push(layer.threadable);
    to.services.push(layer.services.join(","));
    to.timeout.push(layer.timeout_minutes);
    for (key, value) in &layer.env {
        let env_id = ids.id("layer_env", &[&job.name, &layer.name, key]);
        push_all(&mut rows.layer_env, [&env_id, &id, job_id, key, value]);
    }
    for limit in &layer.limits {
        let limit_id = ids.id("layer_limit", &[&job.name, &layer.name, limit]);
        push_all(&mut rows.layer_limits, [&limit_id, &id, places.limit(limit)?]);
    }
    let mut known = KnownLayer { id, frames: Vec::new() };
    for (order, numbers) in chunks(&layer.range, layer.chunk)?.into_iter().enumerate() {
        let Some(&number) = numbers.first() else {
            continue;
        };
        let name = format!("{number:04}-{}", layer.name);
        let frame_id = ids.id("frame", &[&job.name, &name]);
        let to = &mut rows.frames;
        let row = Some(to.id.len());
        to.id.push(frame_id.clone());
        to.layer.push(known.id.clone());
        to.job.push(job_id.to_owned());
        to.name.push(name);
        to.number.push(number);
        to.order.push(i32::try_from(order)? + 1);
        to.depends.push(0);
        known.frames.push(KnownFrame { id: frame_id, numbers, done: false, row });
    }
    Ok(known)
}

/// The numbers of each frame row: a row stands for `chunk` numbers and bears the first of them.
fn chunks(range: &str, chunk: u32) -> anyhow::Result<Vec<Vec<i64>>> {
    if chunk == 0 {
        bail!("chunk is 0; the least is 1");
    }
    let numbers = range::parse(range).map_err(anyhow::Error::msg)?;
    Ok(numbers.chunks(chunk as usize).map(<[i64]>::to_vec).collect())
}

fn push_all<const N: usize>(columns: &mut [Vec<String>; N], row: [&str; N]) {
    for (column, value) in columns.iter_mut().zip(row) {
        column.push(value.to_owned());
    }
}

/// Inserts all rows and opens the jobs.
pub(super) async fn insert(connection: &mut PgConnection, rows: &Rows, submission: Submission) -> anyhow::Result<()> {
    insert_jobs(connection, rows).await?;
    insert_layers(connection, rows).await?;
    insert_frames(connection, &rows.frames, submission).await?;
    dependencies::insert(connection, &rows.depends).await?;
    if submission == Submission::Running {
        run(connection, include_str!("../queries/open_frames.sql"), &rows.jobs.id).await?;
    }
    run(connection, include_str!("../queries/count_layers.sql"), &rows.jobs.id).await?;
    run(connection, include_str!("../queries/count_jobs.sql"), &rows.jobs.id).await?;
    run(connection, include_str!("../queries/open_jobs.sql"), &rows.jobs.id).await
}

async fn run(connection: &mut PgConnection, query: &'static str, jobs: &[String]) -> anyhow::Result<()> {
    sqlx::query(query).bind(jobs).execute(connection).await?;
    Ok(())
}

async fn insert_jobs(connection: &mut PgConnection, rows: &Rows) -> anyhow::Result<()> {
    let jobs = &rows.jobs;
    sqlx::query(include_str!("../queries/insert_jobs.sql"))
        .bind(&jobs.id)
        .bind(&jobs.folder)
        .bind(&jobs.show)
        .bind(&jobs.facility)
        .bind(&jobs.dept)
        .bind(&jobs.name)
        .bind(&jobs.shot)
        .bind(&jobs.user)
        .bind(&jobs.log_dir)
        .bind(&jobs.uid)
        .bind(&jobs.paused)
        .bind(&jobs.auto_eat)
        .bind(&jobs.max_retries)
        .bind(&jobs.show_name)
        .bind(&jobs.os)
        .bind(&jobs.loki_url)
        .bind(&jobs.layers)
        .execute(&mut *connection)
        .await?;
    sqlx::query(include_str!("../queries/set_job_resources.sql"))
        .bind(&jobs.id)
        .bind(&jobs.min_cores)
        .bind(&jobs.max_cores)
        .bind(&jobs.max_gpus)
        .bind(&jobs.priority)
        .execute(&mut *connection)
        .await?;
    insert_texts(connection, include_str!("../queries/insert_job_env.sql"), &rows.job_env).await
}

async fn insert_layers(connection: &mut PgConnection, rows: &Rows) -> anyhow::Result<()> {
    let layers = &rows.layers;
    sqlx::query(include_str!("../queries/insert_layers.sql"))
        .bind(&layers.id)
        .bind(&layers.job)
        .bind(&layers.name)
        .bind(&layers.command)
        .bind(&layers.range)
        .bind(&layers.chunk)
        .bind(&layers.order)
        .bind(&layers.min_cores)
        .bind(&layers.max_cores)
        .bind(&layers.memory)
        .bind(&layers.gpus)
        .bind(&layers.gpu_memory)
        .bind(&layers.tags)
        .bind(&layers.kind)
        .bind(&layers.threadable)
        .bind(&layers.services)
        .bind(&layers.timeout)
        .execute(&mut *connection)
        .await?;
    insert_texts(connection, include_str!("../queries/insert_layer_env.sql"), &rows.layer_env).await?;
    insert_texts(connection, include_str!("../queries/insert_layer_limits.sql"), &rows.layer_limits).await
}

async fn insert_frames(
    connection: &mut PgConnection,
    frames: &FrameRows,
    submission: Submission,
) -> anyhow::Result<()> {
    let (free, held) = match submission {
        Submission::Loaded => ("WAITING", "DEPEND"),
        Submission::Running => ("SETUP", "SETUP"),
    };
    for start in (0..frames.id.len()).step_by(FRAMES_PER_STATEMENT) {
        let part = start..(start + FRAMES_PER_STATEMENT).min(frames.id.len());
        sqlx::query(include_str!("../queries/insert_frames.sql"))
            .bind(&frames.id[part.clone()])
            .bind(&frames.layer[part.clone()])
            .bind(&frames.job[part.clone()])
            .bind(&frames.name[part.clone()])
            .bind(&frames.number[part.clone()])
            .bind(&frames.order[part.clone()])
            .bind(&frames.depends[part])
            .bind(free)
            .bind(held)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn insert_texts<const N: usize>(
    connection: &mut PgConnection,
    query: &'static str,
    columns: &[Vec<String>; N],
) -> anyhow::Result<()> {
    let mut query = sqlx::query(query);
    for column in columns {
        query = query.bind(column);
    }
    query.execute(connection).await?;
    Ok(())
}
