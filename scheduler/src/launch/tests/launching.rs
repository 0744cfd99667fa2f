//! Sets of bookings, from the call to the settlement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cue_scheduler_core::domain::id::ProcId;
use cue_scheduler_core::launch::{Booking, BootInstant, Hold, Left, Settlement, Timing};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tonic::Code;

use super::super::clock;
use super::super::{ClientSettings, LaunchReport, LaunchSettings, Launcher, Ledger, LedgerError, Observer};
use super::agent::{Agent, Behaviour, free_port, start};
use super::booking;

/// The third number of this file's addresses.
const NET: u8 = 12;

/// An address where nobody listens.
const NOBODY: &str = "127.0.12.250";

/// The database: which procs still hold their frames.
#[derive(Default)]
struct Books {
    held: Mutex<BTreeSet<String>>,
    /// How often it fails before it answers.
    failures: AtomicUsize,
    /// The sets that it was asked to undo.
    undos: Mutex<Vec<Vec<String>>>,
}

impl Books {
    fn hold(&self, proc: &str) {
        self.held.lock().unwrap().insert(proc.to_owned());
    }

    fn answer(&self, what: &'static str) -> Result<(), LedgerError> {
        let failed = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if failed.is_ok() {
            return Err(LedgerError { what, source: "the connection was lost".into() });
        }
        Ok(())
    }
}

impl Ledger for Books {
    fn undo<'a>(&'a self, holds: &'a [Hold]) -> BoxFuture<'a, Result<Vec<ProcId>, LedgerError>> {
        async move {
            self.answer("undo launches")?;
            self.undos.lock().unwrap().push(holds.iter().map(|hold| hold.proc.to_string()).collect());
            let mut held = self.held.lock().unwrap();
            Ok(holds.iter().filter(|hold| held.remove(hold.proc.as_str())).map(|hold| hold.proc.clone()).collect())
        }
        .boxed()
    }

    fn still_held<'a>(&'a self, holds: &'a [Hold]) -> BoxFuture<'a, Result<Vec<ProcId>, LedgerError>> {
        async move {
            self.answer("look launches up")?;
            let held = self.held.lock().unwrap();
            Ok(holds.iter().filter(|hold| held.contains(hold.proc.as_str())).map(|hold| hold.proc.clone()).collect())
        }
        .boxed()
    }
}

struct Listener(mpsc::UnboundedSender<(String, Settlement)>);

impl Observer for Listener {
    fn settled(&self, hold: &Hold, settlement: Settlement) {
        self.0.send((hold.proc.to_string(), settlement)).unwrap();
    }
}

struct Bench {
    launcher: Launcher,
    books: Arc<Books>,
    settled: mpsc::UnboundedReceiver<(String, Settlement)>,
    port: u16,
}

/// Waits short enough for a test.
fn settings() -> LaunchSettings {
    LaunchSettings {
        client: ClientSettings {
            port: free_port(),
            call_timeout: Duration::from_secs(20),
            ..ClientSettings::default()
        },
        timing: Timing {
            quiet: Duration::from_millis(100),
            apart: Duration::from_millis(50),
            pause: Duration::from_millis(20),
            patience: Duration::from_millis(200),
            ..Timing::default()
        },
        ..LaunchSettings::default()
    }
}

impl Bench {
    fn new(settings: LaunchSettings) -> Self {
        let books = Arc::new(Books::default());
        let (told, settled) = mpsc::unbounded_channel();
        let launcher = Launcher::new(settings, books.clone(), Arc::new(Listener(told)));
        Self { launcher, books, settled, port: settings.client.port }
    }

    async fn agent(&self, number: u8, behaviour: Behaviour) -> Agent {
        start(NET, number, self.port, behaviour).await
    }

    async fn launch(&self, bookings: Vec<Booking>) -> LaunchReport {
        for booking in &bookings {
            self.books.hold(booking.hold.proc.as_str());
        }
        self.launcher.launch(bookings).await
    }

    /// The next settlements, by proc.
    async fn settlements(&mut self, count: usize) -> BTreeMap<String, Settlement> {
        let mut all = BTreeMap::new();
        while all.len() < count {
            let next = tokio::time::timeout(Duration::from_mins(1), self.settled.recv()).await;
            all.extend(next.expect("a settlement within a minute"));
        }
        all
    }

    fn holds(&self, proc: &str) -> bool {
        self.books.held.lock().unwrap().contains(proc)
    }
}

fn procs(launches: &[cue_scheduler_proto::rqd::RunFrame]) -> Vec<&str> {
    launches.iter().map(|frame| frame.resource_id.as_str()).collect()
}

#[tokio::test]
async fn each_booking_of_a_set_meets_its_own_fate() {
    let mut bench = Bench::new(settings());
    let accepts = bench.agent(1, Behaviour::Accept).await;
    let refuses = bench.agent(2, Behaviour::Refuse(Code::Aborted)).await;
    let breaks = bench.agent(3, Behaviour::RunAndBreak).await;
    let report = bench
        .launch(vec![
            booking("runs", &accepts.address),
            booking("refused", &refuses.address),
            booking("BROKEN", &breaks.address),
            booking("unreachable", NOBODY),
        ])
        .await;

    assert_eq!((report.launched, report.unknown, report.fenced), (1, 1, 0));
    let mut refusals: Vec<_> =
        report.refused.iter().map(|launch| (launch.hold.proc.as_str(), launch.code, launch.undone)).collect();
    refusals.sort_unstable();
    assert_eq!(refusals, [("refused", Some("aborted"), true), ("unreachable", None, true)]);
    assert!(bench.holds("runs"));

    let settled = bench.settlements(3).await;
    assert_eq!(settled["BROKEN"], Settlement::Adopted);
    assert_eq!(settled["refused"], Settlement::Undone);
    assert_eq!(settled["unreachable"], Settlement::Undone);
    assert!(bench.holds("BROKEN"), "what runs is not taken back");
    assert_eq!(procs(&breaks.state.launches.lock().unwrap()), ["BROKEN"], "and never sent twice");
}

#[tokio::test]
async fn a_launch_that_was_lost_is_undone_after_two_answers() {
    let mut bench = Bench::new(settings());
    let breaks = bench.agent(4, Behaviour::Break).await;
    let report = bench.launch(vec![booking("lost", &breaks.address)]).await;
    assert_eq!((report.unknown, bench.holds("lost")), (1, true));
    assert_eq!(bench.settlements(1).await["lost"], Settlement::Undone);
    assert_eq!(breaks.state.questions.load(Ordering::SeqCst), 2);
    assert!(!bench.holds("lost"));
}

#[tokio::test]
async fn an_agent_that_hangs_on_a_launch_is_asked_and_its_booking_undone() {
    let mut settings = settings();
    settings.client.call_timeout = Duration::from_secs(1);
    let mut bench = Bench::new(settings);
    let hangs = bench.agent(5, Behaviour::Hang).await;
    let report = bench.launch(vec![booking("hung", &hangs.address)]).await;
    assert_eq!(report.unknown, 1);
    assert_eq!(bench.settlements(1).await["hung"], Settlement::Undone);
    assert_eq!(procs(&hangs.state.launches.lock().unwrap()), ["hung"]);
}

#[tokio::test]
async fn a_completion_that_was_accepted_meanwhile_is_left_alone() {
    let mut bench = Bench::new(settings());
    let breaks = bench.agent(6, Behaviour::Break).await;
    bench.launch(vec![booking("ended", &breaks.address)]).await;
    bench.books.held.lock().unwrap().remove("ended");
    assert_eq!(bench.settlements(1).await["ended"], Settlement::Left(Left::NotHeld));
    assert!(bench.books.undos.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_agent_that_falls_silent_leaves_the_frame_held_and_the_host_paused() {
    let mut bench = Bench::new(settings());
    let breaks = bench.agent(7, Behaviour::RunAndBreak).await;
    let address = breaks.address.clone();
    let silent = booking("silent", &address);
    let host = silent.hold.host.clone();
    bench.launch(vec![silent]).await;
    drop(breaks);
    assert_eq!(bench.settlements(1).await["silent"], Settlement::Left(Left::Silent));
    assert!(bench.holds("silent"));
    assert!(bench.launcher.why_paused(&host).is_some());
    assert_eq!(bench.launcher.paused()[0].name.as_ref(), address);
}

#[tokio::test]
async fn a_booking_past_the_fence_is_never_sent() {
    let mut bench = Bench::new(settings());
    let accepts = bench.agent(8, Behaviour::Accept).await;
    let mut late = booking("late", &accepts.address);
    late.committed_at = BootInstant(clock::now().0.checked_sub(Duration::from_millis(5001)).unwrap());
    let report = bench.launch(vec![late, booking("young", &accepts.address)]).await;
    assert_eq!((report.launched, report.fenced), (1, 1));
    assert_eq!(bench.settlements(1).await["late"], Settlement::Undone);
    assert_eq!(procs(&accepts.state.launches.lock().unwrap()), ["young"]);
}

#[tokio::test]
async fn refused_bookings_are_undone_in_sets() {
    let mut settings = settings();
    settings.in_flight_per_host_max = 64;
    let bench = Bench::new(settings);
    let refuses = bench.agent(9, Behaviour::Refuse(Code::Unknown)).await;
    let bookings = (0..60).map(|n| booking(&format!("p{n}"), &refuses.address)).collect();
    let report = bench.launch(bookings).await;
    assert_eq!(report.refused.len(), 60);
    assert!(report.refused.iter().all(|launch| launch.undone));
    let undos = bench.books.undos.lock().unwrap();
    assert!(undos.len() < 20, "{} transactions for 60 bookings", undos.len());
}

#[tokio::test]
async fn a_refusal_spares_the_rest_of_the_set_the_same_host() {
    let mut settings = settings();
    settings.in_flight_per_host_max = 1;
    let bench = Bench::new(settings);
    let refuses = bench.agent(10, Behaviour::Refuse(Code::Aborted)).await;
    let report = bench.launch((0..5).map(|n| booking(&format!("p{n}"), &refuses.address)).collect()).await;
    assert_eq!(report.refused.iter().filter(|launch| launch.undone).count(), 5);
    assert_eq!(refuses.state.launches.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_bad_request_is_not_the_hosts_fault() {
    let bench = Bench::new(settings());
    let refuses = bench.agent(11, Behaviour::Refuse(Code::InvalidArgument)).await;
    let bad = booking("bad", &refuses.address);
    let host = bad.hold.host.clone();
    let report = bench.launch(vec![bad]).await;
    assert_eq!(report.refused[0].code, Some("invalid_argument"));
    assert_eq!(bench.launcher.why_paused(&host), None);
}

#[tokio::test]
async fn a_host_is_never_called_more_often_at_a_time_than_its_bound() {
    let mut settings = settings();
    settings.in_flight_per_host_max = 2;
    settings.client.call_timeout = Duration::from_millis(500);
    settings.timing.patience = Duration::ZERO;
    let bench = Bench::new(settings);
    let hangs = bench.agent(12, Behaviour::Hang).await;
    let set = |name: &str| (0..2).map(|n| booking(&format!("{name}{n}"), &hangs.address)).collect::<Vec<_>>();
    let (one, two) = tokio::join!(bench.launch(set("a")), bench.launch(set("b")));
    assert!(one.unknown + two.unknown >= 2);
    assert_eq!(hangs.state.in_call_max.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_database_that_fails_is_tried_again() {
    let mut settings = settings();
    settings.timing.patience = Duration::from_secs(30);
    let mut bench = Bench::new(settings);
    bench.books.failures.store(2, Ordering::SeqCst);
    let report = bench.launch(vec![booking("later", NOBODY)]).await;
    assert!(!report.refused[0].undone);
    assert_eq!(bench.settlements(1).await["later"], Settlement::Undone);
    assert!(!bench.holds("later"));
}

#[tokio::test]
async fn procs_that_are_taken_over_are_adopted_or_undone_and_never_launched() {
    let mut bench = Bench::new(settings());
    let accepts = bench.agent(13, Behaviour::Accept).await;
    accepts.state.running.lock().unwrap().push("runs".into());
    let holds: Vec<Hold> = ["runs", "gone"].into_iter().map(|proc| booking(proc, &accepts.address).hold).collect();
    bench.books.held.lock().unwrap().extend(["runs".to_owned(), "gone".to_owned()]);
    assert_eq!(bench.launcher.take_over(holds.clone()), 2);
    assert_eq!(bench.launcher.take_over(holds), 0, "once at a time");
    let settled = bench.settlements(2).await;
    assert_eq!(settled["runs"], Settlement::Adopted);
    assert_eq!(settled["gone"], Settlement::Undone);
    assert!(accepts.state.launches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn draining_settles_what_it_can() {
    let mut bench = Bench::new(settings());
    let breaks = bench.agent(14, Behaviour::RunAndBreak).await;
    bench.launch(vec![booking("broken", &breaks.address)]).await;
    assert_eq!(bench.launcher.drain(Duration::from_secs(30)).await, 0);
    assert_eq!(bench.settlements(1).await["broken"], Settlement::Adopted);
    let report = bench.launch(vec![booking("after the end", &breaks.address)]).await;
    assert_eq!((report.launched, report.refused[0].undone), (0, true));
    assert_eq!(breaks.state.launches.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn draining_leaves_a_doubt_when_time_is_short() {
    let mut settings = settings();
    settings.timing.quiet = Duration::from_mins(1);
    let mut bench = Bench::new(settings);
    let breaks = bench.agent(15, Behaviour::RunAndBreak).await;
    bench.launch(vec![booking("broken", &breaks.address)]).await;
    assert_eq!(bench.launcher.settling(), 1);
    assert_eq!(bench.launcher.drain(Duration::from_millis(10)).await, 1);
    assert_eq!(bench.settlements(1).await["broken"], Settlement::Left(Left::Stopped));
    assert!(bench.holds("broken"));
}

#[tokio::test]
async fn a_caller_that_stops_waiting_loses_nothing() {
    let mut bench = Bench::new(settings());
    bench.books.held.lock().unwrap().insert("forgotten".into());
    let launch = bench.launcher.launch(vec![booking("forgotten", NOBODY)]);
    assert!(launch.now_or_never().is_none());
    assert_eq!(bench.settlements(1).await["forgotten"], Settlement::Undone);
}

#[tokio::test]
async fn a_layer_that_hosts_refuse_which_take_others_is_blamed_and_the_hosts_are_free_again() {
    let bench = Bench::new(settings());
    let mut agents = vec![bench.agent(31, Behaviour::Refuse(Code::Aborted)).await];
    for number in 32..=34 {
        agents.push(bench.agent(number, Behaviour::RefuseBad).await);
    }
    let launcher = &bench.launcher;
    let launch = async |proc: &str, agent: &Agent, layer: &str| {
        let mut booking = booking(proc, &agent.address);
        booking.run_frame.layer_id = layer.into();
        bench.launch(vec![booking]).await;
    };
    for (proc, agent) in ["g1", "g2", "g3"].iter().zip(&agents[1..]) {
        launch(proc, agent, "good").await;
    }
    launch("p0", &agents[0], "bad").await;
    launch("p1", &agents[1], "bad").await;
    launch("p2", &agents[2], "bad").await;
    assert_eq!(launcher.paused().len(), 3, "one refuses all, two others may be bad ones");
    assert!(launcher.take_blamed().is_empty());
    launch("p3", &agents[3], "bad").await;
    assert_eq!(launcher.paused().len(), 1, "three that take others are not; who took nothing is no witness");
    let blamed = launcher.take_blamed();
    assert_eq!(blamed.into_iter().collect::<Vec<_>>(), [("bad".into(), "no".to_owned())]);
    assert!(launcher.take_blamed().is_empty(), "told once");
}
