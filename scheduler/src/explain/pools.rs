//! Pools as a pass sees them, read and planned once.

use std::collections::BTreeSet;
use std::sync::Arc;

use cue_scheduler_config::distance;
use cue_scheduler_core::cluster::{AllocTag, Pool, Right, pools};
use cue_scheduler_core::domain::id::{FacilityId, ShowId};
use cue_scheduler_core::planning::{Plan, plan};
use cue_scheduler_core::slicing::Slicing;
use cue_scheduler_core::snapshot::{LayerIx, Snapshot};

use super::{Inquirer, PoolAnswer, Unserved};
use crate::snapshot::PoolReader;
use crate::store::StoreError;
use crate::store::feed::TagRow;

/// Most names in an answer.
const NAMES: usize = 5;

/// A pool that was read and planned.
pub(super) struct Planned {
    pub pool: Pool,
    pub snapshot: Snapshot,
    pub plan: Plan,
}

/// Where hosts are, and who may use them.
pub(super) struct Places {
    tags: Vec<AllocTag>,
    rights: Vec<Right>,
    /// The pools, in a fixed order.
    pub pools: Vec<Pool>,
}

impl Places {
    /// All of a facility, or of all.
    pub(super) async fn read(inquirer: &Inquirer, facility: Option<&FacilityId>) -> Result<Self, StoreError> {
        let tags: Vec<AllocTag> = inquirer.store.tags(facility).await?.into_iter().filter_map(TagRow::known).collect();
        let rights = inquirer.store.subscriptions(facility).await?;
        let rights: Vec<Right> = rights.into_iter().map(|row| Right { show: row.show, alloc: row.alloc }).collect();
        // Whoever asks wants to know of an allocation, however replicas have cut it.
        let pools = pools(&tags, &rights, inquirer.ignored_tags(), &Slicing::default());
        Ok(Self { tags, rights, pools })
    }

    /// The pools that could serve a layer of this show, facility and tags.
    pub(super) fn serving(&self, show: &ShowId, facility: &FacilityId, tags: &[Arc<str>]) -> Vec<usize> {
        let serves =
            |pool: &Pool| pool.facility == *facility && pool.shows.contains(show) && pool.kind_of(tags).is_some();
        (0..self.pools.len()).filter(|at| serves(&self.pools[*at])).collect()
    }

    /// Why no pool could.
    pub(super) fn why_unserved(
        &self,
        show: &ShowId,
        facility: &FacilityId,
        tags: &[Arc<str>],
        ignored: &BTreeSet<String>,
    ) -> Unserved {
        if tags.is_empty() {
            return Unserved::NoTags;
        }
        let wanted: Vec<&Arc<str>> = tags.iter().filter(|tag| !ignored.contains(tag.as_ref())).collect();
        if wanted.is_empty() {
            return Unserved::TagsIgnored;
        }
        let carriers = |here: bool| -> Vec<String> {
            let with_tag = self.tags.iter().filter(|tag| wanted.contains(&&tag.tag));
            let names = with_tag.filter(|tag| (tag.facility == *facility) == here);
            let names: BTreeSet<&str> = names.map(|tag| tag.alloc_name.as_ref()).collect();
            names.into_iter().take(NAMES).map(str::to_owned).collect()
        };
        let (here, elsewhere) = (carriers(true), carriers(false));
        let of_facility: BTreeSet<_> =
            self.tags.iter().filter(|tag| tag.facility == *facility).map(|tag| &tag.alloc).collect();
        let subscribed = self.rights.iter().any(|right| right.show == *show && of_facility.contains(&right.alloc));
        match (here.is_empty(), elsewhere.is_empty()) {
            (false, _) if !subscribed => Unserved::NoSubscription(here),
            (false, _) => Unserved::OtherAllocations(here),
            (true, false) => Unserved::OtherFacilities(elsewhere),
            (true, true) => Unserved::UnknownTags(self.near(&wanted)),
        }
    }

    /// Tags of hosts that may have been meant.
    fn near(&self, wanted: &[&Arc<str>]) -> Vec<String> {
        let known: BTreeSet<&str> = self.tags.iter().map(|tag| tag.tag.as_ref()).collect();
        let mut ranked: BTreeSet<(usize, &str)> = BTreeSet::new();
        for tag in wanted {
            for name in &known {
                let edits = distance(&tag.to_lowercase(), &name.to_lowercase());
                if edits <= (tag.chars().count() / 3).min(2) {
                    ranked.insert((edits, *name));
                }
            }
        }
        ranked.into_iter().take(NAMES).map(|(_, name)| name.to_owned()).collect()
    }
}

impl Planned {
    /// Reads a pool as a pass does.
    pub(super) async fn read(inquirer: &Inquirer, pool: &Pool) -> Result<Snapshot, StoreError> {
        PoolReader::new(pool.clone(), inquirer.read.clone()).read(&inquirer.store).await
    }

    /// Reads a pool and plans it.
    pub(super) async fn make(inquirer: &Inquirer, pool: &Pool) -> Result<Self, StoreError> {
        let snapshot = Self::read(inquirer, pool).await?;
        let plan = plan(&snapshot, &inquirer.policy);
        Ok(Self { pool: pool.clone(), snapshot, plan })
    }

    /// What it says of a layer; `None` if the layer wasn't there any more.
    pub(super) fn answer(&self, layer: &str) -> Option<PoolAnswer> {
        let at = self.snapshot.layers.iter().position(|known| known.id.as_str() == layer)?;
        let at = LayerIx(at as u32);
        let placements = || self.plan.placements.iter().filter(|placement| placement.layer == at);
        let hosts: BTreeSet<_> = placements().map(|placement| placement.host).collect();
        let waiting = self.plan.waiting.iter().find(|waiting| waiting.layer == at);
        Some(PoolAnswer {
            pool: self.pool.name.to_string(),
            booked: placements().map(|placement| placement.frames).sum(),
            hosts: hosts.len(),
            waiting: waiting.map(|waiting| (waiting.frames, waiting.obstacle.clone())),
            away: Vec::new(),
        })
    }
}
