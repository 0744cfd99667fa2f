//! All watches of the operator, and whom a change of each concerns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Config;
use kube::{Client, Resource, ResourceExt as _};
use tokio::sync::watch as latest;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::follow::{Cache, Key, WatchState, follow};
use super::guarded::Guarded;
use super::queue::{Queue, ResourceRef};
use super::seen::{DeploymentSeen, Follower, Object};
use super::watch::{Limits, watch};
use crate::crd::SchedulerDeployment;
use crate::desired::Kind;
use crate::labels;
use crate::reconcile::ledger::Ledger;

/// Where the operator looks.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The one namespace; all of them if there is none.
    pub namespace: Option<String>,
}

impl Scope {
    fn typed<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }

    fn dynamic(&self, client: &Client, kind: Kind) -> Api<PartialObjectMeta<DynamicObject>> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource()),
            None => Api::all_with(client.clone(), &kind.resource()),
        }
    }
}

/// What watches need to run.
#[derive(Clone)]
pub struct Watching {
    /// The API server.
    pub client: Client,
    /// Where they look.
    pub scope: Scope,
    /// Who has to be looked at.
    pub queue: Arc<Queue>,
    /// What was applied: forgotten with the object.
    pub ledger: Arc<Ledger>,
    /// How long the server may be silent.
    pub limits: Limits,
    /// Has all of them begin anew, by another number.
    pub renewals: latest::Sender<u64>,
    /// Ends them.
    pub stop: CancellationToken,
    /// Awaits them.
    pub tasks: TaskTracker,
}

/// Records of everything that is watched.
pub struct Caches {
    /// The resources themselves.
    pub resources: Store<Guarded>,
    /// Deployments of ours.
    pub deployments: Cache<DeploymentSeen>,
    /// Replica sets of ours.
    pub replica_sets: Cache<Follower>,
    /// Pods of ours.
    pub pods: Cache<Follower>,
    objects: BTreeMap<Kind, Cache<Object>>,
    extensions: Mutex<BTreeMap<Kind, CancellationToken>>,
    states: Vec<(&'static str, latest::Receiver<WatchState>)>,
}

impl Caches {
    /// Begins all watches but those of extensions.
    pub fn start(watching: &Watching) -> Self {
        let mut states = Vec::new();
        let mut state = |what: &'static str| {
            let sender = latest::Sender::new(WatchState::default());
            states.push((what, sender.subscribe()));
            sender
        };
        let resources = resources(watching, state("SchedulerDeployments"));
        let deployments = deployments(watching, state("Deployments"));
        let replica_sets = replica_sets(watching, state("ReplicaSets"));
        let pods = pods(watching, state("Pods"));
        let mut objects = BTreeMap::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Deployment) {
            let cache = Cache::default();
            if !kind.is_extension() {
                watch_objects(watching, kind, &cache, state(kind.name()), watching.stop.clone());
            }
            objects.insert(kind, cache);
        }
        Self { resources, deployments, replica_sets, pods, objects, extensions: Mutex::default(), states }
    }

    /// Begins or ends the watch of an extension, as it comes or goes.
    pub fn extension(&self, watching: &Watching, kind: Kind, is_there: bool) {
        let Some(cache) = self.objects.get(&kind) else { return };
        let mut running = self.extensions.lock().unwrap_or_else(PoisonError::into_inner);
        if is_there && !running.contains_key(&kind) {
            let stop = watching.stop.child_token();
            running.insert(kind, stop.clone());
            watch_objects(watching, kind, cache, latest::Sender::new(WatchState::default()), stop);
        } else if !is_there && let Some(stop) = running.remove(&kind) {
            stop.cancel();
            cache.clear();
        }
    }

    /// Objects of one kind, Deployments excepted.
    pub fn objects(&self, kind: Kind) -> Option<&Cache<Object>> {
        self.objects.get(&kind)
    }

    /// The record of an object of any kind.
    pub fn object(&self, kind: Kind, key: &Key) -> Option<Object> {
        match kind {
            Kind::Deployment => self.deployments.get(key).map(|deployment| deployment.object),
            kind => self.objects.get(&kind).and_then(|cache| cache.get(key)),
        }
    }

    /// All objects that a resource of this uid controls.
    pub fn owned(&self, uid: &str) -> Vec<(Kind, Object)> {
        let is_owned = |object: &Object| object.owner.as_ref().is_some_and(|(_, owner)| owner == uid);
        let deployments = self.deployments.select(|deployment| is_owned(&deployment.object));
        let mut owned: Vec<_> = deployments.into_iter().map(|seen| (Kind::Deployment, seen.object)).collect();
        for (kind, cache) in &self.objects {
            owned.extend(cache.select(is_owned).into_iter().map(|object| (*kind, object)));
        }
        owned
    }

    /// How many objects of ours there are.
    pub fn count(&self) -> usize {
        self.deployments.count() + self.objects.values().map(Cache::count).sum::<usize>()
    }

    /// What keeps the operator from working, if anything does.
    pub fn trouble(&self) -> Option<String> {
        self.states.iter().find_map(|(what, state)| {
            let state = state.borrow();
            match (&state.trouble, state.complete) {
                (Some(trouble), _) => Some(trouble.clone()),
                (None, false) => Some(format!("watching {what}: not complete yet")),
                (None, true) => None,
            }
        })
    }

    /// Waits until everything has been seen once.
    pub async fn complete(&self) {
        for (_, state) in &self.states {
            // A watch that has ended was told to.
            let _ = state.clone().wait_for(|state| state.complete).await;
        }
    }
}

/// Runs a watch until it is told to stop.
fn spawn(watching: &Watching, stop: CancellationToken, watch: impl Future<Output = ()> + Send + 'static) {
    watching.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = watch => {}
        }
    });
}

fn ours() -> Config {
    Config::default().labels(&labels::watched())
}

fn resources(watching: &Watching, state: latest::Sender<WatchState>) -> Store<Guarded> {
    let (store, writer) = reflector::store::<Guarded>();
    let api = watching.scope.typed::<Guarded>(&watching.client);
    let events = watch(api, Config::default(), watching).map(|event| {
        // Nobody looks at who has applied what, and it is half of each object.
        event.map(|event| event.modify(|resource| resource.meta_mut().managed_fields = None))
    });
    let events = reflector::reflector(writer, events);
    let (queue, ledger, all) = (Arc::clone(&watching.queue), Arc::clone(&watching.ledger), store.clone());
    let record = |resource: Guarded| {
        let seen = ResourceSeen::of(&resource);
        ((seen.object.namespace.clone(), seen.object.name.clone()), seen)
    };
    let changed = move |before: Option<&ResourceSeen>, now: Option<&ResourceSeen>| {
        // A status that the operator wrote itself is no reason to look again.
        if before.map(ResourceSeen::spec) == now.map(ResourceSeen::spec) {
            return;
        }
        if let (Some(gone), None) = (before, now) {
            ledger.forget_owner(&gone.object.uid);
        }
        for seen in before.iter().chain(&now) {
            queue.push(resource_ref(&seen.object.namespace, &seen.object.name));
            // Whoever names the same facility has to say so, or no longer.
            let sharing = all.state_filter(|other| seen.shares_with(&ResourceSeen::of(other)));
            for other in sharing {
                queue.push(ObjectRef::from_obj(&*other));
            }
        }
    };
    let watch = follow("SchedulerDeployments", events, Cache::default(), state, record, changed);
    spawn(watching, watching.stop.clone(), watch);
    store
}

/// What is compared of a resource.
#[derive(Clone, Debug, PartialEq)]
struct ResourceSeen {
    object: Object,
    shared: Vec<SharedFacility>,
}

/// A facility of a database: what two resources may have in common.
pub type SharedFacility = (String, String, String);

impl ResourceSeen {
    fn of(resource: &Guarded) -> Self {
        let shared = resource.0.as_ref().map(shared_facilities).unwrap_or_default();
        Self { object: Object::of(resource.meta()), shared }
    }

    fn spec(&self) -> (&str, (u64, u64), bool) {
        (&self.object.uid, self.object.mark, self.object.deleting)
    }

    fn shares_with(&self, other: &Self) -> bool {
        other.object.uid != self.object.uid && other.shared.iter().any(|facility| self.shared.contains(facility))
    }
}

/// The facilities of a resource, each with its database: host, and name. A database that only a Secret knows is told by the
/// Secret's place.
pub fn shared_facilities(resource: &SchedulerDeployment) -> Vec<SharedFacility> {
    let database = &resource.spec.database;
    let host = database.host.clone().unwrap_or_else(|| {
        format!("{}/{}", resource.namespace().unwrap_or_default(), database.credentials_secret_ref.name)
    });
    let name = database.name.clone().unwrap_or_else(|| "cuebot".to_owned());
    let facilities = resource.spec.facilities.iter();
    facilities.map(|facility| (host.clone(), name.clone(), facility.name.clone())).collect()
}

/// A reference to a resource.
pub fn resource_ref(namespace: &str, name: &str) -> ResourceRef {
    ResourceRef::new(name).within(namespace)
}

fn deployments(watching: &Watching, state: latest::Sender<WatchState>) -> Cache<DeploymentSeen> {
    let cache = Cache::default();
    let events = watch(watching.scope.typed::<Deployment>(&watching.client), ours(), watching);
    let record = |deployment: Deployment| {
        let seen = DeploymentSeen::of(&deployment);
        ((seen.object.namespace.clone(), seen.object.name.clone()), seen)
    };
    let (queue, ledger) = (Arc::clone(&watching.queue), Arc::clone(&watching.ledger));
    let changed = move |before: Option<&DeploymentSeen>, now: Option<&DeploymentSeen>| {
        object_changed(
            &queue,
            &ledger,
            Kind::Deployment,
            before.map(|seen| &seen.object),
            now.map(|seen| &seen.object),
        );
        let status = |seen: &DeploymentSeen| DeploymentSeen { object: Object::default(), ..seen.clone() };
        if before.map(status) != now.map(status) {
            for seen in before.iter().chain(&now) {
                wake_owner(&queue, &seen.object);
            }
        }
    };
    spawn(watching, watching.stop.clone(), follow("Deployments", events, cache.clone(), state, record, changed));
    cache
}

fn watch_objects(
    watching: &Watching,
    kind: Kind,
    cache: &Cache<Object>,
    state: latest::Sender<WatchState>,
    stop: CancellationToken,
) {
    let events = watch(watching.scope.dynamic(&watching.client, kind), ours(), watching);
    let record = |object: PartialObjectMeta<DynamicObject>| {
        let seen = Object::of(&object.metadata);
        ((seen.namespace.clone(), seen.name.clone()), seen)
    };
    let (queue, ledger) = (Arc::clone(&watching.queue), Arc::clone(&watching.ledger));
    let changed =
        move |before: Option<&Object>, now: Option<&Object>| object_changed(&queue, &ledger, kind, before, now);
    spawn(watching, stop, follow(kind.name(), events, cache.clone(), state, record, changed));
}

/// An object of ours is another: its owner is looked at. What is gone has to be applied anew, whoever took it.
fn object_changed(queue: &Queue, ledger: &Ledger, kind: Kind, before: Option<&Object>, now: Option<&Object>) {
    if let (Some(before), Some(now)) = (before, now)
        && !before.differs(now)
    {
        return;
    }
    if let (Some(gone), None) = (before, now) {
        ledger.forget(kind, gone);
    }
    for object in before.iter().chain(&now) {
        wake_owner(queue, object);
    }
}

fn wake_owner(queue: &Queue, object: &Object) {
    if let Some((owner, _)) = &object.owner {
        queue.push(resource_ref(&object.namespace, owner));
    }
}

fn replica_sets(watching: &Watching, state: latest::Sender<WatchState>) -> Cache<Follower> {
    let cache = Cache::default();
    let api = watching.scope.typed::<PartialObjectMeta<ReplicaSet>>(&watching.client);
    let events = watch(api, ours(), watching);
    let record = |set: PartialObjectMeta<ReplicaSet>| {
        let seen = Follower::of_replica_set(&set);
        ((seen.namespace.clone(), set.name_any()), seen)
    };
    let changed = wake_resource(&watching.queue);
    spawn(watching, watching.stop.clone(), follow("ReplicaSets", events, cache.clone(), state, record, changed));
    cache
}

fn pods(watching: &Watching, state: latest::Sender<WatchState>) -> Cache<Follower> {
    let cache = Cache::default();
    let events = watch(watching.scope.typed::<Pod>(&watching.client), ours(), watching);
    let record = |pod: Pod| {
        let seen = Follower::of_pod(&pod);
        ((seen.namespace.clone(), pod.name_any()), seen)
    };
    let changed = wake_resource(&watching.queue);
    spawn(watching, watching.stop.clone(), follow("Pods", events, cache.clone(), state, record, changed));
    cache
}

/// The resource of a pod or `ReplicaSet` is looked at when one comes or goes, or fails.
fn wake_resource(queue: &Arc<Queue>) -> impl Fn(Option<&Follower>, Option<&Follower>) + Send + 'static {
    let queue = Arc::clone(queue);
    move |before, now| {
        if before != now {
            for seen in before.iter().chain(&now) {
                if let Some(resource) = &seen.resource {
                    queue.push(resource_ref(&seen.namespace, resource));
                }
            }
        }
    }
}
