//! The statements of the booking transaction, one method each. Their order is [`crate::booking`]'s business.

use std::time::{Duration, Instant};

use sqlx::Postgres;

use super::schema::Schema;
use super::sessions::Transaction;
use super::work::BookedRow;
use super::{Store, StoreError, sql};

/// Begins the transaction with a lock time-out below PostgreSQL's deadlock time-out (1 s by default), so that in a cycle
/// of waits it is ours that ends, never Cuebot's.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '400ms'";

/// The class of our advisory locks on limits (two-integer form), so that they meet no other program's keys.
const LIMIT_LOCK_CLASS: i32 = 0x4355_454C;

/// Exit statuses after which Cuebot never counts a retry: never ran, skip retry, failed launch, cleared, orphaned, failed kill,
/// host down.
const NO_RETRY: [i64; 7] = [-1, 286, 256, 299, 301, 302, 399];

/// A frame that is locked for us.
#[derive(Debug, sqlx::FromRow)]
pub struct ClaimedRow {
    /// Position of its layer among those asked for.
    pub at: i32,
    /// The frame.
    pub pk_frame: String,
    /// Its version.
    pub int_version: Option<i32>,
}

/// Columns of frames to start: one entry a frame in each.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "named as the columns")]
pub struct StartColumns<'a> {
    pub frame: Vec<&'a str>,
    pub version: Vec<Option<i32>>,
    pub host: Vec<&'a str>,
    pub cores: Vec<i32>,
    pub memory: Vec<i64>,
    pub gpus: Vec<i32>,
    pub gpu_memory: Vec<i64>,
}

/// Columns of procs to insert: one entry a proc in each.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "named as the columns")]
pub struct ProcColumns<'a> {
    pub proc: Vec<&'a str>,
    pub host: Vec<&'a str>,
    pub layer: Vec<&'a str>,
    pub job: Vec<&'a str>,
    pub frame: Vec<&'a str>,
    pub cores: Vec<i64>,
    pub memory: Vec<i64>,
    pub gpus: Vec<i32>,
    pub gpu_memory: Vec<i64>,
}

/// Kinds of [`ResourceRow`].
pub mod kind {
    /// A host: `other` its allocation, `open` whether it may be booked, a–d idle cores, memory, GPUs, GPU memory.
    pub const HOST: i32 = 1;
    /// A subscription: `key` the allocation, a cores, b burst, c GPUs.
    pub const SUBSCRIPTION: i32 = 2;
    /// A job: `other` its folder, `third` its department, a cores, b maximum, c GPUs, d maximum.
    pub const JOB: i32 = 4;
    /// A folder: a cores, b maximum, c GPUs, d maximum.
    pub const FOLDER: i32 = 5;
    /// A department's row: only its existence.
    pub const POINT: i32 = 6;
}

/// A row that the transaction holds, with its values under the lock.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "see `kind`")]
pub struct ResourceRow {
    pub kind: i32,
    pub key: String,
    pub other: Option<String>,
    pub open: bool,
    pub a: i64,
    pub b: i64,
    pub c: i64,
    pub d: i64,
    pub third: Option<String>,
}

/// Keys with two amounts, cores and GPUs, as parallel columns.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "parallel columns")]
pub struct CounterColumns<'a> {
    pub key: Vec<&'a str>,
    pub cores: Vec<i64>,
    pub gpus: Vec<i32>,
}

impl<'a> CounterColumns<'a> {
    /// Adds an entry.
    pub fn push(&mut self, key: &'a str, cores: i64, gpus: i64) {
        self.key.push(key);
        self.cores.push(cores);
        self.gpus.push(saturate(gpus));
    }

    pub(super) fn small_cores(&self) -> Vec<i32> {
        self.cores.iter().map(|cores| saturate(*cores)).collect()
    }
}

/// What the booking takes and counts.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "named as the tables")]
pub struct ApplyColumns<'a> {
    pub host: Vec<&'a str>,
    pub host_cores: Vec<i64>,
    pub host_memory: Vec<i64>,
    pub host_gpus: Vec<i64>,
    pub host_gpu_memory: Vec<i64>,
    pub subscriptions: CounterColumns<'a>,
    pub layers: CounterColumns<'a>,
    pub jobs: CounterColumns<'a>,
    pub folders: CounterColumns<'a>,
    pub points: CounterColumns<'a>,
}

impl ApplyColumns<'_> {
    /// Binds the 21 columns that booking and undo share.
    pub(super) fn bind_to<'q>(
        &'q self,
        query: sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>,
        show: &'q str,
    ) -> sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments> {
        query
            .bind(&self.host)
            .bind(&self.host_cores)
            .bind(&self.host_memory)
            .bind(&self.host_gpus)
            .bind(&self.host_gpu_memory)
            .bind(show)
            .bind(&self.subscriptions.key)
            .bind(self.subscriptions.small_cores())
            .bind(&self.subscriptions.gpus)
            .bind(&self.layers.key)
            .bind(&self.layers.cores)
            .bind(&self.layers.gpus)
            .bind(&self.jobs.key)
            .bind(&self.jobs.cores)
            .bind(&self.jobs.gpus)
            .bind(&self.folders.key)
            .bind(self.folders.small_cores())
            .bind(&self.folders.gpus)
            .bind(&self.points.key)
            .bind(self.points.small_cores())
            .bind(&self.points.gpus)
    }
}

/// For 32-bit columns: a value that does not fit is one that the column could never have held.
pub fn saturate(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// Adds to `sum` how long something took.
async fn timed<T>(sum: &mut Duration, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    *sum += began.elapsed();
    done
}

/// An open booking transaction. Dropped without a commit, it is rolled back.
pub struct BookingTx {
    tx: Transaction,
    schema: Schema,
    waited: Duration,
}

impl Store {
    /// Begins a booking transaction, or the undoing of one.
    pub async fn begin(&self) -> Result<BookingTx, StoreError> {
        let tx = self.bookings.begin(BEGIN).await.map_err(StoreError::during("beginning a transaction"))?;
        Ok(BookingTx { tx, schema: self.schema.clone(), waited: Duration::ZERO })
    }

    /// After a commit whose answer was lost: which of these procs exist.
    pub async fn existing_procs(&self, procs: &[&str]) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(sql!("booking/committed"))
            .bind(procs)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("asking which procs were committed"))
    }
}

impl BookingTx {
    /// How long the statements took so far that take locks others may hold, their round trips included. The claim is not among
    /// them: it skips what is locked.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Locks the first free frames of each layer's window.
    pub async fn claim(
        &mut self,
        candidate_layer: &[i32],
        candidate: &[&str],
        layer: &[i32],
        wanted: &[i32],
    ) -> Result<Vec<ClaimedRow>, StoreError> {
        sqlx::query_as(sql!("booking/claim"))
            .bind(candidate_layer)
            .bind(candidate)
            .bind(layer)
            .bind(wanted)
            .fetch_all(&mut self.tx)
            .await
            .map_err(StoreError::during("claiming frames"))
    }

    /// Takes the advisory locks of limits and then reads what runs under them: (limit, maximum, running frames, whether it
    /// counts hosts instead).
    pub async fn lock_limits(&mut self, limits: &[&str]) -> Result<Vec<(String, Option<i64>, i64, bool)>, StoreError> {
        let lock = sqlx::query(sql!("booking/lock_limits")).bind(LIMIT_LOCK_CLASS).bind(limits);
        timed(&mut self.waited, lock.execute(&mut self.tx)).await.map_err(StoreError::during("locking limits"))?;
        sqlx::query_as(sql!("booking/running_under_limits"))
            .bind(limits)
            .fetch_all(&mut self.tx)
            .await
            .map_err(StoreError::during("counting frames under limits"))
    }

    /// The hosts on which frames run under limits, after their locks: (limit, host).
    pub async fn hosts_under_limits(&mut self, limits: &[&str]) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query_as(sql!("work/hosts_under_limits"))
            .bind(limits)
            .fetch_all(&mut self.tx)
            .await
            .map_err(StoreError::during("reading the hosts under limits"))
    }

    /// Locks the rows that the frame triggers will write.
    pub async fn lock_stats(&mut self, layers: &[&str], jobs: &[&str]) -> Result<(), StoreError> {
        let lock = sqlx::query(sql!("booking/lock_stats")).bind(layers).bind(jobs);
        timed(&mut self.waited, lock.execute(&mut self.tx))
            .await
            .map_err(StoreError::during("locking frame counts"))?;
        Ok(())
    }

    /// Starts frames; answers those started with their new version. A start after one of the `uncounted` exit statuses is no
    /// retry.
    pub async fn start_frames(
        &mut self,
        frames: &StartColumns<'_>,
        uncounted: &[i64],
    ) -> Result<Vec<(String, i32)>, StoreError> {
        sqlx::query_as(self.schema.fit(sql!("booking/start_frames")))
            .bind(&frames.frame)
            .bind(&frames.version)
            .bind(&frames.host)
            .bind(&frames.cores)
            .bind(&frames.memory)
            .bind(&frames.gpus)
            .bind(&frames.gpu_memory)
            .bind([&NO_RETRY, uncounted].concat())
            .fetch_all(&mut self.tx)
            .await
            .map_err(StoreError::during("starting frames"))
    }

    /// Why frames were not started: (frame, cause).
    pub async fn why_not_started(&mut self, frames: &[&str]) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query_as(self.schema.fit(sql!("booking/why_not_started")))
            .bind(frames)
            .fetch_all(&mut self.tx)
            .await
            .map_err(StoreError::during("asking why frames were not started"))
    }

    /// Inserts procs; answers those inserted.
    pub async fn insert_procs(
        &mut self,
        show: &str,
        procs: &ProcColumns<'_>,
        memory_used: i64,
    ) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(sql!("booking/insert_procs"))
            .bind(&procs.proc)
            .bind(&procs.host)
            .bind(show)
            .bind(&procs.layer)
            .bind(&procs.job)
            .bind(&procs.frame)
            .bind(&procs.cores)
            .bind(&procs.memory)
            .bind(&procs.gpus)
            .bind(&procs.gpu_memory)
            .bind(memory_used)
            .fetch_all(&mut self.tx)
            .await
            .map_err(StoreError::during("inserting procs"))
    }

    /// Locks hosts and counters in Cuebot's order and answers their values.
    pub async fn lock_resources(
        &mut self,
        hosts: &[&str],
        show: &str,
        layers: &[&str],
        jobs: &[&str],
    ) -> Result<Vec<ResourceRow>, StoreError> {
        let lock = sqlx::query_as(sql!("booking/lock_resources")).bind(hosts).bind(show).bind(layers).bind(jobs);
        timed(&mut self.waited, lock.fetch_all(&mut self.tx))
            .await
            .map_err(StoreError::during("locking hosts and counters"))
    }

    /// What the procs of jobs hold, this transaction's own included.
    pub async fn booked_by_jobs(&mut self, jobs: &[&str]) -> Result<Vec<BookedRow>, StoreError> {
        self.booked(sqlx::query_as(sql!("work/booked_by_job")).bind(jobs)).await
    }

    /// What the procs of folders hold, this transaction's own included.
    pub async fn booked_by_folders(&mut self, folders: &[&str]) -> Result<Vec<BookedRow>, StoreError> {
        self.booked(sqlx::query_as(sql!("work/booked_by_folder")).bind(folders)).await
    }

    /// What the procs of a show hold on an allocation's hosts, this transaction's own included.
    pub async fn booked_by_subscription(&mut self, show: &str, alloc: &str) -> Result<Vec<BookedRow>, StoreError> {
        let shows = vec![show.to_owned()];
        self.booked(sqlx::query_as(sql!("work/booked_by_show")).bind(shows).bind(alloc.to_owned())).await
    }

    async fn booked(
        &mut self,
        query: sqlx::query::QueryAs<'_, Postgres, BookedRow, sqlx::postgres::PgArguments>,
    ) -> Result<Vec<BookedRow>, StoreError> {
        query.fetch_all(&mut self.tx).await.map_err(StoreError::during("summing procs under a lock"))
    }

    /// Takes the resources and counts them.
    pub async fn apply(&mut self, show: &str, taken: &ApplyColumns<'_>) -> Result<(), StoreError> {
        taken
            .bind_to(sqlx::query(sql!("booking/apply")), show)
            .execute(&mut self.tx)
            .await
            .map_err(StoreError::during("taking host resources"))?;
        Ok(())
    }

    /// Takes what is booked off the free memory that hosts have reported.
    pub async fn take_reported_memory(&mut self, taken: &ApplyColumns<'_>) -> Result<(), StoreError> {
        sqlx::query(sql!("booking/reported_memory"))
            .bind(&taken.host)
            .bind(&taken.host_memory)
            .bind(&taken.host_gpu_memory)
            .execute(&mut self.tx)
            .await
            .map_err(StoreError::during("taking reported memory"))?;
        Ok(())
    }

    /// Commits. An error that [`StoreError::is_unanswered`] leaves the outcome unknown.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.map_err(StoreError::during("committing"))
    }

    /// Takes everything back.
    pub async fn roll_back(self) -> Result<(), StoreError> {
        self.tx.roll_back().await.map_err(StoreError::during("rolling back"))
    }

    pub(super) fn executor(&mut self) -> &mut Transaction {
        &mut self.tx
    }
}
