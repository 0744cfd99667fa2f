//! The statements that set counters right, one method each. Their order is [`crate::accounting`]'s business.

use super::booking::{BEGIN, CounterColumns};
use super::sessions::Transaction;
use super::work::BookedRow;
use super::{Store, StoreError, sql};

/// A table of counters that Cuebot and its tools read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CounterTable {
    /// What a show has booked on an allocation's hosts; keyed by `pk_subscription`.
    Subscription,
    /// What a layer has booked, local procs included; keyed by `pk_layer`.
    Layer,
    /// What a job has booked; keyed by `pk_job`.
    Job,
    /// What the jobs in a folder have booked; keyed by `pk_folder`.
    Folder,
    /// What a department's jobs of a show have booked; keyed by `pk_point`.
    Point,
}

impl CounterTable {
    /// All, in the order in which bookings and releases lock them: a job before its folder, so that a later move of the job
    /// carries a right number along.
    pub const ALL: [Self; 5] = [Self::Subscription, Self::Layer, Self::Job, Self::Folder, Self::Point];

    /// The table's name; a label of the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Layer => "layer_resource",
            Self::Job => "job_resource",
            Self::Folder => "folder_resource",
            Self::Point => "point",
        }
    }
}

/// An open transaction that sets counters of one table right. Dropped without a commit, it is rolled back.
pub struct CountersTx {
    tx: Transaction,
    table: CounterTable,
}

impl Store {
    /// The ids of managed shows; none where the schema has no flag for it.
    pub async fn managed_shows(&self) -> Result<Vec<String>, StoreError> {
        if !self.standing().await?.managed_flag {
            return Ok(Vec::new());
        }
        sqlx::query_scalar(sql!("accounting/managed_shows"))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading which shows are managed"))
    }

    /// The rows whose counters differ from the sums of their procs, for these shows.
    pub async fn differing_counters(&self, shows: &[&str]) -> Result<Vec<(CounterTable, String)>, StoreError> {
        let rows = sqlx::query_as(sql!("accounting/differences"))
            .bind(shows)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("comparing counters with procs"))?;
        Ok(with_tables(rows))
    }

    /// The rows of subscriptions, by show and allocation, and of points, by show and department.
    pub async fn counters_of(
        &self,
        subscriptions: &[(&str, &str)],
        points: &[(&str, &str)],
    ) -> Result<Vec<(CounterTable, String)>, StoreError> {
        let (shows, allocs): (Vec<&str>, Vec<&str>) = subscriptions.iter().copied().unzip();
        let (point_shows, departments): (Vec<&str>, Vec<&str>) = points.iter().copied().unzip();
        let rows = sqlx::query_as(sql!("accounting/rows_of"))
            .bind(shows)
            .bind(allocs)
            .bind(point_shows)
            .bind(departments)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("looking counters up"))?;
        Ok(with_tables(rows))
    }

    /// Begins to set counters of a table right.
    pub async fn begin_counters(&self, table: CounterTable) -> Result<CountersTx, StoreError> {
        let tx = self.pool.begin(BEGIN).await.map_err(StoreError::during("beginning a transaction"))?;
        Ok(CountersTx { tx, table })
    }
}

fn with_tables(rows: Vec<(String, String)>) -> Vec<(CounterTable, String)> {
    let table_of = |name: &str| CounterTable::ALL.into_iter().find(|table| table.name() == name);
    rows.into_iter().filter_map(|(name, key)| Some((table_of(&name)?, key))).collect()
}

impl CountersTx {
    /// Locks rows and answers their counters. A row that is gone is not in the answer.
    pub async fn lock(&mut self, keys: &[&str]) -> Result<Vec<BookedRow>, StoreError> {
        let statement = match self.table {
            CounterTable::Subscription => sql!("accounting/lock_subscriptions"),
            CounterTable::Layer => sql!("accounting/lock_layers"),
            CounterTable::Job => sql!("accounting/lock_jobs"),
            CounterTable::Folder => sql!("accounting/lock_folders"),
            CounterTable::Point => sql!("accounting/lock_points"),
        };
        self.read(statement, keys, "locking counters").await
    }

    /// What the procs of these rows hold now. A row without procs is not in the answer. To be asked after the lock, in its
    /// statement of its own: a sum in the locking statement would be older than the lock.
    pub async fn booked(&mut self, keys: &[&str]) -> Result<Vec<BookedRow>, StoreError> {
        let statement = match self.table {
            CounterTable::Subscription => sql!("accounting/booked_by_subscription"),
            CounterTable::Layer => sql!("accounting/booked_by_layer"),
            CounterTable::Job => sql!("work/booked_by_job"),
            CounterTable::Folder => sql!("work/booked_by_folder"),
            CounterTable::Point => sql!("accounting/booked_by_point"),
        };
        self.read(statement, keys, "summing procs under a lock").await
    }

    /// Of these jobs those with a layer whose counter is not what its procs hold now. To be asked after [`Self::booked`].
    pub async fn jobs_with_wrong_layers(&mut self, jobs: &[&str]) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(sql!("accounting/jobs_with_wrong_layers"))
            .bind(jobs)
            .fetch_all(&mut self.tx)
            .await
            .map_err(StoreError::during("comparing layers with procs under a lock"))
    }

    async fn read(
        &mut self,
        statement: &'static str,
        keys: &[&str],
        what: &'static str,
    ) -> Result<Vec<BookedRow>, StoreError> {
        sqlx::query_as(statement).bind(keys).fetch_all(&mut self.tx).await.map_err(StoreError::during(what))
    }

    /// Writes counters, also above a cap that was lowered below their use; the caps themselves stay as they are.
    pub async fn set(&mut self, counters: &CounterColumns<'_>) -> Result<(), StoreError> {
        let (set, restore) = match self.table {
            CounterTable::Subscription => {
                (sql!("accounting/set_subscriptions"), Some(sql!("accounting/restore_subscriptions")))
            }
            CounterTable::Layer => (sql!("accounting/set_layers"), None),
            CounterTable::Job => (sql!("accounting/set_jobs"), Some(sql!("accounting/restore_jobs"))),
            CounterTable::Folder => (sql!("accounting/set_folders"), None),
            CounterTable::Point => (sql!("accounting/set_points"), None),
        };
        let query = sqlx::query(set).bind(&counters.key);
        let query = match self.table {
            CounterTable::Layer | CounterTable::Job => query.bind(&counters.cores),
            CounterTable::Subscription | CounterTable::Folder | CounterTable::Point => {
                query.bind(counters.small_cores())
            }
        };
        let written = StoreError::during("writing counters");
        query.bind(&counters.gpus).execute(&mut self.tx).await.map_err(written)?;
        if let Some(restore) = restore {
            let restored = StoreError::during("restoring caps");
            sqlx::query(restore).bind(&counters.key).execute(&mut self.tx).await.map_err(restored)?;
        }
        Ok(())
    }

    /// Commits.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.map_err(StoreError::during("committing"))
    }

    /// Takes everything back and frees the locks.
    pub async fn roll_back(self) -> Result<(), StoreError> {
        self.tx.roll_back().await.map_err(StoreError::during("rolling back"))
    }
}
