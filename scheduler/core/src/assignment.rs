//! Which replica works on which pools.
//!
//! There is no leader. Every replica reads who is there and who holds what, and computes the same answer from it: [`assign`] is
//! deterministic and looks at nothing but its arguments. [`Sharer`] says what one replica does about it. Safety never rests
//! on it, since the booking transaction decides; it keeps replicas out of each other's way.
//!
//! Facilities are shared out one by one: a replica may be for one facility only, and sees no pools but that one's. Inside a
//! facility, in this order:
//!
//! 1. Every pool has one owner, if there is anybody for it.
//! 2. Who holds a pool keeps it, as long as the sharing is fair.
//! 3. A pool that nobody holds goes to whoever has least to do, the heaviest first.
//! 4. Where somebody has much more to do than somebody else, pools move from the one to the other, as few as help.
//!
//! *Much more* leaves room for weights that replicas read at different moments, and for weights that come and go: pools
//! would wander for ever otherwise. For the same reason a pool is given away only when it was somebody else's several times in
//! a row. Where replicas disagree all the same, a pool may be nobody's for a moment; then whoever gets its lock has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A replica that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Its name, unique among all.
    pub id: Arc<str>,
    /// The only facility that it works for; `None` for all.
    pub facility: Option<Arc<str>>,
}

/// A pool that somebody should work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<K> {
    /// The pool.
    pub pool: K,
    /// The name of its facility.
    pub facility: Arc<str>,
    /// How much there is to do, at least 1. See [`weight`].
    pub weight: u32,
    /// The id of the member who holds it.
    pub holder: Option<Arc<str>>,
}

/// A pool that is held and should be somebody else's is given away at so many looks in a row.
const GIVE_LOOKS: u32 = 3;

/// A pool that is free and should be somebody else's is tried after so many looks in a row.
const FREE_LOOKS: u32 = 4;

/// How much a pool counts that has so many frames waiting: coarse, so that two who count at different moments mostly agree.
pub fn weight(waiting_frames: u64) -> u32 {
    match waiting_frames {
        0 => 1,
        1..1_000 => 2,
        1_000..30_000 => 3,
        _ => 4,
    }
}

/// Who should work on each pool. A pool for which nobody is there is not in the answer.
pub fn assign<K: Ord + Clone>(members: &[Member], claims: &[Claim<K>]) -> BTreeMap<K, Arc<str>> {
    let mut facilities: BTreeMap<&str, Vec<&Claim<K>>> = BTreeMap::new();
    for claim in claims {
        facilities.entry(&claim.facility).or_default().push(claim);
    }
    let mut owners = BTreeMap::new();
    for (facility, claims) in facilities {
        let there = members.iter().filter(|member| member.facility.as_deref().is_none_or(|only| only == facility));
        let mut sharing = Sharing { loads: there.map(|member| (&member.id, Load::default())).collect() };
        sharing.share_out(claims);
        owners.extend(sharing.owners());
    }
    owners
}

/// What one replica does about what it sees, from look to look.
#[derive(Debug)]
pub struct Sharer<K> {
    /// Held by us and somebody else's: at how many looks in a row.
    unwanted: BTreeMap<K, u32>,
    /// Free and somebody else's: at how many looks in a row.
    free: BTreeMap<K, u32>,
}

/// What is to be done after a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moves<K> {
    /// Pools to try to take.
    pub take: Vec<K>,
    /// Pools to give away.
    pub give: Vec<K>,
}

impl<K> Default for Sharer<K> {
    fn default() -> Self {
        Self { unwanted: BTreeMap::new(), free: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Sharer<K> {
    /// Looks at who is there and who holds what.
    pub fn look(&mut self, me: &Member, members: &[Member], claims: &[Claim<K>]) -> Moves<K> {
        let owners = assign(members, claims);
        let mut moves = Moves { take: Vec::new(), give: Vec::new() };
        let (mut unwanted, mut free) = (BTreeMap::new(), BTreeMap::new());
        let mine = |claim: &&Claim<K>| me.facility.as_ref().is_none_or(|only| *only == claim.facility);
        for claim in claims.iter().filter(mine) {
            let wanted = owners.get(&claim.pool) == Some(&me.id);
            let looks = |before: &BTreeMap<K, u32>| before.get(&claim.pool).map_or(1, |looks| looks + 1);
            match &claim.holder {
                Some(holder) if *holder == me.id && !wanted => {
                    let looks = looks(&self.unwanted);
                    if looks >= GIVE_LOOKS {
                        moves.give.push(claim.pool.clone());
                    } else {
                        unwanted.insert(claim.pool.clone(), looks);
                    }
                }
                None => {
                    let looks = looks(&self.free);
                    if wanted || looks >= FREE_LOOKS {
                        moves.take.push(claim.pool.clone());
                    } else {
                        free.insert(claim.pool.clone(), looks);
                    }
                }
                Some(_) => {}
            }
        }
        (self.unwanted, self.free) = (unwanted, free);
        moves
    }
}

/// One facility's pools among its members.
struct Sharing<'a, K> {
    loads: BTreeMap<&'a Arc<str>, Load<'a, K>>,
}

/// What a member has to do.
struct Load<'a, K> {
    weight: u64,
    /// By weight and pool.
    pools: BTreeSet<(u32, &'a K)>,
}

impl<K> Default for Load<'_, K> {
    fn default() -> Self {
        Self { weight: 0, pools: BTreeSet::new() }
    }
}

impl<'a, K: Ord + Clone> Sharing<'a, K> {
    fn share_out(&mut self, claims: Vec<&'a Claim<K>>) {
        if self.loads.is_empty() {
            return;
        }
        let mut free: BTreeSet<(u32, &K)> = BTreeSet::new();
        for claim in claims {
            let entry = (claim.weight.max(1), &claim.pool);
            match claim.holder.as_ref().and_then(|holder| self.loads.get_mut(holder)) {
                Some(load) => load.add(entry),
                None => {
                    free.insert(entry);
                }
            }
        }
        while let Some(heaviest) = free.pop_last() {
            let lightest = self.lightest();
            if let Some(load) = self.loads.get_mut(lightest) {
                load.add(heaviest);
            }
        }
        while self.move_one() {}
    }

    /// Moves a pool from the member with most to the one with least; `false` if none evens them out by enough. Each move lowers
    /// the sum of the squares of the loads, so they come to an end.
    fn move_one(&mut self) -> bool {
        let total: u64 = self.loads.values().map(|load| load.weight).sum();
        let mean = total / self.loads.len() as u64;
        let slack = (mean / 8).max(1);
        let (from, to) = (self.heaviest(), self.lightest());
        let (most, least) = (self.loads[from].weight, self.loads[to].weight);
        let fits = |entry: &&(u32, &K)| least + u64::from(entry.0) + slack <= most;
        // The heaviest that leaves the one at or below the mean, so that nothing has to move on from there; else the lightest.
        let rank = |entry: &&(u32, &K)| {
            let after = least + u64::from(entry.0);
            if after <= mean { mean - after } else { total + after }
        };
        let best = self.loads[from].pools.iter().filter(fits).min_by_key(rank);
        let Some(best) = best.copied() else { return false };
        if let Some(load) = self.loads.get_mut(from) {
            load.remove(best);
        }
        if let Some(load) = self.loads.get_mut(to) {
            load.add(best);
        }
        true
    }

    fn lightest(&self) -> &'a Arc<str> {
        self.extreme(|load| load.weight)
    }

    fn heaviest(&self) -> &'a Arc<str> {
        self.extreme(|load| u64::MAX - load.weight)
    }

    /// The member with the least key; of equals the first by id. There is at least one member.
    fn extreme(&self, key: impl Fn(&Load<K>) -> u64) -> &'a Arc<str> {
        let least = self.loads.iter().min_by_key(|(id, load)| (key(load), **id)).map(|(id, _)| *id);
        least.expect("share_out returns early where there are no members")
    }

    fn owners(self) -> impl Iterator<Item = (K, Arc<str>)> {
        self.loads.into_iter().flat_map(|(id, load)| load.pools.into_iter().map(|(_, pool)| (pool.clone(), id.clone())))
    }
}

impl<'a, K: Ord> Load<'a, K> {
    fn add(&mut self, entry: (u32, &'a K)) {
        self.weight += u64::from(entry.0);
        self.pools.insert(entry);
    }

    fn remove(&mut self, entry: (u32, &'a K)) {
        self.weight -= u64::from(entry.0);
        self.pools.remove(&entry);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(id: usize, facility: Option<&str>) -> Member {
        Member { id: format!("m{id}").into(), facility: facility.map(Into::into) }
    }

    fn claim(pool: u32, facility: &str, weight: u32, holder: Option<usize>) -> Claim<u32> {
        Claim { pool, facility: facility.into(), weight, holder: holder.map(|id| format!("m{id}").into()) }
    }

    /// What is held after everybody did as was computed.
    fn carried_out(claims: &[Claim<u32>], owners: &BTreeMap<u32, Arc<str>>) -> Vec<Claim<u32>> {
        claims.iter().map(|claim| Claim { holder: owners.get(&claim.pool).cloned(), ..claim.clone() }).collect()
    }

    fn loads(claims: &[Claim<u32>], owners: &BTreeMap<u32, Arc<str>>, members: &[Member]) -> Vec<u64> {
        let of = |member: &Member| {
            let mine = claims.iter().filter(|claim| owners.get(&claim.pool) == Some(&member.id));
            mine.map(|claim| u64::from(claim.weight)).sum()
        };
        members.iter().map(of).collect()
    }

    fn moved(claims: &[Claim<u32>], owners: &BTreeMap<u32, Arc<str>>) -> Vec<Claim<u32>> {
        claims.iter().filter(|claim| owners.get(&claim.pool) != claim.holder.as_ref()).cloned().collect()
    }

    prop_compose! {
        /// Pools of two facilities, some held by members who may be gone.
        fn farm()(
            members in prop::collection::vec((0..8_usize, prop::option::of(prop::sample::select(vec!["f", "g"]))), 0..6),
            claims in prop::collection::vec(
                (prop::sample::select(vec!["f", "g"]), 1..=4_u32, prop::option::of(0..10_usize)), 0..60),
        ) -> (Vec<Member>, Vec<Claim<u32>>) {
            let mut ids = BTreeSet::new();
            let members = members.into_iter().filter(|(id, _)| ids.insert(*id)).map(|(id, facility)| member(id, facility));
            let claims = claims.into_iter().enumerate().map(|(pool, (facility, weight, holder))| {
                claim(pool as u32, facility, weight, holder)
            });
            (members.collect(), claims.collect())
        }
    }

    prop_compose! {
        /// One facility whose pools have been shared out among these members.
        fn settled(heaviest: u32)(
            count in 1..8_usize,
            weights in prop::collection::vec(1..=heaviest, 0..80),
        ) -> (Vec<Member>, Vec<Claim<u32>>) {
            let members: Vec<Member> = (0..count).map(|id| member(id, None)).collect();
            let claims: Vec<Claim<u32>> =
                weights.into_iter().enumerate().map(|(pool, weight)| claim(pool as u32, "f", weight, None)).collect();
            let owners = assign(&members, &claims);
            (members, carried_out(&claims, &owners))
        }
    }

    proptest! {
        #[test]
        fn every_pool_has_one_owner_who_may_have_it((members, claims) in farm()) {
            let owners = assign(&members, &claims);
            for claim in &claims {
                let mut able = members.iter().filter(|member| {
                    member.facility.is_none() || member.facility.as_ref() == Some(&claim.facility)
                });
                match owners.get(&claim.pool) {
                    Some(owner) => prop_assert!(able.any(|member| member.id == *owner)),
                    None => prop_assert!(able.next().is_none()),
                }
            }
        }

        #[test]
        fn the_order_of_the_input_does_not_matter((mut members, mut claims) in farm()) {
            let owners = assign(&members, &claims);
            members.reverse();
            claims.reverse();
            prop_assert_eq!(assign(&members, &claims), owners);
        }

        #[test]
        fn what_was_carried_out_stays((members, claims) in farm()) {
            let owners = assign(&members, &claims);
            prop_assert_eq!(assign(&members, &carried_out(&claims, &owners)), owners);
        }

        #[test]
        fn nobody_has_much_more_to_do_than_anybody_else((members, claims) in settled(4)) {
            let owners = assign(&members, &claims);
            let loads = loads(&claims, &owners, &members);
            let total: u64 = loads.iter().sum();
            let slack = (total / members.len() as u64 / 8).max(1);
            let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
            prop_assert!(most - least < 4 + slack, "{:?}", loads);
        }

        /// Pools of different weight don't divide evenly, so that a move may make another one help.
        #[test]
        fn no_more_moves_than_twice_the_share_of_who_joins_and_two_pools((mut members, claims) in settled(4)) {
            members.push(member(members.len(), None));
            let moved = moved(&claims, &assign(&members, &claims));
            let total: u64 = claims.iter().map(|claim| u64::from(claim.weight)).sum();
            let share: u64 = moved.iter().map(|claim| u64::from(claim.weight)).sum();
            prop_assert!(share <= 2 * total / members.len() as u64 + 2 * 4, "{} of {}", share, total);
        }

        #[test]
        fn where_pools_weigh_the_same_they_move_to_who_joins_and_nowhere_else((mut members, claims) in settled(1)) {
            members.push(member(members.len(), None));
            let owners = assign(&members, &claims);
            let joiner = &members.last().unwrap().id;
            let moved = moved(&claims, &owners);
            prop_assert!(moved.iter().all(|claim| owners[&claim.pool] == *joiner), "{:?}", moved);
        }

        #[test]
        fn who_leaves_is_replaced_and_nothing_else_moves((mut members, claims) in settled(1), at in any::<prop::sample::Index>()) {
            prop_assume!(members.len() > 1);
            let leaver = members.remove(at.index(members.len()));
            let owners = assign(&members, &claims);
            let moved = moved(&claims, &owners);
            prop_assert!(moved.iter().all(|claim| claim.holder.as_ref() == Some(&leaver.id)), "{:?}", moved);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Replicas read weights at different moments: at every look each sees one pool in eight heavier than it is. Locks are
        /// exclusive. When that has ended, all pools are held before long, and nothing moves any more.
        #[test]
        fn replicas_that_see_different_weights_come_to_rest(
            (mut members, mut held) in settled(4),
            skews in prop::collection::vec(prop::bool::weighted(0.125), 977),
            joiners in 0..3_usize,
        ) {
            (0..joiners).for_each(|_| members.push(member(members.len(), None)));
            let mut sharers: Vec<Sharer<u32>> = members.iter().map(|_| Sharer::default()).collect();
            let mut skews = skews.into_iter().cycle();
            let mut late_moves = 0;
            for round in 0..60 {
                let seen = held.clone();
                for (member, sharer) in members.iter().zip(&mut sharers) {
                    let mut view = seen.clone();
                    if round < 30 {
                        for claim in &mut view {
                            claim.weight += u32::from(skews.next().unwrap_or(false));
                        }
                    }
                    let Moves { take, give } = sharer.look(member, &members, &view);
                    for pool in give {
                        held[pool as usize].holder = None;
                    }
                    for pool in take {
                        let claim = &mut held[pool as usize];
                        // The lock of a pool that is given away in this round is not free yet.
                        if claim.holder.is_none() && seen[pool as usize].holder.is_none() {
                            claim.holder = Some(member.id.clone());
                            late_moves += usize::from(round >= 50);
                        }
                    }
                }
            }
            prop_assert!(held.iter().all(|claim| claim.holder.is_some()));
            prop_assert_eq!(late_moves, 0, "pools still wander twenty rounds after all see the same");
        }
    }

    #[test]
    fn a_pool_that_nobody_takes_is_tried_by_those_who_thought_it_was_somebody_elses() {
        let members = [member(0, None), member(1, None)];
        let claims = [claim(0, "f", 1, Some(1)), claim(1, "f", 1, None)];
        let mut sharer = Sharer::default();
        let looks: Vec<_> = (0..4).map(|_| sharer.look(&members[1], &members, &claims).take).collect();
        assert_eq!(looks, [vec![], vec![], vec![], vec![1]]);
        assert_eq!(Sharer::default().look(&members[0], &members, &claims).take, [1]);
    }

    #[test]
    fn a_pool_is_given_away_only_when_it_is_somebody_elses_again_and_again() {
        let members = [member(0, None), member(1, None)];
        let held = [claim(0, "f", 1, Some(0)), claim(1, "f", 1, Some(0))];
        let balanced = [claim(0, "f", 1, Some(0)), claim(1, "f", 1, Some(1))];
        let mut sharer = Sharer::default();
        let mut give = |claims: &[Claim<u32>]| sharer.look(&members[0], &members, claims).give.len();
        assert_eq!([give(&held), give(&held), give(&balanced)], [0, 0, 0]);
        assert_eq!([give(&held), give(&held), give(&held)], [0, 0, 1]);
    }

    #[test]
    fn weights_are_coarse() {
        assert_eq!([0, 1, 999, 1_000, 29_999, 30_000, u64::MAX].map(weight), [1, 2, 2, 3, 3, 4, 4]);
    }
}
