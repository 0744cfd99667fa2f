//! Odd texts in every text that is read: they are names like any other, or they hold back what they belong to and nothing else.

use cue_scheduler::booking::Refusal;

use super::world::{SICK, Sick, World};

/// Whether the job's frames are booked all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Booked {
    Yes,
    No,
}
use Booked::{No, Yes};

/// A 4,000-letter text.
const LONG: &str = "repeat('x', 4000)";

/// Name of the sick job, column of its layer, what it holds as an SQL expression, and what is to come of it.
const LAYER_TEXTS: [(&str, &str, &str, Booked); 27] = [
    ("tags-empty", "str_tags", "''", No),
    ("tags-blank", "str_tags", "'   '", No),
    ("tags-bars", "str_tags", "'|||  ||'", No),
    ("tags-quotes", "str_tags", "'''\"|general'", Yes),
    ("tags-inner-blanks", "str_tags", "'gen eral'", Yes),
    ("tags-tabs", "str_tags", "E'gen\\teral'", No),
    ("tags-unicode", "str_tags", "'ünï🎬 | general'", Yes),
    ("tags-long", "str_tags", "repeat('t|', 1996) || 'general'", Yes),
    ("tags-one-long", "str_tags", LONG, No),
    ("tags-patterns", "str_tags", "'.*|gen%|(general'", No),
    ("cmd-empty", "str_cmd", "''", Yes),
    ("cmd-tokens", "str_cmd", "repeat('#FRAMESPEC# ', 333)", Yes),
    ("cmd-odd", "str_cmd", "E'echo \"$HOME\" \\\\ %s {} \\n\\r\\t ünï🎬'", Yes),
    ("cmd-long", "str_cmd", LONG, Yes),
    ("range-empty", "str_range", "''", No),
    ("range-words", "str_range", "'one to four'", No),
    ("range-unicode", "str_range", "'１-４'", No),
    ("range-zero-step", "str_range", "'1-4x0'", No),
    ("range-huge-number", "str_range", "'1-99999999999999999999'", No),
    ("range-32-bits", "str_range", "'-2147483648-2147483647'", Yes),
    ("range-commas", "str_range", "repeat(',', 4000)", No),
    ("range-interleaved", "str_range", "'1-2147483647:2'", No),
    ("range-elsewhere", "str_range", "'100-200'", No),
    ("services-odd", "str_services", "', ,''\",ünï🎬'", Yes),
    ("services-empty", "str_services", "''", Yes),
    ("name-odd", "str_name", "E'\\'\"; DROP TABLE frame; -- ünï🎬\\n'", Yes),
    ("name-tokens", "str_name", "repeat('#LAYER#', 36)", Yes),
];

/// The same for columns of the job.
const JOB_TEXTS: [(&str, &str, &str, Booked); 12] = [
    ("os-empty", "str_os", "''", Yes),
    ("os-null", "str_os", "NULL", Yes),
    ("os-odd", "str_os", "'lin''\"🎬'", No),
    ("os-list", "str_os", "'linux,'", No),
    ("show-text", "str_show", "''", Yes),
    ("shot-odd", "str_shot", "E'\\'\"\\n🎬'", Yes),
    ("user-empty", "str_user", "''", Yes),
    ("user-odd", "str_user", "'../../root 🎬'", Yes),
    ("log-long", "str_log_dir", LONG, Yes),
    ("loki-odd", "str_loki_url", "'not a url 🎬'", Yes),
    ("loki-null", "str_loki_url", "NULL", Yes),
    ("uid-null", "int_uid", "NULL", Yes),
];

/// Names that a frame can't have: its number stands before the first hyphen.
const FRAME_NAMES: [(&str, &str); 6] = [
    ("frame-empty", "''"),
    ("frame-no-number", "'x-a'"),
    ("frame-negative", "'-1-a'"),
    ("frame-huge", "'99999999999-a'"),
    ("frame-unicode", "'１-a'"),
    ("frame-nothing-else", "'-'"),
];

fn of_job(table: &str, job: &str, assignment: &str) -> String {
    format!("UPDATE {table} SET {assignment} WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = '{job}')")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_texts_are_names_or_hold_back_what_they_belong_to() {
    let layers = LAYER_TEXTS.iter().map(|(job, ..)| *job);
    let jobs = JOB_TEXTS.iter().map(|(job, ..)| *job);
    let frames = FRAME_NAMES.iter().map(|(job, _)| *job);
    let sick = Sick {
        jobs: layers.chain(jobs).chain(frames).chain(["env-odd", "env-heavy"]).map(str::to_owned).collect(),
        hosts: ["odd-os", "odd-tags", "no-tags"].map(str::to_owned).to_vec(),
        ..Sick::default()
    };
    let world = World::new(&sick).await;
    let mut poison: Vec<String> = Vec::new();
    for (job, column, value, _) in &LAYER_TEXTS {
        poison.push(of_job("layer", job, &format!("{column} = {value}")));
    }
    for (job, column, value, _) in &JOB_TEXTS {
        poison.push(of_job("job", job, &format!("{column} = {value}")));
    }
    for (job, name) in &FRAME_NAMES {
        let first = of_job("frame", job, &format!("str_name = {name}")) + " AND int_number = 1";
        poison.push(first);
    }
    let env = |job: &str, key: &str, value: &str, rows: u32| {
        format!(
            "INSERT INTO job_env (pk_job_env, pk_job, str_key, str_value)
             SELECT md5('{job}' || n || $${key}$$), pk_job, {key}, {value} FROM job, generate_series(1, {rows}) AS n
             WHERE str_name = '{job}'"
        )
    };
    poison.extend([
        env("env-odd", "NULL", "'value'", 1),
        env("env-odd", "'KEY'", "NULL", 1),
        env("env-odd", "''", "''", 1),
        env("env-odd", "E'=\\n🎬'", "E'\\'\"=\\n🎬'", 1),
        // 8 MiB of variables: agents take no message above 4 MiB.
        env("env-heavy", "'K' || n", "repeat('v', 2048)", 4096),
        "UPDATE host_stat SET str_os = ' ,,🎬,''' WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = 'odd-os')"
            .to_owned(),
        "UPDATE host_tag SET str_tag = E'\\'\"|🎬 \\n', str_tag_type = 'nonsense'
         WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = 'odd-tags')"
            .to_owned(),
        "DELETE FROM host_tag WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = 'no-tags')".to_owned(),
        // Somebody's own kind of show.
        "UPDATE show SET str_name = E'ill \\'\"{}\\n🎬' WHERE str_name = 'ill'".to_owned(),
    ]);
    world.write(&poison).await;

    let expected = |job: &str| {
        let text = LAYER_TEXTS.iter().chain(&JOB_TEXTS).find(|(name, ..)| *name == job);
        match text {
            Some((.., Yes)) => i64::from(SICK),
            Some((.., No)) => 0,
            // All frames but the misnamed one.
            None if job.starts_with("frame-") => i64::from(SICK) - 1,
            None => i64::from(if job == "env-odd" { SICK } else { 0 }),
        }
    };
    let heard = world
        .schedule_until(async |world| {
            let running = world.running().await;
            sick.jobs.iter().all(|job| running.get(job).copied().unwrap_or(0) >= expected(job))
        })
        .await;
    assert!(heard.errors.is_empty(), "{:#?}", heard.errors);
    let running = world.running().await;
    for job in &sick.jobs {
        assert_eq!(running.get(job).copied().unwrap_or(0), expected(job), "{job}");
    }
    println!("refused: {}", heard.refusals);
    assert!(heard.refusals.of(Refusal::FrameUnbuildable) >= FRAME_NAMES.len() as u32, "{}", heard.refusals);
}
