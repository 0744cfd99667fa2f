//! What forbids booking altogether, whatever waits.
//!
//! Two owners of one show is an operator's mistake, never a race that we try to win: while a leader of Maestro, OpenCue's own
//! farm-wide scheduler, is alive, nothing is booked. And in a database that knows no managed shows there is nothing to book.
//! Both are looked for every two seconds and end by themselves.

use std::fmt;
use std::time::{Duration, Instant};

use crate::store::{Store, StoreError};

/// How often is asked.
const INTERVAL: Duration = Duration::from_secs(2);

/// Why nothing is booked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standstill {
    /// The table `show` has no column `b_scheduler_managed`: the database is older than managed shows.
    NoManagedFlag,
    /// A session holds the advisory key of a Maestro leader.
    MaestroLeads,
}

impl Standstill {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::NoManagedFlag, Self::MaestroLeads];

    /// The `cause` label of the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoManagedFlag => "no_managed_flag",
            Self::MaestroLeads => "maestro_leads",
        }
    }
}

impl Standstill {
    /// What forbids booking now, if something does.
    pub async fn of(store: &Store) -> Result<Option<Self>, StoreError> {
        let standing = store.standing().await?;
        Ok(if !standing.managed_flag {
            Some(Self::NoManagedFlag)
        } else if standing.maestro_leads {
            Some(Self::MaestroLeads)
        } else {
            None
        })
    }
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoManagedFlag => {
                "this database has no column show.b_scheduler_managed, so no show is managed; it comes with migration 45"
            }
            Self::MaestroLeads => {
                "a Maestro leader is alive and books managed shows itself; set `maestro.enabled` to `no` on all Cuebots"
            }
        })
    }
}

/// Asks now and then, and knows the last answer.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    asked: Option<Instant>,
    found: Option<Standstill>,
}

impl Lookout {
    /// What forbids booking now.
    pub(super) async fn look(&mut self, store: &Store, now: Instant) -> Result<Option<Standstill>, StoreError> {
        if self.asked.is_none_or(|asked| now.duration_since(asked) >= INTERVAL) {
            self.found = Standstill::of(store).await?;
            self.asked = Some(now);
        }
        Ok(self.found)
    }

    /// The last answer.
    pub(super) fn found(&self) -> Option<Standstill> {
        self.found
    }
}
