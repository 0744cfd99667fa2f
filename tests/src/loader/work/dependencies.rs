//! Dependencies of new jobs: the `depend` rows, and on each frame the number of things it waits for.
//!
//! `FRAME_BY_FRAME` is one composite row with a `FRAME_ON_FRAME` row below it for each pair of frames that share a number;
//! the other kinds are one row. A side that has ended already is not waited for.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use sqlx::PgConnection;

use super::super::description::{JobDescription, LayerDependencyKind};
use super::super::seeded::Ids;
use super::{KnownFrame, KnownJob, KnownLayer, Rows, chunks};

/// Columns of the new rows.
#[derive(Default)]
pub(super) struct DependRows {
    id: Vec<String>,
    parent: Vec<Option<String>>,
    kind: Vec<&'static str>,
    job_on: Vec<String>,
    job_er: Vec<String>,
    layer_on: Vec<Option<String>>,
    layer_er: Vec<Option<String>>,
    frame_on: Vec<Option<String>>,
    frame_er: Vec<Option<String>>,
}

/// The two ends of a dependency, as ids: what is waited for, and what waits.
#[derive(Clone, Copy)]
struct Ends<'a> {
    job: (&'a str, &'a str),
    layer: Option<(&'a str, &'a str)>,
    frame: Option<(&'a str, &'a str)>,
}

impl DependRows {
    fn push(&mut self, kind: &'static str, parent: Option<&str>, ends: Ends<'_>, ids: Ids) -> String {
        let (layer_on, layer_er) = ends.layer.unzip();
        let (frame_on, frame_er) = ends.frame.unzip();
        let names = [kind, ends.job.0, ends.job.1].into_iter();
        let names = names.chain([layer_on, layer_er, frame_on, frame_er].into_iter().flatten());
        let id = ids.id("depend", &names.collect::<Vec<_>>());
        self.id.push(id.clone());
        self.parent.push(parent.map(str::to_owned));
        self.kind.push(kind);
        self.job_on.push(ends.job.0.to_owned());
        self.job_er.push(ends.job.1.to_owned());
        self.layer_on.push(layer_on.map(str::to_owned));
        self.layer_er.push(layer_er.map(str::to_owned));
        self.frame_on.push(frame_on.map(str::to_owned));
        self.frame_er.push(frame_er.map(str::to_owned));
        id
    }
}

/// Job and its id, layer and its id, range, chunk, frame, number, whether it has ended well.
type FrameRow = (String, String, String, String, String, i64, String, i64, bool);

/// The jobs of the database that the new ones wait for.
pub(in super::super) async fn read_others(
    connection: &mut PgConnection,
    jobs: &[JobDescription],
    known: &BTreeMap<String, KnownJob>,
) -> anyhow::Result<BTreeMap<String, KnownJob>> {
    let names: Vec<&str> = jobs
        .iter()
        .flat_map(|job| {
            let layers = job.layers.iter().flat_map(|layer| &layer.after);
            layers.filter_map(|after| after.job.as_ref()).chain(&job.after_jobs)
        })
        .filter(|name| !known.contains_key(*name))
        .map(String::as_str)
        .collect();
    let mut others = BTreeMap::new();
    if names.is_empty() {
        return Ok(others);
    }
    let rows: Vec<FrameRow> =
        sqlx::query_as(include_str!("../queries/read_job_frames.sql")).bind(&names).fetch_all(connection).await?;
    let mut numbers: HashMap<String, HashMap<i64, Vec<i64>>> = HashMap::new();
    for (job, job_id, layer, layer_id, range, chunk, id, number, done) in rows {
        if !numbers.contains_key(&layer_id) {
            let chunks = chunks(&range, u32::try_from(chunk)?)?;
            let by_first = chunks.into_iter().filter_map(|chunk| Some((*chunk.first()?, chunk)));
            numbers.insert(layer_id.clone(), by_first.collect());
        }
        let chunk = numbers.get(&layer_id).and_then(|chunks| chunks.get(&number));
        let chunk = chunk.cloned().unwrap_or_else(|| vec![number]);
        let job: &mut KnownJob = others.entry(job).or_insert_with(|| KnownJob { id: job_id, layers: BTreeMap::new() });
        let layer = job.layers.entry(layer).or_insert_with(|| KnownLayer { id: layer_id, frames: Vec::new() });
        layer.frames.push(KnownFrame { id, numbers: chunk, done, row: None });
    }
    Ok(others)
}

/// Adds the dependencies of these jobs to their rows.
pub(in super::super) fn build(
    jobs: &[JobDescription],
    others: &BTreeMap<String, KnownJob>,
    ids: Ids,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    let Rows { known, frames, depends, .. } = rows;
    let find_job =
        |name: &str| known.get(name).or_else(|| others.get(name)).with_context(|| format!("no job is called `{name}`"));
    for job in jobs {
        let er_job = find_job(&job.name)?;
        for name in &job.after_jobs {
            let on_job = find_job(name).with_context(|| format!("job `{}` waits for it", job.name))?;
            if on_job.layers.values().all(KnownLayer::done) {
                continue;
            }
            let ends = Ends { job: (&on_job.id, &er_job.id), layer: None, frame: None };
            depends.push("JOB_ON_JOB", None, ends, ids);
            for layer in er_job.layers.values() {
                hold(&mut frames.depends, &layer.frames);
            }
        }
        for layer in &job.layers {
            let er_layer = find_layer(er_job, &layer.name)?;
            for after in &layer.after {
                let on_name = after.job.as_ref().unwrap_or(&job.name);
                let on_job = find_job(on_name)?;
                let on_layer = find_layer(on_job, &after.layer)
                    .with_context(|| format!("layer `{}/{}` waits for it in job `{on_name}`", job.name, layer.name))?;
                if on_layer.done() {
                    continue;
                }
                let ends =
                    Ends { job: (&on_job.id, &er_job.id), layer: Some((&on_layer.id, &er_layer.id)), frame: None };
                match after.kind {
                    LayerDependencyKind::LayerOnLayer => {
                        depends.push("LAYER_ON_LAYER", None, ends, ids);
                        hold(&mut frames.depends, &er_layer.frames);
                    }
                    LayerDependencyKind::FrameByFrame => {
                        frame_by_frame(depends, &mut frames.depends, ends, (on_layer, er_layer), ids);
                    }
                }
            }
        }
    }
    Ok(())
}

impl KnownLayer {
    fn done(&self) -> bool {
        self.frames.iter().all(|frame| frame.done)
    }
}

fn find_layer<'a>(job: &'a KnownJob, name: &str) -> anyhow::Result<&'a KnownLayer> {
    job.layers.get(name).with_context(|| format!("no layer is called `{name}`"))
}

fn hold(depend_counts: &mut [i64], frames: &[KnownFrame]) {
    for row in frames.iter().filter_map(|frame| frame.row) {
        depend_counts[row] += 1;
    }
}

fn frame_by_frame(
    depends: &mut DependRows,
    depend_counts: &mut [i64],
    ends: Ends<'_>,
    (on, er): (&KnownLayer, &KnownLayer),
    ids: Ids,
) {
    let mut by_number: HashMap<i64, usize> = HashMap::new();
    for (index, frame) in on.frames.iter().enumerate() {
        by_number.extend(frame.numbers.iter().map(|number| (*number, index)));
    }
    let parent = depends.push("FRAME_BY_FRAME", None, ends, ids);
    for frame in &er.frames {
        let mut indexes: Vec<usize> =
            frame.numbers.iter().filter_map(|number| by_number.get(number).copied()).collect();
        indexes.sort_unstable();
        indexes.dedup();
        for other in indexes.into_iter().map(|index| &on.frames[index]).filter(|other| !other.done) {
            let ends = Ends { frame: Some((&other.id, &frame.id)), ..ends };
            depends.push("FRAME_ON_FRAME", Some(&parent), ends, ids);
            hold(depend_counts, std::slice::from_ref(frame));
        }
    }
}

/// Inserts the rows. Those that others are below come first by construction.
pub(super) async fn insert(connection: &mut PgConnection, rows: &DependRows) -> anyhow::Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("../queries/insert_depends.sql"))
        .bind(&rows.id)
        .bind(&rows.parent)
        .bind(&rows.kind)
        .bind(&rows.job_on)
        .bind(&rows.job_er)
        .bind(&rows.layer_on)
        .bind(&rows.layer_er)
        .bind(&rows.frame_on)
        .bind(&rows.frame_er)
        .execute(connection)
        .await?;
    Ok(())
}
