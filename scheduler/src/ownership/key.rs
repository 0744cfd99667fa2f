//! The keys of the advisory locks. They are of the two-number form, in classes of our own, so that they meet neither Cuebot's nor
//! Maestro's (one number) nor those of our booking transactions.
//!
//! A pool's key is a hash of what it is and of the database role: replicas of different roles can neither see nor end each
//! other, so a lock of one of them that hangs must not keep a pool from the others for ever. Between roles pools are not
//! shared out but worked on by both, which is safe.

use cue_scheduler_core::cluster::PoolId;

/// Places of members.
const MEMBERS: i32 = 0x4353_0000;

/// The first class of pools; there are 2^15 of them, so that among a thousand pools two with one key are not to be feared (one
/// chance in 10^8).
const POOLS: i32 = 0x4353_8000;

/// Class and key of an advisory lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockKey {
    /// The first number.
    pub class: i32,
    /// The second number.
    pub key: i32,
}

impl LockKey {
    /// The first and the last class of ours.
    pub const CLASSES: (i32, i32) = (MEMBERS, 0x4353_ffff);

    /// As `pg_locks` shows it, whose numbers have no sign.
    pub fn from_columns(class: i64, key: i64) -> Self {
        Self { class: low_bits(class.cast_unsigned()), key: low_bits(key.cast_unsigned()) }
    }

    /// The place of a member.
    pub fn of_member(name: &str) -> Self {
        Self { class: MEMBERS, key: low_bits(fnv([name.as_bytes()])) }
    }

    /// A pool, as members of this role hold it.
    pub fn of_pool(role: i64, pool: &PoolId) -> Self {
        let PoolId { facility, alloc, slice } = pool;
        let slice = [slice.of.to_be_bytes(), slice.at.to_be_bytes()].concat();
        let hash =
            fnv([&role.to_be_bytes(), facility.as_str().as_bytes(), alloc.as_str().as_bytes(), slice.as_slice()]);
        Self { class: POOLS | low_bits(hash >> 49), key: low_bits(hash) }
    }

    /// Whether it is a member's place.
    pub fn is_place(self) -> bool {
        self.class == MEMBERS
    }
}

fn low_bits(number: u64) -> i32 {
    (number as u32).cast_signed()
}

/// FNV-1a with 64 bits; the parts are told apart by a byte that no text of the database has. Written here because it must never
/// change: replicas of different versions share pools.
fn fnv<const N: usize>(parts: [&[u8]; N]) -> u64 {
    let separated = parts.into_iter().flat_map(|part| part.iter().chain(&[0]));
    separated.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cue_scheduler_core::slicing::Slice;

    use super::*;

    fn pool(facility: &str, alloc: &str, of: u16, at: u16) -> PoolId {
        PoolId { facility: facility.into(), alloc: alloc.into(), slice: Slice { of, at } }
    }

    #[test]
    fn keys_stay_what_they_are_from_version_to_version() {
        assert_eq!(LockKey::of_member("cue-scheduler/*/00000001"), LockKey { class: MEMBERS, key: 1_597_715_871 });
        assert_eq!(LockKey::of_pool(10, &pool("f", "a", 1, 0)), LockKey { class: 0x4353_8987, key: -1_027_304_449 });
    }

    #[test]
    fn whatever_differs_has_another_key_and_comes_back_from_the_columns() {
        let pools = [
            (10, pool("f", "a", 1, 0)),
            (11, pool("f", "a", 1, 0)),
            (10, pool("fa", "", 1, 0)),
            (10, pool("f", "b", 1, 0)),
            (10, pool("f", "a", 2, 0)),
            (10, pool("f", "a", 2, 1)),
        ];
        let keys: BTreeSet<LockKey> = pools.iter().map(|(role, pool)| LockKey::of_pool(*role, pool)).collect();
        assert_eq!(keys.len(), pools.len());
        let (first, last) = LockKey::CLASSES;
        for key in keys {
            assert!((first..=last).contains(&key.class) && !key.is_place());
            assert_eq!(LockKey::from_columns(i64::from(key.class), i64::from(key.key.cast_unsigned())), key);
        }
        assert!(LockKey::of_member("m").is_place());
    }
}
