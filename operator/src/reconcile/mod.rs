//! One resource, from what is there to what should be.
//!
//! ```text
//! observe ──► validate ──► references ──► build ──► apply ──► orphans ──► status ──► events
//! watches     pure         Secrets        pure      SSA       removed     if it differs
//! ```
//!
//! Nothing is remembered between two reconciles but what saves calls ([`ledger`]): whatever woke it, it looks at everything.

pub mod apply;
pub mod drift;
pub mod error;
pub mod events;
pub mod ledger;
pub mod orphans;
pub mod rollout;
pub mod status;
pub mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Client, ResourceExt as _};
use rand::RngExt as _;
use tokio::sync::watch;

use crate::cluster::caches::{Watching, shared_facilities};
use crate::cluster::guarded::Guarded;
use crate::cluster::references::{Found, References};
use crate::cluster::seen::{DeploymentSeen, Follower};
use crate::cluster::{Caches, queue::ResourceRef};
use crate::crd::{MonitoringStatus, SchedulerDeployment};
use crate::desired::{Cluster, build};
use crate::metrics::Metrics;
use crate::wanted::{ReferenceKind, Wanted, references};
use apply::Applied;
use error::Error;
use ledger::Ledger;
use validate::{Defaults, Reason, Refusal, validate};

/// What reconciles share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What holds where a resource says nothing.
    pub defaults: Defaults,
    /// What is seen of the cluster.
    pub caches: Caches,
    /// What is seen of Secrets.
    pub references: References,
    /// For watches that begin while the operator runs.
    pub watching: Watching,
    /// Which extensions there are.
    pub extensions: watch::Receiver<MonitoringStatus>,
    /// What was applied last.
    pub ledger: Arc<Ledger>,
    /// The statuses that were written last.
    pub statuses: status::Written,
    /// Events.
    pub events: events::Events,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The age at which everything is applied again, whatever is seen.
    pub refresh: Duration,
}

/// What is there of a resource.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its Deployments, by name.
    pub deployments: BTreeMap<String, DeploymentSeen>,
    /// Its pods.
    pub pods: Vec<Follower>,
    /// Its replica sets.
    pub replica_sets: Vec<Follower>,
    /// Facilities that another resource names too.
    pub shared: Vec<String>,
    /// Which extensions the cluster has.
    pub extensions: MonitoringStatus,
}

/// How far a reconcile came.
#[derive(Debug)]
pub enum Outcome {
    /// The resource can't be carried out.
    Refused(Refusal),
    /// It is paused.
    Paused(Wanted),
    /// Something that pods refer to is missing: a sentence each.
    Missing(Wanted, Vec<String>),
    /// Everything was applied that could be.
    Applied(Wanted, Applied),
}

/// Looks at a resource. When to look again, if nothing happens before.
pub async fn reconcile(resource: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let timer = context.metrics.reconcile();
    let key = ResourceRef::from_obj(&*resource);
    context.watching.queue.begin(&key);
    // It was taken out of the cache before; a change since then found the resource waiting and would be forgotten.
    let Some(resource) = context.caches.resources.get(&key) else {
        gone(&key, &context);
        timer.done("deleted");
        return Ok(Action::await_change());
    };
    let (resource, unreadable) = match &resource.0 {
        Ok(resource) => (resource, None),
        Err(unreadable) => (&unreadable.rest, Some(&unreadable.error)),
    };
    if resource.metadata.deletion_timestamp.is_some() {
        // The cluster removes what it owned.
        timer.done("deleted");
        return Ok(Action::await_change());
    }
    let observed = observe(resource, &context);
    let result = match unreadable {
        None => carry_out(resource, &observed, &context).await,
        Some(error) => {
            let refusal = Refusal { reason: Reason::InvalidSpec, faults: vec![error.clone()] };
            Ok(Some(Outcome::Refused(refusal)))
        }
    };
    let outcome = match result {
        Ok(Some(outcome)) => outcome,
        Ok(None) => {
            timer.done("waiting");
            return Ok(Action::await_change());
        }
        Err(error) => {
            timer.done("error");
            return Err(error);
        }
    };
    let change = status::write(resource, &outcome, &observed, &context).await.inspect_err(|_| timer.done("error"))?;
    context.events.publish(resource, &outcome, &change).await;
    timer.done("success");
    Ok(Action::requeue(spread(context.refresh)))
}

/// A resource that is not there any more refers to nothing. What it owned the cluster removes.
pub fn gone(resource: &ResourceRef, context: &Context) {
    let user = (resource.namespace.clone().unwrap_or_default(), resource.name.clone());
    context.references.release(&user, &[]);
}

/// A time around this one, so that what was applied together is not looked at together for ever.
fn spread(period: Duration) -> Duration {
    period.mul_f64(rand::rng().random_range(0.9..1.1))
}

fn observe(resource: &SchedulerDeployment, context: &Context) -> Observed {
    let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
    let uid = resource.uid().unwrap_or_default();
    let is_its = |seen: &Follower| seen.namespace == namespace && seen.resource.as_deref() == Some(&name);
    let owned = |seen: &DeploymentSeen| seen.object.owner.as_ref().is_some_and(|(_, owner)| *owner == uid);
    let deployments = context.caches.deployments.select(owned);
    Observed {
        deployments: deployments.into_iter().map(|seen| (seen.object.name.clone(), seen)).collect(),
        pods: context.caches.pods.select(is_its),
        replica_sets: context.caches.replica_sets.select(is_its),
        shared: shared(resource, context),
        extensions: *context.extensions.borrow(),
    }
}

/// Facilities of the same database that another resource names too.
fn shared(resource: &SchedulerDeployment, context: &Context) -> Vec<String> {
    let uid = resource.uid();
    let others = context.caches.resources.state_filter(|other| other.uid() != uid);
    let named: BTreeSet<_> =
        others.iter().filter_map(|other| other.0.as_ref().ok()).flat_map(shared_facilities).collect();
    let ours = shared_facilities(resource).into_iter();
    ours.filter(|facility| named.contains(facility)).map(|(_, _, name)| name).collect()
}

/// Everything up to the status; `None` while something is not known yet that will be told.
async fn carry_out(
    resource: &SchedulerDeployment,
    observed: &Observed,
    context: &Context,
) -> Result<Option<Outcome>, Error> {
    let user = (resource.namespace().unwrap_or_default(), resource.name_any());
    let wanted = match validate(resource, &context.defaults) {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(Some(Outcome::Refused(refusal))),
    };
    if wanted.paused {
        context.references.release(&user, &[]);
        return Ok(Some(Outcome::Paused(wanted)));
    }
    let found = context.references.look_up(&context.watching, &user, &references(&wanted.database));
    let mut revisions: BTreeMap<(ReferenceKind, String), String> = BTreeMap::new();
    let mut missing = Vec::new();
    for (reference, found) in found {
        match found {
            Found::NotYetKnown => return Ok(None),
            Found::Missing(what) => missing.push(what),
            Found::Revision(revision) => {
                revisions.insert((reference.kind, reference.name), revision);
            }
        }
    }
    if !missing.is_empty() {
        return Ok(Some(Outcome::Missing(wanted, missing)));
    }
    let desired = build(&wanted, &Cluster { extensions: observed.extensions, revisions })?;
    let applied = apply::apply(context, &wanted, &desired, observed).await?;
    let followers: Vec<Follower> = observed.pods.iter().chain(&observed.replica_sets).cloned().collect();
    let facilities: BTreeSet<&str> = wanted.facilities.iter().map(|facility| facility.names.slug.as_str()).collect();
    let owned = context.caches.owned(&wanted.owner.uid);
    let orphans = orphans::orphans(&owned, &apply::kept(&desired), &facilities, &followers);
    orphans::remove(context, &orphans).await?;
    Ok(Some(Outcome::Applied(wanted, applied)))
}
