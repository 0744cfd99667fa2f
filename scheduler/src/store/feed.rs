//! Reads of the feed: the facility, the tags and subscriptions that make clusters and pools, the awake scan.

use cue_scheduler_core::cluster::AllocTag;
use cue_scheduler_core::domain::id::{AllocId, FacilityId, ShowId};
use cue_scheduler_core::domain::tag::TagKind;

use super::{Store, StoreError, sql};

/// A tag that hosts of an allocation carry.
#[derive(Debug, sqlx::FromRow)]
pub struct TagRow {
    /// The facility of the allocation.
    #[sqlx(rename = "pk_facility", try_from = "String")]
    pub facility: FacilityId,
    /// The allocation.
    #[sqlx(rename = "pk_alloc", try_from = "String")]
    pub alloc: AllocId,
    /// Its name.
    pub alloc_name: String,
    /// The tag.
    #[sqlx(rename = "str_tag")]
    pub tag: String,
    /// Its kind, as stored.
    #[sqlx(rename = "str_tag_type")]
    pub kind: String,
}

impl TagRow {
    /// The tag, unless it is of a kind that nobody schedules by.
    pub fn known(self) -> Option<AllocTag> {
        Some(AllocTag {
            facility: self.facility,
            alloc: self.alloc,
            alloc_name: self.alloc_name.into(),
            tag: self.tag.into(),
            kind: TagKind::from_column(&self.kind)?,
        })
    }
}

/// A managed show may use an allocation.
#[derive(Debug, sqlx::FromRow)]
pub struct SubscriptionRow {
    /// The show.
    #[sqlx(rename = "pk_show", try_from = "String")]
    pub show: ShowId,
    /// Its name.
    pub show_name: String,
    /// The allocation.
    #[sqlx(rename = "pk_alloc", try_from = "String")]
    pub alloc: AllocId,
}

/// Waiting work of a show under one tag list.
#[derive(Debug, sqlx::FromRow)]
pub struct AwakeRow {
    /// The show.
    #[sqlx(rename = "pk_show", try_from = "String")]
    pub show: ShowId,
    /// Its name.
    pub show_name: String,
    /// The facility of the jobs.
    #[sqlx(rename = "pk_facility", try_from = "String")]
    pub facility: FacilityId,
    /// `layer.str_tags`, as stored.
    #[sqlx(rename = "str_tags")]
    pub tags: String,
    /// Frames that could start now.
    pub frames: i64,
    /// Seconds until the earliest delayed work may start.
    pub starts_in: Option<f64>,
}

/// Whether booking makes sense at all.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct StandingRow {
    /// Shows can be managed: schema from 45 on.
    pub managed_flag: bool,
    /// Layers can be delayed: schema from 47 on.
    pub start_after: bool,
    /// A Maestro leader is alive.
    pub maestro_leads: bool,
}

impl Store {
    /// Asks whether booking makes sense at all, and remembers what the schema has: statements are fitted to it from then on.
    pub async fn standing(&self) -> Result<StandingRow, StoreError> {
        let standing: StandingRow = sqlx::query_as(sql!("feed/standing"))
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::during("asking what the schema has"))?;
        self.schema.learn(standing);
        Ok(standing)
    }

    /// The facility of that exact name.
    pub async fn facility(&self, name: &str) -> Result<Option<FacilityId>, StoreError> {
        let id: Option<String> = sqlx::query_scalar(sql!("feed/facility"))
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::during("reading the facility"))?;
        Ok(id.map(FacilityId::from))
    }

    /// The names of all facilities, sorted.
    pub async fn facility_names(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(sql!("feed/facility_names"))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the names of facilities"))
    }

    /// The tags of all allocations, or of one facility's.
    pub async fn tags(&self, facility: Option<&FacilityId>) -> Result<Vec<TagRow>, StoreError> {
        sqlx::query_as(sql!("feed/tags"))
            .bind(facility.map(FacilityId::as_str))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the tags"))
    }

    /// Which managed show may use which allocation.
    pub async fn subscriptions(&self, facility: Option<&FacilityId>) -> Result<Vec<SubscriptionRow>, StoreError> {
        sqlx::query_as(sql!("feed/subscriptions"))
            .bind(facility.map(FacilityId::as_str))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the subscriptions"))
    }

    /// Where work waits.
    pub async fn awake(&self, facility: Option<&FacilityId>) -> Result<Vec<AwakeRow>, StoreError> {
        sqlx::query_as(self.schema.fit(sql!("feed/awake")))
            .bind(facility.map(FacilityId::as_str))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("the awake scan"))
    }
}
