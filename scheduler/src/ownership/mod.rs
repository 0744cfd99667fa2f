//! Which pools this replica works on, of all that replicas of one farm share.
//!
//! No table, no leader, no clock of our own. Each replica has one session that holds its place and its pools as advisory
//! locks, and looks once a second at who else is there and who holds what. From that every replica computes the same sharing
//! ([`cue_scheduler_core::assignment`]), gives what is somebody else's and tries what is its own. A replica that dies loses
//! its locks with its session. One that hangs keeps them, so the others end its sessions when it was not heard of for too
//! long, by the database's clock.
//!
//! **Safety never rests on it**: the booking transaction decides. Ownership keeps replicas out of each other's way, and where
//! pools can't be shared out a replica works on all of them.
//!
//! `members.rs` reads locks as members and owners, `table.rs` is what the feed asks, `locks.rs` is the session; here is the loop.

pub mod ask;
mod key;
mod locks;
pub mod members;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::assignment::{Member, Sharer};
use cue_scheduler_core::cluster::PoolId;
use rand::RngExt as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::chain;
use crate::feed::Wake;
use crate::store::Store;
use key::LockKey;
use locks::{Coordination, Loss};
use members::{Seen, member, see};

pub use table::{InFlight, KnownPool, Standing, Table, View};

/// Between two looks.
const TURN: Duration = Duration::from_secs(1);

/// A member that was not heard of for so long may be ended. It is looked at twice, since a database that was stopped itself
/// shows everybody silent at first.
const STALE: Duration = Duration::from_secs(8);

/// Between ending a member and looking who takes its pools.
const AFTER_END: Duration = Duration::from_millis(200);

/// Looks in a row at which a session holds pools and no place before it is ended. One look may fall between the two.
const SQUAT_LOOKS: u32 = 5;

/// First pause before the session is opened anew; it doubles.
const PAUSE: Duration = Duration::from_millis(250);

/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// So long without a session, and a replica goes on without sharing: while the database answers otherwise, work must.
const GRACE: Duration = Duration::from_secs(10);

/// Longest wait for the database when everything is given back.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// How pools went from or to this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// They were free, and are ours.
    Taken,
    /// They are somebody else's by the sharing.
    Given,
    /// The session was lost, or the locks with it.
    Lost,
}

impl HandOver {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Taken, Self::Given, Self::Lost];

    /// The `how` label of the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Given => "given",
            Self::Lost => "lost",
        }
    }
}

/// Hears what happens. Must not wait.
pub trait Observer: Send + Sync {
    /// Pools changed hands.
    fn handed_over(&self, _how: HandOver, _pools: usize) {}
    /// A member that hung was ended.
    fn ended(&self, _member: &str) {}
    /// Procs were found that somebody else booked and no report has named.
    fn left_behind(&self, _procs: usize) {}
    /// A look, or the loss of the session, may have changed what is to be seen.
    fn looked(&self, _view: &View) {}
}

/// Nobody.
impl Observer for () {}

/// The loop and what it needs.
pub struct Ownership {
    /// The database.
    pub store: Store,
    /// What is shared with the feed.
    pub table: Arc<Table>,
    /// Wakes pools that were taken.
    pub wake: Arc<Wake>,
    /// Who hears of it.
    pub observer: Arc<dyn Observer>,
}

impl Ownership {
    /// Starts the loop.
    pub fn start(self) -> Place {
        let leave = CancellationToken::new();
        Place { task: tokio::spawn(self.run(leave.clone())), leave }
    }

    /// Keeps this replica's place until `leave`, then gives everything back.
    async fn run(self, leave: CancellationToken) {
        let Some(me) = member(self.table.me()) else {
            // Whoever has no name has no place: tests that share nothing.
            return;
        };
        let mut pause = PAUSE;
        let mut without_since = Instant::now();
        while !leave.is_cancelled() {
            let opened = leave.run_until_cancelled(Coordination::open(&self.store, &me.id)).await;
            let (loss, had_place) = match opened {
                None => return,
                Some(Err(loss)) => (loss, false),
                Some(Ok(mut session)) => match self.keep_place(&mut session, &me, &leave).await {
                    Ok(()) => {
                        if let Err(error) = session.leave().await {
                            tracing::warn!("pools are given back by closing: {}", chain(&error));
                        }
                        return;
                    }
                    Err(loss) => (loss, true),
                },
            };
            if had_place {
                (pause, without_since) = (PAUSE, Instant::now());
            }
            self.without(&loss, without_since.elapsed());
            // Replicas that lost the database together should not come back together.
            let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.5));
            if leave.run_until_cancelled(tokio::time::sleep(jittered)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// There is no session.
    fn without(&self, loss: &Loss, since: Duration) {
        let why = chain(loss);
        let pools = self.table.lost(why.clone());
        if pools > 0 {
            tracing::warn!("{pools} pools are lost: {why}");
            self.observer.handed_over(HandOver::Lost, pools);
        }
        if (matches!(loss, Loss::Pooled) || since >= GRACE) && self.table.be_alone(why.clone()) {
            tracing::warn!(
                "pools can't be shared out among replicas, so this one works on all of them, which is safe and wasteful: {why}"
            );
            self.wake.all();
        }
        self.observer.looked(&self.table.view());
    }

    /// Takes turns until told to leave.
    async fn keep_place(&self, session: &mut Coordination, me: &Member, leave: &CancellationToken) -> Result<(), Loss> {
        tracing::info!("registered as {}", me.id);
        let mut round = Round::default();
        loop {
            let began = Instant::now();
            let ended = self.turn(session, me, &mut round).await?;
            let next = began + if ended { AFTER_END } else { TURN };
            loop {
                self.give_landed(session).await?;
                tokio::select! {
                    biased;
                    () = leave.cancelled() => return Ok(()),
                    () = self.table.landed() => {}
                    () = tokio::time::sleep_until(next) => break,
                }
            }
        }
    }

    /// One look and what follows from it; whether a member was ended.
    async fn turn(&self, session: &mut Coordination, me: &Member, round: &mut Round) -> Result<bool, Loss> {
        let seen = see(&session.look().await?, STALE);
        round.tell_strangers(&seen);
        let (hanging, squatting) = (round.hanging(&seen), round.squatting(&seen));
        let members: Vec<Member> = seen.members.values().cloned().collect();
        let lost = self.table.saw(session.role(), seen);
        if lost > 0 {
            self.observer.handed_over(HandOver::Lost, lost);
        }
        for member in &hanging {
            let sessions = session.end_member(member).await?;
            tracing::warn!("member {member} was not heard of for {STALE:?}: its {sessions} sessions are ended");
            self.observer.ended(member);
        }
        for pid in squatting {
            tracing::warn!("session {pid} keeps pools and belongs to no replica: it is ended");
            session.end_session(pid).await?;
        }
        let moves = round.sharer.look(me, &members, &self.table.claims());
        self.table.give(&moves.give);
        self.table.give(&self.table.gone());
        self.give_landed(session).await?;
        self.take(session, &moves.take).await?;
        self.observer.looked(&self.table.view());
        Ok(!hanging.is_empty())
    }

    async fn take(&self, session: &mut Coordination, pools: &[PoolId]) -> Result<(), Loss> {
        let keys: Vec<LockKey> = pools.iter().map(|pool| LockKey::of_pool(session.role(), pool)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let held = session.take(&keys).await?;
        let with_keys = pools.iter().zip(&keys);
        let taken: Vec<PoolId> =
            with_keys.filter(|(_, key)| held.contains(key)).map(|(pool, _)| pool.clone()).collect();
        if !taken.is_empty() {
            self.table.took(&taken);
            self.observer.handed_over(HandOver::Taken, taken.len());
            tracing::info!("took {} pools", taken.len());
            for pool in taken {
                self.wake.alloc(pool.alloc);
            }
        }
        Ok(())
    }

    /// Gives the locks of pools back whose last pass has ended.
    async fn give_landed(&self, session: &mut Coordination) -> Result<(), Loss> {
        let pools = self.table.given();
        if pools.is_empty() {
            return Ok(());
        }
        let keys: Vec<LockKey> = pools.iter().map(|pool| LockKey::of_pool(session.role(), pool)).collect();
        session.give(&keys).await?;
        self.table.gave(&pools);
        self.observer.handed_over(HandOver::Given, pools.len());
        tracing::info!("gave {} pools away", pools.len());
        Ok(())
    }
}

/// The loop under way.
pub struct Place {
    leave: CancellationToken,
    task: JoinHandle<()>,
}

impl Place {
    /// Gives everything back: to be called when no pass is in flight any more. With a database that does not answer it closes the
    /// session, which comes to the same.
    pub async fn leave(mut self) {
        self.leave.cancel();
        match tokio::time::timeout(LEAVE_MAX, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the ownership loop had ended early"),
            Err(_) => self.task.abort(),
        }
    }
}

/// What is remembered from turn to turn of one session.
#[derive(Default)]
struct Round {
    sharer: Sharer<PoolId>,
    /// Who was stale at the look before.
    stale: BTreeSet<Arc<str>>,
    /// Who held pools without a place, at how many looks in a row.
    squatters: BTreeMap<i32, u32>,
    /// Whether it was told that there are members of other roles.
    told: bool,
}

impl Round {
    /// Who is stale at the second look in a row.
    fn hanging(&mut self, seen: &Seen) -> Vec<Arc<str>> {
        let before = std::mem::replace(&mut self.stale, seen.stale.clone());
        seen.stale.iter().filter(|member| before.contains(*member)).cloned().collect()
    }

    /// Who has held pools without a place for too long.
    fn squatting(&mut self, seen: &Seen) -> Vec<i32> {
        let before = std::mem::take(&mut self.squatters);
        let looks = |pid: &i32| before.get(pid).map_or(1, |looks| looks + 1);
        self.squatters = seen.squatters.iter().map(|pid| (*pid, looks(pid))).collect();
        self.squatters.iter().filter(|(_, looks)| **looks >= SQUAT_LOOKS).map(|(pid, _)| *pid).collect()
    }

    fn tell_strangers(&mut self, seen: &Seen) {
        if !seen.strangers.is_empty() && !self.told {
            tracing::warn!(
                "{} replicas use another database role: their activity can't be seen nor their sessions ended, so pools are \
                 not shared out with them; that is safe and wasteful. Give all replicas of a farm one role",
                seen.strangers.len()
            );
        }
        self.told = !seen.strangers.is_empty();
    }
}
