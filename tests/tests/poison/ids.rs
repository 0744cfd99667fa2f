//! Ids that are no UUIDs: a text is an id, whatever it says.

use super::world::{SICK, Sick, World};

/// Every key that rows refer to each other by.
const KEYS: [&str; 11] = [
    "pk_facility",
    "pk_alloc",
    "pk_show",
    "pk_dept",
    "pk_folder",
    "pk_job",
    "pk_layer",
    "pk_frame",
    "pk_host",
    "pk_limit_record",
    "pk_subscription",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_any_text_are_kept_as_they_are_in_every_column() {
    let sick = Sick { jobs: vec!["other".to_owned()], hosts: vec!["somewhere".to_owned()], ..Sick::default() };
    let world = World::new(&sick).await;
    // Each id becomes a text of 36 letters that no parser of UUIDs takes and that any careless quoting breaks; all columns
    // of all tables that hold the key change alike. Texts that differ only in case stay different.
    let change = |key: &str| {
        format!(
            r#"DO $do$ DECLARE c record; BEGIN
                FOR c IN SELECT table_name, column_name FROM information_schema.columns
                         JOIN information_schema.tables USING (table_schema, table_name)
                         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name = '{key}' LOOP
                    EXECUTE format($sql$UPDATE %I SET %I = left('🎬''"\%%_{{}}$1 ' || upper(md5(%I)), 36) WHERE %I IS NOT NULL$sql$,
                                   c.table_name, c.column_name, c.column_name, c.column_name);
                END LOOP; END $do$"#
        )
    };
    world.write(&KEYS.map(change)).await;
    let odd = world.number("SELECT count(*) FROM frame WHERE pk_frame LIKE '🎬''%' AND pk_layer LIKE '🎬''%'").await;
    assert_eq!(odd, world.number("SELECT count(*) FROM frame").await, "the ids were changed");

    let heard = world.schedule_until(async |world| world.running().await.get("other") == Some(&i64::from(SICK))).await;
    assert!(heard.errors.is_empty(), "{:#?}", heard.errors);
    assert_eq!(heard.refusals.to_string(), "");
    let procs = world
        .number("SELECT count(*) FROM proc JOIN frame USING (pk_frame, pk_layer, pk_job) JOIN host USING (pk_host)");
    let running = world.number("SELECT count(*) FROM frame WHERE str_state = 'RUNNING'");
    assert_eq!(procs.await, running.await);
}
