//! Launching bookings: concurrently, bounded in total and per host, each within its fence.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use cue_scheduler_core::domain::id::{HostId, LayerId, ProcId};
use cue_scheduler_core::launch::{Action, Booking, BootInstant, Event, Hold, State, step};
use futures::StreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::blame::Blame;
use super::client::AgentClient;
use super::outcome::Outcome;
use super::quarantine::{Paused, Quarantine};
use super::settle::{settle, undo_refused};
use super::{LaunchSettings, Ledger, Observer, clock};

/// How long a refused booking waits for others to be undone with it.
const UNDO_GATHER: Duration = Duration::from_millis(20);

/// Most bookings undone in one transaction: as many as a booking transaction holds.
const UNDO_MAX: usize = 100;

/// How often idle connections are looked for.
const IDLE_CHECK: Duration = Duration::from_secs(5);

/// Launches bookings and settles what became of them. Clones are the same launcher.
#[derive(Clone)]
pub struct Launcher {
    shared: Arc<Shared>,
}

/// What agents answered to a set of bookings.
#[derive(Debug, Default)]
pub struct LaunchReport {
    /// Accepted.
    pub launched: u32,
    /// Refused for certain.
    pub refused: Vec<RefusedLaunch>,
    /// Called without an answer, and settled in the background.
    pub unknown: u32,
    /// Past the fence, not called, and settled in the background.
    pub fenced: u32,
}

/// A launch that was refused for certain, or not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLaunch {
    /// The booking.
    pub hold: Hold,
    /// What the agent said: the label of its status code; `None` when nothing was sent.
    pub code: Option<&'static str>,
    /// What it said, or why nothing was sent.
    pub message: String,
    /// Whether the booking is taken back. If not, it is someone else's, or tried again in the background.
    pub undone: bool,
}

/// What the launcher's tasks share.
pub(super) struct Shared {
    pub(super) settings: LaunchSettings,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) client: AgentClient,
    pub(super) questions: Semaphore,
    /// Stop: nothing more is sent.
    stop: CancellationToken,
    /// Stop waiting: what is in doubt is left.
    pub(super) hurry: CancellationToken,
    tasks: TaskTracker,
    this: Weak<Shared>,
    launches: Semaphore,
    per_host: Mutex<HashMap<HostId, Weak<Semaphore>>>,
    quarantine: Mutex<Quarantine>,
    blame: Mutex<Blame>,
    /// Layers that are to blame for refusals, with what agents said, until somebody takes them.
    blamed: Mutex<HashMap<LayerId, String>>,
    /// Procs that are being settled, so that none is settled twice at a time.
    settling: Mutex<HashSet<ProcId>>,
    left_at_stop: AtomicUsize,
}

/// What a call led to.
enum Answered {
    Launched,
    Refused { hold: Hold, state: State, code: Option<&'static str>, message: String },
    InDoubt { hold: Hold, state: State, action: Action, fenced: bool },
}

impl Launcher {
    /// A launcher that undoes through `ledger` and tells `observer`. Needs a runtime: a task closes idle connections.
    pub fn new(settings: LaunchSettings, ledger: Arc<dyn Ledger>, observer: Arc<dyn Observer>) -> Self {
        let shared = Arc::new_cyclic(|this| Shared {
            settings,
            ledger,
            observer,
            client: AgentClient::new(settings.client, settings.timing.quiet),
            questions: Semaphore::new(settings.questions_max.max(1)),
            stop: CancellationToken::new(),
            hurry: CancellationToken::new(),
            tasks: TaskTracker::new(),
            this: this.clone(),
            launches: Semaphore::new(settings.in_flight_max.max(1)),
            per_host: Mutex::default(),
            quarantine: Mutex::new(Quarantine::new(settings.pauses)),
            blame: Mutex::default(),
            blamed: Mutex::default(),
            settling: Mutex::default(),
            left_at_stop: AtomicUsize::new(0),
        });
        shared.tasks.spawn(tidy(Arc::downgrade(&shared), shared.stop.clone()));
        Self { shared }
    }

    /// Launches bookings that were just committed and says what the agents answered, once all have, or have had their time.
    /// That can be the connect and call time-outs together, so a pass shouldn't wait for it before the next.
    ///
    /// Goes on to its end even when the caller stops waiting.
    pub async fn launch(&self, bookings: Vec<Booking>) -> LaunchReport {
        let shared = self.shared.clone();
        match self.shared.tasks.spawn(launch_all(shared, bookings)).await {
            Ok(report) => report,
            Err(error) => {
                error!("a launch ended early, its bookings are left to who takes over: {error}");
                LaunchReport::default()
            }
        }
    }

    /// Settles procs that another replica booked and that no report has named, older than
    /// [`LaunchSettings::take_over_age`]. They are asked about and never launched. Returns at once, and says how many are
    /// new to this launcher.
    pub fn take_over(&self, holds: Vec<Hold>) -> usize {
        let (state, action) = State::taken_over(clock::now());
        holds.into_iter().filter(|hold| self.shared.settle_in_background(hold.clone(), state, action)).count()
    }

    /// Age from which procs may be settled that another replica has booked.
    pub fn take_over_age(&self) -> Duration {
        self.shared.settings.take_over_age()
    }

    /// Why a host should not be booked now; `None` when it may be.
    pub fn why_paused(&self, host: &HostId) -> Option<String> {
        lock(&self.shared.quarantine).why_paused(host, clock::now()).map(str::to_owned)
    }

    /// The hosts that should not be booked now.
    pub fn paused(&self) -> Vec<Paused> {
        lock(&self.shared.quarantine).paused(clock::now())
    }

    /// The layers that every host refused since this was last asked, with what an agent said.
    pub fn take_blamed(&self) -> HashMap<LayerId, String> {
        std::mem::take(&mut *lock(&self.shared.blamed))
    }

    /// How many bookings are being settled in the background.
    pub fn settling(&self) -> usize {
        lock(&self.shared.settling).len()
    }

    /// How many connections are kept.
    pub fn connections(&self) -> usize {
        self.shared.client.connections()
    }

    /// Ends: nothing more is sent, calls in flight are awaited, and doubts are settled up to `limit`. Gives how many bookings
    /// were left in doubt, for who takes over.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(limit, self.shared.tasks.wait()).await.is_err() {
            // Only waits and questions are cut short; a call or a transaction in flight has a time-out of its own.
            self.shared.hurry.cancel();
            self.shared.tasks.wait().await;
        }
        self.shared.left_at_stop.load(Ordering::Relaxed)
    }
}

/// Closes idle connections until the launcher stops or is gone.
async fn tidy(shared: Weak<Shared>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(IDLE_CHECK)).await.is_some() {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.client.close_idle();
        lock(&shared.per_host).retain(|_, gate| gate.strong_count() > 0);
    }
}

async fn launch_all(shared: Arc<Shared>, bookings: Vec<Booking>) -> LaunchReport {
    // As many places as answers, so that no call waits for the undoing of another.
    let (answers, mut answered) = mpsc::channel(bookings.len().max(1));
    let mut by_host: HashMap<HostId, Vec<Booking>> = HashMap::new();
    for booking in bookings {
        by_host.entry(booking.hold.host.clone()).or_default().push(booking);
    }
    for (host, bookings) in by_host {
        let (shared, answers) = (shared.clone(), answers.clone());
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let gate = shared.gate(&host);
            futures::stream::iter(bookings)
                .for_each_concurrent(shared.settings.in_flight_per_host_max.max(1), |booking| async {
                    let answer = shared.launch_one(&gate, booking).await;
                    // The receiver lives until the last sender is gone.
                    let _ = answers.send(answer).await;
                })
                .await;
        });
    }
    drop(answers);

    let mut report = LaunchReport::default();
    let mut refused: Vec<(Hold, State)> = Vec::new();
    let mut undo_at = tokio::time::Instant::now();
    let mut undoing: JoinSet<HashSet<ProcId>> = JoinSet::new();
    loop {
        let next = if refused.is_empty() {
            Ok(answered.recv().await)
        } else {
            tokio::time::timeout_at(undo_at, answered.recv()).await
        };
        let gather = matches!(next, Ok(Some(_)));
        let end = matches!(next, Ok(None));
        match next.ok().flatten() {
            Some(Answered::Launched) => report.launched += 1,
            Some(Answered::Refused { hold, state, code, message }) => {
                if refused.is_empty() {
                    undo_at = tokio::time::Instant::now() + UNDO_GATHER;
                }
                refused.push((hold.clone(), state));
                report.refused.push(RefusedLaunch { hold, code, message, undone: false });
            }
            Some(Answered::InDoubt { hold, state, action, fenced }) => {
                *(if fenced { &mut report.fenced } else { &mut report.unknown }) += 1;
                shared.settle_in_background(hold, state, action);
            }
            None => {}
        }
        if !refused.is_empty() && (!gather || refused.len() >= UNDO_MAX) {
            let (shared, refused) = (shared.clone(), std::mem::take(&mut refused));
            undoing.spawn(async move { undo_refused(&shared, refused).await });
        }
        if end {
            break;
        }
    }
    let undone: HashSet<ProcId> = undoing.join_all().await.into_iter().flatten().collect();
    for launch in &mut report.refused {
        launch.undone = undone.contains(&launch.hold.proc);
    }
    report
}

impl Shared {
    async fn launch_one(&self, gate: &Semaphore, booking: Booking) -> Answered {
        // First the host's gate: who waits for a slow host takes no place from the others. Neither is ever closed.
        let _at_host = gate.acquire().await;
        let _at_all = self.launches.acquire().await;

        let committed = State::committed(booking.committed_at);
        let timing = &self.settings.timing;
        let started = Instant::now();
        let host = &booking.hold.host;
        let kept_back = self.why_kept_back(host);
        let called = kept_back.is_none();
        let outcome = if let Some(message) = kept_back {
            Some(Outcome::NotSent { message })
        } else {
            let may_send = || step(committed, Event::Due, clock::now(), timing).1 == Action::Send;
            self.client.launch(&booking.hold.host_name, &booking.run_frame, may_send).await
        };

        let now = clock::now();
        let Some(outcome) = outcome else {
            let (state, action) = step(committed, Event::Due, now, timing);
            warn!(
                proc.id = %booking.hold.proc, host.name = %booking.hold.host_name,
                "proc {} on {} is past the fence and is not launched", booking.hold.proc, booking.hold.host_name
            );
            self.observer.fenced(&booking);
            return Answered::InDoubt { hold: booking.hold, state, action, fenced: true };
        };
        self.observer.called(&booking, &outcome, started.elapsed());
        let layer = &booking.run_frame.layer_id;
        let hold = booking.hold;
        let (event, code, message) = match outcome {
            Outcome::Launched => {
                lock(&self.quarantine).forgive(&hold.host);
                lock(&self.blame).launched(layer, &hold.host, now);
                return Answered::Launched;
            }
            Outcome::RefusedForCertain { code, message } => (Event::Refused, Some(code), message),
            Outcome::NotSent { message } => (Event::NotSent, None, message),
            Outcome::Unknown { message } => (Event::NoAnswer, None, message),
        };
        if code.is_some() && self.is_to_blame(layer, &hold, &message, now) {
            // The hosts are innocent.
        } else if called && is_about_the_host(code) {
            self.fail(&hold, message.clone());
        } else if called {
            lock(&self.quarantine).refuse(&hold.host, &hold.host_name, message.clone(), now);
        }
        match step(State::Launching, event, now, timing) {
            (state @ State::Undoing { .. }, _) => Answered::Refused { hold, state, code, message },
            (state, action) => {
                warn!(
                    proc.id = %hold.proc, host.name = %hold.host_name,
                    "proc {} on {} may run: {message}", hold.proc, hold.host_name
                );
                Answered::InDoubt { hold, state, action, fenced: false }
            }
        }
    }

    /// Whether a refusal makes the layer the one to blame. If so, the hosts that refused it may be used again.
    fn is_to_blame(&self, layer: &LayerId, hold: &Hold, message: &str, now: BootInstant) -> bool {
        let Some(hosts) = lock(&self.blame).refused(layer, &hold.host, now) else { return false };
        warn!(
            layer.id = %layer, "layer {layer} is refused by {} hosts that take others, the last one said: {message}", hosts.len()
        );
        let mut quarantine = lock(&self.quarantine);
        for host in &hosts {
            quarantine.forgive(host);
        }
        lock(&self.blamed).insert(layer.clone(), message.to_owned());
        true
    }

    /// Why nothing is sent to a host now.
    fn why_kept_back(&self, host: &HostId) -> Option<String> {
        if self.stop.is_cancelled() {
            return Some("the scheduler stops".to_owned());
        }
        lock(&self.quarantine).why_paused(host, clock::now()).map(|why| format!("the host is paused: {why}"))
    }

    /// A host's agent failed us.
    pub(super) fn fail(&self, hold: &Hold, why: String) {
        lock(&self.quarantine).fail(&hold.host, &hold.host_name, why, clock::now());
    }

    /// Follows a booking to its end in a task of its own. `false` when that is being done already.
    pub(super) fn settle_in_background(&self, hold: Hold, state: State, action: Action) -> bool {
        if !lock(&self.settling).insert(hold.proc.clone()) {
            return false;
        }
        // It is only absent while the launcher is built.
        let Some(shared) = self.this.upgrade() else {
            return false;
        };
        self.tasks.spawn(async move {
            let proc = hold.proc.clone();
            settle(shared.clone(), hold, state, action).await;
            lock(&shared.settling).remove(&proc);
        });
        true
    }

    pub(super) fn count_left_at_stop(&self) {
        self.left_at_stop.fetch_add(1, Ordering::Relaxed);
    }

    /// The gate that bounds launches to one host, over all sets that are being launched.
    fn gate(&self, host: &HostId) -> Arc<Semaphore> {
        let mut gates = lock(&self.per_host);
        if let Some(gate) = gates.get(host).and_then(Weak::upgrade) {
            return gate;
        }
        let gate = Arc::new(Semaphore::new(self.settings.in_flight_per_host_max.max(1)));
        gates.insert(host.clone(), Arc::downgrade(&gate));
        gate
    }
}

/// Whether a refusal says something about the host. A bad request is about the frame, whichever host it is sent to.
fn is_about_the_host(code: Option<&'static str>) -> bool {
    code != Some("invalid_argument")
}

/// What the launcher locks is whole between any two lines, so a panic elsewhere doesn't spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
