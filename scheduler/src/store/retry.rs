//! The wait between two tries of a transaction that met others.

use std::time::Duration;

use rand::RngExt as _;

/// A random pause, longer after each retry, so that those who met once don't meet again.
pub async fn pause(retries: u32) {
    let millis = rand::rng().random_range(5..=40_u64 << retries.min(3));
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
