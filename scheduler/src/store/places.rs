//! Where hosts are: allocations, their facilities, and how many hosts they have.

use cue_scheduler_core::domain::id::{AllocId, FacilityId};

use super::{Store, StoreError, sql};

/// An allocation.
#[derive(Debug, sqlx::FromRow)]
pub struct PlaceRow {
    /// The allocation.
    #[sqlx(rename = "pk_alloc", try_from = "String")]
    pub alloc: AllocId,
    /// Its facility.
    #[sqlx(rename = "pk_facility", try_from = "String")]
    pub facility: FacilityId,
    /// The facility's name.
    pub facility_name: String,
    /// How many hosts it has.
    pub hosts: i64,
}

impl Store {
    /// All allocations, or those of one facility.
    pub async fn places(&self, facility: Option<&FacilityId>) -> Result<Vec<PlaceRow>, StoreError> {
        sqlx::query_as(sql!("feed/places"))
            .bind(facility.map(FacilityId::as_str))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the allocations"))
    }
}
