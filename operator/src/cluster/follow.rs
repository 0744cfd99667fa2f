//! A watch, kept as a map of small records.
//!
//! Whole Deployments and pods of a large cluster would not fit the operator's memory; what it needs of each does. A change that
//! does not show in the record wakes nobody.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use futures::{Stream, StreamExt as _};
use kube::runtime::watcher::{Error, Event};
use tokio::sync::watch;

/// Namespace and name.
pub type Key = (String, String);

/// Records by namespace and name. The lock is held for look-ups only, never while something is awaited.
#[derive(Debug)]
pub struct Cache<T>(Arc<RwLock<HashMap<Key, T>>>);

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Cache<T> {
    /// The record of an object.
    pub fn get(&self, key: &Key) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// All records that are asked for, by name.
    pub fn select(&self, is_asked_for: impl Fn(&T) -> bool) -> Vec<T> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<(&Key, &T)> = records.iter().filter(|(_, record)| is_asked_for(record)).collect();
        found.sort_by_key(|(key, _)| *key);
        found.into_iter().map(|(_, record)| record.clone()).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn put(&self, key: Key, record: T) -> Option<T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, record)
    }

    fn take(&self, key: &Key) -> Option<T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    fn replace(&self, records: HashMap<Key, T>) -> HashMap<Key, T> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), records)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        drop(self.replace(HashMap::new()));
    }
}

/// Whether a watch has been complete once, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchState {
    /// It has been complete once.
    pub complete: bool,
    /// Why it can't go on, if it can't.
    pub trouble: Option<String>,
}

/// Follows a watch for ever. `record` makes a key and a record of an object; `changed` is told of a record before and after.
pub async fn follow<K, T: Clone>(
    what: &'static str,
    events: impl Stream<Item = Result<Event<K>, Error>>,
    cache: Cache<T>,
    state: watch::Sender<WatchState>,
    record: impl Fn(K) -> (Key, T),
    changed: impl Fn(Option<&T>, Option<&T>),
) {
    let mut events = pin!(events);
    let mut arriving = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => arriving.clear(),
            Ok(Event::InitApply(object)) => {
                let (key, record) = record(object);
                arriving.insert(key, record);
            }
            Ok(Event::InitDone) => {
                let mut before = cache.replace(arriving.clone());
                for (key, now) in arriving.drain() {
                    changed(before.remove(&key).as_ref(), Some(&now));
                }
                for gone in before.values() {
                    changed(Some(gone), None);
                }
                state.send_replace(WatchState { complete: true, trouble: None });
            }
            Ok(Event::Apply(object)) => {
                let (key, now) = record(object);
                let before = cache.put(key, now.clone());
                changed(before.as_ref(), Some(&now));
                state.send_if_modified(|state| state.trouble.take().is_some());
            }
            Ok(Event::Delete(object)) => {
                let (key, _) = record(object);
                if let Some(gone) = cache.take(&key) {
                    changed(Some(&gone), None);
                }
            }
            Err(error) => {
                let trouble = trouble(what, &error);
                // Watches are closed by the server now and then; only what lasts is worth a word.
                if state.borrow().trouble.as_ref() != Some(&trouble) {
                    tracing::warn!(watch = what, error = %trouble, "a watch was interrupted");
                }
                state.send_modify(|state| state.trouble = Some(trouble));
            }
        }
    }
}

/// What is wrong, in a line without the client's own types.
fn trouble(what: &str, error: &Error) -> String {
    let status = match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status {
        Some(status) => format!("watching {what}: {} ({})", status.message.trim(), status.code),
        None => format!("watching {what}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Log = Mutex<Vec<(Option<u32>, Option<u32>)>>;

    /// Follows events of numbers, each an object of its own name.
    async fn followed(
        events: Vec<Result<Event<(u32, u32)>, Error>>,
    ) -> (Cache<u32>, Vec<(Option<u32>, Option<u32>)>, WatchState) {
        let cache = Cache::default();
        let log = Log::default();
        let state = watch::Sender::new(WatchState::default());
        let record = |(name, value): (u32, u32)| ((String::new(), name.to_string()), value);
        let changed =
            |before: Option<&u32>, now: Option<&u32>| log.lock().unwrap().push((before.copied(), now.copied()));
        follow("numbers", futures::stream::iter(events), cache.clone(), state.clone(), record, changed).await;
        let state = state.borrow().clone();
        (cache, log.into_inner().unwrap(), state)
    }

    #[tokio::test]
    async fn a_watch_that_begins_anew_tells_what_is_gone() {
        let (cache, mut log, state) = followed(vec![
            Ok(Event::Init),
            Ok(Event::InitApply((1, 10))),
            Ok(Event::InitDone),
            Ok(Event::Apply((2, 20))),
            Ok(Event::Init),
            Ok(Event::InitApply((2, 21))),
            Ok(Event::InitDone),
            Ok(Event::Delete((2, 21))),
            Ok(Event::Delete((9, 0))),
        ])
        .await;
        assert_eq!(cache.count(), 0);
        log[2..4].sort_unstable();
        let told = [(None, Some(10)), (None, Some(20)), (Some(10), None), (Some(20), Some(21)), (Some(21), None)];
        assert_eq!(log, told);
        assert_eq!(state, WatchState { complete: true, trouble: None });
    }

    #[tokio::test]
    async fn trouble_is_told_and_ends() {
        let gone = || kube::core::Status { code: 404, message: "not found".to_owned(), ..Default::default() }.boxed();
        let failed = || Err(Error::InitialListFailed(kube::Error::Api(gone())));
        let (_, _, state) = followed(vec![failed(), failed()]).await;
        assert_eq!(state.trouble.as_deref(), Some("watching numbers: not found (404)"));
        let (_, _, state) = followed(vec![failed(), Ok(Event::Init), Ok(Event::InitDone)]).await;
        assert_eq!(state, WatchState { complete: true, trouble: None });
    }
}
