//! The running farm, and how each fault is done to it and healed.

use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use rustix::process::Signal;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cuebot::Cuebot;
use super::farm::{Manners, more, parts};
use super::replica::Replica;
use super::schedule::{APART, Fault, GUESTS, Planned, REPLICAS, struck};
use crate::farm_sim::Fault as HostFault;
use crate::harness::Harness;
use crate::loader::add_job;
use crate::pg_proxy::PgProxy;
use crate::postgres::Server;
use crate::scenarios::Length;
use crate::scenarios::logbook::Logbook;

/// Between two sweeps of Cuebot.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long a commit is waited for.
const COMMIT_MAX: Duration = Duration::from_millis(1500);

/// Between two looks at how much work is left.
const FEED_EVERY: Duration = Duration::from_millis(500);

/// So many waiting frames are enough.
const ENOUGH: i64 = 70;

/// A replica that wakes may send what it was about to send when it was stopped. After so long it has.
const AWAKE_AFTER: Duration = Duration::from_secs(1);

/// Everything that runs. Each part is held by one fault at a time.
pub struct Stage<'a> {
    seed: u64,
    server: Mutex<&'a mut Server>,
    /// PostgreSQL's database and the hosts; Cuebot is beside it.
    pub harness: Harness,
    /// Connections of whoever looks on, which nobody else can use up.
    pub pool: PgPool,
    /// Cuebot.
    pub cuebot: Mutex<Cuebot>,
    /// Those of the start, then guests.
    pub replicas: Vec<Mutex<Replica>>,
    /// The way of each to the database.
    pub proxies: Vec<PgProxy>,
    /// Every frame that was loaded: `frame.pk_frame`.
    loaded: StdMutex<Vec<String>>,
    logbook: StdMutex<Logbook>,
    left_with: StdMutex<Vec<i32>>,
    stopped: AtomicUsize,
    woken: StdMutex<Option<Instant>>,
}

impl<'a> Stage<'a> {
    /// Everything but replicas runs.
    pub async fn build(
        server: &'a mut Server,
        seed: u64,
        length: Length,
        manners: Manners,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let parts = parts(seed, length, manners)?;
        let cuebot_config = parts.cuebot.clone();
        let mut harness = Harness::start_on(server, parts, folder, |_| {}).await?;
        let options = (*harness.pool.connect_options()).clone();
        let pool = PgPoolOptions::new().max_connections(5).connect_with(options).await?;
        let running = harness.cuebot.take().context("the harness has a stand-in")?;
        let cuebot = Cuebot::new(running, cuebot_config, harness.pool.clone());
        let (mut replicas, mut proxies) = (Vec::new(), Vec::new());
        for n in 0..REPLICAS + GUESTS {
            let proxy = PgProxy::start(&harness.target.host, harness.target.port).await?;
            replicas.push(Mutex::new(Replica::new(n, &harness.target, &proxy, harness.hosts.port(), folder)));
            proxies.push(proxy);
        }
        let loaded = harness.loaded.frames.values().flatten().map(|frame| frame.id.clone()).collect();
        Ok(Self {
            seed,
            server: Mutex::new(server),
            harness,
            pool,
            cuebot: Mutex::new(cuebot),
            replicas,
            proxies,
            loaded: StdMutex::new(loaded),
            logbook: StdMutex::new(Logbook::new(folder)),
            left_with: StdMutex::default(),
            stopped: AtomicUsize::new(0),
            woken: StdMutex::default(),
        })
    }

    /// Starts the replicas of the start, and waits until they can work.
    pub async fn start_replicas(&self) -> anyhow::Result<()> {
        for replica in &self.replicas[..REPLICAS] {
            replica.lock().await.start()?;
        }
        for replica in &self.replicas[..REPLICAS] {
            replica.lock().await.process()?.ready().await?;
        }
        Ok(())
    }

    /// Does faults of one thing, each at its time, or when the one before is healed: a replica may need longer to leave than the
    /// schedule thinks.
    pub async fn carry_out(&self, faults: Vec<&Planned>, began: Instant) -> anyhow::Result<()> {
        let mut earliest = began;
        for Planned { at, lasts, fault } in faults {
            tokio::time::sleep_until(earliest.max(began + *at)).await;
            let begins = Instant::now();
            self.note(format_args!("begins: {fault}"));
            self.begin(fault).await.with_context(|| fault.to_string())?;
            tokio::time::sleep_until(begins + *lasts).await;
            self.heal(fault).await.with_context(|| format!("healing: {fault}"))?;
            self.note(format_args!("healed: {fault}"));
            earliest = Instant::now() + APART;
        }
        Ok(())
    }

    async fn begin(&self, fault: &Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill(at) => self.replicas[*at].lock().await.kill().await?,
            Fault::KillAtCommit(at) => self.kill_at_commit(*at).await?,
            Fault::Stop(at) => {
                self.stopped.fetch_add(1, Ordering::SeqCst);
                self.replicas[*at].lock().await.signal(Signal::STOP).await?;
            }
            Fault::Terminate(at) => self.leave(*at).await?,
            Fault::Join(at) => self.replicas[*at].lock().await.start()?,
            Fault::Restart(how) => self.server.lock().await.shut_down(*how).await?,
            Fault::EndSessions => self.end_sessions().await,
            Fault::Delay(at, by) => self.proxies[*at].delay_answers(*by),
            Fault::CutCommits(at, every) => self.proxies[*at].cut_commits(*every),
            Fault::Hosts(allocation, count, fault) => {
                self.harness.hosts.set_fault(struck(*allocation, *count), *fault).await?;
            }
            Fault::CuebotDies => self.cuebot.lock().await.crash(),
            Fault::CuebotRefuses => self.cuebot.lock().await.refuse(true),
        }
        Ok(())
    }

    async fn heal(&self, fault: &Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill(at) | Fault::KillAtCommit(at) | Fault::Terminate(at) => {
                self.replicas[*at].lock().await.start()?;
            }
            Fault::Stop(at) => {
                self.replicas[*at].lock().await.signal(Signal::CONT).await?;
                *lock(&self.woken) = Some(Instant::now());
                self.stopped.fetch_sub(1, Ordering::SeqCst);
            }
            Fault::Join(at) => self.leave(*at).await?,
            Fault::Restart(_) => self.server.lock().await.start_again().await?,
            Fault::EndSessions => {}
            Fault::Delay(at, _) => self.proxies[*at].delay_answers(Duration::ZERO),
            Fault::CutCommits(at, _) => self.proxies[*at].cut_commits(0),
            Fault::Hosts(allocation, count, _) => {
                self.harness.hosts.set_fault(struck(*allocation, *count), HostFault::Healthy).await?;
            }
            Fault::CuebotDies => self.cuebot.lock().await.start().await?,
            Fault::CuebotRefuses => self.cuebot.lock().await.refuse(false),
        }
        Ok(())
    }

    async fn kill_at_commit(&self, at: usize) -> anyhow::Result<()> {
        let proxy = &self.proxies[at];
        let (before, until) = (proxy.held(), Instant::now() + COMMIT_MAX);
        proxy.hold_commits(true);
        while proxy.held() == before && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.note(format_args!("{} commits are held", proxy.held() - before));
        let killed = self.replicas[at].lock().await.kill().await;
        proxy.hold_commits(false);
        killed
    }

    async fn leave(&self, at: usize) -> anyhow::Result<()> {
        let code = self.replicas[at].lock().await.terminate().await?;
        lock(&self.left_with).extend(code);
        Ok(())
    }

    async fn end_sessions(&self) {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name LIKE 'cue-scheduler/%'";
        match sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.pool).await {
            Ok(ended) => self.note(format_args!("{ended} sessions are ended")),
            // The database may be away, and the sessions with it.
            Err(error) => self.note(format_args!("no session is ended: {error}")),
        }
    }

    /// Lets Cuebot sweep, for ever. Its ages are shortened from minutes to seconds, so it sweeps only while no replica stands still:
    /// one that was stopped between its last look at the clock and the send is the gap that the launch protocol names.
    pub async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let awake = self.stopped.load(Ordering::SeqCst) == 0
                && lock(&self.woken).is_none_or(|woken| woken.elapsed() > AWAKE_AFTER);
            let sweep = if awake { self.cuebot.lock().await.sweep() } else { None };
            // What a database that is away keeps from being done is left to the next.
            if let Some(sweep) = sweep
                && let Ok(Err(error)) = sweep.await
            {
                self.note(format_args!("a sweep is given up: {error}"));
            }
        }
    }

    /// Exit codes of replicas that were told to leave, by a fault.
    pub fn left_with(&self) -> Vec<i32> {
        lock(&self.left_with).clone()
    }

    /// Submits a job whenever little work is left, until told to stop. While the database is away there is none to submit to.
    pub async fn feed(&self, stop: &CancellationToken) {
        let mut n = 0;
        while stop.run_until_cancelled(tokio::time::sleep(FEED_EVERY)).await.is_some() {
            n += 1;
            if let Err(error) = self.submit(n).await {
                self.note(format_args!("no job was submitted: {error:#}"));
            }
        }
    }

    async fn submit(&self, n: u64) -> anyhow::Result<()> {
        let waiting = "SELECT count(*) FROM frame WHERE str_state = 'WAITING'";
        if sqlx::query_scalar::<_, i64>(waiting).fetch_one(&self.pool).await? < ENOUGH {
            let frames = add_job(&self.pool, self.seed, &more(self.seed, n)?).await?.frames;
            lock(&self.loaded).extend(frames.into_values().flatten().map(|frame| frame.id));
        }
        Ok(())
    }

    /// Every frame that was loaded or submitted: `frame.pk_frame`.
    pub fn loaded(&self) -> Vec<String> {
        lock(&self.loaded).clone()
    }

    /// Stops all replicas, whatever state they are in; their exit codes.
    pub async fn stop_replicas(&self) -> anyhow::Result<Vec<i32>> {
        let stops = self.replicas.iter().map(async |replica| {
            let mut replica = replica.lock().await;
            replica.wake().await;
            replica.terminate().await
        });
        let codes: Vec<Option<i32>> = try_join_all(stops).await?;
        Ok(codes.into_iter().flatten().collect())
    }

    /// Ends what is left, in order, and removes the database.
    pub async fn end(self) -> anyhow::Result<()> {
        let Self { server, harness, pool, cuebot, logbook, .. } = self;
        logbook.into_inner().unwrap_or_else(PoisonError::into_inner).save()?;
        harness.hosts.shutdown().await;
        cuebot.into_inner().shutdown().await;
        pool.close().await;
        harness.pool.close().await;
        server.into_inner().drop_database(&harness.target.database).await
    }

    /// Notes what was done now.
    pub fn note(&self, what: impl Display) {
        lock(&self.logbook).note(&what.to_string());
    }
}

/// A lock that only guards assignments; a panic elsewhere leaves what it guards whole.
fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
