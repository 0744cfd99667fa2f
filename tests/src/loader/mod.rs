//! Puts a described farm into the database.
//!
//! A test says in a few lines of YAML or Rust what its farm holds; the loader writes the rows that Cuebot would have written,
//! in one transaction and with one statement per table, so that a hundred thousand frames are a matter of seconds. The rows
//! that triggers make beside a job, a layer or a folder are left to the triggers; the counts that no trigger makes
//! (`layer_stat`, `job_stat`) are set from the frames as they stand, so they are right by construction.
//!
//! [`load`] opens a farm, [`add_job`] submits a job to one that runs, [`generate`] holds farms of published shapes.

pub mod amount;
pub mod description;
pub mod generate;
pub mod seeded;

mod hosts;
mod places;
mod range;
mod work;

use std::collections::BTreeMap;

use anyhow::Context;
use sqlx::{Connection, PgConnection, PgPool};

use description::{FarmDescription, JobDescription};
use places::Places;
use seeded::Ids;

pub(crate) use hosts::FIRST_ADDRESS;

/// The ids of what was loaded, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// By `facility`.
    pub facilities: BTreeMap<String, String>,
    /// By `allocation`.
    pub allocations: BTreeMap<String, String>,
    /// By `show`.
    pub shows: BTreeMap<String, String>,
    /// By `show/folder`; the root is `show/show`.
    pub folders: BTreeMap<String, String>,
    /// By `limit`.
    pub limits: BTreeMap<String, String>,
    /// By `host`.
    pub hosts: BTreeMap<String, String>,
    /// By `job`.
    pub jobs: BTreeMap<String, String>,
    /// By `job/layer`.
    pub layers: BTreeMap<String, String>,
    /// By `job/layer`: the frames in dispatch order.
    pub frames: BTreeMap<String, Vec<LoadedFrame>>,
}

/// A frame that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedFrame {
    /// `frame.pk_frame`
    pub id: String,
    /// `frame.int_number`, the first number of its chunk.
    pub number: i64,
}

/// Writes the whole farm, in one transaction. Nothing is written when a name leads nowhere or a row is refused.
pub async fn load(pool: &PgPool, farm: &FarmDescription) -> anyhow::Result<Loaded> {
    let ids = Ids::new(farm.seed, farm.upper_case_ids);
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    let places = places::insert(&mut transaction, farm, ids).await.context("loading facilities, shows and folders")?;
    let hosts = hosts::insert(&mut transaction, &farm.hosts, &places, ids).await.context("loading hosts")?;
    let mut loaded =
        submit(&mut transaction, &farm.jobs, &places, ids, work::Submission::Loaded).await.context("loading jobs")?;
    transaction.commit().await?;
    loaded.hosts = hosts;
    loaded.allocations = places.allocations.into_iter().map(|(name, alloc)| (name, alloc.id)).collect();
    loaded.facilities = places.facilities;
    loaded.shows = places.shows;
    loaded.folders = places.folders.into_iter().map(|(name, folder)| (name, folder.id)).collect();
    loaded.limits = places.limits;
    Ok(loaded)
}

/// Submits a job to a running farm in the steps of Cuebot: the job is in STARTUP and its frames in SETUP; the frames become
/// WAITING in one statement (a trigger makes those with dependencies DEPEND); the counts are set; the job becomes PENDING.
/// Names of shows, folders, limits and of jobs waited for are looked up in the database. `seed` makes the ids.
///
/// A dependency whose other side ends while this runs stays open until Cuebot's sweep for stuck dependencies.
pub async fn add_job(pool: &PgPool, seed: u64, job: &JobDescription) -> anyhow::Result<Loaded> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    let places = places::read(&mut transaction).await?;
    let jobs = std::slice::from_ref(job);
    let loaded = submit(&mut transaction, jobs, &places, Ids::new(seed, false), work::Submission::Running)
        .await
        .with_context(|| format!("submitting job `{}`", job.name))?;
    transaction.commit().await?;
    Ok(loaded)
}

async fn submit(
    connection: &mut PgConnection,
    jobs: &[JobDescription],
    places: &Places,
    ids: Ids,
    submission: work::Submission,
) -> anyhow::Result<Loaded> {
    let mut rows = work::build(jobs, places, ids)?;
    let others = work::dependencies::read_others(connection, jobs, &rows.known).await?;
    work::dependencies::build(jobs, &others, ids, &mut rows)?;
    work::insert(connection, &rows, submission).await?;
    let mut loaded = Loaded::default();
    for (job, known) in rows.known {
        for (layer, known) in known.layers {
            let name = format!("{job}/{layer}");
            loaded.layers.insert(name.clone(), known.id);
            let frames = known
                .frames
                .into_iter()
                .map(|frame| LoadedFrame { number: frame.numbers.first().copied().unwrap_or_default(), id: frame.id });
            loaded.frames.insert(name, frames.collect());
        }
        loaded.jobs.insert(job, known.id);
    }
    Ok(loaded)
}
