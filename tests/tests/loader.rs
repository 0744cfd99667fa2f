//! The loader against a real PostgreSQL: the rows it writes are the rows a scheduler finds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::time::Instant;

use sqlx::PgPool;
use testbed::auditor::audit;
use testbed::loader::amount::Cores;
use testbed::loader::description::{
    FarmDescription, JobDescription, LayerDependency, LayerDependencyKind, LayerDescription,
};
use testbed::loader::generate::{DrainShape, MixShape, drain, mix};
use testbed::loader::{add_job, load};

/// The smallest farm on which something can be booked.
const MINIMAL: &str = "
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, size: 10, burst: 10}]}]
hosts: [{allocation: local.general, cores: 8, memory: 16 GiB}]
jobs: [{name: job, show: alpha, layers: [{name: comp, range: 1-1}]}]
";

fn yaml(text: &str) -> FarmDescription {
    FarmDescription::from_yaml(text).unwrap()
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

async fn states(pool: &PgPool, layer: &str) -> Vec<String> {
    sqlx::query_scalar("SELECT str_state FROM frame WHERE pk_layer = $1 ORDER BY int_dispatch_order")
        .bind(layer)
        .fetch_all(pool)
        .await
        .unwrap()
}

/// What a scheduler asks, in short: which allocations a managed show may use; which of its layers wait under which tags; which
/// jobs are pending with room below their caps; which frames wait; which hosts are open with memory and a tag.
const QUESTIONS: [(&str, &str); 5] = [
    (
        "clusters",
        "SELECT count(*) FROM show JOIN subscription USING (pk_show) JOIN alloc USING (pk_alloc)
         JOIN host USING (pk_alloc) JOIN host_tag USING (pk_host)
         WHERE b_scheduler_managed AND b_active AND host_tag.str_tag = alloc.str_tag AND str_tag_type = 'ALLOC'",
    ),
    (
        "awake",
        "SELECT count(*) FROM vs_waiting JOIN job USING (pk_show) JOIN layer USING (pk_job) JOIN layer_stat USING (pk_layer)
         WHERE job.str_state = 'PENDING' AND NOT b_paused AND layer_stat.int_waiting_count > 0
           AND 'general' = ANY (string_to_array(str_tags, ' | '))",
    ),
    (
        "pending",
        "SELECT count(*) FROM job JOIN job_resource r USING (pk_job) JOIN folder_resource f USING (pk_folder)
         JOIN job_stat USING (pk_job)
         WHERE str_state = 'PENDING' AND NOT b_paused AND int_waiting_count > 0
           AND r.int_cores < r.int_max_cores AND (f.int_max_cores = -1 OR f.int_cores < f.int_max_cores)",
    ),
    (
        "frames",
        "SELECT count(*) FROM frame JOIN layer USING (pk_layer) JOIN job ON job.pk_job = layer.pk_job
         WHERE frame.str_state = 'WAITING' AND frame.ts_eligible IS NOT NULL",
    ),
    (
        "hosts",
        "SELECT count(*) FROM host JOIN host_stat USING (pk_host) JOIN subscription USING (pk_alloc)
         WHERE str_lock_state = 'OPEN' AND str_state = 'UP' AND int_cores_idle >= 100 AND int_mem_free > 0
           AND ts_ping > now() - interval '1 min'",
    ),
];

#[tokio::test]
async fn the_minimal_farm_is_seen_by_every_question_a_scheduler_asks() {
    let pool = common::database().await;
    load(&pool, &yaml(MINIMAL)).await.unwrap();
    for (question, sql) in QUESTIONS {
        assert_eq!(number(&pool, sql).await, 1, "{question}");
    }
}

#[tokio::test]
async fn what_is_missing_from_the_minimal_farm_is_missed() {
    type Change = (&'static str, fn(&mut FarmDescription));
    let changes: [Change; 6] = [
        ("clusters", |farm| farm.shows[0].managed = false),
        ("clusters", |farm| farm.hosts[0].allocation_tag = false),
        ("awake", |farm| farm.jobs[0].layers[0].tags = Vec::new()),
        ("awake", |farm| farm.jobs[0].max_cores = Cores::centicores(99)),
        ("pending", |farm| farm.jobs[0].paused = true),
        ("hosts", |farm| farm.hosts[0].locked = true),
    ];
    for (question, change) in changes {
        let pool = common::database().await;
        let mut farm = yaml(MINIMAL);
        change(&mut farm);
        load(&pool, &farm).await.unwrap();
        let (_, sql) = QUESTIONS.iter().find(|(name, _)| *name == question).unwrap();
        assert_eq!(number(&pool, sql).await, 0, "{question}: {farm:?}");
    }
}

/// One of everything.
const RICH: &str = "
seed: 5
facilities:
  - name: paris
    allocations: [{name: paris.general, tag: general}, {name: paris.gpu, tag: gpu, default: true}]
  - {name: lyon, allocations: [{name: lyon.general, tag: general}]}
shows:
  - name: alpha
    subscriptions: [{allocation: paris.general, size: 10, burst: 20.5}, {allocation: lyon.general, burst: 0}]
    folders: [{name: shots, max_cores: 12, max_gpus: 3}, {name: sq010, parent: shots, max_cores: -1 centicores}]
  - {name: beta, managed: false, active: false}
limits: [{name: arnold, max: 2}]
hosts:
  - {allocation: paris.general, count: 2, first_address: 127.3.0.255, cores: 32, memory: 64 GiB, manual_tags: [fast]}
  - allocation: paris.gpu
    names: [wolf]
    cores: 8
    memory: 16 GiB
    gpus: 2
    gpu_memory: 24 GiB
    os: rocky9
    thread_mode: ALL
    hardware_tags: [avx2]
    hostname_tag: false
    locked: true
jobs:
  - name: one
    show: alpha
    folder: sq010
    facility: lyon
    priority: 77
    max_cores: 5
    max_gpus: 1
    min_cores: 2
    os: rocky9
    paused: true
    log_dir: /logs
    loki_url: http://loki
    user: ana
    uid: 501
    shot: sh010
    max_retries: 2
    auto_eat: true
    env: {A: '1'}
    layers:
      - name: sim
        command: run #IFRAME#
        range: 1-10x3
        kind: PRE
        min_cores: 150 centicores
        max_cores: 4
        memory: 512 MiB
        gpus: 1
        gpu_memory: 2 GiB
        tags: [general, fast]
        threadable: false
        services: [houdini, arnold]
        limits: [arnold]
        env: {B: '2'}
        timeout_minutes: 90
      - {name: comp, range: 1-10, chunk: 4, after: [{kind: FRAME_BY_FRAME, layer: sim}]}
  - {name: two, show: alpha, after_jobs: [one], layers: [{name: a, after: [{kind: LAYER_ON_LAYER, job: one, layer: sim}]}]}
";

#[tokio::test]
async fn every_word_of_a_description_reaches_its_column() {
    let pool = common::database().await;
    let loaded = load(&pool, &yaml(RICH)).await.unwrap();
    for expected in [
        "SELECT count(*) FROM alloc JOIN facility USING (pk_facility)
         WHERE alloc.str_name = 'paris.gpu' AND str_tag = 'gpu' AND facility.str_name = 'paris' AND alloc.b_default",
        "SELECT count(*) FROM subscription WHERE int_size = 1000 AND int_burst = 2050",
        "SELECT count(*) FROM subscription WHERE int_size = 0 AND int_burst = 0",
        "SELECT count(*) FROM folder_resource JOIN folder USING (pk_folder)
         WHERE str_name = 'shots' AND folder_resource.int_max_cores = 1200 AND folder_resource.int_max_gpus = 3",
        "SELECT count(*) FROM folder_resource r JOIN folder USING (pk_folder) JOIN folder_level l USING (pk_folder)
         WHERE str_name = 'sq010' AND r.int_max_cores = -1 AND l.int_level = 2",
        "SELECT count(*) FROM show WHERE str_name = 'beta' AND NOT b_scheduler_managed AND NOT b_active",
        "SELECT count(*) FROM limit_record WHERE str_name = 'arnold' AND int_max_value = 2",
        "SELECT count(*) FROM host WHERE str_name = '127.3.1.0' AND int_cores = 3200 AND int_mem_idle = 67108864
           AND str_tags = 'general 127.3.1.0 fast' AND str_lock_state = 'OPEN' AND int_thread_mode = 0",
        "SELECT count(*) FROM host JOIN host_stat USING (pk_host) WHERE str_name = 'wolf' AND int_gpus_idle = 2
           AND int_gpu_mem = 25165824 AND str_os = 'rocky9' AND int_thread_mode = 1 AND str_lock_state = 'LOCKED'
           AND str_tags = 'gpu avx2' AND int_gpu_mem_free = 25165824",
        "SELECT count(*) FROM job JOIN job_resource r USING (pk_job) JOIN facility USING (pk_facility)
         JOIN folder USING (pk_folder) WHERE job.str_name = 'one' AND job.str_visible_name = 'one' AND str_show = 'alpha'
           AND facility.str_name = 'lyon' AND folder.str_name = 'sq010' AND r.int_priority = 77 AND r.int_max_cores = 500
           AND r.int_max_gpus = 1 AND r.int_min_cores = 200 AND str_os = 'rocky9' AND b_paused AND str_log_dir = '/logs'
           AND str_loki_url = 'http://loki' AND str_user = 'ana' AND int_uid = 501 AND str_shot = 'sh010'
           AND int_max_retries = 2 AND b_autoeat AND int_frame_count = 7 AND int_layer_count = 2 AND str_state = 'PENDING'",
        "SELECT count(*) FROM job_env WHERE str_key = 'A' AND str_value = '1'",
        "SELECT count(*) FROM layer_env JOIN layer USING (pk_layer) WHERE str_key = 'B' AND str_value = '2'
           AND layer_env.pk_job = layer.pk_job",
        "SELECT count(*) FROM layer JOIN layer_limit USING (pk_layer) WHERE str_name = 'sim' AND int_cores_min = 150
           AND int_cores_max = 400 AND int_mem_min = 524288 AND int_gpus_min = 1 AND int_gpu_mem_min = 2097152
           AND str_tags = 'general | fast' AND NOT b_threadable AND str_services = 'houdini,arnold'
           AND int_timeout = 90 AND str_type = 'PRE' AND str_range = '1-10x3' AND int_dispatch_order = 1",
        "SELECT count(*) FROM frame JOIN layer USING (pk_layer) WHERE frame.str_name = '0010-sim'
           AND frame.str_state = 'WAITING' AND int_number = 10 AND int_layer_order = 4",
    ] {
        assert_eq!(number(&pool, expected).await, 1, "{expected}");
    }
    // comp's frames stand for 1-4, 5-8, 9-10; sim's are 1, 4, 7, 10: the first waits for two.
    let waits: Vec<i64> =
        sqlx::query_scalar("SELECT int_depend_count FROM frame WHERE pk_layer = $1 ORDER BY int_number")
            .bind(&loaded.layers["one/comp"])
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(waits, [2, 1, 1]);
    assert_eq!(states(&pool, &loaded.layers["one/comp"]).await, ["DEPEND"; 3]);
    assert_eq!(number(&pool, "SELECT int_depend_count FROM frame WHERE str_name = '0001-a'").await, 2);
    assert_eq!(number(&pool, "SELECT count(*) FROM depend WHERE b_active").await, 1 + 4 + 1 + 1);
    assert_eq!(loaded.frames["one/comp"].iter().map(|frame| frame.number).collect::<Vec<_>>(), [1, 5, 9]);
    assert!(audit(&pool).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_description_makes_the_same_ids_wherever_it_is_loaded() {
    let (one, other, upper) = (common::database().await, common::database().await, common::database().await);
    let farm = yaml(RICH);
    let loaded = load(&one, &farm).await.unwrap();
    assert_eq!(loaded, load(&other, &farm).await.unwrap());
    let shouted = load(&upper, &FarmDescription { upper_case_ids: true, ..farm }).await.unwrap();
    assert_eq!(shouted.jobs["one"], loaded.jobs["one"].to_uppercase());
    assert!(audit(&upper).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_name_that_leads_nowhere_loads_nothing_and_is_named() {
    let pool = common::database().await;
    for (right, wrong) in [
        ("folder: sq010", "folder: nowhere"),
        ("facility: lyon", "facility: nowhere"),
        ("limits: [arnold]", "limits: [nowhere]"),
        ("after_jobs: [one]", "after_jobs: [nowhere]"),
        ("layer: sim}]}", "layer: nowhere}]}"),
        ("allocation: paris.gpu", "allocation: nowhere"),
        ("parent: shots", "parent: nowhere"),
        ("range: 1-10x3", "range: nowhere"),
    ] {
        let text = RICH.replace(right, wrong);
        assert_ne!(text, RICH, "{right}");
        let error = format!("{:#}", load(&pool, &yaml(&text)).await.unwrap_err());
        assert!(error.contains("nowhere"), "{error}");
        assert_eq!(number(&pool, "SELECT count(*) FROM facility").await, 0, "{wrong}");
    }
}

#[test]
fn yaml_that_was_written_is_read_back_and_unknown_words_are_refused() {
    for farm in [yaml(RICH), drain(&DrainShape::default().scaled(0.01)), mix(&MixShape::default().scaled(0.01))] {
        assert_eq!(FarmDescription::from_yaml(&farm.to_yaml().unwrap()).unwrap(), farm);
    }
    let error = FarmDescription::from_yaml("hosts: [{allocation: a, corse: 8}]").unwrap_err().to_string();
    assert!(error.contains("corse"), "{error}");
}

#[tokio::test]
async fn a_job_is_added_to_a_farm_that_runs() {
    let pool = common::database().await;
    let loaded = load(&pool, &yaml(RICH)).await.unwrap();
    sqlx::query("UPDATE frame SET str_state = 'SUCCEEDED' WHERE str_name IN ('0001-sim', '0004-sim')")
        .execute(&pool)
        .await
        .unwrap();
    let after = |kind, layer: &str| LayerDependency { kind, job: Some("one".to_owned()), layer: layer.to_owned() };
    let job = JobDescription {
        name: "added".to_owned(),
        show: "alpha".to_owned(),
        folder: Some("shots".to_owned()),
        facility: Some("paris".to_owned()),
        layers: vec![
            LayerDescription { name: "free".to_owned(), range: "1-3".to_owned(), ..LayerDescription::default() },
            LayerDescription {
                name: "held".to_owned(),
                range: "1-10x3".to_owned(),
                limits: vec!["arnold".to_owned()],
                after: vec![after(LayerDependencyKind::FrameByFrame, "sim")],
                ..LayerDescription::default()
            },
        ],
        ..JobDescription::default()
    };
    let added = add_job(&pool, 9, &job).await.unwrap();
    assert_eq!(states(&pool, &added.layers["added/free"]).await, ["WAITING"; 3]);
    // The first two of the frames waited for have ended already.
    assert_eq!(states(&pool, &added.layers["added/held"]).await, ["WAITING", "WAITING", "DEPEND", "DEPEND"]);
    let pending = "SELECT count(*) FROM job WHERE str_name = 'added' AND str_state = 'PENDING' AND int_frame_count = 7";
    assert_eq!(number(&pool, pending).await, 1);
    let found = audit(&pool).await.unwrap();
    assert!(found.is_clean(), "{found}");

    let again = format!("{:#}", add_job(&pool, 10, &job).await.unwrap_err());
    assert!(again.contains("added"), "a visible name is unique while its job is not finished: {again}");
    let lost = JobDescription { name: "lost".to_owned(), facility: None, ..job };
    let error = format!("{:#}", add_job(&pool, 9, &lost).await.unwrap_err());
    assert!(error.contains("facility"), "there are two to choose from: {error}");
    assert_ne!(loaded.jobs["one"], added.jobs["added"]);
}

#[tokio::test]
async fn generated_farms_load_whole_and_right() {
    let pool = common::database().await;
    let shape = DrainShape::default().scaled(0.1);
    let loaded = load(&pool, &drain(&shape)).await.unwrap();
    assert_eq!((loaded.hosts.len(), loaded.jobs.len()), (120, 30));
    assert_eq!(number(&pool, "SELECT count(*) FROM frame WHERE str_state = 'WAITING'").await, shape.frames() as i64);
    let shape = MixShape { dependencies: true, ..MixShape::default().scaled(0.05) };
    // Both shapes give out addresses from the same start: a farm is of one shape.
    let pool = common::database().await;
    load(&pool, &mix(&shape)).await.unwrap();
    assert_eq!(number(&pool, "SELECT count(*) FROM frame").await, shape.frames as i64);
    assert!(number(&pool, "SELECT count(*) FROM frame WHERE str_state = 'DEPEND'").await > 0);
    let found = audit(&pool).await.unwrap();
    assert!(found.is_clean(), "{found}");
}

#[tokio::test]
async fn a_hundred_thousand_frames_load_in_seconds() {
    let pool = common::database().await;
    let mut farm = yaml(MINIMAL);
    farm.jobs[0].layers[0].range = "1-100000".to_owned();
    let start = Instant::now();
    load(&pool, &farm).await.unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("100,000 frames in {seconds:.1} s");
    // The goal is 10 s; a test fails at four times its goal only, since machines are shared.
    assert!(seconds < 40.0, "{seconds}");
    assert_eq!(number(&pool, "SELECT int_waiting_count FROM layer_stat").await, 100_000);
}
