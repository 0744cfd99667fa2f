//! Hosts by address, frames that end, reports that arrive, and the record.

use std::collections::BTreeSet;
use std::time::Instant;

use cue_scheduler_proto::host::HardwareState;
use futures::StreamExt as _;
use testbed::farm_sim::{Cause, Completion, Manner};
use tokio::net::TcpListener;
use tonic::Code;

use super::cuebot::Cuebot;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_addresses_at_one_port_are_two_hosts() {
    let sim = farm(|_| {}).await;
    let (mut first, mut second) = (agent(&sim, FIRST), agent(&sim, SECOND));
    let run = frame("sleep 60");
    launch(&mut first, &run).await.unwrap();

    let report = listed(&mut first).await;
    assert_eq!(report.host.unwrap().name, "127.1.0.1");
    assert_eq!(report.frames[0].resource_id, run.resource_id);
    let cores = report.core_info.unwrap();
    assert_eq!((cores.total_cores, cores.idle_cores, cores.booked_cores), (400, 300, 100));

    let other = listed(&mut second).await;
    assert_eq!(other.host.unwrap().name, "127.1.0.2");
    assert!(other.frames.is_empty());
    assert_eq!(sim.running()[0].host, FIRST);
    assert!(sim.open_files() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_no_host_is_hung_up_on() {
    let sim = farm(|_| {}).await;
    let stranger = Ipv4Addr::new(127, 9, 9, 9);
    let status = launch(&mut agent(&sim, stranger), &frame("true")).await.unwrap_err();
    assert!(!is_from_agent(&status), "{status:?}");
    assert_eq!(sim.launched_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_runs_and_its_completion_reaches_cuebot() {
    for manner in [Manner::Python, Manner::Rust] {
        let cuebot = Cuebot::start().await;
        let sim = farm(|config| {
            config.cuebot = Some(cuebot.address());
            config.manner = manner;
            config.hosts[0].tags = vec!["general".to_owned()];
        })
        .await;
        let heard = cuebot.hears(|heard| heard.boots.len() == 2 && heard.reports.len() >= 2).await;
        let host = heard.boots[0].host.clone().unwrap();
        assert_eq!((host.num_procs, host.cores_per_proc, host.state()), (1, 400, HardwareState::Up));
        assert_eq!((host.tags, host.facility), (vec!["general".to_owned()], "local".to_owned()));
        assert_eq!(host.attributes["SP_OS"], "linux");

        let run = frame("sleep 0.2; exit 7");
        launch(&mut agent(&sim, SECOND), &run).await.unwrap();
        let heard = cuebot.hears(|heard| !heard.completions.is_empty()).await;
        let completion = &heard.completions[0];
        let info = completion.frame.as_ref().unwrap();
        assert_eq!(
            (info.frame_id.as_str(), info.resource_id.as_str()),
            (run.frame_id.as_str(), run.resource_id.as_str())
        );
        assert_eq!(completion.host.as_ref().unwrap().name, "127.1.0.2");
        assert_eq!((completion.exit_status, completion.exit_signal, completion.run_time), (7, 0, 0));

        assert!(sim.wait_until(LIMIT, |sim| sim.counts().completions == 1).await);
        let runs = sim.record();
        let end = runs[0].end.unwrap();
        assert!(end.at_us - runs[0].started_us >= 200_000);
        assert_eq!((end.cause, end.exit_status), (Cause::Finished, 7));
        assert!(matches!(runs[0].completion, Completion::Delivered(at_us) if at_us >= end.at_us));
        assert_eq!(sim.shutdown().await.running, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_boots_once_cuebot_is_there() {
    // A port that was free a moment ago; the farm starts before anybody listens at it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sim = farm(|config| config.cuebot = Some(address.to_string())).await;
    assert!(sim.wait_until(LIMIT, |sim| sim.counts().reports_failed >= 2).await);

    let cuebot = Cuebot::serve(TcpListener::bind(address).await.unwrap());
    assert!(sim.wait_until(LIMIT, |sim| sim.counts().boots == 2).await);
    assert_eq!(cuebot.heard.borrow().boots.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_sits_down_ends_the_frames_and_locks_the_host() {
    let cuebot = Cuebot::start().await;
    let sim = farm(|config| config.cuebot = Some(cuebot.address())).await;
    cuebot.hears(|heard| heard.boots.len() == 2).await;
    let mut client = agent(&sim, FIRST);
    launch(&mut client, &frame("sleep 60")).await.unwrap();
    sim.set_nimby(FIRST, true);
    let heard = cuebot.hears(|heard| !heard.completions.is_empty()).await;
    assert_eq!(heard.completions[0].exit_status, 286);
    assert!(heard.completions[0].host.as_ref().unwrap().nimby_locked);
    assert_eq!(launch(&mut client, &frame("true")).await.unwrap_err().code(), Code::Unknown);
    sim.set_nimby(FIRST, false);
    sim.set_hardware(FIRST, HardwareState::Repair);
    assert_eq!(launch(&mut client, &frame("true")).await.unwrap_err().code(), Code::Unknown);
    sim.set_hardware(FIRST, HardwareState::Up);
    launch(&mut client, &frame("true")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_catches_a_frame_that_runs_twice_at_once_and_no_other() {
    let sim = farm(|_| {}).await;
    let twice = frame("sleep 60");
    let again = RunFrame { resource_id: Uuid::new_v4().to_string(), ..twice.clone() };
    let once = frame("sleep 0");
    launch(&mut agent(&sim, FIRST), &once).await.unwrap();
    assert!(sim.wait_until(LIMIT, |sim| sim.running().is_empty()).await);
    launch(&mut agent(&sim, SECOND), &once).await.unwrap();
    launch(&mut agent(&sim, FIRST), &twice).await.unwrap();
    launch(&mut agent(&sim, SECOND), &again).await.unwrap();

    let overlaps = sim.overlaps();
    assert_eq!(overlaps.len(), 1);
    assert_eq!(overlaps[0].first.resource_id, twice.resource_id);
    assert_eq!(overlaps[0].second.resource_id, again.resource_id);
    assert_eq!((overlaps[0].first.host, overlaps[0].second.host), (FIRST, SECOND));
    assert_eq!(sim.shutdown().await.overlaps.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hosts_boot_within_seconds_and_two_thousand_of_them_run_a_frame() {
    let cuebot = Cuebot::start().await;
    let began = Instant::now();
    let sim = farm(|config| {
        config.hosts[0].count = 10_000;
        config.cuebot = Some(cuebot.address());
        config.first_report = None;
        config.report_interval = None;
    })
    .await;
    assert!(sim.wait_until(LIMIT * 4, |sim| sim.counts().boots == 10_000).await, "{:?}", sim.counts());
    let names: BTreeSet<_> =
        cuebot.heard.borrow().boots.iter().map(|boot| boot.host.as_ref().unwrap().name.clone()).collect();
    assert_eq!(names.len(), 10_000);
    println!("10000 boot reports: {:?}", began.elapsed());

    let began = Instant::now();
    let hosts: Vec<_> = sim.hosts().into_iter().step_by(5).collect();
    futures::stream::iter(hosts)
        .for_each_concurrent(64, |host| {
            let mut client = agent(&sim, host);
            async move { launch(&mut client, &frame("sleep 1")).await.unwrap() }
        })
        .await;
    println!("2000 launches, a connection each: {:?}", began.elapsed());
    assert!(sim.wait_until(LIMIT * 4, |sim| sim.counts().completions == 2000).await, "{:?}", sim.counts());
    println!("2000 completions: {:?}", began.elapsed());
    let ran_on: BTreeSet<_> = sim.record().iter().map(|run| run.host).collect();
    assert_eq!(ran_on.len(), 2000);
    assert!(sim.overlaps().is_empty());
}
