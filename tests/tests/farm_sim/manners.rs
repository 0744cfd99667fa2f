//! What the two agents do differently.

use cue_scheduler_proto::rqd::running_frame_client::RunningFrameClient;
use cue_scheduler_proto::rqd::{
    RqdStaticGetRunFrameRequest, RqdStaticGetRunningFrameStatusRequest, RqdStaticLockRequest,
    RqdStaticShutdownIdleRequest, RunningFrameStatusRequest,
};
use testbed::farm_sim::{Cause, Manner};
use tonic::Code;

use super::cuebot::Cuebot;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_runs_there_already_is_refused() {
    for (manner, code) in [(Manner::Python, Code::Unknown), (Manner::Rust, Code::InvalidArgument)] {
        let sim = farm(|config| config.manner = manner).await;
        let mut client = agent(&sim, FIRST);
        let run = frame("sleep 60");
        launch(&mut client, &run).await.unwrap();
        let status = launch(&mut client, &run).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert!(is_from_agent(&status));
        assert_eq!((sim.launched_count(), sim.counts().refused["duplicate"]), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_frame_ends_and_an_unknown_one_is_not_found() {
    for (manner, signal) in [(Manner::Python, 9), (Manner::Rust, 15)] {
        let cuebot = Cuebot::start().await;
        let sim = farm(|config| {
            config.manner = manner;
            config.cuebot = Some(cuebot.address());
        })
        .await;
        cuebot.hears(|heard| heard.boots.len() == 2).await;
        assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 2).await);
        let mut client = agent(&sim, FIRST);
        let run = frame("sleep 60");
        launch(&mut client, &run).await.unwrap();
        kill(&mut client, &run.frame_id, "no longer wanted").await.unwrap();
        let heard = cuebot.hears(|heard| !heard.completions.is_empty()).await;
        assert_eq!((heard.completions[0].exit_status, heard.completions[0].exit_signal), (1, signal));
        assert_eq!(sim.record()[0].end.unwrap().cause, Cause::Killed);

        let status = kill(&mut client, &run.frame_id, "again").await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert!(is_from_agent(&status));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_before_there_is_a_process_does_what_each_agent_does() {
    let early = |manner| farm(move |config| (config.manner, config.process_start) = (manner, Duration::from_mins(1)));

    let sim = early(Manner::Rust).await;
    let mut client = agent(&sim, FIRST);
    let run = frame("sleep 60");
    launch(&mut client, &run).await.unwrap();
    assert_eq!(kill(&mut client, &run.frame_id, "early").await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(sim.running().len(), 1);

    let sim = early(Manner::Python).await;
    let mut client = agent(&sim, FIRST);
    launch(&mut client, &run).await.unwrap();
    assert!(listed(&mut client).await.frames.is_empty(), "an agent in Python lists a frame later than it accepts it");
    kill(&mut client, &run.frame_id, "early").await.unwrap();
    assert_eq!(sim.running().len(), 1, "the answer was fine, and nothing was killed");

    let run = RunFrame { pid: 0, ..frame("sleep 60") };
    launch(&mut client, &run).await.unwrap();
    let status = kill(&mut client, &run.frame_id, "early").await.unwrap_err();
    assert!(!is_from_agent(&status), "the agent killed itself: {status:?}");
    assert!(sim.running().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_that_cuebot_refuses_is_lost_in_python_and_repeated_in_rust() {
    for manner in [Manner::Python, Manner::Rust] {
        let cuebot = Cuebot::start().await;
        *cuebot.refuses_completions.lock().unwrap() = true;
        let sim = farm(|config| {
            config.cuebot = Some(cuebot.address());
            config.manner = manner;
        })
        .await;
        assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 2).await);
        launch(&mut agent(&sim, FIRST), &frame("sleep 0")).await.unwrap();
        assert!(sim.wait_until(LIMIT, |sim| sim.counts().completions_failed >= 1).await);
        *cuebot.refuses_completions.lock().unwrap() = false;
        match manner {
            Manner::Python => {
                assert!(sim.wait_until(LIMIT, |sim| sim.counts().completions_lost == 1).await);
                let before = sim.counts().reports;
                assert!(sim.wait_until(LIMIT, |sim| sim.counts().reports > before + 2).await);
                assert_eq!(sim.counts().completions, 0);
            }
            Manner::Rust => {
                cuebot.hears(|heard| heard.completions.len() == 1).await;
                assert!(sim.wait_until(LIMIT, |sim| sim.counts().completions == 1).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_host_report_ends_an_agent_in_rust_which_boots_again_with_its_frames() {
    let cuebot = Cuebot::start().await;
    let sim = farm(|config| {
        config.cuebot = Some(cuebot.address());
        config.manner = Manner::Rust;
        config.hosts[0].count = 1;
    })
    .await;
    assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 1).await);
    launch(&mut agent(&sim, FIRST), &frame("sleep 60")).await.unwrap();
    *cuebot.refuses_reports.lock().unwrap() = true;
    cuebot.hears(|heard| heard.boots.len() == 2).await;
    *cuebot.refuses_reports.lock().unwrap() = false;
    cuebot.hears(|heard| heard.reports.last().is_some_and(|report| report.frames.len() == 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_that_an_agent_lacks_fail_as_they_do_there() {
    for manner in [Manner::Python, Manner::Rust] {
        let sim = farm(|config| config.manner = manner).await;
        let mut client = agent(&sim, FIRST);
        let run = frame("sleep 60");
        launch(&mut client, &run).await.unwrap();

        let obsolete = client.get_run_frame(RqdStaticGetRunFrameRequest::default()).await.unwrap_err();
        let request = RqdStaticGetRunningFrameStatusRequest { frame_id: run.frame_id.clone() };
        let status = client.get_running_frame_status(request).await;
        let request = RunningFrameStatusRequest { run_frame: Some(run.clone()) };
        let other = RunningFrameClient::new(channel(&sim, FIRST)).status(request).await;
        // One core in Rust's unit, one hundredth in Python's.
        client.lock(RqdStaticLockRequest { cores: 1 }).await.unwrap();
        let locked = listed(&mut client).await.core_info.unwrap().locked_cores;
        match manner {
            Manner::Python => {
                assert_eq!(obsolete.code(), Code::Unimplemented);
                assert_eq!(status.unwrap_err().code(), Code::Unknown);
                assert_eq!(other.unwrap_err().code(), Code::Unimplemented);
                assert_eq!(locked, 1);
            }
            Manner::Rust => {
                assert_eq!(obsolete.code(), Code::Cancelled);
                assert!(!is_from_agent(&obsolete), "the stream was reset: {obsolete:?}");
                let info = status.unwrap().into_inner().running_frame_info.unwrap();
                assert_eq!(info.resource_id, run.resource_id);
                assert_eq!(other.unwrap().into_inner().running_frame_info.unwrap().frame_id, run.frame_id);
                assert_eq!(locked, 100);
                assert_eq!(listed(&mut client).await.frames.len(), 1, "the agent survives the crash of a call");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_waits_for_idle_takes_nothing_more_and_goes_down_after_its_last_frame() {
    let sim = farm(|_| {}).await;
    let mut client = agent(&sim, FIRST);
    launch(&mut client, &frame("sleep 0.3")).await.unwrap();
    client.shutdown_rqd_idle(RqdStaticShutdownIdleRequest {}).await.unwrap();
    assert_eq!(launch(&mut client, &frame("true")).await.unwrap_err().code(), Code::Unknown);
    assert!(sim.wait_until(LIMIT, |sim| sim.running().is_empty()).await);
    assert_eq!(sim.record()[0].end.unwrap().cause, Cause::Finished);
    let gone = tokio::time::timeout(LIMIT, async {
        while client.report_status(RqdStaticReportStatusRequest {}).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert!(gone.await.is_ok(), "the agent should be gone");
}
