//! The statement that finds what another replica left behind.

use std::time::Duration;

use cue_scheduler_core::cluster::PoolId;
use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb, Resources};
use cue_scheduler_core::launch::Hold;

use super::{Store, StoreError, sql};

/// Most procs that are found at a time; what is beyond is found the next time.
const PROCS_MAX: i64 = 2000;

#[derive(sqlx::FromRow)]
struct LeftRow {
    pk_proc: String,
    pk_frame: String,
    int_version: i32,
    pk_host: String,
    host_name: String,
    show_name: String,
    int_cores_reserved: i64,
    int_mem_reserved: i64,
    int_gpus_reserved: i32,
    int_gpu_mem_reserved: i64,
}

impl From<LeftRow> for Hold {
    fn from(row: LeftRow) -> Self {
        Self {
            proc: row.pk_proc.into(),
            frame: row.pk_frame.into(),
            frame_version: row.int_version,
            host: row.pk_host.into(),
            host_name: row.host_name.into(),
            show_name: row.show_name.into(),
            size: Resources {
                cores: Centicores(row.int_cores_reserved),
                memory: Kb(row.int_mem_reserved),
                gpus: Gpus(row.int_gpus_reserved.into()),
                gpu_memory: Kb(row.int_gpu_mem_reserved),
            },
        }
    }
}

impl Store {
    /// Procs of managed shows on the hosts of these pools that were booked at least so long ago and that no report has named.
    pub async fn left_behind(&self, pools: &[PoolId], older_than: Duration) -> Result<Vec<Hold>, StoreError> {
        let allocs: Vec<&str> = pools.iter().map(|pool| pool.alloc.as_str()).collect();
        let slices: Vec<i32> = pools.iter().map(|pool| pool.slice.of.into()).collect();
        let slice: Vec<i32> = pools.iter().map(|pool| pool.slice.at.into()).collect();
        let rows: Vec<LeftRow> = sqlx::query_as(sql!("takeover/left_behind"))
            .bind(allocs)
            .bind(slices)
            .bind(slice)
            .bind(older_than.as_secs_f64())
            .bind(PROCS_MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("looking for procs that were left behind"))?;
        Ok(rows.into_iter().map(Hold::from).collect())
    }
}
