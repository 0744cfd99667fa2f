//! The end of runs: frames, procs, counters, dependencies, jobs.

use std::time::Duration;

use cue_scheduler_proto::report::{FrameCompleteReport, RqdReportRunningFrameCompletionRequest};
use sqlx::postgres::PgListener;
use testbed::auditor::audit;
use testbed::cuebot_sim::{CuebotConfig, Generation};
use tonic::Code;

use crate::farm::{COUNTERS, Farm, IDLE_CORES, PROCS, Run};

#[tokio::test]
async fn a_completion_ends_the_frame_and_gives_everything_back() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.assert_clean().await;
    assert_eq!(farm.number(IDLE_CORES).await, 1400);
    assert_eq!(farm.number(COUNTERS).await, 5 * 200);
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "SUCCEEDED");
    assert_eq!(farm.number(PROCS).await, 0);
    assert_eq!(farm.number(IDLE_CORES).await, 1600);
    assert_eq!(farm.number(COUNTERS).await, 0);
    assert_eq!(farm.number("SELECT int_max_rss FROM layer_mem ORDER BY 1 DESC LIMIT 1").await, 1000);
    farm.assert_clean().await;
    let accepted = farm.sim.accepted();
    assert_eq!((accepted[0].frame.as_str(), accepted[0].resource.as_str()), (run.frame.as_str(), run.proc.as_str()));
    let counts = farm.sim.shutdown().await;
    assert_eq!((counts.completions, counts.releases, counts.notifications, counts.failures), (1, 1, 0, 0));
}

#[tokio::test]
async fn generation_b1_leaves_the_counters_of_managed_shows_alone_and_says_so() {
    let mut farm = Farm::new(CuebotConfig { generation: Generation::B1, ..CuebotConfig::default() }).await;
    let mut listener = PgListener::connect_with(&farm.pool).await.unwrap();
    listener.listen("acct_release").await.unwrap();
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 0).await;
    assert_eq!((farm.number(PROCS).await, farm.number(IDLE_CORES).await), (0, 1600));
    assert_eq!(farm.number(COUNTERS).await, 5 * 200);
    let message = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await.unwrap().unwrap();
    let message: serde_json::Value = serde_json::from_str(message.payload()).unwrap();
    assert_eq!(message["show"], farm.loaded.shows["alpha"]);
    assert_eq!(message["alloc"], farm.loaded.allocations["local.general"]);
    assert_eq!(message["folder"], farm.loaded.folders["alpha/alpha"]);
    assert_eq!(message["job"], farm.loaded.jobs["plain"]);
    assert_eq!(message["layer"], farm.loaded.layers["plain/comp"]);
    assert!(message["dept"].is_string());
    assert_eq!((&message["cores"], &message["gpus"]), (&(-2).into(), &(-1).into()));
    let audit = audit(&farm.pool).await.unwrap();
    assert!(!audit.is_clean() && audit.is_clean_but_for_high_counters(), "{audit}");
}

#[tokio::test]
async fn generation_b1_decrements_the_counters_of_its_own_shows() {
    let mut farm = Farm::new(CuebotConfig { generation: Generation::B1, ..CuebotConfig::default() }).await;
    let run = farm.book("old/comp", 0).await;
    farm.complete(&run, 0).await;
    farm.assert_clean().await;
    assert_eq!(farm.sim.counts().notifications, 0);
}

#[tokio::test]
async fn a_flag_that_is_switched_is_seen_when_the_memory_of_it_is_old() {
    for (flag_cache, expected) in [(Duration::from_hours(1), 2 * 5 * 200), (Duration::ZERO, 5 * 200)] {
        let config = CuebotConfig { generation: Generation::B1, flag_cache, ..CuebotConfig::default() };
        let mut farm = Farm::new(config).await;
        let run = farm.book("plain/comp", 0).await;
        farm.complete(&run, 0).await;
        farm.execute("UPDATE show SET b_scheduler_managed = false").await;
        let run = farm.book("plain/comp", 1).await;
        farm.complete(&run, 0).await;
        assert_eq!(farm.number(COUNTERS).await, expected, "{flag_cache:?}");
    }
}

#[tokio::test]
async fn a_frame_that_fails_is_tried_again_until_its_retries_are_used_up() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 7).await;
    assert_eq!(farm.state(&run.frame).await, ("WAITING".to_owned(), 7, 0));
    let run = farm.book("plain/comp", 0).await;
    assert_eq!(farm.state(&run.frame).await, ("RUNNING".to_owned(), 7, 1));
    farm.complete(&run, 7).await;
    assert_eq!(farm.state(&run.frame).await, ("DEAD".to_owned(), 7, 1));
    farm.assert_clean().await;
    let counts = farm.sim.counts();
    assert_eq!((counts.retries, counts.dead), (1, 1));
}

#[tokio::test]
async fn a_death_of_memory_raises_the_layer_above_what_was_reserved() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 33).await;
    assert_eq!(farm.state(&run.frame).await.0, "WAITING");
    let asked = "SELECT int_mem_min FROM layer WHERE int_gpus_min > 0";
    assert_eq!(farm.number(asked).await, 4 << 20, "2 GiB that were reserved and 2 GiB more");

    // The frame still bears the mark of that death when its next run ends well.
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "SUCCEEDED");
    assert_eq!(farm.number(asked).await, 4 << 20, "only a death raises it");
}

#[tokio::test]
async fn a_completion_of_another_run_changes_nothing() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let first = farm.book("plain/comp", 0).await;
    farm.complete(&first, 7).await;
    let second = farm.book("plain/comp", 0).await;
    // The first run's report comes again; then reports that mix up frame and resource.
    let other = farm.book("plain/comp", 1).await;
    let mixed = Run { frame: other.frame.clone(), proc: second.proc.clone() };
    let unknown = Run { frame: second.frame.clone(), proc: "no such proc".to_owned() };
    for run in [&first, &mixed, &unknown] {
        farm.complete(run, 0).await;
        assert_eq!(farm.state(&second.frame).await.0, "RUNNING");
        assert_eq!(farm.state(&other.frame).await.0, "RUNNING");
        assert_eq!(farm.number(PROCS).await, 2);
    }
    farm.complete(&second, 0).await;
    farm.complete(&second, 7).await;
    assert_eq!(farm.state(&second.frame).await.0, "SUCCEEDED");
    farm.assert_clean().await;
    assert_eq!((farm.sim.counts().completions, farm.sim.counts().stale_completions), (2, 4));
}

#[tokio::test]
async fn reports_of_one_run_that_come_together_end_it_once() {
    let farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    let reports = (0..8).map(|_| {
        let mut client = farm.client.clone();
        let frame = Some(run.info());
        let report = FrameCompleteReport { frame, ..FrameCompleteReport::default() };
        async move {
            let request = RqdReportRunningFrameCompletionRequest { frame_complete_report: Some(report) };
            client.report_running_frame_completion(request).await.unwrap();
        }
    });
    futures::future::join_all(reports).await;
    farm.sim.settle().await;
    farm.assert_clean().await;
    let counts = farm.sim.counts();
    assert_eq!((counts.completions, counts.stale_completions, counts.releases), (1, 7, 1));
}

#[tokio::test]
async fn a_running_frame_without_proc_is_ended_by_its_report() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("old/comp", 0).await;
    farm.execute("DELETE FROM proc").await;
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "SUCCEEDED");
    assert_eq!(farm.sim.counts().jobs_finished, 1);
}

#[tokio::test]
async fn frames_go_on_when_what_they_wait_for_has_ended() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    assert_eq!(farm.states("chain/mesh").await, ["DEPEND", "DEPEND"]);
    for index in 0..4 {
        let run = farm.book("chain/sim", index).await;
        farm.complete(&run, 0).await;
        let mesh = farm.states("chain/mesh").await;
        let comp = farm.states("chain/comp").await;
        // A frame of mesh stands for two numbers; comp waits for all of sim.
        let ready = |done: usize| if index + 1 >= done { "WAITING" } else { "DEPEND" };
        assert_eq!(mesh, [ready(2), ready(4)], "after {} frames of sim", index + 1);
        assert_eq!(comp, [ready(4), ready(4)], "after {} frames of sim", index + 1);
    }
    let open = farm.number("SELECT count(*) FROM depend WHERE b_active AND str_type <> 'JOB_ON_JOB'").await;
    assert_eq!(open, 0, "the composite dependency ends with its last part");
    farm.assert_clean().await;
}

#[tokio::test]
async fn one_end_lets_frames_of_several_layers_go_on_in_one_transaction() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    farm.run_layer("chain/sim").await;
    // The last frame of sim let the second of mesh go, and all of comp: rows of one transaction bear its number.
    let transactions = "SELECT count(DISTINCT frame.xmin::text) FROM frame JOIN layer USING (pk_layer)
         WHERE (layer.str_name = 'mesh' AND int_number = 3) OR (layer.str_name = 'comp' AND int_depend_count = 0
           AND layer.pk_job = (SELECT pk_job FROM job WHERE str_name = 'chain'))";
    assert_eq!(farm.number(transactions).await, 1);
    // Its locks are those that no order cures: layer_stat of the one, job_stat, layer_stat of the other.
    let counted = "SELECT count(DISTINCT layer_stat.xmin::text) FROM layer_stat JOIN layer USING (pk_layer)
         WHERE layer.str_name IN ('mesh', 'comp') AND layer.pk_job = (SELECT pk_job FROM job WHERE str_name = 'chain')";
    assert_eq!(farm.number(counted).await, 1);
}

#[tokio::test]
async fn a_frame_that_failed_lets_nobody_go_on() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("chain/sim", 0).await;
    farm.complete(&run, 7).await;
    assert_eq!(farm.states("chain/mesh").await, ["DEPEND", "DEPEND"]);
    assert_eq!(farm.sim.counts().dependencies_satisfied, 0);
}

#[tokio::test]
async fn a_job_finishes_with_its_last_frame_and_lets_the_layers_of_another_go_on() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    farm.run_layer("plain/comp").await;
    let finished = "SELECT count(*) FROM job WHERE str_state = 'FINISHED' AND str_visible_name IS NULL";
    assert_eq!(farm.number(finished).await, 1);
    assert_eq!(farm.states("later/a").await, ["WAITING", "WAITING"]);
    assert_eq!(farm.states("later/b").await, ["WAITING"]);
    farm.assert_clean().await;
    assert_eq!(farm.sim.counts().jobs_finished, 1);
}

#[tokio::test]
async fn a_job_with_a_dead_frame_does_not_finish() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    farm.execute("UPDATE job SET int_max_retries = 0").await;
    let run = farm.book("plain/comp", 0).await;
    farm.complete(&run, 7).await;
    let run = farm.book("plain/comp", 1).await;
    farm.complete(&run, 0).await;
    assert_eq!(farm.states("plain/comp").await, ["DEAD", "SUCCEEDED"]);
    assert_eq!(farm.sim.counts().jobs_finished, 0);
}

#[tokio::test]
async fn between_stop_and_release_the_proc_stands_without_a_frame_and_still_counts() {
    let config = CuebotConfig { release_delay: Duration::from_secs(3), ..CuebotConfig::default() };
    let mut farm = Farm::new(config).await;
    let run = farm.book("plain/comp", 0).await;
    farm.try_complete(&run, 0).await.unwrap();
    assert_eq!(farm.number("SELECT count(*) FROM proc WHERE pk_frame IS NULL").await, 1);
    assert_eq!(farm.number(COUNTERS).await, 5 * 200);
    farm.assert_clean().await;
    farm.sim.settle().await;
    assert_eq!(farm.number(PROCS).await, 0);
    farm.assert_clean().await;
}

#[tokio::test]
async fn a_refused_report_changes_nothing_and_may_come_again() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.sim.refuse(Some(Code::Unavailable));
    assert_eq!(farm.try_complete(&run, 0).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(farm.state(&run.frame).await.0, "RUNNING");
    farm.sim.refuse(None);
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "SUCCEEDED");
}
