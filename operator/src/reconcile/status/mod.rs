//! What is there, for people and for whoever waits. Computed from what was seen and done, written only when it differs.

mod conditions;
mod facilities;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::error::{Error, timely};
use super::{Context, Observed, Outcome};
use crate::cluster::guarded::Guarded;
use crate::crd::{SchedulerDeployment, SchedulerDeploymentStatus};
use crate::labels::MANAGER;
use crate::wanted::{Update, Wanted};

pub use conditions::{DEGRADED, READY};

/// Connections of a replica beside its pool: one for coordination, one that listens.
const EXTRA_CONNECTIONS: i64 = 2;

/// The statuses that were written last, by uid: the watch may be behind them.
#[derive(Default)]
pub struct Written(Mutex<HashMap<String, SchedulerDeploymentStatus>>);

impl Written {
    fn last(&self, resource: &SchedulerDeployment) -> Option<SchedulerDeploymentStatus> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        resource.uid().and_then(|uid| written.get(&uid).cloned()).or_else(|| resource.status.clone())
    }

    fn note(&self, resource: &SchedulerDeployment, status: &SchedulerDeploymentStatus) {
        if let Some(uid) = resource.uid() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, status.clone());
        }
    }

    /// Forgets those of resources that are not there any more.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| is_there(uid));
    }
}

/// A status before and after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// The one before; empty for a resource that has just come.
    pub before: SchedulerDeploymentStatus,
    /// The one that holds.
    pub after: SchedulerDeploymentStatus,
}

/// Writes the status, if it is another.
pub async fn write(
    resource: &SchedulerDeployment,
    outcome: &Outcome,
    observed: &Observed,
    context: &Context,
) -> Result<Change, Error> {
    let before = context.statuses.last(resource).unwrap_or_default();
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let after = of(resource, outcome, observed, &before, &now);
    if after != before {
        let api = Api::<Guarded>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
        let patch = json!({
            "apiVersion": SchedulerDeployment::api_version(&()),
            "kind": SchedulerDeployment::kind(&()),
            "metadata": { "name": resource.name_any(), "uid": resource.uid() },
            "status": after,
        });
        let params = PatchParams::apply(MANAGER).force();
        match timely(api.patch_status(&resource.name_any(), &params, &Patch::Apply(&patch))).await {
            Ok(_) => {}
            // The resource went away meanwhile; a new one of its name is another.
            Err(error) if matches!(super::error::code(&error), Some(404 | 409)) => return Ok(Change::default()),
            Err(error) => return Err(Error::Status(Box::new(error))),
        }
        context.statuses.note(resource, &after);
    }
    Ok(Change { before, after })
}

/// The status. `now` is the time of conditions that change with it.
fn of(
    resource: &SchedulerDeployment,
    outcome: &Outcome,
    observed: &Observed,
    before: &SchedulerDeploymentStatus,
    now: &str,
) -> SchedulerDeploymentStatus {
    let wanted = match outcome {
        Outcome::Refused(_) => None,
        Outcome::Paused(wanted) | Outcome::Missing(wanted, _) | Outcome::Applied(wanted, _) => Some(wanted),
    };
    let rows = facilities::rows(outcome, observed, &before.facilities);
    let connections = wanted.map(connections_max).or(before.database_connections_max);
    let generation = resource.metadata.generation;
    let mut status = SchedulerDeploymentStatus {
        observed_generation: generation,
        conditions: Vec::new(),
        facilities_ready: Some(facilities::ready_of_wanted(&rows)),
        replicas_ready: Some(facilities::replicas_of_wanted(&rows)),
        facilities: rows,
        version: wanted.map(|wanted| wanted.version.clone()).or_else(|| before.version.clone()),
        database: wanted.map(database).or_else(|| before.database.clone()),
        database_connections_max: connections,
        monitoring: Some(observed.extensions),
    };
    let seen = conditions::Seen { resource, outcome, observed, rows: &status.facilities, connections };
    status.conditions = conditions::of(&seen, &before.conditions, generation, now);
    status
}

fn database(wanted: &Wanted) -> String {
    let database = &wanted.database;
    let name = database.name.as_deref().unwrap_or("cuebot");
    match &database.host {
        Some(host) => format!("{host}/{name}"),
        None => format!("Secret {}", database.credentials_secret_ref.name),
    }
}

/// The most connections that all replicas can have at once, in the middle of an update too.
fn connections_max(wanted: &Wanted) -> i64 {
    let surge = |most: i32| match &wanted.update {
        Update::Recreate => 0,
        Update::Rolling { max_surge, .. } => match max_surge.as_str().and_then(|share| share.strip_suffix('%')) {
            Some(percent) => (i64::from(most) * percent.parse::<i64>().unwrap_or(100) + 99) / 100,
            None => max_surge.as_i64().unwrap_or(1),
        },
    };
    let replicas = wanted.facilities.iter().map(|facility| facility.scale.most()).filter(|most| *most > 0);
    let replicas: i64 = replicas.map(|most| i64::from(most) + surge(most)).sum();
    (i64::from(wanted.database.pool_size.unwrap_or(20)) + EXTRA_CONNECTIONS) * replicas
}

#[cfg(test)]
mod tests;
