//! What the database's schema has, as far as it differs between the generations of OpenCue that are served.
//!
//! Looked at as objects of the catalog and never as version numbers: some administrators apply migrations by hand, and branches
//! have used the same numbers for different things. Columns of later migrations are not used, so they need no looking at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::feed::StandingRow;

/// Shared by all that speak to one database. Until it has been looked at, it is taken for the newest that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Schema(Arc<Lacks>);

#[derive(Debug, Default)]
struct Lacks {
    start_after: AtomicBool,
}

impl Schema {
    /// Takes in what was found.
    pub(super) fn learn(&self, found: StandingRow) {
        self.0.start_after.store(!found.start_after, Ordering::Relaxed);
    }

    /// The statement as this schema understands it: before migration 47 no layer can be delayed.
    pub(super) fn fit(&self, statement: &'static str) -> SqlStr {
        if self.0.start_after.load(Ordering::Relaxed) {
            AssertSqlSafe(statement.replace("l.ts_start_after", "NULL::timestamptz")).into_sql_str()
        } else {
            statement.into_sql_str()
        }
    }
}
