//! A pass over all pools of the scope that writes nothing.
//!
//! Pools are planned one after the other. What one of them would book is taken off the work and counted on the caps before the
//! next is planned, as the next pass would find it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::domain::amount::Resources;
use cue_scheduler_core::domain::id::{FolderId, HostId, JobId, LayerId, LimitId};
use cue_scheduler_core::planning::{Placement, plan};
use cue_scheduler_core::reason::Obstacle;
use cue_scheduler_core::snapshot::{Counted, LayerIx, LimitIx, Snapshot};

use super::Inquirer;
use super::pools::{Places, Planned};
use crate::feed::Standstill;
use crate::snapshot::Launches;
use crate::store::StoreError;

/// What a pass over all pools would do.
#[derive(Clone, Debug, Default)]
pub struct DryPass {
    /// What forbids booking altogether; then no pool is planned.
    pub standstill: Option<Standstill>,
    /// The pools in the order in which they were planned.
    pub pools: Vec<DryPool>,
}

/// What a pass of one pool would do.
#[derive(Clone, Debug)]
pub struct DryPool {
    /// The allocation's name.
    pub pool: String,
    /// Hosts that may be booked.
    pub hosts: usize,
    /// Layers with waiting frames that could run there.
    pub layers: usize,
    /// What would be booked, the most important first.
    pub booked: Vec<DryBooking>,
    /// What would wait on, the most important first.
    pub waiting: Vec<DryWaiting>,
}

/// Frames of a layer that would be booked on a host.
#[derive(Clone, Debug)]
pub struct DryBooking {
    /// The show.
    pub show: Arc<str>,
    /// The job.
    pub job: Arc<str>,
    /// The layer.
    pub layer: Arc<str>,
    /// The host.
    pub host: Arc<str>,
    /// How many frames.
    pub frames: u32,
    /// What each reserves.
    pub size: Resources,
}

/// Frames of a layer that would wait on.
#[derive(Clone, Debug)]
pub struct DryWaiting {
    /// The show.
    pub show: Arc<str>,
    /// The job.
    pub job: Arc<str>,
    /// The layer.
    pub layer: Arc<str>,
    /// How many frames.
    pub frames: u32,
    /// Why.
    pub obstacle: Obstacle,
}

/// Reads and plans all pools of the scope.
pub async fn dry_pass(inquirer: &Inquirer) -> Result<DryPass, StoreError> {
    if inquirer.standstill.is_some() {
        return Ok(DryPass { standstill: inquirer.standstill, pools: Vec::new() });
    }
    let facility = inquirer.scope.as_ref().map(|(id, _)| id);
    let places = Places::read(inquirer, facility).await?;
    let mut taken = Taken::default();
    let mut launches = Launches::new(Duration::MAX);
    let mut answer = DryPass::default();
    for pool in &places.pools {
        let mut snapshot = Planned::read(inquirer, pool).await?;
        taken.take_off(&mut snapshot);
        let layers: Vec<LayerId> = snapshot.layers.iter().map(|layer| layer.id.clone()).collect();
        launches.read(&layers, &inquirer.store).await?;
        let (mut waiting, mut unbuildable) = (Vec::new(), HashSet::new());
        for (at, layer) in snapshot.layers.iter().enumerate() {
            if let Some(error) = launches.why_left_alone(&layer.id) {
                let at = LayerIx(at as u32);
                waiting.push(left(&snapshot, at, layer.waiting, Obstacle::Unbuildable { error }));
                unbuildable.insert(layer.id.clone());
            }
        }
        snapshot.layers.retain(|layer| !unbuildable.contains(&layer.id));
        let plan = plan(&snapshot, &inquirer.policy);
        let mut booked = Vec::with_capacity(plan.placements.len());
        for placement in &plan.placements {
            let layer = &snapshot[placement.layer];
            let job = &snapshot[layer.job];
            taken.count(&snapshot, placement);
            booked.push(DryBooking {
                show: snapshot[job.subscription].show_name.clone(),
                job: job.name.clone(),
                layer: layer.name.clone(),
                host: snapshot[placement.host].name.clone(),
                frames: placement.frames,
                size: placement.size,
            });
        }
        waiting.extend(plan.waiting.into_iter().map(|w| left(&snapshot, w.layer, w.frames, w.obstacle)));
        answer.pools.push(DryPool {
            pool: pool.name.to_string(),
            hosts: snapshot.hosts.len(),
            layers: layers.len(),
            booked,
            waiting,
        });
    }
    Ok(answer)
}

fn left(snapshot: &Snapshot, at: LayerIx, frames: u32, obstacle: Obstacle) -> DryWaiting {
    let layer = &snapshot[at];
    let job = &snapshot[layer.job];
    DryWaiting {
        show: snapshot[job.subscription].show_name.clone(),
        job: job.name.clone(),
        layer: layer.name.clone(),
        frames,
        obstacle,
    }
}

/// What the pools so far would have booked, where later pools meet it. Subscriptions and hosts belong to one pool each.
#[derive(Default)]
struct Taken {
    layers: HashMap<LayerId, u32>,
    jobs: HashMap<JobId, Resources>,
    folders: HashMap<FolderId, Resources>,
    limits: HashMap<LimitId, i64>,
    /// Hosts that would take a seat of a limit that counts them.
    seats: HashMap<LimitId, BTreeSet<HostId>>,
}

impl Taken {
    fn count(&mut self, snapshot: &Snapshot, placement: &Placement) {
        let Placement { layer: at, host, size, frames, .. } = *placement;
        let host = &snapshot[host].id;
        let layer = &snapshot[at];
        let job = &snapshot[layer.job];
        let n = i64::from(frames);
        *self.layers.entry(layer.id.clone()).or_default() += frames;
        let of_job = self.jobs.entry(job.id.clone()).or_default();
        let of_folder = self.folders.entry(snapshot[job.folder].id.clone()).or_default();
        for sum in [of_job, of_folder] {
            sum.cores.0 = sum.cores.0.saturating_add(size.cores.0.saturating_mul(n));
            sum.gpus.0 = sum.gpus.0.saturating_add(size.gpus.0.saturating_mul(n));
        }
        let limits: BTreeSet<LimitIx> = layer.limits.iter().copied().collect();
        for limit in limits {
            let id = snapshot[limit].id.clone();
            match &snapshot[limit].counted {
                Counted::Frames => *self.limits.entry(id).or_default() += n,
                Counted::Hosts(holders) if holders.contains(host) => {}
                Counted::Hosts(_) => drop(self.seats.entry(id).or_default().insert(host.clone())),
            }
        }
    }

    fn take_off(&self, snapshot: &mut Snapshot) {
        for layer in &mut snapshot.layers {
            layer.waiting = layer.waiting.saturating_sub(self.layers.get(&layer.id).copied().unwrap_or(0));
        }
        snapshot.layers.retain(|layer| layer.waiting > 0);
        for job in &mut snapshot.jobs {
            if let Some(taken) = self.jobs.get(&job.id) {
                job.cores.used = job.cores.used.saturating_add(taken.cores.0);
                job.gpus.used = job.gpus.used.saturating_add(taken.gpus.0);
            }
        }
        for folder in &mut snapshot.folders {
            if let Some(taken) = self.folders.get(&folder.id) {
                folder.cores.used = folder.cores.used.saturating_add(taken.cores.0);
                folder.gpus.used = folder.gpus.used.saturating_add(taken.gpus.0);
            }
        }
        for limit in &mut snapshot.limits {
            let frames = self.limits.get(&limit.id).copied().unwrap_or(0);
            limit.running.used = limit.running.used.saturating_add(frames);
            if let (Counted::Hosts(holders), Some(seats)) = (&mut limit.counted, self.seats.get(&limit.id)) {
                limit.running.used = limit.running.used.saturating_add(seats.len() as i64);
                holders.extend(seats.iter().cloned());
            }
        }
    }
}
