//! What the configured name of the facility stands for.

use cue_scheduler_core::domain::id::FacilityId;

use crate::store::{Store, StoreError};

/// What the configured name of the facility stands for now. It can be made, renamed and removed while we run.
#[derive(Debug)]
pub(super) enum Facility {
    /// Nothing was read yet.
    Unread,
    All,
    One(FacilityId),
    /// There is none of that name. What to say of it.
    Missing(String),
}

impl Facility {
    /// Looks for the facility of this exact name, or for none in particular.
    pub(super) async fn find(name: Option<&str>, store: &Store) -> Result<Self, StoreError> {
        let Some(name) = name else { return Ok(Self::All) };
        if let Some(id) = store.facility(name).await? {
            return Ok(Self::One(id));
        }
        let known = store.facility_names().await?.join(", ");
        Ok(Self::Missing(format!(
            "Invalid facility name: there is no facility `{name}` (scheduler.facility, compared exactly); known are: {known}"
        )))
    }

    /// The one to look at, if it is one.
    pub(super) fn id(&self) -> Option<&FacilityId> {
        match self {
            Self::One(id) => Some(id),
            Self::Unread | Self::All | Self::Missing(_) => None,
        }
    }

    /// Says what has changed since it was looked for before.
    pub(super) fn tell_after(&self, before: &Self) {
        match (before, self) {
            (Self::Missing(before), Self::Missing(now)) if before == now => {}
            (_, Self::Missing(now)) => tracing::warn!("{now}; waiting for it"),
            (Self::Missing(_), Self::One(id)) => tracing::info!(facility.id = %id, "the facility is there"),
            (Self::One(before), Self::One(now)) if before != now => {
                tracing::info!(facility.id = %now, "the facility is another one of the same name");
            }
            _ => {}
        }
    }
}
