//! Releases: a proc goes, and what it held comes back, in one transaction.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sqlx::{FromRow, PgConnection};

use super::config::{Generation, ReleaseOrder};
use super::retry::Retry;
use super::{Cuebot, lock};

/// A proc as it was when its report came in.
#[derive(Clone, Debug)]
pub(super) struct LoadedProc {
    pub id: String,
    /// The allocation that its counters were taken from, as far as anyone knew at that time.
    pub alloc: String,
}

/// What a deleted proc held, as its row said at that moment.
#[derive(FromRow)]
struct Held {
    pk_host: String,
    pk_show: Option<String>,
    pk_job: Option<String>,
    pk_layer: Option<String>,
    b_local: bool,
    cores: i64,
    memory: i64,
    gpus: i32,
    gpu_memory: i64,
}

/// Releases it. `false`: it was gone already, and nothing happened.
pub(super) async fn release(cuebot: &Cuebot, proc: &LoadedProc) -> Result<bool, sqlx::Error> {
    let mut retry = Retry::new(&cuebot.counts);
    loop {
        match release_once(cuebot, proc).await {
            Ok(released) => return Ok(released),
            Err(error) => retry.again(error).await?,
        }
    }
}

async fn release_once(cuebot: &Cuebot, proc: &LoadedProc) -> Result<bool, sqlx::Error> {
    let mut transaction = cuebot.pool.begin().await?;
    let held: Option<Held> = sqlx::query_as(include_str!("queries/release/proc.sql"))
        .bind(&proc.id)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(held) = held else { return Ok(false) };
    let managed = match &held.pk_show {
        Some(show) => cuebot.flags.managed(&mut transaction, show).await?,
        None => false,
    };
    let announce = managed && !held.b_local && *lock(&cuebot.generation) == Generation::B1;
    let mut notified = false;
    if cuebot.config.release_order == ReleaseOrder::HostFirst {
        give_back_host(&mut transaction, &held).await?;
    }
    if !announce {
        give_back_counters(&mut transaction, &held, &proc.alloc).await?;
    } else if cuebot.config.notify {
        notify(&mut transaction, &held, &proc.alloc).await?;
        notified = true;
    }
    if cuebot.config.release_order == ReleaseOrder::CountersFirst {
        give_back_host(&mut transaction, &held).await?;
    }
    transaction.commit().await?;
    cuebot.counts.releases.one();
    if notified {
        cuebot.counts.notifications.one();
    }
    Ok(true)
}

async fn give_back_host(connection: &mut PgConnection, held: &Held) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("queries/release/host.sql"))
        .bind(&held.pk_host)
        .bind(held.cores)
        .bind(held.memory)
        .bind(i64::from(held.gpus))
        .bind(held.gpu_memory)
        .execute(connection)
        .await?;
    Ok(())
}

async fn give_back_counters(connection: &mut PgConnection, held: &Held, alloc: &str) -> Result<(), sqlx::Error> {
    if !held.b_local {
        sqlx::query(include_str!("queries/release/subscription.sql"))
            .bind(&held.pk_show)
            .bind(alloc)
            .bind(held.cores)
            .bind(held.gpus)
            .execute(&mut *connection)
            .await?;
    }
    let by_job: &[&'static str] = if held.b_local {
        &[include_str!("queries/release/job_resource_local.sql")]
    } else {
        &[
            include_str!("queries/release/job_resource.sql"),
            include_str!("queries/release/folder_resource.sql"),
            include_str!("queries/release/point.sql"),
        ]
    };
    let steps = std::iter::once((include_str!("queries/release/layer_resource.sql"), &held.pk_layer))
        .chain(by_job.iter().map(|query| (*query, &held.pk_job)));
    for (query, key) in steps {
        sqlx::query(query).bind(key).bind(held.cores).bind(held.gpus).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn notify(connection: &mut PgConnection, held: &Held, alloc: &str) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("queries/release/notify.sql"))
        .bind(&held.pk_show)
        .bind(alloc)
        .bind(&held.pk_job)
        .bind(&held.pk_layer)
        .bind(held.cores)
        .bind(held.gpus)
        .execute(connection)
        .await?;
    Ok(())
}

/// The managed flags of shows, remembered for a while: a Cuebot learns late that a flag was switched.
pub(super) struct ManagedFlags {
    keep: Duration,
    /// Never held over an await.
    seen: Mutex<HashMap<String, (bool, Instant)>>,
}

impl ManagedFlags {
    pub fn new(keep: Duration) -> Self {
        Self { keep, seen: Mutex::default() }
    }

    async fn managed(&self, connection: &mut PgConnection, show: &str) -> Result<bool, sqlx::Error> {
        let known = lock(&self.seen).get(show).copied();
        if let Some((managed, at)) = known
            && at.elapsed() < self.keep
        {
            return Ok(managed);
        }
        let managed = sqlx::query_scalar(include_str!("queries/release/managed.sql"))
            .bind(show)
            .fetch_optional(connection)
            .await?
            .unwrap_or(false);
        lock(&self.seen).insert(show.to_owned(), (managed, Instant::now()));
        Ok(managed)
    }
}
