//! Reads of a pool's hosts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb, Resources};
use cue_scheduler_core::domain::id::{AllocId, HostId};
use cue_scheduler_core::domain::request::ThreadMode;
use cue_scheduler_core::domain::tag::{HostTag, TagKind};
use cue_scheduler_core::slicing::Slice;
use cue_scheduler_core::snapshot::Host;

use super::{Store, StoreError, sql};

/// Longer than this is for ever; an interval that PostgreSQL can't subtract from now would fail every pool.
const STALENESS_MAX: Duration = Duration::from_hours(24 * 365 * 100);

#[derive(sqlx::FromRow)]
struct HostRow {
    pk_host: String,
    str_name: String,
    str_os: String,
    int_thread_mode: i32,
    int_cores: i64,
    int_cores_idle: i64,
    int_load: i64,
    int_mem_total: i64,
    mem_idle: i64,
    int_gpus: i64,
    int_gpus_idle: i64,
    int_gpu_mem: i64,
    gpu_mem_idle: i64,
}

impl From<HostRow> for Host {
    fn from(row: HostRow) -> Self {
        Self {
            id: HostId::from(row.pk_host),
            name: row.str_name.into(),
            os: row.str_os.into(),
            tags: Vec::new(),
            thread_mode: ThreadMode::from_column(row.int_thread_mode),
            total: Resources {
                cores: Centicores(row.int_cores),
                memory: Kb(row.int_mem_total),
                gpus: Gpus(row.int_gpus),
                gpu_memory: Kb(row.int_gpu_mem),
            },
            idle: Resources {
                cores: Centicores(row.int_cores_idle.min(left_by_load(row.int_cores, row.int_load))),
                memory: Kb(row.mem_idle),
                gpus: Gpus(row.int_gpus_idle),
                gpu_memory: Kb(row.gpu_mem_idle),
            },
        }
    }
}

/// Centicores that a host's load leaves, as Cuebot counts: five processes in a hundred cores are let pass.
fn left_by_load(cores: i64, load: i64) -> i64 {
    cores.saturating_add(5 * (cores / 100)).saturating_sub(load)
}

impl Store {
    /// The bookable hosts of an allocation's slice, without their tags; with `idle_only` just those with an idle core.
    pub async fn hosts(
        &self,
        alloc: &AllocId,
        slice: Slice,
        staleness: Duration,
        idle_only: bool,
    ) -> Result<Vec<Host>, StoreError> {
        let rows: Vec<HostRow> = sqlx::query_as(sql!("hosts/pool"))
            .bind(alloc.as_str())
            .bind(staleness.min(STALENESS_MAX).as_secs_f64())
            .bind(idle_only)
            .bind(i32::from(slice.of))
            .bind(i32::from(slice.at))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the hosts of a pool"))?;
        Ok(rows.into_iter().map(Host::from).collect())
    }

    /// The tags of the hosts of an allocation's slice; kinds that nobody schedules by are left out.
    pub async fn host_tags(&self, alloc: &AllocId, slice: Slice) -> Result<HashMap<HostId, Vec<HostTag>>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(sql!("hosts/tags"))
            .bind(alloc.as_str())
            .bind(i32::from(slice.of))
            .bind(i32::from(slice.at))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the tags of a pool's hosts"))?;
        let mut tags: HashMap<HostId, Vec<HostTag>> = HashMap::new();
        // Many hosts share few tags: one copy of each text is enough.
        let mut names: HashMap<String, Arc<str>> = HashMap::new();
        for (host, tag, kind) in rows {
            let Some(kind) = TagKind::from_column(&kind) else {
                continue;
            };
            let name = names.entry(tag).or_insert_with_key(|tag| Arc::from(tag.as_str())).clone();
            tags.entry(HostId::from(host)).or_default().push(HostTag { name, kind });
        }
        Ok(tags)
    }
}
