//! What subscriptions, folders, jobs and limits still allow, running down as the plan grows.
//!
//! The questions are asked in the order of [`Reason`](crate::reason::Reason), so that the first one answered with no is the reason shown.

use std::collections::BTreeSet;

use crate::domain::amount::{Centicores, Frames, Gpus, Resources};
use crate::domain::cap::{Budget, Cap};
use crate::reason::{Full, Obstacle};
use crate::snapshot::{Layer, Snapshot};

use super::size::NO_BOUND;

/// The budgets of a snapshot and what the plan has taken of them.
#[derive(Debug)]
pub struct Headroom<'a> {
    snapshot: &'a Snapshot,
    subscriptions: Vec<Budget>,
    folders: Vec<CoresAndGpus>,
    jobs: Vec<CoresAndGpus>,
    limits: Vec<Budget>,
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
            limits: snapshot.limits.iter().map(|limit| limit.frames).collect(),
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
        let limits = || distinct(layer).map(|at| &self.limits[at]);
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
            .or_else(|| self.full_limit(layer));
        if let Some(obstacle) = refusal {
            return Err(obstacle);
        }

        let least_of =
            |budgets: &[&Budget]| budgets.iter().filter_map(|budget| budget.headroom()).fold(NO_BOUND, i64::min);
        let frames = limits()
            .filter_map(Budget::headroom)
            .chain((gpus > 0).then(|| least_of(&[&folder.gpus, &of_job.gpus]) / gpus.max(1)))
            .fold(i64::from(u32::MAX), i64::min);
        Ok(Room {
            cores: least_of(&[subscription, &folder.cores, &of_job.cores]) / Centicores::CORE.0,
            frames: frames as u32,
        })
    }

    /// The fullest limit of a layer that has no room for one more frame.
    fn full_limit(&self, layer: &Layer) -> Option<Obstacle> {
        let refusing = distinct(layer).filter_map(|at| Some((at, full(&self.limits[at], 1)?)));
        let (at, frames) =
            refusing.min_by_key(|(at, _)| (self.limits[*at].headroom(), &self.snapshot.limits[*at].id))?;
        Some(Obstacle::Limit { name: self.snapshot.limits[at].name.clone(), frames: frames.map(Frames) })
    }

    /// Counts `frames` frames of a layer.
    pub fn take(&mut self, layer: &Layer, size: &Resources, frames: u32) {
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
        for at in distinct(layer) {
            add(&mut self.limits[at], frames);
        }
    }
}

/// A budget that has no room for `wanted` more, in its own unit.
fn full(budget: &Budget, wanted: i64) -> Option<Full<i64>> {
    match budget.cap {
        Cap::AtMost(most) if !budget.allows(wanted) => Some(Full { wanted, used: budget.used, most }),
        _ => None,
    }
}

/// The positions of a layer's limits, each once.
fn distinct(layer: &Layer) -> impl Iterator<Item = usize> {
    let set: BTreeSet<_> = layer.limits.iter().map(|at| at.0 as usize).collect();
    set.into_iter()
}
