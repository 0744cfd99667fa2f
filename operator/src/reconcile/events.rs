//! What happens to a resource, in its events: each transition of a condition once, and each change of others that was set back.

use kube::Client;
use kube::Resource as _;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::Outcome;
use super::error::timely;
use super::status::{Change, DEGRADED, READY};
use crate::crd::{Condition, SchedulerDeployment};
use crate::labels::MANAGER;

/// Longest note that the API server takes.
const NOTE_MAX: usize = 1024;

/// Where events go.
pub struct Events(Recorder);

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether it needs a person.
    pub is_warning: bool,
    /// In one word.
    pub reason: String,
    /// In a sentence.
    pub note: String,
}

impl Events {
    /// Events of this program. `instance` tells its replicas apart.
    pub fn new(client: Client, instance: String) -> Self {
        Self(Recorder::new(client, Reporter { controller: MANAGER.to_owned(), instance: Some(instance) }))
    }

    /// Publishes what a reconcile has changed. An event that gets lost is no reason to do it all again.
    pub async fn publish(&self, resource: &SchedulerDeployment, outcome: &Outcome, change: &Change) {
        let regarding = resource.object_ref(&());
        for told in
            transitions(&change.before.conditions, &change.after.conditions).into_iter().chain(overwritten(outcome))
        {
            let event = Event {
                type_: if told.is_warning { EventType::Warning } else { EventType::Normal },
                reason: told.reason,
                note: Some(told.note.chars().take(NOTE_MAX).collect()),
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            if let Err(error) = timely(self.0.publish(&event, &regarding)).await {
                tracing::warn!(reason = event.reason, error = %error, "an event could not be published");
            }
        }
    }
}

/// What conditions tell that were otherwise before. The same status for the same reason is no news, whatever its sentence says.
pub fn transitions(before: &[Condition], after: &[Condition]) -> Vec<Told> {
    let mut told = Vec::new();
    for now in after {
        let old = before.iter().find(|old| old.kind == now.kind);
        if old.is_some_and(|old| old.status == now.status && old.reason == now.reason) {
            continue;
        }
        let holds = now.status == "True";
        let held = old.is_some_and(|old| old.status == "True");
        let (is_warning, reason) = match (now.kind.as_str(), holds) {
            (DEGRADED | "FacilityShared", true) | ("DatabaseConnections", false) => (true, now.reason.as_str()),
            (DEGRADED, false) if held => (false, "Recovered"),
            (READY, true) => (false, "Ready"),
            ("Available", false) if held => (true, "Unavailable"),
            ("Progressing", true) => (false, "RollingOut"),
            ("Paused", true) => (false, "Paused"),
            ("Paused", false) if held => (false, "Resumed"),
            _ => continue,
        };
        told.push(Told { is_warning, reason: reason.to_owned(), note: now.message.clone() });
    }
    told
}

fn overwritten(outcome: &Outcome) -> Vec<Told> {
    let Outcome::Applied(_, applied) = outcome else { return Vec::new() };
    let told = |(object, changes): &(String, Vec<super::drift::Change>)| {
        let fields: Vec<String> =
            changes.iter().map(|change| format!("{} by {}", change.path, change.manager)).collect();
        let note =
            format!("{object} was changed outside of its SchedulerDeployment and set back: {}.", fields.join(", "));
        Told { is_warning: true, reason: "OverwroteManualChange".to_owned(), note }
    };
    applied.overwritten.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: None,
            last_transition_time: String::new(),
        }
    }

    #[test]
    fn a_transition_is_told_once_for_each_cause() {
        let sound = condition(DEGRADED, "False", "AsExpected", "");
        let missing = condition(DEGRADED, "True", "SecretNotFound", "Secret a is not there");
        let elsewhere = condition(DEGRADED, "True", "SecretNotFound", "Secret b is not there");
        let invalid = condition(DEGRADED, "True", "InvalidConfig", "no");
        let reasons = |before: &[Condition], after: &Condition| {
            let told = transitions(before, std::slice::from_ref(after));
            told.into_iter().map(|told| (told.is_warning, told.reason)).collect::<Vec<_>>()
        };
        assert_eq!(reasons(&[], &sound), []);
        assert_eq!(reasons(&[], &missing), [(true, "SecretNotFound".to_owned())]);
        assert_eq!(reasons(std::slice::from_ref(&missing), &elsewhere), []);
        assert_eq!(reasons(std::slice::from_ref(&missing), &invalid), [(true, "InvalidConfig".to_owned())]);
        assert_eq!(reasons(&[missing], &sound), [(false, "Recovered".to_owned())]);
        assert_eq!(reasons(&[], &condition(READY, "True", "AllFacilitiesReady", "")), [(false, "Ready".to_owned())]);
    }
}
