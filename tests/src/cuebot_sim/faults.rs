//! Things done wrong on purpose, to show that the tests would see them.
//!
//! The order of a release is chosen by [`super::ReleaseOrder`]. Here is the other one: a reconcile of counters in one statement.

use sqlx::PgPool;

/// Sets the counters of all jobs and folders to the sum of their procs, each table in **one** statement. A booking that commits
/// while the statement waits for its row is lost: the right way locks the row first and sums in a new statement.
pub async fn reconcile_in_one_statement(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    for query in [
        include_str!("queries/faults/reconcile_job_resource.sql"),
        include_str!("queries/faults/restore_job_maximum.sql"),
        include_str!("queries/faults/reconcile_folder_resource.sql"),
    ] {
        sqlx::query(query).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
