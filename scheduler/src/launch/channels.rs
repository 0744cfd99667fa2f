//! Which connections are kept. A farm has a hundred thousand hosts, and an open channel costs some 40 kB: so only the most
//! recently used ones are kept, up to a bound, and none that lies idle.
//!
//! Dropping an entry doesn't end a call that uses it: who uses a channel holds a copy of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections by host name.
#[derive(Debug)]
pub(super) struct Channels<C> {
    bound: usize,
    idle_max: Duration,
    next_id: u64,
    kept: HashMap<Arc<str>, Kept<C>>,
}

/// One connection, told apart from the next to the same host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept<C> {
    pub(super) channel: C,
    id: u64,
    used_at: Instant,
}

impl<C: Clone> Channels<C> {
    /// At most `bound` entries, at least one; none unused for longer than `idle_max`.
    pub(super) fn new(bound: usize, idle_max: Duration) -> Self {
        Self { bound: bound.max(1), idle_max, next_id: 0, kept: HashMap::new() }
    }

    /// The connection to a host, now used.
    pub(super) fn get(&mut self, host: &str, now: Instant) -> Option<Kept<C>> {
        let kept = self.kept.get_mut(host)?;
        kept.used_at = now;
        Some(kept.clone())
    }

    /// Keeps a connection, instead of an older one to the same host. When the bound is reached, the one that was not used
    /// for the longest time makes room.
    pub(super) fn keep(&mut self, host: Arc<str>, channel: C, now: Instant) -> Kept<C> {
        if self.kept.len() >= self.bound && !self.kept.contains_key(&host) {
            // A scan, since the bound is small and a new connection costs more than that.
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used_at).map(|(host, _)| host.clone());
            oldest.and_then(|host| self.kept.remove(&host));
        }
        self.next_id += 1;
        let kept = Kept { channel, id: self.next_id, used_at: now };
        self.kept.insert(host, kept.clone());
        kept
    }

    /// Drops a connection that failed, unless another to the same host has taken its place.
    pub(super) fn drop_failed(&mut self, host: &str, failed: &Kept<C>) {
        if self.kept.get(host).is_some_and(|kept| kept.id == failed.id) {
            self.kept.remove(host);
        }
    }

    /// Drops what lies idle.
    pub(super) fn drop_idle(&mut self, now: Instant) {
        let idle_max = self.idle_max;
        self.kept.retain(|_, kept| now.saturating_duration_since(kept.used_at) <= idle_max);
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(bound: usize) -> (Channels<&'static str>, Instant) {
        (Channels::new(bound, Duration::from_secs(30)), Instant::now())
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let (mut channels, start) = channels(2);
        let at = |s| start + Duration::from_secs(s);
        channels.keep("a".into(), "to a", at(0));
        channels.keep("b".into(), "to b", at(1));
        assert!(channels.get("a", at(2)).is_some());
        channels.keep("c".into(), "to c", at(3));
        assert!(channels.get("b", at(4)).is_none());
        assert_eq!(channels.get("a", at(4)).map(|kept| kept.channel), Some("to a"));
        channels.keep("a".into(), "to a again", at(5));
        assert!(channels.get("c", at(6)).is_some(), "replacing needs no room");
        assert_eq!(channels.len(), 2);
    }

    #[test]
    fn what_lies_idle_is_dropped() {
        let (mut channels, start) = channels(9);
        channels.keep("a".into(), "to a", start);
        channels.keep("b".into(), "to b", start + Duration::from_secs(20));
        channels.drop_idle(start + Duration::from_secs(30));
        assert_eq!(channels.len(), 2);
        channels.drop_idle(start + Duration::from_secs(31));
        assert!(channels.get("a", start).is_none());
        assert!(channels.get("b", start).is_some());
    }

    #[test]
    fn a_failure_drops_only_the_connection_that_failed() {
        let (mut channels, now) = channels(9);
        let first = channels.keep("a".into(), "first", now);
        let second = channels.keep("a".into(), "second", now);
        channels.drop_failed("a", &first);
        assert_eq!(channels.get("a", now).map(|kept| kept.channel), Some("second"));
        channels.drop_failed("a", &second);
        assert_eq!(channels.len(), 0);
    }
}
