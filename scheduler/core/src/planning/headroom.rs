//! What subscriptions, folders, jobs and limits still allow, running down as the plan grows.
//!
//! The questions are asked in the order of [`Reason`](crate::reason::Reason), so that the first one answered with no is the reason shown.

use crate::domain::amount::{Centicores, Gpus, Resources};
use crate::domain::cap::{Budget, Cap};
use crate::reason::{Full, Obstacle};
use crate::snapshot::{HostIx, Layer, Snapshot};

use super::limits::{Limits, Seats};
use super::size::NO_BOUND;

/// The budgets of a snapshot and what the plan has taken of them.
#[derive(Debug)]
pub struct Headroom<'a> {
    snapshot: &'a Snapshot,
    subscriptions: Vec<Budget>,
    folders: Vec<CoresAndGpus>,
    jobs: Vec<CoresAndGpus>,
    limits: Limits<'a>,
}

#[derive(Clone, Copy, Debug)]
struct CoresAndGpus {
    cores: Budget,
    gpus: Budget,
}

/// How much more of a layer the caps allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Whole cores.
    pub cores: i64,
    /// Frames, as far as GPUs and limits go.
    pub frames: u32,
}

impl<'a> Headroom<'a> {
    /// Nothing planned yet.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            subscriptions: snapshot.subscriptions.iter().map(|s| s.cores).collect(),
            folders: snapshot
                .folders
                .iter()
                .map(|folder| CoresAndGpus { cores: folder.cores, gpus: folder.gpus })
                .collect(),
            jobs: snapshot.jobs.iter().map(|job| CoresAndGpus { cores: job.cores, gpus: job.gpus }).collect(),
            limits: Limits::of(snapshot),
        }
    }

    /// The room for frames of at least `least` whole cores, or the first cap that has none. GPU caps are asked for layers
    /// without GPUs too: Cuebot's trigger on jobs tests both caps when either counter grows, and a folder's addition is
    /// conditional on both.
    pub fn room(&self, layer: &Layer, least: i64) -> Result<Room, Obstacle> {
        let job = &self.snapshot[layer.job];
        let subscription = &self.subscriptions[job.subscription.0 as usize];
        let folder = &self.folders[job.folder.0 as usize];
        let of_job = &self.jobs[layer.job.0 as usize];
        let cores = Centicores::cores(least).0;
        let gpus = layer.gpus.0.max(0);

        if matches!(subscription.cap, Cap::AtMost(..=0)) {
            return Err(Obstacle::SubscriptionFrozen);
        }
        let of_cores = |budget, obstacle: fn(Full<Centicores>) -> Obstacle| {
            full(budget, cores).map(|f| obstacle(f.map(Centicores)))
        };
        let of_gpus = |budget, obstacle: fn(Full<Gpus>) -> Obstacle| full(budget, gpus).map(|f| obstacle(f.map(Gpus)));
        let refusal = of_cores(subscription, Obstacle::SubscriptionFull)
            .or_else(|| of_cores(&folder.cores, Obstacle::FolderCores))
            .or_else(|| of_gpus(&folder.gpus, Obstacle::FolderGpus))
            .or_else(|| of_cores(&of_job.cores, Obstacle::JobCores))
            .or_else(|| of_gpus(&of_job.gpus, Obstacle::JobGpus))
            .or_else(|| self.limits.refusal(layer));
        if let Some(obstacle) = refusal {
            return Err(obstacle);
        }

        let least_of =
            |budgets: &[&Budget]| budgets.iter().filter_map(|budget| budget.headroom()).fold(NO_BOUND, i64::min);
        let by_gpus = (gpus > 0).then(|| least_of(&[&folder.gpus, &of_job.gpus]) / gpus.max(1));
        let frames = self.limits.frames(layer).min(by_gpus.unwrap_or(NO_BOUND)).min(u32::MAX.into());
        Ok(Room {
            cores: least_of(&[subscription, &folder.cores, &of_job.cores]) / Centicores::CORE.0,
            frames: frames as u32,
        })
    }

    /// On which hosts the layer may run, if one of its limits counts hosts.
    pub fn seats(&self, layer: &Layer) -> Option<Seats> {
        self.limits.seats(layer)
    }

    /// The fullest limit of a layer of which no seat is left.
    pub fn no_seat(&self, layer: &Layer) -> Option<Obstacle> {
        self.limits.no_seat(layer)
    }

    /// Counts `frames` frames of a layer on a host.
    pub fn take(&mut self, layer: &Layer, host: HostIx, size: &Resources, frames: u32) {
        let job = &self.snapshot[layer.job];
        let frames = i64::from(frames);
        let cores = size.cores.0.saturating_mul(frames);
        let gpus = size.gpus.0.saturating_mul(frames);
        let add = |budget: &mut Budget, n: i64| budget.used = budget.used.saturating_add(n);

        add(&mut self.subscriptions[job.subscription.0 as usize], cores);
        for pair in [&mut self.folders[job.folder.0 as usize], &mut self.jobs[layer.job.0 as usize]] {
            add(&mut pair.cores, cores);
            add(&mut pair.gpus, gpus);
        }
        self.limits.take(layer, host, frames);
    }
}

/// A budget that has no room for `wanted` more, in its own unit.
fn full(budget: &Budget, wanted: i64) -> Option<Full<i64>> {
    match budget.cap {
        Cap::AtMost(most) if !budget.allows(wanted) => Some(Full { wanted, used: budget.used, most }),
        _ => None,
    }
}
