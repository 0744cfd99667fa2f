//! How a job is asked for, and when there is no answer.

use serde_json::Value;
use testbed::postgres::free_port;

use super::farm::{Farm, refused, run, said};

#[tokio::test]
async fn a_job_is_found_by_name_by_id_and_by_the_beginning_of_its_name() {
    let farm = Farm::new("reader_names").await;
    let file = farm.config("reader_names", 0);
    let id = farm.loaded.jobs["mistyped"].clone();
    for asked in ["mistyped", "mist", id.as_str()] {
        let (code, text) = run(&file, &["explain", asked]).await;
        assert!(code == 0 && text.starts_with("Job mistyped\n"), "{asked}: {text}");
    }
    let (code, text) = run(&file, &["explain", "un"]).await;
    assert_eq!(code, 1);
    assert!(text.starts_with("Several jobs have a name that begins with `un`."), "{text}");
    assert!(text.contains("\n  unbuildable\n") && text.contains("\n  unthreaded\n"), "{text}");
    let (code, text) = run(&file, &["explain", "mistpyed"]).await;
    assert_eq!((code, text.as_str()), (1, "There is no job `mistpyed`.\nJobs with a name near to it:\n  mistyped\n"));
    let (code, text) = run(&file, &["explain", "something quite different"]).await;
    assert_eq!((code, text.as_str()), (1, "There is no job `something quite different`.\n"));
    let (code, text) = run(&file, &["explain", "mistpyed", "--json"]).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["error"], &answer["near"][0]), (1, &"no_such_job".into(), &"mistyped".into()));
}

#[tokio::test]
async fn while_a_maestro_leads_nothing_is_said_to_be_booked() {
    let farm = Farm::new("reader_maestro").await;
    let file = farm.config("reader_maestro", 0);
    let mut maestro = farm.pool.acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(22360104104064357)").execute(&mut *maestro).await.unwrap();
    let (code, text) = run(&file, &["explain", "runs"]).await;
    assert!(code == 0 && said(&text).contains("Nothing is booked: a Maestro leader is alive"), "{text}");
    assert!(!text.contains("would be booked"), "{text}");
    let (code, text) = run(&file, &["plan"]).await;
    assert!(code == 0 && said(&text).starts_with("Nothing is booked: a Maestro leader is alive"), "{text}");
}

#[tokio::test]
async fn older_schemas_are_answered_for_as_far_as_they_go() {
    let farm = Farm::new("reader_older").await;
    let file = farm.config("reader_older", 0);
    sqlx::query("ALTER TABLE layer DROP COLUMN ts_start_after CASCADE").execute(&farm.pool).await.unwrap();
    let (code, text) = run(&file, &["explain", "later"]).await;
    assert!(code == 0 && text.contains("1 frame would be booked now"), "{text}");
    sqlx::query("ALTER TABLE show DROP COLUMN b_scheduler_managed CASCADE").execute(&farm.pool).await.unwrap();
    for command in [&["explain", "later"][..], &["plan"]] {
        let (code, error) = refused(&file, command).await;
        assert!(code == 1 && error.contains("no show is managed"), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}

#[tokio::test]
async fn names_that_hold_anything_neither_widen_the_page_nor_move_the_cursor() {
    let farm = Farm::new("reader_odd").await;
    let file = farm.config("reader_odd", 0);
    let name = format!("odd\u{1b}[2J{}", "é".repeat(200));
    sqlx::query("UPDATE job SET str_name = $1 WHERE str_name = 'mistyped'")
        .bind(&name)
        .execute(&farm.pool)
        .await
        .unwrap();
    let (code, text) = run(&file, &["explain", "odd"]).await;
    assert_eq!(code, 0);
    assert!(!text.contains('\u{1b}') && text.matches('é').count() == 200, "{text}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scheduler.yaml");
    let port = free_port().unwrap();
    std::fs::write(&file, format!("database: {{db_host: 127.0.0.1, db_port: {port}, db_name: x, db_user: x}}"))
        .unwrap();
    for command in [&["explain", "job"][..], &["plan"]] {
        let (code, error) = refused(&file, command).await;
        assert_eq!((code, error.trim_end().lines().count()), (1, 1), "{error}");
        assert!(error.contains("connecting failed"), "{error}");
    }
}
