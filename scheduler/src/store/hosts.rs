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

impl HostRow {
    fn into_host(self, texts: &mut Texts) -> Host {
        Host {
            id: HostId::from(self.pk_host),
            name: self.str_name.into(),
            os: texts.shared(self.str_os),
            tags: Vec::new(),
            thread_mode: ThreadMode::from_column(self.int_thread_mode),
            total: Resources {
                cores: Centicores(self.int_cores),
                memory: Kb(self.int_mem_total),
                gpus: Gpus(self.int_gpus),
                gpu_memory: Kb(self.int_gpu_mem),
            },
            idle: Resources {
                cores: Centicores(self.int_cores_idle.min(left_by_load(self.int_cores, self.int_load))),
                memory: Kb(self.mem_idle),
                gpus: Gpus(self.int_gpus_idle),
                gpu_memory: Kb(self.gpu_mem_idle),
            },
        }
    }
}

/// Many hosts share few texts: one copy of each is enough.
#[derive(Default)]
struct Texts(HashMap<String, Arc<str>>);

impl Texts {
    fn shared(&mut self, text: String) -> Arc<str> {
        self.0.entry(text).or_insert_with_key(|text| Arc::from(text.as_str())).clone()
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
        let mut systems = Texts::default();
        Ok(rows.into_iter().map(|row| row.into_host(&mut systems)).collect())
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
        let mut names = Texts::default();
        for (host, tag, kind) in rows {
            let Some(kind) = TagKind::from_column(&kind) else {
                continue;
            };
            let name = names.shared(tag);
            tags.entry(HostId::from(host)).or_default().push(HostTag { name, kind });
        }
        Ok(tags)
    }
}
