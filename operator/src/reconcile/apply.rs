//! Objects into the cluster: server-side apply by one field manager, and no call where nothing differs.
//!
//! An object that somebody else controls, or nobody, is never touched: its name is taken. An object of ours is applied with
//! force, and whoever changed it is named. While an autoscaler owns the number of replicas the manifest has none; when it takes
//! over, the number first goes to a field manager of its own, since a field that nobody applies any more falls back to 1.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::drift::{self, Change};
use super::error::{Error, code, timely};
use super::ledger::Verdict;
use super::rollout::{Turn, turns};
use super::{Context, Observed};
use crate::cluster::seen::{DeploymentSeen, Object};
use crate::desired::{Desired, Kind};
use crate::labels::{HAND_OVER_MANAGER, MANAGER};
use crate::wanted::{Scale, Wanted};

/// What came of it.
#[derive(Debug, Default)]
pub struct Applied {
    /// Deployments as they are after it, by name.
    pub deployments: BTreeMap<String, DeploymentSeen>,
    /// The hashes of the configurations that were applied, by the name of the Deployment.
    pub config_hashes: BTreeMap<String, String>,
    /// Facilities whose pods wait for another's roll-out: name and whom they wait for.
    pub held: BTreeMap<String, String>,
    /// Names that somebody else's objects have, a sentence each.
    pub taken: Vec<String>,
    /// What the API server refused, and will refuse again: a sentence each.
    pub refused: Vec<String>,
    /// Changes of others that were set back: the object, and its fields.
    pub overwritten: Vec<(String, Vec<Change>)>,
}

/// What came of one object.
enum Done {
    Unchanged,
    Applied(Box<DynamicObject>),
    Taken,
}

/// Applies all objects. An error ends it; what comes after is tried again with the next reconcile.
pub async fn apply(
    context: &Context,
    wanted: &Wanted,
    desired: &Desired,
    observed: &Observed,
) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    let turns: BTreeMap<String, Turn> = desired
        .facilities
        .iter()
        .map(|facility| facility.names.object.clone())
        .zip(turns(&desired.facilities, &desired.common_hash, &observed.deployments))
        .collect();
    for facility in &desired.facilities {
        if turns.get(&facility.names.object) == Some(&Turn::Apply) {
            applied.config_hashes.insert(facility.names.object.clone(), facility.config_hash.clone());
        }
    }
    for (kind, manifest) in desired.objects() {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        if let (Kind::Deployment, Some(Turn::Hold { behind })) = (kind, turns.get(name)) {
            hold(context, wanted, name, observed, behind, &mut applied).await?;
            continue;
        }
        match one(context, wanted, kind, name, manifest, &mut applied).await {
            Ok(Done::Applied(object)) if kind == Kind::Deployment => note_deployment(*object, &mut applied),
            Ok(Done::Unchanged | Done::Applied(_)) => {}
            Ok(Done::Taken) => applied.taken.push(format!("{} {name} belongs to somebody else", kind.name())),
            // The extension went away; the next look at what there is will find that out.
            Err(error) if kind.is_extension() && is_not_found(&error) => {}
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => applied.refused.push(error.said()),
        }
    }
    Ok(applied)
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Object { source, .. } if code(source) == Some(404))
}

fn note_deployment(object: DynamicObject, applied: &mut Applied) {
    let deployment: Result<Deployment, _> = object.try_parse();
    if let Ok(deployment) = deployment {
        let seen = DeploymentSeen::of(&deployment);
        applied.deployments.insert(seen.object.name.clone(), seen);
    }
}

async fn one(
    context: &Context,
    wanted: &Wanted,
    kind: Kind,
    name: &str,
    manifest: &Value,
    applied: &mut Applied,
) -> Result<Done, Error> {
    let owner = &wanted.owner;
    let seen = context.caches.object(kind, &(owner.namespace.clone(), name.to_owned()));
    if seen.as_ref().is_some_and(|seen| seen.owner.as_ref().is_none_or(|(_, uid)| *uid != owner.uid)) {
        return Ok(Done::Taken);
    }
    let hash = hash(manifest);
    let place = (owner.namespace.as_str(), name);
    let verdict = context.ledger.verdict(kind, place, hash, seen.as_ref(), context.refresh);
    if verdict == Verdict::Unchanged {
        return Ok(Done::Unchanged);
    }
    let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), &owner.namespace, &kind.resource());
    // Who is not seen may be there all the same, without our labels. A Deployment's replicas may be ours to give away.
    if seen.is_none() || verdict == Verdict::Drifted || kind == Kind::Deployment {
        let live = timely(api.get_opt(name)).await.map_err(failed("reading", kind, name))?;
        if let Some(live) = live {
            if Object::of(&live.metadata).owner.is_none_or(|(_, uid)| uid != owner.uid) {
                return Ok(Done::Taken);
            }
            note_changes(kind, name, manifest, &live, applied);
            if kind == Kind::Deployment {
                hand_over(&api, wanted, name, manifest, &live).await?;
            }
        }
    }
    let object = patch(&api, kind, name, MANAGER, manifest).await?;
    context.ledger.record(kind, hash, Object::of(&object.metadata));
    context.metrics.applied(kind);
    Ok(Done::Applied(Box::new(object)))
}

fn hash(manifest: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    manifest.to_string().hash(&mut hasher);
    hasher.finish()
}

fn failed(verb: &'static str, kind: Kind, name: &str) -> impl FnOnce(kube::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::Object { verb, kind, name, source: Box::new(source) }
}

async fn patch(
    api: &Api<DynamicObject>,
    kind: Kind,
    name: &str,
    manager: &str,
    manifest: &Value,
) -> Result<DynamicObject, Error> {
    let params = PatchParams::apply(manager).force().validation_strict();
    timely(api.patch(name, &params, &Patch::Apply(manifest))).await.map_err(failed("applying", kind, name))
}

fn note_changes(kind: Kind, name: &str, manifest: &Value, live: &DynamicObject, applied: &mut Applied) {
    let managers = live.metadata.managed_fields.clone().unwrap_or_default();
    let live = serde_json::to_value(live).unwrap_or_default();
    let changes = drift::changes(manifest, &live, &managers);
    if !changes.is_empty() {
        applied.overwritten.push((format!("{} {name}", kind.name()), changes));
    }
}

/// Gives the number of replicas to a field manager of its own, when the manifest has none and it is ours, or nought: an autoscaler
/// leaves a Deployment at nought alone.
async fn hand_over(
    api: &Api<DynamicObject>,
    wanted: &Wanted,
    name: &str,
    manifest: &Value,
    live: &DynamicObject,
) -> Result<(), Error> {
    if manifest["spec"].get("replicas").is_some() {
        return Ok(());
    }
    let replicas = live.data["spec"]["replicas"].as_i64().unwrap_or(1);
    let is_ours = live.metadata.managed_fields.iter().flatten().any(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0["f:spec"]["f:replicas"]);
        entry.manager.as_deref() == Some(MANAGER) && fields.is_some_and(Value::is_object)
    });
    if !is_ours && replicas > 0 {
        return Ok(());
    }
    let facility = wanted.facilities.iter().find(|facility| facility.names.object == name);
    let fewest = facility.map_or(1, |facility| i64::from(facility.scale.fewest()));
    scale(api, name, replicas.max(fewest)).await
}

async fn scale(api: &Api<DynamicObject>, name: &str, replicas: i64) -> Result<(), Error> {
    let kind = Kind::Deployment;
    let manifest = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": { "name": name },
        "spec": { "replicas": replicas },
    });
    patch(api, kind, name, HAND_OVER_MANAGER, &manifest).await.map(drop)
}

/// Leaves the pods of a facility as they are, and lets only their number follow.
async fn hold(
    context: &Context,
    wanted: &Wanted,
    name: &str,
    observed: &Observed,
    behind: &str,
    applied: &mut Applied,
) -> Result<(), Error> {
    let Some(facility) = wanted.facilities.iter().find(|facility| facility.names.object == name) else { return Ok(()) };
    applied.held.insert(facility.name.clone(), behind.to_owned());
    let replicas = match facility.scale {
        Scale::Suspended => 0,
        Scale::Fixed(replicas) => replicas,
        Scale::Automatic(_) => return Ok(()),
    };
    if observed.deployments.get(name).is_some_and(|seen| seen.replicas != replicas) {
        let kind = Kind::Deployment.resource();
        let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), &wanted.owner.namespace, &kind);
        scale(&api, name, i64::from(replicas)).await?;
    }
    Ok(())
}

/// The objects that are to be, by kind and name.
pub fn kept(desired: &Desired) -> Vec<(Kind, String)> {
    let name = |manifest: &Value| manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    desired.objects().into_iter().map(|(kind, manifest)| (kind, name(manifest))).collect()
}
