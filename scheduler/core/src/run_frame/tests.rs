//! The message as agents and render commands see it.

use proptest::prelude::*;

use super::*;
use crate::domain::amount::{Centicores, Gpus};
use crate::frame_set::RangeError;

fn source() -> LaunchSource {
    LaunchSource {
        job: JobId::from("job-id"),
        job_name: "show-sh-u_job".into(),
        show: "show".into(),
        shot: "sh".into(),
        user: "u".into(),
        uid: Some(1000),
        log_dir: "/logs".into(),
        loki_url: None,
        layer: LayerId::from("layer-id"),
        layer_name: "beauty".into(),
        command: "true".into(),
        range: "1-10".into(),
        chunk_size: 1,
        threadable: true,
        memory: Kb(4_194_304),
        job_env: vec![],
        layer_env: vec![],
    }
}

fn frame(name: &str) -> FrameRef {
    FrameRef { id: FrameId::from("frame-id"), name: name.into(), version: Some(7) }
}

fn size() -> Resources {
    Resources { cores: Centicores(250).round_up(), memory: Kb(4_194_304), gpus: Gpus(1), gpu_memory: Kb(1024) }
}

fn build_sized(source: LaunchSource, name: &str, size: &Resources) -> Result<RunFrame, BuildError> {
    LaunchTemplate::parse(source)?.build(
        &frame(name),
        &ProcId::from("PROC-id"),
        "rocky9",
        size,
        1_700_000_000_123,
        &MemoryFactors::default(),
    )
}

fn build(source: LaunchSource, name: &str) -> Result<RunFrame, BuildError> {
    build_sized(source, name, &size())
}

/// The command of a frame of `1-10` in chunks of 3.
fn command(text: &str, name: &str) -> String {
    build(LaunchSource { command: text.into(), chunk_size: 3, ..source() }, name).unwrap().command
}

fn rows(pairs: &[(Option<&str>, Option<&str>)]) -> EnvRows {
    pairs.iter().map(|(name, value)| (name.map(str::to_owned), value.map(str::to_owned))).collect()
}

#[test]
fn a_message_says_who_runs_what_as_whom() {
    let made = build(LaunchSource { loki_url: Some("http://loki".into()), ..source() }, "0004-beauty").unwrap();
    let RunFrame {
        resource_id,
        job_id,
        job_name,
        frame_id,
        frame_name,
        layer_id,
        command,
        user_name,
        log_dir,
        show,
        shot,
        start_time_ms,
        uid,
        num_cores,
        environment: _,
        num_gpus,
        os,
        soft_memory_limit,
        hard_memory_limit,
        pid,
        loki_url,
    } = made;
    assert_eq!(resource_id.as_str(), "PROC-id", "ids keep their case");
    assert_eq!((job_id.as_str(), &*job_name), ("job-id", "show-sh-u_job"));
    assert_eq!((frame_id.as_str(), &*frame_name), ("frame-id", "0004-beauty"));
    assert_eq!((layer_id.as_str(), &*command), ("layer-id", "true"));
    assert_eq!((&*user_name, uid, &*log_dir), ("u", Some(1000), "/logs"));
    assert_eq!((&*show, &*shot, &*os, &*loki_url), ("show", "sh", "rocky9", "http://loki"));
    assert_eq!((num_cores, num_gpus), (300, 1));
    assert_eq!((soft_memory_limit, hard_memory_limit), (Kb(6_710_886), Kb(8_388_608)));
    assert_eq!((start_time_ms, pid), (1_700_000_000_123, 2_147_483_647));
}

#[test]
fn memory_limits_are_cuebots() {
    for (minimum, soft, hard) in
        [(4_194_304, 6_710_886, 8_388_608), (3_355_443, 5_368_708, 6_710_886), (262_144, 419_430, 524_288)]
    {
        let made = build(LaunchSource { memory: Kb(minimum), ..source() }, "0001-beauty").unwrap();
        assert_eq!((made.soft_memory_limit, made.hard_memory_limit), (Kb(soft), Kb(hard)));
    }
}

#[test]
fn every_variable_of_the_scheduler_is_set() {
    let made = build(LaunchSource { chunk_size: 3, ..source() }, "0004-beauty").unwrap();
    let environment: Vec<(&str, &str)> = made.environment.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(
        environment,
        [
            ("CUE3", "1"),
            ("CUE_CHUNK", "3"),
            ("CUE_FRAME", "0004-beauty"),
            ("CUE_FRAME_ID", "frame-id"),
            ("CUE_GPUS", "1"),
            ("CUE_GPU_MEMORY", "1024"),
            ("CUE_IFRAME", "4"),
            ("CUE_JOB", "show-sh-u_job"),
            ("CUE_JOB_ID", "job-id"),
            ("CUE_LAYER", "beauty"),
            ("CUE_LAYER_ID", "layer-id"),
            ("CUE_LOG_PATH", "/logs"),
            ("CUE_MEMORY", "4194304"),
            ("CUE_RANGE", "1-10"),
            ("CUE_SHOT", "sh"),
            ("CUE_SHOW", "show"),
            ("CUE_THREADABLE", "1"),
            ("CUE_THREADS", "3"),
            ("CUE_USER", "u"),
        ]
    );
}

#[test]
fn the_layers_variables_win_over_the_jobs_and_ours_over_both() {
    let made = build(
        LaunchSource {
            threadable: false,
            job_env: rows(&[
                (Some("A"), Some("job")),
                (Some("B"), Some("job")),
                (Some("CUE_OWN"), Some("passes")),
                (None, Some("dropped")),
                (Some("EMPTY"), None),
                (Some("CUE_FRAME"), Some("job")),
            ]),
            layer_env: rows(&[(Some("B"), Some("layer #JOB#")), (Some("CUE_THREADABLE"), Some("layer"))]),
            ..source()
        },
        "0004-beauty",
    )
    .unwrap();
    let of = |name: &str| made.environment.get(name).map(|value| &**value);
    assert_eq!(of("A"), Some("job"));
    assert_eq!(of("B"), Some("layer #JOB#"), "no token is replaced outside the command");
    assert_eq!(of("CUE_OWN"), Some("passes"));
    assert_eq!(of("EMPTY"), Some(""));
    assert_eq!(of("CUE_FRAME"), Some("0004-beauty"));
    assert_eq!(of("CUE_THREADABLE"), Some("0"));
    assert_eq!(made.environment.len(), 19 + 4, "a variable without a name is dropped");
}

#[test]
fn tokens_are_replaced_literally_and_in_order() {
    let table = [
        (
            "render -s #FRAME_START# -e #FRAME_END# -f #FRAMESPEC# -z #ZFRAME# -n #FRAME# -l #LAYER# -c #FRAME_CHUNK#",
            "render -s 4 -e 6 -f 4-6 -z 0004 -n 0004-beauty -l beauty -c 3",
        ),
        ("#IFRAME##IFRAME# #JOB#", "44 show-sh-u_job"),
        ("#iframe# #FRAME", "#iframe# #FRAME"),
        ("##FRAME##", "#0004-beauty#"),
    ];
    for (text, expected) in table {
        assert_eq!(command(text, "0004-beauty"), expected);
    }
}

#[test]
fn a_text_put_in_by_a_token_is_searched_by_the_later_ones_only() {
    let named = |layer: &str| {
        build(LaunchSource { command: "#LAYER#".into(), layer_name: layer.into(), ..source() }, "0004-x")
            .unwrap()
            .command
    };
    assert_eq!(named("a#JOB#"), "ashow-sh-u_job");
    assert_eq!(named("a#FRAMESPEC#"), "a4");
    assert_eq!(named("a#IFRAME#"), "a#IFRAME#");
    assert_eq!(named(r"$1\2"), r"$1\2", "nothing in a name is special");
}

#[test]
fn the_last_chunk_ends_where_the_range_does() {
    assert_eq!(command("#FRAME_START#-#FRAME_END# #FRAMESPEC#", "0010-beauty"), "10-10 10");
}

#[test]
fn the_end_of_a_chunk_is_the_last_in_order_not_the_greatest() {
    let source = LaunchSource { command: "#FRAME_END#".into(), range: "10-1".into(), chunk_size: 4, ..source() };
    assert_eq!(build(source, "0010-beauty").unwrap().command, "7");
}

#[test]
fn a_number_longer_than_four_digits_is_not_cut() {
    let source = LaunchSource { command: "#ZFRAME#".into(), range: "1-200000".into(), ..source() };
    assert_eq!(build(source, "123456-beauty").unwrap().command, "123456");
}

#[test]
fn a_spec_too_long_is_an_error_only_for_who_asks_for_it() {
    let with = |command: &str| {
        let command = command.to_owned();
        build(LaunchSource { command, range: "1-2000000y3".into(), chunk_size: 2_000_000, ..source() }, "0002-beauty")
    };
    assert_eq!(with("#FRAME_END#").unwrap().command, "2000000");
    assert!(matches!(with("#FRAMESPEC#"), Err(BuildError::Spec { source: RangeError::SpecTooLong, .. })));
}

#[test]
fn a_wrong_name_names_the_frame_and_what_would_be_right() {
    for name in ["-001-comp", "comp", "", "12a-comp", "+12-comp", "99999999999-comp", "١-comp"] {
        let error = build(source(), name).unwrap_err();
        assert!(matches!(&error, BuildError::FrameName { frame, .. } if frame == name), "{name}: {error}");
    }
    assert_eq!(
        build(source(), "x-beauty").unwrap_err().to_string(),
        "frame x-beauty of job show-sh-u_job has no number of 32 bits before its first hyphen; 0012-beauty would be right"
    );
}

#[test]
fn a_frame_outside_the_range_is_refused() {
    for (range, name) in [("1-10", "0011-beauty"), ("5-1x1", "0001-beauty")] {
        let error = build(LaunchSource { range: range.into(), ..source() }, name).unwrap_err();
        assert!(matches!(&error, BuildError::NotInRange { range: named, .. } if named == range), "{error}");
    }
}

#[test]
fn a_job_or_layer_that_no_agent_could_run_is_refused() {
    for uid in [0, -1, i64::from(i32::MAX) + 1] {
        let error = build(LaunchSource { uid: Some(uid), ..source() }, "0001-beauty").unwrap_err();
        assert_eq!(error, BuildError::Uid { job: "show-sh-u_job".into(), uid });
    }
    for chunk_size in [0, -5] {
        let error = build(LaunchSource { chunk_size, ..source() }, "0001-beauty").unwrap_err();
        assert!(matches!(error, BuildError::ChunkSize { chunk_size: named, .. } if named == chunk_size));
    }
    let error = build(LaunchSource { range: "1-3,".into(), ..source() }, "0001-beauty").unwrap_err();
    assert!(matches!(error, BuildError::Range { source: RangeError::Syntax(_), .. }));
    assert_eq!(build(LaunchSource { uid: None, ..source() }, "0001-beauty").unwrap().uid, None);
}

#[test]
fn a_reservation_that_an_agent_refuses_is_refused_here() {
    for cores in [0, -100, 150, i64::from(i32::MAX) + 1] {
        let error =
            build_sized(source(), "0001-beauty", &Resources { cores: Centicores(cores), ..size() }).unwrap_err();
        assert!(matches!(error, BuildError::Cores { cores: named, .. } if named == Centicores(cores)));
    }
    for gpus in [-1, i64::from(i32::MAX) + 1] {
        let error = build_sized(source(), "0001-beauty", &Resources { gpus: Gpus(gpus), ..size() }).unwrap_err();
        assert!(matches!(error, BuildError::Gpus { gpus: named, .. } if named == Gpus(gpus)));
    }
}

#[test]
fn tokens_that_multiply_beyond_any_command_are_refused_before_they_are_put_in() {
    // 800 names of 23 specs of almost a mebibyte would be 18 GB.
    let bomb = LaunchSource {
        command: "#JOB#".repeat(800),
        job_name: "#FRAMESPEC#".repeat(23),
        range: "1-400000y3".into(),
        chunk_size: 100_000,
        ..source()
    };
    assert!(matches!(build(bomb, "0002-beauty"), Err(BuildError::CommandTooLong { .. })));
    let long = LaunchSource { command: "x".repeat(COMMAND_BYTES_MAX - 11) + "#FRAMESPEC#", ..source() };
    assert_eq!(build(long, "0002-beauty").map(|made| made.command.len()), Ok(COMMAND_BYTES_MAX - 10));
}

#[test]
fn more_variables_than_a_message_holds_are_refused() {
    let variables = |count: usize| -> EnvRows {
        (0..count).map(|at| (Some(format!("NAME{at:04}")), Some("v".repeat(2040)))).collect()
    };
    assert!(build(LaunchSource { job_env: variables(1000), ..source() }, "0001-beauty").is_ok());
    let refused = build(LaunchSource { layer_env: variables(1100), ..source() }, "0001-beauty");
    assert!(matches!(refused, Err(BuildError::EnvironmentTooLarge { .. })), "{refused:?}");
}

/// Texts of all kinds: any characters, tokens, numbers, the grammar of ranges.
fn any_text() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "#ZFRAME#",
        "#IFRAME#",
        "#FRAME_START#",
        "#FRAME_END#",
        "#FRAME_CHUNK#",
        "#LAYER#",
        "#JOB#",
        "#FRAMESPEC#",
        "#FRAME#",
    ]);
    prop_oneof![
        any::<String>(),
        "[-0-9xy:, #A-Z_]{0,40}",
        prop::collection::vec(token, 0..20).prop_map(|tokens| tokens.concat()),
        "[0-9]{1,5}-[a-z]{0,5}",
    ]
}

proptest! {
    #[test]
    fn no_columns_make_it_panic_and_no_message_grows_beyond_what_agents_take(
        texts in prop::collection::vec(any_text(), 8),
        name in any_text(),
        (chunk_size, memory, cores, gpus) in (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>()),
        uid in any::<Option<i64>>(),
        env in prop::collection::vec((any::<Option<String>>(), any::<Option<String>>()), 0..4),
    ) {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap_or_default();
        let source = LaunchSource {
            job_name: next(), show: next(), shot: next(), user: next(), log_dir: next(), layer_name: next(),
            command: next(), range: next(), chunk_size, uid, memory: Kb(memory), job_env: env, ..source()
        };
        let size = Resources { cores: Centicores(cores), gpus: Gpus(gpus), memory: Kb(memory), gpu_memory: Kb(cores) };
        if let Ok(made) = build_sized(source, &name, &size) {
            prop_assert!(made.command.len() <= COMMAND_BYTES_MAX);
            prop_assert!(made.num_cores > 0 && made.num_gpus >= 0);
        }
    }
}
