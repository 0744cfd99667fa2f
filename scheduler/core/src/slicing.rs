//! Cutting allocations with very many hosts into slices, so that one pool never outgrows one replica.
//!
//! A host's slice follows from a hash of its id, so a host stays in its slice while others come and go. The number of slices
//! is a power of two: doubling it cuts every slice in two and mixes nothing. It changes only when the number of hosts has
//! clearly left its range, so that a pool keeps its identity while a few hosts come and go around a bound.
//!
//! Replicas count hosts at different moments and remember different pasts, so near a bound they may come to different
//! numbers. Then whoever counts anew follows what is in use already, the finest of it: so they come to agree.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::id::AllocId;

/// Most slices of an allocation.
const SLICES_MAX: u16 = 1024;

/// A part of an allocation's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice {
    /// How many there are, a power of two.
    pub of: u16,
    /// Which one, from 0.
    pub at: u16,
}

impl Slice {
    /// All hosts.
    pub const WHOLE: Self = Self { of: 1, at: 0 };

    /// Whether this slice, of all slices of its allocation, goes first for a frame. Slices that are planned at the same time serve
    /// the same layers, and would all take the same next frames.
    pub fn goes_first(self, frame: &str) -> bool {
        // FNV-1a. It only has to be the same for all replicas.
        let hash = frame.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash % u32::from(self.of.max(1)) == u32::from(self.at)
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", u32::from(self.at) + 1, self.of)
    }
}

/// How many slices each allocation has; those with one are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slicing(BTreeMap<AllocId, u16>);

impl Slicing {
    /// Cuts anew for these numbers of hosts, none of which should be above `hosts_max` in a pool. `in_use` says whether
    /// somebody works on an allocation in so many slices.
    #[must_use]
    pub fn cut(&self, hosts_max: u64, hosts: &BTreeMap<AllocId, u64>, in_use: impl Fn(&AllocId, u16) -> bool) -> Self {
        let cut = hosts.iter().map(|(alloc, hosts)| {
            let known = self.0.get(alloc).copied();
            let fitting = sizes().filter(|of| fits(*of, *hosts, hosts_max));
            let kept = fitting.filter(|of| known == Some(*of) || in_use(alloc, *of)).max();
            (alloc.clone(), kept.unwrap_or_else(|| wanted(*hosts, hosts_max)))
        });
        Self(cut.collect())
    }

    /// The slices of an allocation.
    pub fn of(&self, alloc: &AllocId) -> impl Iterator<Item = Slice> + use<> {
        let of = self.0.get(alloc).copied().unwrap_or(1);
        (0..of).map(move |at| Slice { of, at })
    }
}

/// Every number of slices.
pub fn sizes() -> impl Iterator<Item = u16> {
    std::iter::successors(Some(1_u16), |of| of.checked_mul(2)).take_while(|of| *of <= SLICES_MAX)
}

/// The least number of slices that keeps to the bound.
fn wanted(hosts: u64, hosts_max: u64) -> u16 {
    sizes().find(|of| hosts <= hosts_max.saturating_mul(u64::from(*of))).unwrap_or(SLICES_MAX)
}

/// Whether so many slices are still right: a fifth above the bound before they are doubled, and a fifth below it before they
/// are halved.
fn fits(of: u16, hosts: u64, hosts_max: u64) -> bool {
    let bound = |of: u16| u128::from(hosts_max) * u128::from(of);
    let hosts = u128::from(hosts);
    let not_too_few = hosts * 5 <= bound(of) * 6 || of == SLICES_MAX;
    let not_too_many = of == 1 || hosts * 5 > bound(of / 2) * 4;
    not_too_few && not_too_many
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(slicing: &Slicing) -> usize {
        slicing.of(&"a".into()).count()
    }

    fn cut(before: &Slicing, hosts: u64, in_use: &[u16]) -> Slicing {
        before.cut(5_000, &[("a".into(), hosts)].into(), |_, of| in_use.contains(&of))
    }

    #[test]
    fn every_frame_has_one_slice_that_goes_first_and_all_have_about_as_many() {
        let slices: Vec<Slice> = (0..4).map(|at| Slice { of: 4, at }).collect();
        let mut first = [0; 4];
        for frame in 0..4_000 {
            let frame = format!("frame-{frame}");
            let mine: Vec<usize> = (0..4).filter(|at| slices[*at].goes_first(&frame)).collect();
            assert_eq!(mine.len(), 1);
            first[mine[0]] += 1;
        }
        assert!(first.iter().all(|frames| (900..1_100).contains(frames)), "{first:?}");
        assert!(Slice::WHOLE.goes_first("any"));
    }

    #[test]
    fn few_hosts_are_one_pool_and_many_are_cut_by_powers_of_two() {
        let slices = |hosts| of(&cut(&Slicing::default(), hosts, &[]));
        assert_eq!([0, 1, 5_000, 5_001, 10_000, 10_001, 100_000].map(slices), [1, 1, 1, 2, 2, 4, 32]);
        assert_eq!(slices(u64::MAX), usize::from(SLICES_MAX));
    }

    #[test]
    fn hosts_that_come_and_go_around_the_bound_change_nothing() {
        let mut slicing = Slicing::default();
        let mut slices = |hosts| {
            slicing = cut(&slicing, hosts, &[]);
            of(&slicing)
        };
        assert_eq!([4_900, 5_100, 5_900, 6_100, 5_100, 4_900, 4_100, 3_900].map(&mut slices), [1, 1, 1, 2, 2, 2, 2, 1]);
    }

    #[test]
    fn who_counts_anew_follows_what_is_in_use_where_that_still_fits() {
        assert_eq!(of(&cut(&Slicing::default(), 4_500, &[2])), 2);
        assert_eq!(of(&cut(&Slicing::default(), 5_500, &[1])), 1);
        assert_eq!(of(&cut(&Slicing::default(), 5_500, &[1, 2])), 2);
        assert_eq!(of(&cut(&Slicing::default(), 500, &[2])), 1);
        assert_eq!(of(&cut(&Slicing::default(), 50_000, &[1])), 16);
    }

    proptest! {
        #[test]
        fn replicas_with_different_pasts_come_to_agree(hosts in 0..60_000_u64, pasts in prop::collection::vec(0..60_000_u64, 1..5)) {
            let mut replicas: Vec<Slicing> =
                pasts.into_iter().map(|past| cut(&Slicing::default(), past, &[])).collect();
            for _ in 0..2 {
                for at in 0..replicas.len() {
                    let in_use: Vec<u16> = replicas.iter().map(|slicing| of(slicing) as u16).collect();
                    replicas[at] = cut(&replicas[at], hosts, &in_use);
                }
            }
            prop_assert!(replicas.windows(2).all(|pair| of(&pair[0]) == of(&pair[1])), "{:?}", replicas);
            prop_assert!(hosts * 5 <= 5_000 * 6 * of(&replicas[0]) as u64);
        }
    }
}
