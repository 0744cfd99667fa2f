//! From the locks that sessions hold to members and owners. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::assignment::Member;

use super::key::LockKey;

/// What every member's name begins with.
const PREFIX: &str = "cue-scheduler/";

/// Longest `application_name` that PostgreSQL keeps.
const NAME_MAX: usize = 63;

/// Of it, what is left for the facility beside the prefix, a slash and eight digits.
const SCOPE_MAX: usize = NAME_MAX - PREFIX.len() - 1 - 8;

/// The name of a member: the `application_name` of all its sessions.
pub fn member_name(facility: Option<&str>, id: u32) -> String {
    let scope = facility.map_or_else(|| "*".to_owned(), scope);
    format!("{PREFIX}{scope}/{id:08x}")
}

/// A facility in a member's name. PostgreSQL keeps 63 bytes and changes what isn't plain ASCII, so a name that would not come
/// back as it is gets a hash in place of what it loses.
pub fn scope(facility: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && c != '/' || c == ' ';
    if !facility.is_empty() && facility.len() <= SCOPE_MAX && facility != "*" && facility.chars().all(is_plain) {
        return facility.to_owned();
    }
    let kept: String = facility.chars().filter(|c| is_plain(*c)).take(SCOPE_MAX - 9).collect();
    format!("{kept}~{:08x}", LockKey::of_member(facility).key)
}

/// The member of this name; `None` if it is nobody's.
pub fn member(name: &str) -> Option<Member> {
    let (scope, id) = name.strip_prefix(PREFIX)?.rsplit_once('/')?;
    if scope.is_empty() || id.len() != 8 || !id.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    Some(Member { id: name.into(), facility: (scope != "*").then(|| scope.into()) })
}

/// A lock of ours and the session that holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldLock {
    /// The session's process on the server.
    pub pid: i32,
    /// Its `application_name`.
    pub name: String,
    /// Whether it is of our role.
    pub own_role: bool,
    /// Whether it is the session that asks.
    pub own_session: bool,
    /// Seconds since its last activity, by the database's clock; unknown for other roles.
    pub idle: Option<f64>,
    /// The lock.
    pub key: LockKey,
}

/// Who is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Members that live, by name.
    pub members: BTreeMap<Arc<str>, Member>,
    /// How long ago each was heard of.
    pub idle: BTreeMap<Arc<str>, Duration>,
    /// Members that were not heard of for too long.
    pub stale: BTreeSet<Arc<str>>,
    /// Members of other roles.
    pub strangers: BTreeSet<Arc<str>>,
    /// Who holds what, of our role, alive or not.
    pub holders: BTreeMap<LockKey, Arc<str>>,
    /// Sessions of our role that hold pools and no place. There should be none: a pooler may have kept the locks of somebody
    /// who is gone.
    pub squatters: BTreeSet<i32>,
}

/// Reads the locks. A member is a session of our role that holds the place of its own name, and is stale when it was not heard
/// of for `stale_after`.
pub fn see(held: &[HeldLock], stale_after: Duration) -> Seen {
    let mut seen = Seen::default();
    let placed: BTreeSet<i32> =
        held.iter().filter(|lock| lock.key == LockKey::of_member(&lock.name)).map(|lock| lock.pid).collect();
    for lock in held {
        let key = lock.key;
        let name: Arc<str> = lock.name.as_str().into();
        if !key.is_place() {
            if lock.own_role {
                seen.holders.insert(key, name);
                if !placed.contains(&lock.pid) {
                    seen.squatters.insert(lock.pid);
                }
            }
            continue;
        }
        let Some(member) = member(&name).filter(|_| key == LockKey::of_member(&name)) else { continue };
        if !lock.own_role {
            seen.strangers.insert(name);
            continue;
        }
        // The session that asks is awake, however long the statement took.
        let idle = if lock.own_session { 0.0 } else { lock.idle.unwrap_or(0.0) };
        let idle = Duration::try_from_secs_f64(idle).unwrap_or_default();
        if idle >= stale_after {
            seen.stale.insert(name.clone());
        } else {
            seen.members.insert(name.clone(), member);
        }
        seen.idle.insert(name, idle);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Duration = Duration::from_secs(8);

    fn held(name: &str, key: LockKey, idle: Option<f64>) -> HeldLock {
        HeldLock { pid: 1, name: name.to_owned(), own_role: true, own_session: false, idle, key }
    }

    #[test]
    fn a_name_has_at_most_63_plain_bytes_and_comes_back() {
        for facility in [None, Some("spi"), Some("Spi 2"), Some("a/b"), Some("*"), Some(""), Some("Zürich")] {
            let name = member_name(facility, 0x1f);
            assert!(name.len() <= 63 && name.is_ascii(), "{name}");
            let member = member(&name).unwrap();
            assert_eq!(member.facility.as_deref(), facility.map(scope).as_deref());
        }
        let long = "x".repeat(300);
        assert_eq!(member_name(Some(&long), 7).len(), 63);
        assert_eq!(member_name(Some(&"y".repeat(SCOPE_MAX)), 7), format!("{PREFIX}{}/00000007", "y".repeat(SCOPE_MAX)));
    }

    #[test]
    fn names_that_are_cut_or_changed_stay_different() {
        let alike = [("x".repeat(50), "x".repeat(51)), ("Zürich".into(), "Zörich".into()), ("*".into(), String::new())];
        for (one, other) in alike {
            assert_ne!(scope(&one), scope(&other));
        }
    }

    #[test]
    fn other_programs_are_nobody() {
        for name in ["", "psql", "cue-scheduler", "cue-scheduler/spi", "cue-scheduler/spi/1", "cue-scheduler//00000001"]
        {
            assert_eq!(member(name), None, "{name}");
        }
    }

    #[test]
    fn a_member_holds_the_place_of_its_own_name_and_is_heard_of() {
        let [a, b, c] = [1, 2, 3].map(|id| member_name(None, id));
        let pool = LockKey { class: 0x4353_8001, key: -5 };
        let seen = see(
            &[
                held(&a, LockKey::of_member(&a), Some(0.4)),
                held(&a, pool, Some(0.4)),
                held(&b, LockKey::of_member(&b), Some(8.1)),
                held(&c, LockKey::of_member(&a), Some(0.1)),
            ],
            STALE,
        );
        assert_eq!(seen.members.keys().map(AsRef::as_ref).collect::<Vec<_>>(), [a.as_str()]);
        assert_eq!(seen.stale.iter().map(AsRef::as_ref).collect::<Vec<_>>(), [b.as_str()]);
        assert_eq!(seen.holders, [(pool, Arc::from(a.as_str()))].into());
        assert_eq!(seen.squatters, [].into());
    }

    #[test]
    fn who_holds_a_pool_without_a_place_is_seen() {
        let [a, b] = [1, 2].map(|id| member_name(None, id));
        let pool = LockKey { class: 0x4353_8001, key: -5 };
        let left = HeldLock { pid: 7, ..held(&b, pool, Some(0.1)) };
        let seen = see(&[held(&a, LockKey::of_member(&a), Some(0.1)), left.clone()], STALE);
        assert_eq!(seen.squatters, [7].into());
        let strange = HeldLock { own_role: false, ..left };
        assert_eq!(see(&[strange], STALE).squatters, [].into());
    }

    #[test]
    fn who_asks_is_never_stale_and_other_roles_are_strangers() {
        let [a, b] = [1, 2].map(|id| member_name(None, id));
        let mine = HeldLock { own_session: true, ..held(&a, LockKey::of_member(&a), Some(60.0)) };
        let other = HeldLock { own_role: false, ..held(&b, LockKey::of_member(&b), None) };
        let seen = see(&[mine, other], STALE);
        assert_eq!((seen.members.len(), seen.stale.len(), seen.strangers.len()), (1, 0, 1));
    }
}
