//! Each fault as a client sees it, and whether the frame runs.

use std::time::Instant;

use testbed::farm_sim::{Cause, Chance, Completion, Fault, Hosts, LaunchFault, Listen, Manner, Starts};
use tonic::Code;

use super::cuebot::Cuebot;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_on_command_is_sent_by_the_agent_and_nothing_runs() {
    let sim = farm(|_| {}).await;
    assert_eq!(sim.set_fault(FIRST, Fault::Launch(LaunchFault::Refuse(Code::Aborted))).await.unwrap(), 1);
    let mut client = agent(&sim, FIRST);
    let status = launch(&mut client, &frame("true")).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(is_from_agent(&status));
    launch(&mut agent(&sim, SECOND), &frame("true")).await.unwrap();
    assert_eq!((sim.launched_count(), sim.counts().faults["refuse"]), (1, 1));

    sim.set_fault(Hosts::All, Fault::Healthy).await.unwrap();
    launch(&mut client, &frame("true")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_that_hangs_ends_by_the_clients_clock_and_runs_or_not() {
    let sim = farm(|_| {}).await;
    for (runs, expected) in [(false, 0), (true, 1)] {
        sim.set_fault(FIRST, Fault::Launch(LaunchFault::Hang { runs })).await.unwrap();
        let mut client = agent(&sim, FIRST);
        let status = launch_within(&mut client, &frame("sleep 60"), Duration::from_millis(300)).await.unwrap_err();
        assert!(!is_from_agent(&status), "{status:?}");
        // The client may have given up before the request was looked at.
        let hung = |sim: &FarmSim| sim.counts().faults.get("hang").copied().unwrap_or(0) == expected + 1;
        assert!(sim.wait_until(LIMIT, hung).await, "the launch reached the host");
        assert_eq!(sim.launched_count(), expected);
        assert_eq!(listed(&mut client).await.frames.len() as u64, expected, "other calls are answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_host_answers_nothing_and_reports_on() {
    let cuebot = Cuebot::start().await;
    let sim = farm(|config| config.cuebot = Some(cuebot.address())).await;
    sim.set_fault(FIRST, Fault::Silent).await.unwrap();
    let mut client = agent(&sim, FIRST);
    let asked = client.report_status(RqdStaticReportStatusRequest {});
    let status = within(Duration::from_millis(300), asked).await.unwrap_err();
    assert!(!is_from_agent(&status));
    let before = sim.counts().reports;
    assert!(sim.wait_until(LIMIT, |sim| sim.counts().reports > before + 4).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_comes_late_and_the_frame_starts_before_or_after_the_delay() {
    let delay = Duration::from_millis(400);
    let sim = farm(|_| {}).await;
    let late = |starts| Fault::Launch(LaunchFault::Late { delay, starts });

    sim.set_fault(FIRST, late(Starts::AtOnce)).await.unwrap();
    let began = Instant::now();
    launch(&mut agent(&sim, FIRST), &frame("sleep 60")).await.unwrap();
    assert!(began.elapsed() >= delay);
    let started = sim.record()[0].started();
    assert!(started.elapsed().unwrap() >= delay.mul_f64(0.9));

    // Long enough that a busy machine doesn't let the client give up only after it.
    let delay = Duration::from_secs(4);
    sim.set_fault(FIRST, Fault::Launch(LaunchFault::Late { delay, starts: Starts::AtAnswer })).await.unwrap();
    let mut client = agent(&sim, FIRST);
    let status = launch_within(&mut client, &frame("sleep 60"), Duration::from_millis(100)).await.unwrap_err();
    assert!(!is_from_agent(&status));
    assert_eq!(sim.launched_count(), 1, "the client has given up, and nothing runs yet");
    assert!(sim.wait_until(LIMIT, |sim| sim.launched_count() == 2).await, "the frame starts all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_answer_is_a_transport_error_although_the_frame_runs() {
    let sim = farm(|_| {}).await;
    for (runs, expected) in [(true, 1), (false, 1)] {
        sim.set_fault(FIRST, Fault::Launch(LaunchFault::Drop { runs })).await.unwrap();
        let mut client = agent(&sim, FIRST);
        let status = launch(&mut client, &frame("sleep 60")).await.unwrap_err();
        assert!(!is_from_agent(&status), "{status:?}");
        assert_eq!(sim.running().len(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_host_loses_its_frames_and_comes_back_with_a_boot_report() {
    let cuebot = Cuebot::start().await;
    let sim = farm(|config| config.cuebot = Some(cuebot.address())).await;
    cuebot.hears(|heard| heard.boots.len() == 2).await;
    let mut client = agent(&sim, FIRST);
    launch(&mut client, &frame("sleep 60")).await.unwrap();

    sim.set_fault(FIRST, Fault::Dead).await.unwrap();
    let run = &sim.record()[0];
    assert_eq!((run.end.unwrap().cause, run.completion), (Cause::Lost, Completion::Unsent));
    for _ in 0..2 {
        let status = launch(&mut client, &frame("true")).await.unwrap_err();
        assert!(!is_from_agent(&status), "{status:?}");
    }

    sim.set_fault(FIRST, Fault::Healthy).await.unwrap();
    let heard = cuebot.hears(|heard| heard.boots.len() == 3).await;
    assert_eq!(heard.boots[2].host.as_ref().unwrap().name, "127.1.0.1");
    assert!(listed(&mut client).await.frames.is_empty());
    assert!(heard.completions.is_empty());
    assert_eq!(sim.launched_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_the_boot_report_of_an_earlier_start_does_not_count_for_the_next() {
    let cuebot = Cuebot::start().await;
    cuebot.holds_boots.send_replace(true);
    let sim = farm(|config| {
        config.cuebot = Some(cuebot.address());
        config.hosts[0].count = 1;
    })
    .await;
    cuebot.hears(|heard| heard.boots.len() == 1).await;
    sim.set_fault(FIRST, Fault::Dead).await.unwrap();
    sim.set_fault(FIRST, Fault::Healthy).await.unwrap();
    cuebot.hears(|heard| heard.boots.len() == 2).await;
    cuebot.holds_boots.send_replace(false);
    let heard = cuebot.hears(|heard| !heard.reports.is_empty()).await;
    assert_eq!(heard.boots.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_host_comes_back_with_its_frames_and_without_a_boot_report() {
    for (manner, completions) in [(Manner::Python, 1), (Manner::Rust, 2)] {
        let cuebot = Cuebot::start().await;
        let sim = farm(|config| {
            config.cuebot = Some(cuebot.address());
            config.manner = manner;
        })
        .await;
        assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 2).await);
        let mut client = agent(&sim, FIRST);
        let (short, long) = (frame("sleep 0.3"), frame("sleep 60"));
        launch(&mut client, &short).await.unwrap();
        launch(&mut client, &long).await.unwrap();
        sim.set_fault(FIRST, Fault::Partitioned).await.unwrap();
        assert!(!is_from_agent(&launch(&mut client, &frame("true")).await.unwrap_err()));
        assert!(sim.wait_until(LIMIT, |sim| sim.running().len() == 1).await, "frames end behind a partition too");
        if manner == Manner::Python {
            assert!(sim.wait_until(LIMIT, |sim| sim.record()[0].completion == Completion::Lost).await);
        }

        sim.set_fault(FIRST, Fault::Healthy).await.unwrap();
        let report = listed(&mut client).await;
        assert_eq!(report.frames.iter().map(|frame| &frame.frame_id).collect::<Vec<_>>(), [&long.frame_id]);
        kill(&mut client, &long.frame_id, "the test is over").await.unwrap();
        let heard = cuebot.hears(|heard| heard.completions.len() == completions).await;
        assert_eq!(heard.boots.len(), 2, "the agent was never away");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_of_its_own_refuses_connections_while_the_host_is_dead() {
    let sim = farm(|config| config.listen = Listen::PerHost).await;
    let target = |host| (host, sim.port());
    tokio::net::TcpStream::connect(target(FIRST)).await.unwrap();
    sim.set_fault(FIRST, Fault::Dead).await.unwrap();
    let error = tokio::net::TcpStream::connect(target(FIRST)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    launch(&mut agent(&sim, SECOND), &frame("true")).await.unwrap();
    sim.set_fault(FIRST, Fault::Healthy).await.unwrap();
    launch(&mut agent(&sim, FIRST), &frame("true")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_known_by_its_port_where_each_has_one() {
    let sim = farm(|config| config.listen = Listen::PortPerHost).await;
    for (host, port) in [FIRST, SECOND].into_iter().zip(sim.port()..) {
        let channel = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect_lazy();
        launch(&mut RqdInterfaceClient::new(channel), &frame("true")).await.unwrap();
        assert_eq!(sim.record().last().unwrap().host, host);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_by_chance_strike_about_as_often_as_wanted() {
    let fault = LaunchFault::Refuse(Code::Aborted);
    let sim = farm(|config| {
        config.hosts[0].cores = 1000;
        config.chances = vec![Chance { probability: 0.3, fault }];
    })
    .await;
    let mut client = agent(&sim, FIRST);
    for _ in 0..300 {
        let answer = launch(&mut client, &frame("sleep 60")).await;
        assert!(answer.is_ok() || answer.unwrap_err().code() == Code::Aborted);
    }
    let struck = sim.counts().faults["refuse"];
    assert!((50..140).contains(&struck), "{struck} of 300");
    assert_eq!(sim.launched_count(), 300 - struck);
}
