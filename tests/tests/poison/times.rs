//! Times at infinity and at the ends of what PostgreSQL can hold, and nothing where there may be nothing.

use super::world::{SICK, Sick, World};

const TIMES: [(&str, &str); 5] = [
    ("never", "'infinity'"),
    ("ever", "'-infinity'"),
    ("last", "'294276-12-31 23:59:59+00'"),
    ("first", "'4713-01-01 00:00:00+00 BC'"),
    ("null", "NULL"),
];

/// Columns that may hold times, and whether they may hold none.
const COLUMNS: [(&str, &str, bool); 7] = [
    ("job", "ts_started", false),
    ("job", "ts_eligible", false),
    ("layer", "ts_start_after", true),
    ("layer_stat", "ts_started", true),
    ("frame", "ts_updated", true),
    ("frame", "ts_started", true),
    ("frame", "ts_stopped", true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_at_the_ends_spoil_neither_the_scan_nor_a_pass() {
    let name = |table: &str, column: &str, time: &str| format!("{table}-{column}-{time}").replace('_', "");
    let mut sick = Sick::default();
    let mut poison = Vec::new();
    for (time, value) in TIMES {
        for (table, column, nullable) in COLUMNS {
            if time == "null" && !nullable {
                continue;
            }
            let job = name(table, column, time);
            let row = if table == "job" {
                format!("str_name = '{job}'")
            } else {
                format!("pk_job = (SELECT pk_job FROM job WHERE str_name = '{job}')")
            };
            poison.push(format!("UPDATE {table} SET {column} = {value} WHERE {row}"));
            sick.jobs.push(job);
        }
        if time != "null" {
            let host = format!("host-{time}");
            poison.push(format!(
                "UPDATE host_stat SET ts_ping = {value}, ts_booted = {value}
                 WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = '{host}')"
            ));
            sick.hosts.push(host);
        }
    }
    // Other numbers that may be missing.
    poison.extend(
        [
            // Of all delayed work under its tags, this alone waits for ever.
            "UPDATE layer SET str_tags = 'general|never' WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = 'layer-tsstartafter-never')",
            "UPDATE frame SET int_version = NULL WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = 'nothing')",
            "UPDATE limit_record SET int_max_value = NULL WHERE str_name = 'no-limit'",
            "UPDATE alloc SET str_tag = NULL, b_enabled = NULL WHERE str_name = 'local.general'",
        ]
        .map(str::to_owned),
    );
    sick.jobs.extend(["nothing", "no-limit"].map(str::to_owned));
    let world = World::new(&sick).await;
    world.write(&poison).await;

    // Only a start in the future holds work back, and a limit without a maximum.
    let held = |job: &str| ["layer-tsstartafter-never", "layer-tsstartafter-last", "no-limit"].contains(&job);
    let heard = world
        .schedule_until(async |world| {
            let running = world.running().await;
            sick.jobs.iter().all(|job| held(job) || running.get(job) == Some(&i64::from(SICK)))
        })
        .await;
    assert!(heard.errors.is_empty(), "{:#?}", heard.errors);
    let running = world.running().await;
    for job in sick.jobs.iter().filter(|job| held(job)) {
        assert_eq!(running.get(job), None, "{job}");
    }
}
