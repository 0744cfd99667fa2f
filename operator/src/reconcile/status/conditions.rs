//! Conditions, in their usual meaning: each a word for machines and a sentence for people.

use super::facilities::is_ready;
use crate::crd::{Condition, FacilityStatus, SchedulerDeployment};
use crate::reconcile::{Observed, Outcome};
use crate::wanted::{ReferenceKind, Scale, Wanted};

/// Everything is as it is wanted.
pub const READY: &str = "Ready";
/// Something needs a person.
pub const DEGRADED: &str = "Degraded";

/// PostgreSQL's own default for all clients of a server.
const CONNECTION_BUDGET: i64 = 100;

/// What conditions are computed from.
pub(super) struct Seen<'s> {
    pub(super) resource: &'s SchedulerDeployment,
    pub(super) outcome: &'s Outcome,
    pub(super) observed: &'s Observed,
    pub(super) rows: &'s [FacilityStatus],
    pub(super) connections: Option<i64>,
}

/// A condition before it has a time.
struct Aspect {
    kind: &'static str,
    holds: bool,
    reason: String,
    message: String,
}

fn aspect(kind: &'static str, holds: bool, reason: impl Into<String>, message: impl Into<String>) -> Aspect {
    Aspect { kind, holds, reason: reason.into(), message: message.into() }
}

/// All conditions. Their times move only when their status does.
pub(super) fn of(seen: &Seen<'_>, before: &[Condition], generation: Option<i64>, now: &str) -> Vec<Condition> {
    let degraded = degraded(seen);
    let progressing = progressing(seen);
    let aspects = [
        ready(seen, &degraded, &progressing),
        available(seen),
        progressing,
        degraded,
        paused(seen),
        shared(seen),
        connections(seen),
    ];
    let condition = |aspect: Aspect| {
        let status = if aspect.holds { "True" } else { "False" };
        let same = before.iter().find(|old| old.kind == aspect.kind && old.status == status);
        Condition {
            kind: aspect.kind.to_owned(),
            status: status.to_owned(),
            reason: aspect.reason,
            message: aspect.message,
            observed_generation: generation,
            last_transition_time: same.map_or_else(|| now.to_owned(), |old| old.last_transition_time.clone()),
        }
    };
    aspects.map(condition).into()
}

fn ready(seen: &Seen<'_>, degraded: &Aspect, progressing: &Aspect) -> Aspect {
    if degraded.holds {
        return aspect(READY, false, degraded.reason.clone(), degraded.message.clone());
    }
    let lacking: Vec<&FacilityStatus> = seen.rows.iter().filter(|row| !is_ready(row)).collect();
    match lacking.first() {
        None => {
            let running = seen.rows.iter().filter(|row| !row.suspended).count();
            aspect(READY, true, "AllFacilitiesReady", format!("{running} facilities have all their schedulers."))
        }
        Some(_) if progressing.holds => aspect(READY, false, progressing.reason.clone(), progressing.message.clone()),
        Some(_) => aspect(READY, false, "ReplicasNotReady", waiting(&lacking)),
    }
}

fn waiting(rows: &[&FacilityStatus]) -> String {
    let words = rows.iter().map(|row| match &row.message {
        Some(message) => format!("facility {}: {} of {} ready, {message}", row.name, row.ready, row.desired),
        None => format!("facility {}: {} of {} ready", row.name, row.ready, row.desired),
    });
    format!("{}.", words.collect::<Vec<_>>().join("; "))
}

fn available(seen: &Seen<'_>) -> Aspect {
    let without: Vec<&str> =
        seen.rows.iter().filter(|row| row.desired > 0 && row.ready == 0).map(|row| row.name.as_str()).collect();
    if seen.rows.is_empty() {
        aspect("Available", false, "NothingThere", "Nothing has been made yet.")
    } else if without.is_empty() {
        aspect("Available", true, "EveryFacilityServed", "Every facility has a scheduler that works.")
    } else {
        let message = format!("No scheduler is ready in {}.", without.join(", "));
        aspect("Available", false, "FacilityNotServed", message)
    }
}

fn progressing(seen: &Seen<'_>) -> Aspect {
    let settled = |reason: &str, message: &str| aspect("Progressing", false, reason, message);
    match seen.outcome {
        Outcome::Refused(_) | Outcome::Missing(..) => {
            settled("WaitingForInput", "Nothing is changed until what Degraded says is mended.")
        }
        Outcome::Paused(_) => settled("Paused", "Nothing is changed while it is paused."),
        Outcome::Applied(..) => {
            let moving: Vec<&FacilityStatus> = seen.rows.iter().filter(|row| row.updated < row.desired).collect();
            if moving.is_empty() {
                settled("RolledOut", "All pods are as they are wanted.")
            } else {
                aspect("Progressing", true, "RollingOut", waiting(&moving))
            }
        }
    }
}

fn degraded(seen: &Seen<'_>) -> Aspect {
    let bad = |reason: &str, message: String| aspect(DEGRADED, true, reason, message);
    match seen.outcome {
        Outcome::Refused(refusal) => return bad(refusal.reason.word(), refusal.faults.join("\n")),
        Outcome::Missing(_, missing) => {
            let is_secret = missing.iter().any(|what| what.starts_with(ReferenceKind::Secret.name()));
            let reason = if is_secret { "SecretNotFound" } else { "ConfigMapNotFound" };
            let missing = missing.join("; ");
            return bad(reason, format!("{missing}. Pods are left as they are until it is there."));
        }
        Outcome::Paused(_) => {}
        Outcome::Applied(wanted, applied) => {
            if let Some(taken) = applied.taken.first() {
                return bad("NameTaken", format!("{taken}; rename the facility or the resource, or remove the other."));
            }
            if let Some(refused) = applied.refused.first() {
                return bad("ApplyFailed", refused.clone());
            }
            if let Some(missing) = missing_extension(wanted, seen.observed) {
                return bad("ExtensionMissing", missing);
            }
        }
    }
    let problems = seen.observed.pods.iter().filter_map(|pod| pod.problem.as_ref());
    if let Some((reason, message)) = problems.min() {
        return bad(reason, format!("{message}."));
    }
    let stalled = seen.observed.deployments.values().find_map(|deployment| deployment.stalled.clone());
    if let Some(stalled) = stalled {
        return bad("RolloutFailed", stalled);
    }
    aspect(DEGRADED, false, "AsExpected", "Nothing needs a person.")
}

/// What was asked for and can't be, since the cluster has no such kind.
fn missing_extension(wanted: &Wanted, observed: &Observed) -> Option<String> {
    let follows_keda = wanted
        .facilities
        .iter()
        .find(|facility| matches!(&facility.scale, Scale::Automatic(autoscaling) if autoscaling.keda.is_some()));
    let facility = follows_keda.filter(|_| !observed.extensions.scaled_objects)?;
    Some(format!(
        "Facility {} is to be scaled by KEDA, which is not installed; its number of replicas stays as it is.",
        facility.name
    ))
}

fn paused(seen: &Seen<'_>) -> Aspect {
    if seen.resource.spec.paused == Some(true) {
        aspect("Paused", true, "PausedByUser", "spec.paused is set: objects are left as they are.")
    } else {
        aspect("Paused", false, "NotPaused", "Objects are kept as they are wanted.")
    }
}

fn shared(seen: &Seen<'_>) -> Aspect {
    match &seen.observed.shared[..] {
        [] => {
            aspect("FacilityShared", false, "Exclusive", "No other resource names these facilities of this database.")
        }
        // Whose it is is nobody's business in another namespace.
        shared => aspect(
            "FacilityShared",
            true,
            "FacilityShared",
            format!(
                "Another SchedulerDeployment names {} of the same database. Their schedulers share the work, which is safe.",
                shared.join(", ")
            ),
        ),
    }
}

fn connections(seen: &Seen<'_>) -> Aspect {
    let budget = seen.resource.spec.database.connection_budget.map_or(CONNECTION_BUDGET, i64::from);
    let most = seen.connections.unwrap_or_default();
    if most <= budget {
        let message = format!("All replicas together open at most {most} connections, within the budget of {budget}.");
        return aspect("DatabaseConnections", true, "WithinBudget", message);
    }
    let message = format!(
        "All replicas together can open {most} connections, more than the budget of {budget}. Lower database.poolSize or the \
         replicas, or raise the server's max_connections and say so in database.connectionBudget."
    );
    aspect("DatabaseConnections", false, "BudgetExceeded", message)
}
