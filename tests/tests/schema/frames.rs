//! What a change of a frame's state does to the state, the version and the counters.

use crate::farm::{Farm, Refused, START};

struct Transition {
    name: &'static str,
    /// Changes made before, counters not looked at.
    before: &'static str,
    /// What a caller writes; a change of state raises the version by one.
    change: &'static str,
    state: &'static str,
    version_raised_by: i64,
    counters: &'static [(&'static str, i64)],
    layer_stopped: bool,
}

/// Sets a frame's state without any trigger.
macro_rules! given {
    ($assignments:literal) => {
        concat!(
            "ALTER TABLE frame DISABLE TRIGGER USER; UPDATE frame SET ",
            $assignments,
            "; ALTER TABLE frame ENABLE TRIGGER USER;"
        )
    };
}

/// A caller's change of state.
macro_rules! state {
    ($state:literal) => {
        concat!("UPDATE frame SET str_state = '", $state, "', int_version = int_version + 1")
    };
}

const TRANSITIONS: &[Transition] = &[
    Transition {
        name: "a start",
        before: "",
        change: START,
        state: "RUNNING",
        version_raised_by: 1,
        counters: &[("running", 1), ("waiting", -1)],
        layer_stopped: false,
    },
    Transition {
        name: "a stop that waits again",
        before: given!("str_state = 'RUNNING'"),
        change: state!("WAITING"),
        state: "WAITING",
        version_raised_by: 1,
        counters: &[("running", -1), ("waiting", 1)],
        layer_stopped: true,
    },
    Transition {
        name: "a stop with checkpoints on",
        before: given!("str_state = 'RUNNING', str_checkpoint_state = 'ENABLED'"),
        change: state!("WAITING"),
        state: "CHECKPOINT",
        version_raised_by: 1,
        counters: &[("checkpoint", 1), ("running", -1)],
        layer_stopped: true,
    },
    Transition {
        name: "a stop while a checkpoint is copied",
        before: given!("str_state = 'RUNNING', str_checkpoint_state = 'COPYING'"),
        change: state!("WAITING"),
        state: "CHECKPOINT",
        version_raised_by: 1,
        counters: &[("checkpoint", 1), ("running", -1)],
        layer_stopped: true,
    },
    Transition {
        name: "a stop with finished checkpoints",
        before: given!("str_state = 'RUNNING', str_checkpoint_state = 'COMPLETE'"),
        change: state!("WAITING"),
        state: "WAITING",
        version_raised_by: 1,
        counters: &[("running", -1), ("waiting", 1)],
        layer_stopped: true,
    },
    Transition {
        name: "a stop of a frame that depends by now",
        before: given!("str_state = 'RUNNING', int_depend_count = 1"),
        change: state!("WAITING"),
        state: "DEPEND",
        version_raised_by: 2,
        counters: &[("depend", 1), ("running", -1)],
        layer_stopped: true,
    },
    Transition {
        name: "a stop with checkpoints of a frame that depends by now",
        before: given!("str_state = 'RUNNING', int_depend_count = 1, str_checkpoint_state = 'ENABLED'"),
        change: state!("WAITING"),
        state: "DEPEND",
        version_raised_by: 2,
        counters: &[("depend", 1), ("running", -1)],
        layer_stopped: true,
    },
    Transition {
        name: "a dependency of a waiting frame",
        before: "",
        change: "UPDATE frame SET int_depend_count = 2",
        state: "DEPEND",
        version_raised_by: 1,
        counters: &[("depend", 1), ("waiting", -1)],
        layer_stopped: false,
    },
    Transition {
        name: "a dependency of a running frame",
        before: given!("str_state = 'RUNNING'"),
        change: "UPDATE frame SET int_depend_count = 1",
        state: "RUNNING",
        version_raised_by: 0,
        counters: &[],
        layer_stopped: false,
    },
    Transition {
        name: "the release of the last dependency",
        before: given!("str_state = 'DEPEND', int_depend_count = 1"),
        change: "UPDATE frame SET int_depend_count = 0",
        state: "WAITING",
        version_raised_by: 1,
        counters: &[("depend", -1), ("waiting", 1)],
        layer_stopped: false,
    },
    Transition {
        name: "the release of one dependency of two",
        before: given!("str_state = 'DEPEND', int_depend_count = 2"),
        change: "UPDATE frame SET int_depend_count = 1",
        state: "DEPEND",
        version_raised_by: 0,
        counters: &[],
        layer_stopped: false,
    },
    Transition {
        name: "a job's start with dependencies",
        before: given!("str_state = 'SETUP', int_depend_count = 1"),
        change: "UPDATE frame SET str_state = 'WAITING'",
        state: "DEPEND",
        version_raised_by: 1,
        counters: &[],
        layer_stopped: false,
    },
    Transition {
        name: "a job's start",
        before: given!("str_state = 'SETUP'"),
        change: "UPDATE frame SET str_state = 'WAITING'",
        state: "WAITING",
        version_raised_by: 0,
        counters: &[],
        layer_stopped: false,
    },
    Transition {
        name: "eating what has succeeded",
        before: given!("str_state = 'SUCCEEDED'"),
        change: state!("EATEN"),
        state: "SUCCEEDED",
        version_raised_by: 1,
        counters: &[],
        layer_stopped: false,
    },
    Transition {
        name: "eating what is dead",
        before: given!("str_state = 'DEAD'"),
        change: state!("EATEN"),
        state: "EATEN",
        version_raised_by: 1,
        counters: &[("dead", -1), ("eaten", 1)],
        layer_stopped: false,
    },
];

#[tokio::test]
async fn each_transition_ends_in_its_state_with_its_version_and_counters() {
    for transition in TRANSITIONS {
        let farm = Farm::new().await;
        farm.run(transition.before).await;
        farm.run(transition.change).await;
        let name = transition.name;
        let state = format!("{} {}", transition.state, transition.version_raised_by);
        assert_eq!(farm.row("SELECT str_state, int_version FROM frame").await, state, "{name}");
        let counters = transition.counters.iter().map(|(state, by)| ((*state).to_owned(), *by)).collect();
        assert_eq!(farm.counters_moved().await, counters, "{name}");
        let stopped = farm.row("SELECT ts_stopped IS NOT NULL FROM layer_stat").await;
        assert_eq!(stopped, transition.layer_stopped.to_string(), "{name}: layer_stat.ts_stopped");
    }
}

#[tokio::test]
async fn the_first_start_and_the_latest_stop_of_a_layer_stay() {
    let farm = Farm::new().await;
    farm.run("UPDATE frame SET str_state = 'RUNNING', ts_started = '2020-01-01 00:00Z'").await;
    farm.run("UPDATE frame SET str_state = 'WAITING', ts_stopped = '2020-01-02 00:00Z'").await;
    farm.run("UPDATE frame SET str_state = 'RUNNING', ts_started = '2021-01-01 00:00Z'").await;
    farm.run("UPDATE frame SET str_state = 'DEAD', ts_stopped = '2021-01-02 00:00Z'").await;
    let is =
        farm.row("SELECT ts_started = '2020-01-01 00:00Z', ts_stopped = '2021-01-02 00:00Z' FROM layer_stat").await;
    assert_eq!(is, "true true");
}

#[tokio::test]
async fn a_frame_is_eligible_from_when_it_could_first_run() {
    let cases = [
        ("", "UPDATE frame SET int_retries = 1", "unmoved"),
        (given!("str_state = 'SETUP'"), "UPDATE frame SET str_state = 'WAITING'", "moved"),
        (given!("str_state = 'SETUP', int_depend_count = 1"), "UPDATE frame SET str_state = 'WAITING'", "moved"),
        (given!("str_state = 'DEPEND', int_depend_count = 1"), "UPDATE frame SET int_depend_count = 0", "moved"),
        ("", START, "unmoved"),
    ];
    for (before, change, expected) in cases {
        let farm = Farm::new().await;
        let on_insert = farm.row("SELECT ts_eligible FROM frame").await;
        assert_ne!(on_insert, "-", "a frame that is inserted WAITING is eligible");
        farm.run(before).await;
        farm.run(change).await;
        let moved = farm.row("SELECT ts_eligible FROM frame").await != on_insert;
        assert_eq!(if moved { "moved" } else { "unmoved" }, expected, "{before} {change}");
    }
}

#[tokio::test]
async fn inserting_and_deleting_frames_counts_nothing() {
    let farm = Farm::new().await;
    farm.run(
        "INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, str_state, int_number, int_layer_order)
              VALUES ('second', 'layer', 'job', '0002-comp', 'SETUP', 2, 2)",
    )
    .await;
    assert_eq!(farm.row("SELECT ts_eligible FROM frame WHERE pk_frame = 'second'").await, "-");
    farm.run("DELETE FROM frame").await;
    assert!(farm.counters_moved().await.is_empty());
}

#[tokio::test]
async fn a_state_that_has_no_counter_fails_the_statement() {
    let cases = [
        ("SETUP", "42703", Some("column \"int_setup_count\" of relation \"layer_stat\" does not exist")),
        ("DREAMING", "42703", None),
        ("waiting", "42601", None),
    ];
    for (state, code, text) in cases {
        let farm = Farm::new().await;
        let Refused { code: was, text: said } = farm.refusal(&format!("UPDATE frame SET str_state = '{state}'")).await;
        assert_eq!(was, code, "{state}: {said}");
        // The word order differs between server versions, so the column is what counts.
        if let Some(text) = text {
            let column = text.split('"').nth(1).unwrap();
            assert!(said.contains(column), "{said}");
        }
        assert_eq!(farm.row("SELECT str_state FROM frame").await, "WAITING");
    }
}

#[tokio::test]
async fn a_counter_may_fall_below_zero() {
    let farm = Farm::new().await;
    farm.run("UPDATE layer_stat SET int_waiting_count = 0; UPDATE job_stat SET int_waiting_count = 0;").await;
    farm.run(START).await;
    assert_eq!(farm.row("SELECT int_waiting_count FROM layer_stat").await, "-1");
    assert_eq!(farm.row("SELECT int_waiting_count FROM job_stat").await, "-1");
}
