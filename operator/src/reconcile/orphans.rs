//! What is ours and no longer wanted goes away: the objects of a facility that is gone, an autoscaler that is off, old
//! configurations. Which ones is decided purely; the calls come after.
//!
//! A facility goes in two steps: its autoscaler and its Deployment first, and when its pods have drained everything else, so that
//! they keep their account, their configuration and their metrics until the end. A configuration stays while a `ReplicaSet` or a
//! pod names it.

use std::collections::BTreeSet;

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Preconditions, PropagationPolicy};

use super::Context;
use super::error::{Error, code, timely};
use crate::cluster::seen::{Follower, Object};
use crate::desired::Kind;

/// Which of a resource's objects are to go. `kept` are those that are wanted; `followers` the resource's pods and replica sets.
pub fn orphans(
    owned: &[(Kind, Object)],
    kept: &[(Kind, String)],
    facilities: &BTreeSet<&str>,
    followers: &[Follower],
) -> Vec<(Kind, Object)> {
    let is_wanted =
        |kind: Kind, object: &Object| kept.iter().any(|(other, name)| *other == kind && *name == object.name);
    let unwanted = owned.iter().filter(|(kind, object)| !is_wanted(*kind, object) && !object.deleting);
    unwanted
        .filter(|(kind, object)| match (kind, &object.facility) {
            (Kind::Deployment | Kind::HorizontalPodAutoscaler | Kind::ScaledObject, _) | (_, None) => true,
            (_, Some(facility)) if !facilities.contains(facility.as_str()) => !is_draining(facility, owned, followers),
            (Kind::ConfigMap, Some(_)) => !is_mounted(object, followers),
            _ => true,
        })
        .cloned()
        .collect()
}

/// Whether a facility that is gone still has a Deployment, or pods.
fn is_draining(facility: &str, owned: &[(Kind, Object)], followers: &[Follower]) -> bool {
    let is_its = |other: &Option<String>| other.as_deref() == Some(facility);
    owned.iter().any(|(kind, object)| *kind == Kind::Deployment && is_its(&object.facility))
        || followers.iter().any(|follower| is_its(&follower.facility))
}

/// Whether a pod has this configuration, or could get it back by a look back.
fn is_mounted(config: &Object, followers: &[Follower]) -> bool {
    followers
        .iter()
        .filter(|follower| follower.facility == config.facility)
        .any(|follower| follower.config_hash.as_deref().is_some_and(|hash| config.name.ends_with(&format!("-{hash}"))))
}

/// Removes them, each only if it is still the one that was seen.
pub async fn remove(context: &Context, orphans: &[(Kind, Object)]) -> Result<(), Error> {
    for (kind, object) in orphans {
        let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), &object.namespace, &kind.resource());
        let params = DeleteParams {
            // Pods of a Deployment go before it, so that it can be waited for.
            propagation_policy: Some(match kind {
                Kind::Deployment => PropagationPolicy::Foreground,
                _ => PropagationPolicy::Background,
            }),
            preconditions: Some(Preconditions { uid: Some(object.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        match timely(api.delete(&object.name, &params)).await {
            Ok(_) => tracing::info!(kind = kind.name(), name = object.name, "removed what is no longer wanted"),
            // Somebody else was faster, or it is another one by now.
            Err(error) if matches!(code(&error), Some(404 | 409)) => {}
            Err(source) => {
                let name = object.name.clone();
                return Err(Error::Object { verb: "removing", kind: *kind, name, source: Box::new(source) });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: Kind, name: &str, facility: Option<&str>) -> (Kind, Object) {
        let object = Object { name: name.to_owned(), facility: facility.map(str::to_owned), ..Object::default() };
        (kind, object)
    }

    fn follower(facility: &str, config_hash: &str) -> Follower {
        Follower {
            facility: Some(facility.to_owned()),
            config_hash: Some(config_hash.to_owned()),
            ..Follower::default()
        }
    }

    fn names(orphans: Vec<(Kind, Object)>) -> Vec<String> {
        orphans.into_iter().map(|(kind, object)| format!("{} {}", kind.name(), object.name)).collect()
    }

    #[test]
    fn a_facility_goes_pods_first() {
        let owned = [
            object(Kind::Deployment, "farm-lax", Some("lax")),
            object(Kind::HorizontalPodAutoscaler, "farm-lax", Some("lax")),
            object(Kind::Service, "farm-lax", Some("lax")),
            object(Kind::ConfigMap, "farm-lax-1", Some("lax")),
            object(Kind::Service, "farm-spi", Some("spi")),
        ];
        let kept = [(Kind::Service, "farm-spi".to_owned())];
        let facilities = BTreeSet::from(["spi"]);
        let first = names(orphans(&owned, &kept, &facilities, &[follower("lax", "1")]));
        assert_eq!(first, ["Deployment farm-lax", "HorizontalPodAutoscaler farm-lax"]);
        let draining = names(orphans(&owned[2..], &kept, &facilities, &[follower("lax", "1")]));
        assert_eq!(draining, [""; 0]);
        let drained = names(orphans(&owned[2..], &kept, &facilities, &[]));
        assert_eq!(drained, ["Service farm-lax", "ConfigMap farm-lax-1"]);
    }

    #[test]
    fn a_configuration_stays_while_something_names_it() {
        let owned = [
            object(Kind::ConfigMap, "farm-spi-old", Some("spi")),
            object(Kind::ConfigMap, "farm-spi-back", Some("spi")),
            object(Kind::ConfigMap, "farm-spi-now", Some("spi")),
        ];
        let kept = [(Kind::ConfigMap, "farm-spi-now".to_owned())];
        let followers = [follower("spi", "back"), follower("lax", "old")];
        assert_eq!(names(orphans(&owned, &kept, &BTreeSet::from(["spi"]), &followers)), ["ConfigMap farm-spi-old"]);
    }

    #[test]
    fn what_is_switched_off_goes_at_once_and_what_is_going_is_left_alone() {
        let mut going = object(Kind::Service, "farm-old", None);
        going.1.deleting = true;
        let owned = [
            object(Kind::PodDisruptionBudget, "farm-spi", Some("spi")),
            object(Kind::ServiceMonitor, "farm", None),
            going,
        ];
        let gone = names(orphans(&owned, &[], &BTreeSet::from(["spi"]), &[]));
        assert_eq!(gone, ["PodDisruptionBudget farm-spi", "ServiceMonitor farm"]);
    }
}
