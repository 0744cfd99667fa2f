//! Transactions that lost against another are begun anew, and counted.

use std::time::Duration;

use super::counts::Counts;

/// `deadlock_detected`
const DEADLOCK: &str = "40P01";
/// Deadlock, `serialization_failure`, `lock_not_available`: the same transaction may succeed the next time.
const AGAIN: [&str; 3] = [DEADLOCK, "40001", "55P03"];

/// Enough for a load test with a fault switched on; an error that stays is not hidden for long.
const ATTEMPTS_MAX: u32 = 30;

/// The tries of one transaction.
pub(super) struct Retry<'a> {
    counts: &'a Counts,
    attempts: u32,
}

impl<'a> Retry<'a> {
    pub fn new(counts: &'a Counts) -> Self {
        Self { counts, attempts: 0 }
    }

    /// Waits a little, by chance, so that two that met don't meet again; or gives the error back when another try is of no use.
    pub async fn again(&mut self, error: sqlx::Error) -> Result<(), sqlx::Error> {
        note_deadlock(self.counts, &error);
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX || !AGAIN.iter().any(|code| has_code(&error, code)) {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..=20))).await;
        Ok(())
    }
}

/// Counts the error if it is a deadlock of ours.
pub(super) fn note_deadlock(counts: &Counts, error: &sqlx::Error) {
    if has_code(error, DEADLOCK) {
        counts.deadlocks.one();
    }
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|found| found == code)
}
