//! The harness itself: a server is found both ways, and gives everyone a database of their own.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

mod common;

use testbed::postgres::{Options, Server, binaries};

#[tokio::test]
async fn a_server_from_the_python_package_carries_the_whole_schema() {
    let binaries = binaries::from_wheel().unwrap();
    let server = Server::start(Options { binaries: Some(binaries), ..Options::default() }).await.unwrap();
    let pool = server.database().await.unwrap().pool().await.unwrap();
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(tables, 48);
}

#[tokio::test]
async fn databases_do_not_see_each_others_rows() {
    let (one, other) = (common::database().await, common::database().await);
    sqlx::query("INSERT INTO dept (pk_dept, str_name) VALUES ('d', 'here')").execute(&one).await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM dept").fetch_one(&other).await.unwrap();
    assert_eq!(rows, 0);
}
