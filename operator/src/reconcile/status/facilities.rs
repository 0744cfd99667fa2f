//! A row for each facility, and what they come to.

use crate::cluster::seen::DeploymentSeen;
use crate::crd::FacilityStatus;
use crate::labels::{selector, selector_text};
use crate::reconcile::{Observed, Outcome};
use crate::wanted::{Scale, Wanted, WantedFacility};

/// The rows. Of a resource that was refused those before stay, with the numbers of now.
pub(super) fn rows(outcome: &Outcome, observed: &Observed, before: &[FacilityStatus]) -> Vec<FacilityStatus> {
    let wanted = match outcome {
        Outcome::Paused(wanted) | Outcome::Missing(wanted, _) | Outcome::Applied(wanted, _) => wanted,
        Outcome::Refused(_) => {
            let refresh = |row: &FacilityStatus| {
                let seen = observed.deployments.get(&row.object_name);
                let (ready, updated) = seen.map_or((0, 0), |seen| (seen.ready, seen.updated));
                FacilityStatus { ready, updated, ..row.clone() }
            };
            return before.iter().map(refresh).collect();
        }
    };
    wanted.facilities.iter().map(|facility| row(wanted, facility, outcome, observed)).collect()
}

/// The Deployment of a facility: what applying it gave back, unless the watch has something newer.
pub(super) fn deployment<'s>(name: &str, outcome: &'s Outcome, observed: &'s Observed) -> Option<&'s DeploymentSeen> {
    let seen = observed.deployments.get(name);
    let Outcome::Applied(_, applied) = outcome else { return seen };
    let fresh = applied.deployments.get(name);
    seen.into_iter().chain(fresh).max_by_key(|deployment| deployment.object.version)
}

fn row(wanted: &Wanted, facility: &WantedFacility, outcome: &Outcome, observed: &Observed) -> FacilityStatus {
    let seen = deployment(&facility.names.object, outcome, observed);
    let desired = match &facility.scale {
        Scale::Suspended => 0,
        Scale::Fixed(replicas) => *replicas,
        Scale::Automatic(autoscaling) => {
            let replicas = seen.map_or(autoscaling.min_replicas, |seen| seen.replicas);
            replicas.max(autoscaling.min_replicas)
        }
    };
    // A status of an older spec says nothing of the pods that are wanted now, and neither do pods that wait for their turn.
    let is_held = matches!(outcome, Outcome::Applied(_, applied) if applied.held.contains_key(&facility.name));
    let updated = seen.filter(|seen| seen.is_observed && !is_held).map_or(0, |seen| seen.updated);
    FacilityStatus {
        name: facility.name.clone(),
        object_name: facility.names.object.clone(),
        desired,
        ready: seen.map_or(0, |seen| seen.ready),
        updated,
        config_hash: config_hash(facility, outcome, observed),
        selector: selector_text(&selector(&wanted.owner.name, Some(&facility.names.slug))),
        suspended: facility.scale == Scale::Suspended,
        message: message(facility, seen, outcome, observed),
    }
}

/// The configuration that was applied last, or that the pods there are have.
fn config_hash(facility: &WantedFacility, outcome: &Outcome, observed: &Observed) -> Option<String> {
    if let Outcome::Applied(_, applied) = outcome
        && let Some(hash) = applied.config_hashes.get(&facility.names.object)
    {
        return Some(hash.clone());
    }
    let is_its = |slug: &Option<String>| slug.as_deref() == Some(&facility.names.slug);
    let mut pods = observed.pods.iter().filter(|pod| is_its(&pod.facility));
    pods.next_back().and_then(|pod| pod.config_hash.clone())
}

fn message(
    facility: &WantedFacility,
    seen: Option<&DeploymentSeen>,
    outcome: &Outcome,
    observed: &Observed,
) -> Option<String> {
    if let Outcome::Applied(_, applied) = outcome
        && let Some(behind) = applied.held.get(&facility.name)
    {
        return Some(format!("waits until facility {behind} has rolled out"));
    }
    let is_its = |slug: &Option<String>| slug.as_deref() == Some(&facility.names.slug);
    let problems = observed.pods.iter().filter(|pod| is_its(&pod.facility)).filter_map(|pod| pod.problem.as_ref());
    let problem = problems.map(|(reason, message)| format!("{reason}: {message}")).next();
    problem.or_else(|| seen.and_then(|seen| seen.stalled.clone()))
}

/// Whether all replicas that are wanted are there, of the newest template, and ready.
pub(super) fn is_ready(row: &FacilityStatus) -> bool {
    row.ready >= row.desired && row.updated >= row.desired
}

/// `2/3`: suspended ones don't count.
pub(super) fn ready_of_wanted(rows: &[FacilityStatus]) -> String {
    let wanted = rows.iter().filter(|row| !row.suspended);
    let ready = wanted.clone().filter(|row| is_ready(row)).count();
    format!("{ready}/{}", wanted.count())
}

/// `5/6`.
pub(super) fn replicas_of_wanted(rows: &[FacilityStatus]) -> String {
    let wanted: i32 = rows.iter().map(|row| row.desired).sum();
    let ready: i32 = rows.iter().map(|row| row.ready.min(row.desired)).sum();
    format!("{ready}/{wanted}")
}
