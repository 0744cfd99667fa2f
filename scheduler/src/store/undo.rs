//! The statements that undo bookings whose launch certainly failed, one method each.

use super::booking::{ApplyColumns, BookingTx};
use super::{Store, StoreError, sql};

/// A proc that was deleted, with what it held.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "named as the columns")]
pub struct DeletedProc {
    pub pk_proc: String,
    pub pk_frame: String,
    pub pk_host: String,
    pub pk_show: String,
    pub pk_layer: String,
    pub pk_job: String,
    pub int_cores_reserved: i64,
    pub int_mem_reserved: i64,
    pub int_gpus_reserved: i32,
    pub int_gpu_mem_reserved: i64,
}

/// A frame that is locked to be undone.
#[derive(Debug, sqlx::FromRow)]
#[allow(missing_docs, reason = "named as the columns")]
pub struct LockedFrame {
    pub pk_frame: String,
    pub pk_layer: String,
    pub pk_job: String,
}

impl Store {
    /// Which of the bookings still stand: (proc, frame, version after its start) in, procs out.
    pub async fn still_held(
        &self,
        procs: &[&str],
        frames: &[&str],
        versions: &[i32],
    ) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(sql!("undo/still_held"))
            .bind(procs)
            .bind(frames)
            .bind(versions)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::during("asking which bookings stand"))
    }
}

impl BookingTx {
    /// Locks the frames that still run under our start; answers them.
    pub async fn lock_started(
        &mut self,
        frames: &[&str],
        versions: &[i32],
        procs: &[&str],
    ) -> Result<Vec<LockedFrame>, StoreError> {
        sqlx::query_as(sql!("undo/lock_frames"))
            .bind(frames)
            .bind(versions)
            .bind(procs)
            .fetch_all(self.executor())
            .await
            .map_err(StoreError::during("locking frames to undo"))
    }

    /// Deletes procs that still hold these frames; answers what they held.
    pub async fn delete_procs(&mut self, procs: &[&str], frames: &[&str]) -> Result<Vec<DeletedProc>, StoreError> {
        sqlx::query_as(sql!("undo/delete_procs"))
            .bind(procs)
            .bind(frames)
            .fetch_all(self.executor())
            .await
            .map_err(StoreError::during("deleting procs"))
    }

    /// Sets frames back to WAITING; answers those it did.
    pub async fn clear_frames(&mut self, frames: &[&str], versions: &[i32]) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(sql!("undo/clear_frames"))
            .bind(frames)
            .bind(versions)
            .fetch_all(self.executor())
            .await
            .map_err(StoreError::during("clearing frames"))
    }

    /// Gives hosts and counters back what the procs of a show held; the amounts are positive.
    pub async fn give_back(&mut self, show: &str, held: &ApplyColumns<'_>) -> Result<(), StoreError> {
        held.bind_to(sqlx::query(sql!("undo/give_back")), show)
            .execute(self.executor())
            .await
            .map_err(StoreError::during("giving back host resources"))?;
        Ok(())
    }
}
