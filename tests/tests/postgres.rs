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

#[tokio::test]
async fn a_folder_of_migrations_takes_the_place_of_our_schema() {
    let base = tempfile::tempdir().unwrap();
    let migrations = base.path().join("migrations");
    std::fs::create_dir(&migrations).unwrap();
    let write = |path: &str, sql: &str| std::fs::write(base.path().join(path), sql).unwrap();
    write("migrations/V1__first.sql", "CREATE TABLE dept (pk_dept text PRIMARY KEY, str_name text);");
    write(
        "migrations/V2__rows.sql",
        "INSERT INTO dept VALUES ('a', 'migrated'); INSERT INTO dept VALUES ('b', 'migrated');",
    );
    write("migrations/V10__last.sql", "UPDATE dept SET str_name = str_name || ' twice'");
    // It has rows with names that tests use for their own.
    write("seed_data.sql", "INSERT INTO dept VALUES ('c', 'seed');");
    let server = Server::start(Options { migrations: Some(migrations), ..Options::default() }).await.unwrap();
    let pool = server.database().await.unwrap().pool().await.unwrap();
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT pk_dept, str_name FROM dept ORDER BY pk_dept").fetch_all(&pool).await.unwrap();
    let expected = [("a", "migrated twice"), ("b", "migrated twice")];
    assert_eq!(rows, expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
}

#[tokio::test]
async fn a_failing_migration_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("V1__broken.sql"), "CREATE NONSENSE").unwrap();
    let options = Options { migrations: Some(folder.path().to_owned()), ..Options::default() };
    let error = Server::start(options).await.err().unwrap();
    assert!(format!("{error:#}").contains("V1__broken.sql"), "{error:#}");
}
