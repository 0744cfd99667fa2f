//! What this replica owns, what it has in flight, and what others own: the one place that the feed and the ownership loop share.
//!
//! The feed asks before each pass and keeps an [`InFlight`] while it lasts. The loop takes and gives. A pool that is being
//! given away begins no more passes; when its last one has ended the loop is woken and gives the lock back.
//!
//! Ownership is only as good as the last look at the locks. It counts for [`FRESH`] and no longer, which is less than the
//! time after which others take a silent replica's pools: so who was stopped, or can't reach the database, begins
//! nothing on its own when it wakes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cue_scheduler_core::assignment::Claim;
use cue_scheduler_core::cluster::PoolId;
use cue_scheduler_core::domain::id::{AllocId, FacilityId};
use cue_scheduler_core::launch::BootInstant;
use cue_scheduler_core::slicing::Slice;
use tokio::sync::Notify;

use super::key::LockKey;
use super::members::Seen;
use crate::launch::clock;

/// How long a look at the locks is believed.
pub const FRESH: Duration = Duration::from_secs(5);

/// How this replica stands to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has no place among them yet, or lost it: nothing begins.
    Away(String),
    /// It shares pools with them.
    Member,
    /// Pools can't be shared out, so it works on all: safe, and wasteful where there are others.
    Alone(String),
}

/// A pool that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPool {
    /// What tells it from others.
    pub id: PoolId,
    /// For people.
    pub name: Arc<str>,
    /// Its facility, as members' names have it.
    pub scope: Arc<str>,
    /// How much there is to do; see [`cue_scheduler_core::assignment::weight`].
    pub weight: u32,
}

/// What is to be seen of ownership.
#[derive(Clone, Debug)]
pub struct View {
    /// Our own name.
    pub me: Arc<str>,
    /// How we stand to the others.
    pub standing: Standing,
    /// Who was there at the last look.
    pub seen: Seen,
    /// The pools that we know, with their owners.
    pub pools: Vec<(KnownPool, Option<Arc<str>>)>,
    /// How many of them are ours.
    pub owned: usize,
}

impl View {
    /// Names of the pools that somebody owns, with their owners.
    pub fn owners(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pools.iter().filter_map(|(pool, owner)| Some((pool.name.as_ref(), owner.as_deref()?)))
    }
}

/// Shared by the feed and the loop.
#[derive(Debug)]
pub struct Table {
    me: Arc<str>,
    /// Never held over an await.
    state: Mutex<State>,
    /// A pool that is being given away has no pass in flight any more.
    landed: Notify,
}

#[derive(Debug)]
struct State {
    standing: Standing,
    /// When the locks were seen last.
    seen_at: BootInstant,
    seen: Seen,
    role: i64,
    pools: BTreeMap<PoolId, KnownPool>,
    owned: BTreeMap<PoolId, Owned>,
    in_flight: BTreeMap<PoolId, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    since: BootInstant,
    /// It is being given away.
    giving: bool,
}

/// A pass of a pool is under way, until this is dropped.
#[derive(Debug)]
pub struct InFlight {
    table: Arc<Table>,
    pool: PoolId,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.table.end(&self.pool);
    }
}

impl Table {
    /// For a replica of this name that has no place yet.
    pub fn new(me: Arc<str>) -> Self {
        Self::standing(me, Standing::Away("a place among the replicas".to_owned()))
    }

    /// For who shares with nobody: every pool is its own.
    pub fn alone() -> Self {
        Self::standing("".into(), Standing::Alone("by choice".to_owned()))
    }

    fn standing(me: Arc<str>, standing: Standing) -> Self {
        let state = State {
            standing,
            seen_at: BootInstant::default(),
            seen: Seen::default(),
            role: 0,
            pools: BTreeMap::new(),
            owned: BTreeMap::new(),
            in_flight: BTreeMap::new(),
        };
        Self { me, state: Mutex::new(state), landed: Notify::new() }
    }

    /// Our own name.
    pub fn me(&self) -> &Arc<str> {
        &self.me
    }

    /// What is missing for booking; `None` when pools are shared out, or can't be.
    pub fn missing(&self) -> Option<String> {
        match &self.lock().standing {
            Standing::Away(what) => Some(format!("coordination: {what}")),
            Standing::Member | Standing::Alone(_) => None,
        }
    }

    // === the feed ===

    /// The pools that there are, instead of those before.
    pub fn know(&self, pools: impl IntoIterator<Item = KnownPool>) {
        self.lock().pools = pools.into_iter().map(|pool| (pool.id.clone(), pool)).collect();
    }

    /// Whether a pass of the pool may begin now.
    pub fn owns(&self, pool: &PoolId) -> bool {
        self.lock().may_begin(pool, clock::now())
    }

    /// Begins a pass, if the pool is ours.
    pub fn begin(self: &Arc<Self>, pool: &PoolId) -> Option<InFlight> {
        let mut state = self.lock();
        if !state.may_begin(pool, clock::now()) {
            return None;
        }
        *state.in_flight.entry(pool.clone()).or_default() += 1;
        Some(InFlight { table: self.clone(), pool: pool.clone() })
    }

    /// Whether some member works on this allocation in so many slices.
    pub fn in_use(&self, facility: &FacilityId, alloc: &AllocId, of: u16) -> bool {
        let state = self.lock();
        (0..of).any(|at| {
            let slice = Slice { of, at };
            let pool = PoolId { facility: facility.clone(), alloc: alloc.clone(), slice };
            state.seen.holders.contains_key(&LockKey::of_pool(state.role, &pool))
        })
    }

    fn end(&self, pool: &PoolId) {
        let mut state = self.lock();
        if let Some(passes) = state.in_flight.get_mut(pool) {
            *passes -= 1;
            if *passes == 0 {
                state.in_flight.remove(pool);
                if state.owned.get(pool).is_none_or(|owned| owned.giving) {
                    self.landed.notify_one();
                }
            }
        }
    }

    // === the loop ===

    /// Takes in a look at the locks. Pools that we believed to own and whose locks somebody else has, or nobody, are lost; answers
    /// how many.
    pub(super) fn saw(&self, role: i64, seen: Seen) -> usize {
        let mut state = self.lock();
        state.standing = Standing::Member;
        state.seen_at = clock::now();
        state.role = role;
        let before = state.owned.len();
        state.owned.retain(|pool, _| seen.holders.get(&LockKey::of_pool(role, pool)) == Some(&self.me));
        state.seen = seen;
        before - state.owned.len()
    }

    /// The pools with their holders, to be shared out.
    pub(super) fn claims(&self) -> Vec<Claim<PoolId>> {
        let state = self.lock();
        let claim = |pool: &KnownPool| Claim {
            pool: pool.id.clone(),
            facility: pool.scope.clone(),
            weight: pool.weight,
            holder: state.seen.holders.get(&LockKey::of_pool(state.role, &pool.id)).cloned(),
        };
        state.pools.values().map(claim).collect()
    }

    /// Owned pools that there are no more, such as slices of a slicing that changed.
    pub(super) fn gone(&self) -> Vec<PoolId> {
        let state = self.lock();
        state.owned.keys().filter(|pool| !state.pools.contains_key(*pool)).cloned().collect()
    }

    /// These pools are ours.
    pub(super) fn took(&self, pools: &[PoolId]) {
        let mut state = self.lock();
        let since = clock::now();
        state.owned.extend(pools.iter().map(|pool| (pool.clone(), Owned { since, giving: false })));
        let (role, me) = (state.role, self.me.clone());
        let held = pools.iter().map(|pool| (LockKey::of_pool(role, pool), me.clone()));
        state.seen.holders.extend(held);
    }

    /// These pools begin no more passes.
    pub(super) fn give(&self, pools: &[PoolId]) {
        let mut state = self.lock();
        for pool in pools {
            if let Some(owned) = state.owned.get_mut(pool) {
                owned.giving = true;
            }
        }
    }

    /// Pools that are being given away and have no pass in flight. Their locks can be given back.
    pub(super) fn given(&self) -> Vec<PoolId> {
        let state = self.lock();
        let idle = |(pool, owned): &(&PoolId, &Owned)| owned.giving && !state.in_flight.contains_key(*pool);
        state.owned.iter().filter(idle).map(|(pool, _)| pool.clone()).collect()
    }

    /// The locks of these pools are given back.
    pub(super) fn gave(&self, pools: &[PoolId]) {
        let mut state = self.lock();
        for pool in pools {
            state.owned.remove(pool);
            let key = LockKey::of_pool(state.role, pool);
            state.seen.holders.remove(&key);
        }
    }

    /// The session is lost, and all pools with it; answers how many. Nothing begins until there is another.
    pub(super) fn lost(&self, why: String) -> usize {
        let mut state = self.lock();
        if !matches!(state.standing, Standing::Alone(_)) {
            state.standing = Standing::Away(why);
        }
        state.seen = Seen::default();
        std::mem::take(&mut state.owned).len()
    }

    /// Pools can't be shared out: all are ours. `false` if that was so before.
    pub(super) fn be_alone(&self, why: String) -> bool {
        let mut state = self.lock();
        let before = matches!(state.standing, Standing::Alone(_));
        state.standing = Standing::Alone(why);
        !before
    }

    /// Waits until a pool that is being given away has no pass in flight any more.
    pub(super) async fn landed(&self) {
        self.landed.notified().await;
    }

    // === who looks ===

    /// Since when each pool is ours: without a beginning where all are, because they can't be shared out.
    pub fn owned_since(&self) -> BTreeMap<PoolId, BootInstant> {
        let state = self.lock();
        match state.standing {
            Standing::Away(_) => BTreeMap::new(),
            Standing::Member => state.owned.iter().map(|(pool, owned)| (pool.clone(), owned.since)).collect(),
            Standing::Alone(_) => state.pools.keys().map(|pool| (pool.clone(), BootInstant::default())).collect(),
        }
    }

    /// What is to be seen.
    pub fn view(&self) -> View {
        let state = self.lock();
        let owner = |pool: &KnownPool| match state.standing {
            Standing::Alone(_) => Some(self.me.clone()),
            _ => state.seen.holders.get(&LockKey::of_pool(state.role, &pool.id)).cloned(),
        };
        let pools: Vec<_> = state.pools.values().map(|pool| (pool.clone(), owner(pool))).collect();
        let ours = pools.iter().filter(|(_, owner)| owner.as_ref() == Some(&self.me)).count();
        View { me: self.me.clone(), standing: state.standing.clone(), seen: state.seen.clone(), pools, owned: ours }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is locked is whole between any two lines, so a panic elsewhere doesn't spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_begin(&self, pool: &PoolId, now: BootInstant) -> bool {
        match self.standing {
            Standing::Away(_) => false,
            Standing::Alone(_) => true,
            Standing::Member => {
                now.since(self.seen_at) < FRESH && self.owned.get(pool).is_some_and(|owned| !owned.giving)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(alloc: &str) -> PoolId {
        PoolId { facility: "f".into(), alloc: alloc.into(), slice: Slice::WHOLE }
    }

    fn known(alloc: &str) -> KnownPool {
        KnownPool { id: pool(alloc), name: alloc.into(), scope: "f".into(), weight: 1 }
    }

    /// A look at which these pools are held by this member.
    fn seen(holder: &str, allocs: &[&str]) -> Seen {
        let holders = allocs.iter().map(|alloc| (LockKey::of_pool(7, &pool(alloc)), holder.into())).collect();
        Seen { holders, ..Seen::default() }
    }

    /// A member that owns pools `a` and `b`.
    fn owner() -> Arc<Table> {
        let table = Arc::new(Table::new("me".into()));
        table.know([known("a"), known("b")]);
        table.saw(7, Seen::default());
        table.took(&[pool("a"), pool("b")]);
        table
    }

    #[test]
    fn nothing_begins_without_a_place_and_everything_where_pools_can_not_be_shared_out() {
        let table = Arc::new(Table::new("me".into()));
        table.know([known("a")]);
        assert!(table.begin(&pool("a")).is_none() && table.missing().is_some());
        assert!(table.be_alone("no session".to_owned()));
        assert!(!table.be_alone("no session".to_owned()), "told once");
        assert!(table.begin(&pool("a")).is_some() && table.missing().is_none());
        table.saw(7, Seen::default());
        assert!(table.begin(&pool("a")).is_none(), "pools are shared out again");
    }

    #[test]
    fn a_pool_is_given_back_when_its_last_pass_has_ended_and_begins_none_meanwhile() {
        let table = owner();
        let (first, second) = (table.begin(&pool("a")).unwrap(), table.begin(&pool("a")).unwrap());
        table.give(&[pool("a")]);
        assert!(table.begin(&pool("a")).is_none());
        drop(first);
        assert_eq!(table.given(), []);
        drop(second);
        assert_eq!(table.given(), [pool("a")]);
        table.gave(&[pool("a")]);
        assert!(table.begin(&pool("b")).is_some());
        assert_eq!(table.view().owned, 1);
    }

    #[test]
    fn what_the_locks_do_not_show_is_lost() {
        let table = owner();
        assert_eq!(table.saw(7, seen("me", &["a", "b"])), 0);
        let mut look = seen("me", &["a"]);
        look.holders.extend(seen("other", &["b"]).holders);
        assert_eq!(table.saw(7, look), 1);
        assert!(table.owns(&pool("a")) && !table.owns(&pool("b")));
        assert_eq!(table.lost("gone".to_owned()), 1);
        assert!(!table.owns(&pool("a")));
    }

    #[test]
    fn an_old_look_is_not_believed() {
        let table = owner();
        let mut state = table.lock();
        let seen_at = state.seen_at;
        assert!(state.may_begin(&pool("a"), seen_at.plus(FRESH / 2)));
        assert!(!state.may_begin(&pool("a"), seen_at.plus(FRESH)));
        state.standing = Standing::Alone("no session".to_owned());
        assert!(state.may_begin(&pool("a"), seen_at.plus(FRESH)));
    }

    #[test]
    fn pools_that_are_no_more_are_to_be_given() {
        let table = owner();
        table.know([known("b")]);
        assert_eq!(table.gone(), [pool("a")]);
    }
}
