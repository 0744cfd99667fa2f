//! What was applied last, and what the cluster made of it: an object that is still so needs no call.
//!
//! It lives in memory. After a start every object is applied once, which changes nothing where nothing differs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cluster::seen::Object;
use crate::desired::Kind;

/// How long an object that was applied may be missing from the watch before it counts as gone.
const WATCH_LAG_MAX: Duration = Duration::from_mins(1);

/// One entry.
#[derive(Clone, Debug)]
struct Entry {
    manifest: u64,
    object: Object,
    at: Instant,
}

/// What the ledger says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it was applied, and that is what is wanted.
    Unchanged,
    /// Something else is wanted now, or it has to be seen to for another reason.
    Due,
    /// Somebody else has changed it since.
    Drifted,
}

/// What was applied last, by kind, namespace and name.
#[derive(Default)]
pub struct Ledger(Mutex<HashMap<(Kind, String, String), Entry>>);

impl Ledger {
    /// Whether a manifest, by its hash, has to be applied, given what is seen of its object. `refresh` is the age at which it is
    /// applied whatever is seen.
    pub fn verdict(
        &self,
        kind: Kind,
        place: (&str, &str),
        manifest: u64,
        seen: Option<&Object>,
        refresh: Duration,
    ) -> Verdict {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get(&(kind, place.0.to_owned(), place.1.to_owned())) else { return Verdict::Due };
        let age = entry.at.elapsed();
        if age > refresh {
            return Verdict::Due;
        }
        let is_as_applied = match seen {
            // The watch is behind what was applied.
            Some(seen) if seen.version <= entry.object.version => true,
            Some(seen) => seen.uid == entry.object.uid && seen.mark == entry.object.mark,
            None => age < WATCH_LAG_MAX,
        };
        if !is_as_applied && seen.is_some() {
            Verdict::Drifted
        } else if is_as_applied && entry.manifest == manifest {
            Verdict::Unchanged
        } else {
            Verdict::Due
        }
    }

    /// A manifest was applied, and this became of it.
    pub fn record(&self, kind: Kind, manifest: u64, object: Object) {
        let key = (kind, object.namespace.clone(), object.name.clone());
        let entry = Entry { manifest, object, at: Instant::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
    }

    /// The object is gone.
    pub fn forget(&self, kind: Kind, object: &Object) {
        let key = (kind, object.namespace.clone(), object.name.clone());
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.get(&key).is_some_and(|entry| entry.object.uid == object.uid) {
            entries.remove(&key);
        }
    }

    /// The resource of this uid is gone.
    pub fn forget_owner(&self, uid: &str) {
        let is_owned = |entry: &Entry| entry.object.owner.as_ref().is_some_and(|(_, owner)| owner == uid);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, entry| !is_owned(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn object(version: u64, generation: u64) -> Object {
        Object {
            namespace: "n".into(),
            name: "x".into(),
            uid: "u".into(),
            version,
            mark: (generation, 0),
            ..Object::default()
        }
    }

    #[test]
    fn an_object_is_applied_when_it_is_not_as_it_was_applied() {
        let ledger = Ledger::default();
        let verdict = |manifest, seen: Option<Object>, refresh| {
            ledger.verdict(Kind::Deployment, ("n", "x"), manifest, seen.as_ref(), refresh)
        };
        assert_eq!(verdict(1, None, HOUR), Verdict::Due, "never applied");
        ledger.record(Kind::Deployment, 1, object(10, 1));
        assert_eq!(verdict(1, Some(object(10, 1)), HOUR), Verdict::Unchanged);
        assert_eq!(verdict(1, Some(object(12, 1)), HOUR), Verdict::Unchanged, "a new status");
        assert_eq!(verdict(1, Some(object(9, 0)), HOUR), Verdict::Unchanged, "the watch is behind");
        assert_eq!(verdict(1, None, HOUR), Verdict::Unchanged, "the watch is behind");
        assert_eq!(verdict(2, Some(object(10, 1)), HOUR), Verdict::Due, "something else is wanted");
        assert_eq!(verdict(1, Some(object(12, 2)), HOUR), Verdict::Drifted, "somebody changed it");
        let other = Object { uid: "other".into(), ..object(12, 1) };
        assert_eq!(verdict(1, Some(other), HOUR), Verdict::Drifted, "another of the same name");
        assert_eq!(verdict(1, Some(object(10, 1)), Duration::ZERO), Verdict::Due, "a long time ago");
        ledger.forget(Kind::Deployment, &object(11, 1));
        assert_eq!(verdict(1, None, HOUR), Verdict::Due, "gone");
    }
}
