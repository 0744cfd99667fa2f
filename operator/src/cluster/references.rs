//! Secrets and `ConfigMap`s that pods refer to: one watch for each, while some resource names it.
//!
//! Only these are watched, so that the operator needs to see no other Secret; and of them only which version they are and which
//! keys they have. Values are dropped before anything is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ObjectMeta};
use kube::runtime::watcher::Config;
use tokio::sync::watch as latest;
use tokio_util::sync::CancellationToken;

use super::caches::Watching;
use super::follow::{Cache, WatchState, follow};
use super::queue::{Queue, ResourceRef};
use super::watch::watch;
use crate::wanted::{Reference, ReferenceKind};

/// Kind, namespace and name.
type Place = (ReferenceKind, String, String);

/// What is seen of such an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Referred {
    revision: String,
    keys: BTreeSet<String>,
}

/// What is known of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The watch has not answered yet.
    NotYetKnown,
    /// Something is missing, in a sentence.
    Missing(String),
    /// It is there with its keys: which version.
    Revision(String),
}

/// All such watches.
#[derive(Default)]
pub struct References(Mutex<BTreeMap<Place, Watched>>);

struct Watched {
    cache: Cache<Referred>,
    state: latest::Receiver<WatchState>,
    users: Arc<Mutex<BTreeSet<(String, String)>>>,
    stop: CancellationToken,
}

impl References {
    /// What is known of what a resource refers to. Watches begin with the first who refers to an object, and end with the last.
    pub fn look_up(
        &self,
        watching: &Watching,
        user: &(String, String),
        wanted: &[Reference],
    ) -> Vec<(Reference, Found)> {
        self.release(user, wanted);
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = wanted.iter().map(|reference| {
            let place = (reference.kind, user.0.clone(), reference.name.clone());
            let entry = watched.entry(place).or_insert_with_key(|place| Watched::start(watching, place));
            entry.users.lock().unwrap_or_else(PoisonError::into_inner).insert(user.clone());
            (reference.clone(), entry.found(&user.0, reference))
        });
        found.collect()
    }

    /// A resource refers to nothing but these any more.
    pub fn release(&self, user: &(String, String), still: &[Reference]) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|(kind, namespace, name), entry| {
            let kept = still.iter().any(|reference| reference.kind == *kind && reference.name == *name);
            let mut users = entry.users.lock().unwrap_or_else(PoisonError::into_inner);
            if *namespace == user.0 && !kept {
                users.remove(user);
            }
            if users.is_empty() {
                entry.stop.cancel();
            }
            !users.is_empty()
        });
    }
}

impl Watched {
    fn start(watching: &Watching, (kind, namespace, name): &Place) -> Self {
        let users: Arc<Mutex<BTreeSet<(String, String)>>> = Arc::default();
        let cache = Cache::default();
        let sender = latest::Sender::new(WatchState::default());
        let state = sender.subscribe();
        let stop = watching.stop.child_token();
        let config = Config::default().fields(&format!("metadata.name={name}"));
        let (queue, woken) = (Arc::clone(&watching.queue), Arc::clone(&users));
        let changed = move |before: Option<&Referred>, now: Option<&Referred>| {
            if before != now {
                wake(&queue, &woken);
            }
        };
        let client = watching.client.clone();
        match kind {
            ReferenceKind::Secret => {
                let api = Api::<Secret>::namespaced(client, namespace);
                let record = |secret: Secret| referred(&secret.metadata, secret.data.unwrap_or_default().into_keys());
                let events = watch(api, config, watching);
                run(watching, &stop, follow("Secret", events, cache.clone(), sender, record, changed));
            }
            ReferenceKind::ConfigMap => {
                let api = Api::<ConfigMap>::namespaced(client, namespace);
                let record = |map: ConfigMap| referred(&map.metadata, map.data.unwrap_or_default().into_keys());
                let events = watch(api, config, watching);
                run(watching, &stop, follow("ConfigMap", events, cache.clone(), sender, record, changed));
            }
        }
        // That nothing was found is known when the watch is complete.
        let (queue, woken, mut complete) = (Arc::clone(&watching.queue), Arc::clone(&users), state.clone());
        run(watching, &stop, async move {
            if complete.wait_for(|state| state.complete || state.trouble.is_some()).await.is_ok() {
                wake(&queue, &woken);
            }
        });
        Self { cache, state, users, stop }
    }

    fn found(&self, namespace: &str, reference: &Reference) -> Found {
        let what = format!("{} {}", reference.kind.name(), reference.name);
        let state = self.state.borrow().clone();
        match self.cache.get(&(namespace.to_owned(), reference.name.clone())) {
            Some(seen) => match reference.keys.iter().find(|key| !seen.keys.contains(*key)) {
                Some(key) => Found::Missing(format!("{what} has no key {key}")),
                None => Found::Revision(seen.revision),
            },
            None if state.complete => Found::Missing(format!("{what} is not there")),
            None => state.trouble.map_or(Found::NotYetKnown, |trouble| Found::Missing(format!("{what}: {trouble}"))),
        }
    }
}

fn run(watching: &Watching, stop: &CancellationToken, watch: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    watching.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = watch => {}
        }
    });
}

fn wake(queue: &Queue, users: &Mutex<BTreeSet<(String, String)>>) {
    for (namespace, name) in users.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        queue.push(ResourceRef::new(name).within(namespace));
    }
}

fn referred(meta: &ObjectMeta, keys: impl Iterator<Item = String>) -> ((String, String), Referred) {
    let of = |part: &Option<String>| part.clone().unwrap_or_default();
    let revision = format!("{}/{}", of(&meta.uid), of(&meta.resource_version));
    ((of(&meta.namespace), of(&meta.name)), Referred { revision, keys: keys.collect() })
}
