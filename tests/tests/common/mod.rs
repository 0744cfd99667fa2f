//! What the tests of this folder share.

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// A database of the test's own.
pub async fn database() -> PgPool {
    // temporary
    let admin = PgPoolOptions::new().connect("postgres://postgres@127.0.0.1:55432/postgres").await.unwrap();
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE t"))).execute(&admin).await.unwrap();
    PgPoolOptions::new()
        .max_connections(10)
        .connect(&format!("postgres://postgres@127.0.0.1:55432/{name}"))
        .await
        .unwrap()
}
