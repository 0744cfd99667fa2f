//! What the feed tells of its pools, so that they can be shared out among replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use cue_scheduler_core::assignment::weight;
use cue_scheduler_core::domain::id::FacilityId;

use super::Feed;
use crate::ownership::{KnownPool, Table, members};
use crate::store::{Store, StoreError};

impl Feed {
    /// Shares pools with other replicas from now on: only those that the table says are ours have turns.
    pub fn share(&mut self, table: Arc<Table>) {
        self.turns.table = table;
    }

    /// Decides anew how large allocations are cut, and learns what facilities are called.
    pub(super) async fn cut_anew(&mut self, facility: Option<&FacilityId>, store: &Store) -> Result<(), StoreError> {
        let places = store.places(facility).await?;
        let hosts = places.iter().map(|place| (place.alloc.clone(), u64::try_from(place.hosts).unwrap_or(0))).collect();
        let facilities: BTreeMap<_, &FacilityId> = places.iter().map(|place| (&place.alloc, &place.facility)).collect();
        let in_use =
            |alloc: &_, of| facilities.get(alloc).is_some_and(|facility| self.turns.table.in_use(facility, alloc, of));
        self.slicing = self.slicing.cut(self.scope.hosts_max, &hosts, in_use);
        let scope = |name: &str| Arc::from(members::scope(name));
        self.scopes = places.iter().map(|place| (place.alloc.clone(), scope(&place.facility_name))).collect();
        Ok(())
    }

    /// Tells which pools there are and how much there is to do.
    pub(super) fn tell_pools(&self) {
        self.turns.table.know(self.turns.pools.iter().filter_map(|state| {
            let scope = self.scopes.get(&state.pool.alloc)?.clone();
            Some(KnownPool { id: state.pool.id(), name: state.pool.name.clone(), scope, weight: weight(state.frames) })
        }));
    }
}
