//! Reads of waiting work: layers with what they may take, limits, true sums, windows of frames, launch sources.

use cue_scheduler_core::domain::id::{AllocId, FacilityId};

use super::{Store, StoreError, sql};

/// A layer with waiting frames, and the counters and caps that hold it back; amounts in the database's units.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
pub struct LayerRow {
    pub pk_layer: String,
    pub layer_name: String,
    pub int_dispatch_order: i64,
    pub int_cores_min: i64,
    pub int_cores_max: i32,
    pub b_threadable: bool,
    pub int_mem_min: i64,
    pub int_gpus_min: i64,
    pub int_gpu_mem_min: i64,
    pub str_tags: String,
    pub str_services: String,
    pub int_waiting_count: i64,
    pub pk_job: String,
    pub job_name: String,
    pub job_started: f64,
    pub str_os: Option<String>,
    pub int_priority: i32,
    pub job_max_cores: i32,
    pub job_cores: i64,
    pub job_max_gpus: i32,
    pub job_gpus: i32,
    pub pk_folder: String,
    pub folder_max_cores: i32,
    pub folder_cores: i32,
    pub folder_max_gpus: i32,
    pub folder_gpus: i32,
    pub pk_show: String,
    pub show_name: String,
    pub int_burst: i64,
    pub subscription_cores: i32,
}

/// A limit of a layer.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
pub struct LimitRow {
    pub pk_layer: String,
    pub pk_limit_record: String,
    pub limit_name: String,
    pub max_value: Option<i64>,
    pub running: i64,
    pub b_host_limit: bool,
}

/// What the procs of a job, folder or show really hold: centicores and GPUs.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
pub struct BookedRow {
    pub key: String,
    pub cores: i64,
    pub gpus: i64,
}

/// Whose procs to sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Jobs.
    Job,
    /// Folders, by the folder a job is in now.
    Folder,
    /// Shows, on one allocation's hosts.
    Subscription,
}

/// A waiting frame.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
pub struct WindowRow {
    pub pk_layer: String,
    pub pk_frame: String,
    pub str_name: String,
    pub int_version: Option<i32>,
    pub waited: Option<f64>,
}

/// What a `RunFrame` is built from.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
pub struct LaunchSourceRow {
    pub pk_layer: String,
    pub layer_name: String,
    pub str_cmd: String,
    pub str_range: String,
    pub int_chunk_size: i64,
    pub b_threadable: bool,
    pub int_mem_min: i64,
    pub str_services: String,
    pub pk_job: String,
    pub job_name: String,
    pub str_show: String,
    pub str_shot: String,
    pub str_user: String,
    pub int_uid: Option<i64>,
    pub str_log_dir: String,
    pub str_loki_url: Option<String>,
}

/// A variable of a job's or a layer's environment.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
pub struct EnvironmentRow {
    pub pk_layer: String,
    pub of_layer: bool,
    pub str_key: Option<String>,
    pub str_value: Option<String>,
}

impl Store {
    /// The layers with waiting frames that could run in a pool.
    pub async fn layers(&self, facility: &FacilityId, alloc: &AllocId) -> Result<Vec<LayerRow>, StoreError> {
        sqlx::query_as(self.schema.fit(sql!("work/layers")))
            .bind(facility.as_str())
            .bind(alloc.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the waiting layers"))
    }

    /// The limits of layers.
    pub async fn limits(&self, layers: &[&str]) -> Result<Vec<LimitRow>, StoreError> {
        sqlx::query_as(sql!("work/limits"))
            .bind(layers)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the limits"))
    }

    /// The hosts on which frames run under limits: (limit, host).
    pub async fn hosts_under_limits(&self, limits: &[&str]) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query_as(sql!("work/hosts_under_limits"))
            .bind(limits)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the hosts under limits"))
    }

    /// What procs really hold; a key without procs has no row. `alloc` matters for subscriptions only.
    pub async fn booked(&self, holder: Holder, keys: &[&str], alloc: &AllocId) -> Result<Vec<BookedRow>, StoreError> {
        let query = match holder {
            Holder::Job => sqlx::query_as(sql!("work/booked_by_job")).bind(keys),
            Holder::Folder => sqlx::query_as(sql!("work/booked_by_folder")).bind(keys),
            Holder::Subscription => sqlx::query_as(sql!("work/booked_by_show")).bind(keys).bind(alloc.as_str()),
        };
        query.fetch_all(&self.pool).await.map_err(StoreError::during("summing procs"))
    }

    /// The next waiting frames of layers, at most `wanted` of each, in dispatch order.
    pub async fn windows(&self, layers: &[&str], wanted: &[i32]) -> Result<Vec<WindowRow>, StoreError> {
        sqlx::query_as(sql!("work/window"))
            .bind(layers)
            .bind(wanted)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading waiting frames"))
    }

    /// What the `RunFrames` of layers are built from.
    pub async fn launch_sources(&self, layers: &[&str]) -> Result<Vec<LaunchSourceRow>, StoreError> {
        sqlx::query_as(sql!("work/launch_sources"))
            .bind(layers)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading what frames are launched with"))
    }

    /// The environments of layers.
    pub async fn environments(&self, layers: &[&str]) -> Result<Vec<EnvironmentRow>, StoreError> {
        sqlx::query_as(sql!("work/environments"))
            .bind(layers)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading environments"))
    }
}
