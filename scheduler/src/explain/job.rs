//! One job, layer by layer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use cue_scheduler_core::domain::id::{FacilityId, JobId, LayerId, ShowId};
use cue_scheduler_core::domain::tag::parse_layer_tags;
use cue_scheduler_core::reason::Reason;

use super::pools::{Places, Planned};
use super::{Block, Depend, Explanation, FrameCounts, Inquirer, LayerExplanation, PoolAnswer, Start};
use crate::engine::chain;
use crate::snapshot::{FrameWindows, Launches};
use crate::store::StoreError;
use crate::store::explain::{DependRow, JobLayerRow, JobRow};
use cue_scheduler_core::slicing::Slice;

/// Most dependencies that are told of one layer.
const DEPENDS: usize = 5;

pub(super) async fn explanation(inquirer: &Inquirer, row: JobRow) -> Result<Explanation, StoreError> {
    let job = JobId::from(row.pk_job.as_str());
    let depends = inquirer.store.depends_of(&job).await?;
    let mut left_out = depends.first().map_or(0, |row| row.total as usize).saturating_sub(depends.len());
    let mut layers: Vec<LayerExplanation> = inquirer.store.layers_of(&job).await?.into_iter().map(layer).collect();
    for layer in layers.iter_mut().filter(|layer| layer.frames.depend > 0) {
        let of_layer = |depend: &&DependRow| depend.layer.as_deref().is_none_or(|id| id == layer.id);
        let all: Vec<Depend> = depends.iter().filter(of_layer).map(Depend::from).collect();
        left_out += all.len().saturating_sub(DEPENDS);
        layer.depends = all.into_iter().take(DEPENDS).collect();
    }
    let blocks = blocks(inquirer, &row);
    if blocks.is_empty() {
        see_builds(inquirer, &mut layers).await?;
        see_pools(inquirer, &row, &mut layers).await?;
    }
    Ok(Explanation {
        id: row.pk_job,
        name: row.job_name,
        state: row.str_state,
        show: row.show_name,
        facility: row.facility_name,
        folder: row.folder_name,
        os: row.str_os.filter(|os| !os.is_empty()),
        priority: row.int_priority.unwrap_or_default(),
        blocks,
        layers,
        depends_left_out: left_out,
    })
}

fn layer(row: JobLayerRow) -> LayerExplanation {
    let start = match (row.start_after, row.starts_in) {
        (Some(at), Some(seconds)) if seconds > 0.0 => Some(Start { at, seconds }),
        _ => None,
    };
    LayerExplanation {
        id: row.pk_layer,
        name: row.str_name,
        tags: parse_layer_tags(&row.str_tags),
        frames: FrameCounts {
            total: row.int_total_count,
            waiting: row.int_waiting_count,
            running: row.int_running_count,
            depend: row.int_depend_count,
            succeeded: row.int_succeeded_count,
            dead: row.int_dead_count,
            eaten: row.int_eaten_count,
            checkpoint: row.int_checkpoint_count,
        },
        start,
        depends: Vec::new(),
        unbuildable: None,
        unserved: None,
        pools: Vec::new(),
    }
}

impl From<&DependRow> for Depend {
    fn from(row: &DependRow) -> Self {
        let gone = || "(deleted)".to_owned();
        Self {
            job: (!row.inside).then(|| row.on_job.clone().unwrap_or_else(gone)),
            layer: row.on_layer.clone(),
            frame: row.on_frame.clone(),
            left: row.left_over.unwrap_or(0),
        }
    }
}

fn blocks(inquirer: &Inquirer, row: &JobRow) -> Vec<Block> {
    let standstill = inquirer.standstill.map(Block::Standstill);
    let elsewhere = inquirer.scope.as_ref().filter(|(id, _)| id.as_str() != row.pk_facility);
    [
        standstill,
        (row.str_state != "PENDING").then_some(Block::NotPending),
        row.b_paused.then_some(Block::Paused),
        (!row.b_scheduler_managed).then_some(Block::ShowNotManaged),
        (!row.b_active).then_some(Block::ShowInactive),
        elsewhere.map(|(_, name)| Block::OtherFacility(name.clone())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether a pass would look at the layer, its job being looked at.
fn is_looked_at(layer: &LayerExplanation) -> bool {
    layer.frames.waiting > 0 && layer.start.is_none()
}

/// Finds the layers whose frames can't be launched as they are written: the whole layer, or each of its next frames.
async fn see_builds(inquirer: &Inquirer, layers: &mut [LayerExplanation]) -> Result<(), StoreError> {
    let ids: Vec<LayerId> =
        layers.iter().filter(|layer| is_looked_at(layer)).map(|layer| LayerId::from(layer.id.as_str())).collect();
    let mut launches = Launches::new(Duration::MAX);
    let templates = launches.read(&ids, &inquirer.store).await?;
    let wanted: Vec<(LayerId, usize)> = templates.keys().map(|id| (id.clone(), 1)).collect();
    let windows = FrameWindows::new(Slice::WHOLE).take(&wanted, &inquirer.store).await?;
    let mut errors = HashMap::new();
    for (id, template) in &templates {
        let mut next = windows.get(id).into_iter().flatten().map(|waiting| template.check(&waiting.frame).err());
        if let Some(Some(error)) = next.next()
            && next.all(|error| error.is_some())
        {
            errors.insert(id.clone(), chain(&error).into());
        }
    }
    for layer in layers {
        let id = LayerId::from(layer.id.as_str());
        layer.unbuildable = launches.why_left_alone(&id).or_else(|| errors.remove(&id));
    }
    Ok(())
}

/// Asks each pool that could serve a layer.
async fn see_pools(inquirer: &Inquirer, job: &JobRow, layers: &mut [LayerExplanation]) -> Result<(), StoreError> {
    let wanting = |layer: &LayerExplanation| is_looked_at(layer) && layer.unbuildable.is_none();
    if !layers.iter().any(wanting) {
        return Ok(());
    }
    let places = Places::read(inquirer, None).await?;
    let (show, facility) = (ShowId::from(job.pk_show.as_str()), FacilityId::from(job.pk_facility.as_str()));
    let mut planned: HashMap<usize, Planned> = HashMap::new();
    for layer in layers.iter_mut().filter(|layer| wanting(layer)) {
        let serving = places.serving(&show, &facility, &layer.tags);
        if serving.is_empty() {
            layer.unserved = Some(places.why_unserved(&show, &facility, &layer.tags, inquirer.ignored_tags()));
        }
        for at in serving {
            let pool = match planned.entry(at) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Planned::make(inquirer, &places.pools[at]).await?),
            };
            if let Some(mut answer) = pool.answer(&layer.id) {
                answer.away = away(inquirer, pool, layer, &answer).await?;
                layer.pools.push(answer);
            }
        }
    }
    Ok(())
}

/// Hosts that may not be booked matter where no other could take it.
async fn away(
    inquirer: &Inquirer,
    pool: &Planned,
    layer: &LayerExplanation,
    answer: &PoolAnswer,
) -> Result<Vec<(String, i64)>, StoreError> {
    let about_hosts = [
        Reason::NoHostWithTag,
        Reason::NoHostWithOs,
        Reason::NoHostForUnthreaded,
        Reason::NoHostLargeEnough,
        Reason::HostsBusy,
    ];
    match &answer.waiting {
        Some((_, obstacle)) if about_hosts.contains(&obstacle.reason()) => {
            let tags: Vec<&str> = layer.tags.iter().map(AsRef::as_ref).collect();
            inquirer.store.hosts_away(&pool.pool.alloc, &tags, inquirer.read.host_staleness).await
        }
        _ => Ok(Vec::new()),
    }
}
