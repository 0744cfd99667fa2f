//! What the tests of this folder share.

use sqlx::PgPool;
use testbed::postgres::{Database, Server};

/// A database of the test's own, on the server that all tests of the process share.
pub async fn new_database() -> Database {
    Server::shared().await.unwrap().database().await.unwrap()
}

/// Connections to a database of the test's own.
pub async fn database() -> PgPool {
    new_database().await.pool().await.unwrap()
}
