//! Does to the database what Cuebot does when render agents report, and can be told to do it wrong.
//!
//! A scheduler that books beside Cuebot is right only if it gets on with Cuebot's writes: their order, their locks, the moment
//! between the end of a frame and the release of its proc. So the stand-in writes the same rows in the same order, one
//! statement per file under `queries/`, each naming its step. What a person sees only (usage figures, comments, mail) is left
//! out.
//!
//! ```text
//! agent --report--> service --> completion (frame stops, in a transaction)
//!                      |             |
//!                      |             v   bounded queue, workers
//!                      |         aftermath: dependencies, end of the job, memory raise
//!                      |             |
//!                      v             v
//!                   reports       release (proc goes, host and counters get back, in a transaction)
//! ```
//!
//! Invariants: a report ends only the run that it names (frame *and* resource id, guarded by state and version), so one that is
//! stale or comes twice changes nothing; a proc is released once, however often it is asked for; and what has begun is finished
//! at [`CuebotSim::shutdown`].
//!
//! Faults are options: a release that locks in the wrong order ([`ReleaseOrder`]), a reconcile in one statement ([`faults`]),
//! reports that are refused ([`CuebotSim::refuse`]).

pub mod faults;

mod agents;
mod completion;
mod config;
mod counts;
mod depends;
mod legacy;
mod release;
mod reports;
mod retry;
mod service;
mod sweeps;
mod verdict;
mod work;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context as _;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::Code;

pub use config::{CuebotConfig, Generation, LegacyBooking, ReleaseOrder, Sweeps};
pub use counts::CuebotCounts;

/// A stand-in that runs. Dropping it stops it without waiting.
pub struct CuebotSim {
    cuebot: Arc<Cuebot>,
    address: SocketAddr,
    /// What makes work: the server, sweeps, bookings.
    feeders: TaskTracker,
    feeding: DropGuard,
    /// What does work.
    workers: TaskTracker,
    working: DropGuard,
    serving: AbortHandle,
}

/// A stand-in that has crashed. What it had in hand may still end.
pub struct Crashed {
    cuebot: Arc<Cuebot>,
    workers: TaskTracker,
}

/// A completion that ended a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedCompletion {
    /// `frame.pk_frame`
    pub frame: String,
    /// `proc.pk_proc`
    pub resource: String,
    /// As reported.
    pub exit_status: i32,
    /// When the stop of the frame had been committed.
    pub at: SystemTime,
}

/// What all parts share.
struct Cuebot {
    pool: PgPool,
    config: CuebotConfig,
    counts: counts::Counts,
    work: work::Queue,
    flags: release::ManagedFlags,
    agents: Option<agents::Agents>,
    /// Held for an assignment or a push, never over an await.
    accepted: Mutex<Vec<AcceptedCompletion>>,
    booked: Mutex<HashSet<String>>,
    generation: Mutex<Generation>,
    refusal: Mutex<Option<Code>>,
    idle_memory: reports::IdleMemoryWindow,
}

impl CuebotSim {
    /// Starts to listen, and to do whatever the configuration asks for.
    pub async fn start(config: CuebotConfig, pool: PgPool) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
        let address = listener.local_addr()?;
        let (work, received) = work::Queue::new();
        let cuebot = Arc::new(Cuebot {
            flags: release::ManagedFlags::new(config.flag_cache),
            agents: config.agent_port.map(agents::Agents::new),
            idle_memory: reports::IdleMemoryWindow::new(config.idle_memory_reset),
            counts: counts::Counts::default(),
            accepted: Mutex::default(),
            booked: Mutex::default(),
            generation: Mutex::new(config.generation),
            refusal: Mutex::default(),
            work,
            pool,
            config,
        });
        let (feeding, working) = (CancellationToken::new(), CancellationToken::new());
        let (feeders, workers) = (TaskTracker::new(), TaskTracker::new());
        let serving = feeders.spawn(service::serve(cuebot.clone(), listener, feeding.clone())).abort_handle();
        for worker in work::workers(&cuebot, received, &working) {
            workers.spawn(worker);
        }
        if let Some(sweeps) = cuebot.config.sweeps.clone() {
            feeders.spawn(sweeps::run(cuebot.clone(), sweeps, feeding.clone()));
        }
        if let Some(legacy) = cuebot.config.legacy.clone() {
            for _ in 0..legacy.bookers {
                feeders.spawn(legacy::run(cuebot.clone(), legacy.clone(), feeding.clone(), feeders.clone()));
            }
        }
        feeders.close();
        workers.close();
        let (feeding, working) = (feeding.drop_guard(), working.drop_guard());
        Ok(Self { cuebot, address, feeders, feeding, workers, working, serving })
    }

    /// Where agents report to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was done so far.
    pub fn counts(&self) -> CuebotCounts {
        self.cuebot.counts.read()
    }

    /// Every completion that ended a run, in the order of its commit.
    pub fn accepted(&self) -> Vec<AcceptedCompletion> {
        lock(&self.cuebot.accepted).clone()
    }

    /// The procs of its own bookings: `proc.pk_proc`.
    pub fn booked(&self) -> HashSet<String> {
        lock(&self.cuebot.booked).clone()
    }

    /// From now on releases as this generation does, as when a farm's Cuebot is replaced by one of another age.
    pub fn become_generation(&self, generation: Generation) {
        *lock(&self.cuebot.generation) = generation;
    }

    /// From now on answers every report with this status and does nothing; `None` ends that.
    pub fn refuse(&self, code: Option<Code>) {
        *lock(&self.cuebot.refusal) = code;
    }

    /// One round of all sweeps, with the ages of the configuration (or the defaults), whether or not they also run by time.
    pub fn sweep(&self) -> impl Future<Output = Result<(), sqlx::Error>> + Send + use<> {
        let cuebot = self.cuebot.clone();
        async move {
            let ages = cuebot.config.sweeps.clone().unwrap_or_default();
            sweeps::once(&cuebot, &ages).await
        }
    }

    /// Books a frame on a host as Cuebot itself does for its own shows (and, by a deed or a redirect, for managed ones), with
    /// the layer's minimum. Gives the proc; `None` if the frame does not wait or is kept back. A cap or a host that is too full
    /// is an error of the database, raised by a trigger. Nothing is launched.
    pub async fn book(&self, frame_id: &str, host_name: &str) -> Result<Option<String>, sqlx::Error> {
        legacy::book_named(&self.cuebot, frame_id, host_name).await
    }

    /// Waits until everything that was reported has been dealt with, releases included.
    pub async fn settle(&self) {
        self.cuebot.work.settled().await;
    }

    /// Ends at once and lets go of its address: what is queued is lost, as when its process dies.
    pub fn crash(self) -> Crashed {
        // A server that ends in order keeps its address until the last connection is closed.
        self.serving.abort();
        Crashed { cuebot: self.cuebot, workers: self.workers }
    }

    /// Takes no more reports, books no more, finishes what is queued, and ends. Frames of own bookings that run stay RUNNING.
    /// Gives the final counts.
    pub async fn shutdown(self) -> CuebotCounts {
        drop(self.feeding);
        self.feeders.wait().await;
        self.cuebot.work.settled().await;
        drop(self.working);
        self.workers.wait().await;
        self.cuebot.counts.read()
    }
}

impl Crashed {
    /// What it did.
    pub fn counts(&self) -> CuebotCounts {
        self.cuebot.counts.read()
    }

    /// Every completion that ended a run, in the order of its commit.
    pub fn accepted(&self) -> Vec<AcceptedCompletion> {
        lock(&self.cuebot.accepted).clone()
    }

    /// Waits until what it had in hand after a completion has come to its end.
    pub async fn ended(&self) {
        self.workers.wait().await;
    }
}

/// A lock that only guards assignments; a panic elsewhere leaves what it guards whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
