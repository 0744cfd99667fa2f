//! Reads of `explain`: a job, its layers, what they wait for, and hosts that may not be booked.

use std::time::Duration;

use cue_scheduler_core::domain::id::{AllocId, JobId};

use super::{Store, StoreError, sql};

/// A job that a person may mean.
#[derive(Clone, Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
#[allow(clippy::struct_excessive_bools, reason = "so has the schema")]
pub struct JobRow {
    pub pk_job: String,
    pub job_name: String,
    pub str_state: String,
    pub b_paused: bool,
    pub str_os: Option<String>,
    pub int_priority: Option<i32>,
    pub pk_facility: String,
    pub facility_name: String,
    pub pk_show: String,
    pub show_name: String,
    pub b_active: bool,
    pub b_scheduler_managed: bool,
    pub folder_name: String,
    /// It was named by its id or its whole name.
    pub exact: bool,
}

/// A layer with its frames by state.
#[derive(Clone, Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
pub struct JobLayerRow {
    pub pk_layer: String,
    pub str_name: String,
    pub str_tags: String,
    /// Seconds; 0 when it may start, `None` when it has no time.
    pub starts_in: Option<f64>,
    pub start_after: Option<String>,
    pub int_total_count: i64,
    pub int_waiting_count: i64,
    pub int_running_count: i64,
    pub int_depend_count: i64,
    pub int_succeeded_count: i64,
    pub int_dead_count: i64,
    pub int_eaten_count: i64,
    pub int_checkpoint_count: i64,
}

/// An active dependency of a job. Names are missing where the other side was deleted.
#[derive(Clone, Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "the columns are told in the statement and in the schema")]
pub struct DependRow {
    /// The layer that waits; `None` for the whole job.
    pub layer: Option<String>,
    /// All dependencies of the job, those not in the answer included.
    pub total: i64,
    pub on_job: Option<String>,
    /// It waits for something of its own job.
    pub inside: bool,
    pub on_layer: Option<String>,
    pub on_frame: Option<String>,
    pub left_over: Option<i64>,
}

impl Store {
    /// The jobs with this id, this name, or a name that begins so; the best first, at most twenty.
    pub async fn jobs_like(&self, text: &str) -> Result<Vec<JobRow>, StoreError> {
        sqlx::query_as(sql!("explain/jobs"))
            .bind(text)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("looking for the job"))
    }

    /// The names of jobs that are not finished.
    pub async fn job_names(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(sql!("explain/job_names"))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the names of jobs"))
    }

    /// The layers of a job, in their order.
    pub async fn layers_of(&self, job: &JobId) -> Result<Vec<JobLayerRow>, StoreError> {
        sqlx::query_as(self.schema.fit(sql!("explain/layers")))
            .bind(job.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the layers of the job"))
    }

    /// What the frames of a job wait for.
    pub async fn depends_of(&self, job: &JobId) -> Result<Vec<DependRow>, StoreError> {
        sqlx::query_as(sql!("explain/depends"))
            .bind(job.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("reading the dependencies of the job"))
    }

    /// How many hosts with these tags may not be booked, by cause.
    pub async fn hosts_away(
        &self,
        alloc: &AllocId,
        tags: &[&str],
        staleness: Duration,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        sqlx::query_as(sql!("explain/hosts_away"))
            .bind(alloc.as_str())
            .bind(tags)
            .bind(staleness.as_secs_f64())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("counting the hosts that may not be booked"))
    }
}
