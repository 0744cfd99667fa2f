//! One facility after another. A change that concerns all of them (an image, the database) reaches the first, and the next only
//! when that one has rolled out; if it fails, the rest stays as it is. A change that comes from a facility's own entry alone
//! waits for nobody: what is wrong elsewhere is no reason to leave this one as it is. Which of the two it is tells a hash of what
//! the pods of all facilities have in common, kept with each Deployment, so that nothing is remembered between two looks. Pure.

use std::collections::BTreeMap;

use crate::cluster::seen::DeploymentSeen;
use crate::desired::FacilityObjects;

/// What is done with the Deployment of a facility.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is applied.
    Apply,
    /// Its pods stay as they are until the named facility has rolled out; only its number of replicas follows.
    Hold {
        /// The facility that is waited for.
        behind: String,
    },
}

/// Whose turn it is, in the order of the facilities. `common_hash` is of what their pods are to have in common; `seen` has the
/// Deployments by name.
pub fn turns(facilities: &[FacilityObjects], common_hash: &str, seen: &BTreeMap<String, DeploymentSeen>) -> Vec<Turn> {
    let mut busy: Option<&str> = None;
    let mut turns = Vec::new();
    for facility in facilities {
        let deployment = seen.get(&facility.names.object);
        let changes = deployment.is_some_and(|seen| seen.template_hash.as_deref() != Some(&facility.template_hash));
        let is_common = deployment.is_some_and(|seen| seen.common_hash.as_deref() != Some(common_hash));
        if let (true, true, Some(behind)) = (changes, is_common, busy) {
            turns.push(Turn::Hold { behind: behind.to_owned() });
            continue;
        }
        turns.push(Turn::Apply);
        // Nobody waits for pods that are not to be.
        let is_suspended = facility.deployment["spec"]["replicas"] == 0;
        let is_settled = deployment.is_some_and(DeploymentSeen::is_rolled_out) && !changes;
        if !is_suspended && !is_settled {
            busy = busy.or(Some(&facility.facility));
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::names::FacilityName;

    fn facility(name: &str, template: &str, replicas: i32) -> FacilityObjects {
        FacilityObjects {
            facility: name.to_owned(),
            names: FacilityName::of("farm", name),
            config_hash: String::new(),
            template_hash: template.to_owned(),
            config_map: json!({}),
            deployment: json!({ "spec": { "replicas": replicas } }),
            service: json!({}),
            disruption_budget: None,
            autoscaler: None,
        }
    }

    /// A Deployment of one replica with this template, ready or not. The first letter of a template is what all have in common.
    fn seen(name: &str, template: &str, ready: i32) -> (String, DeploymentSeen) {
        let deployment = DeploymentSeen {
            replicas: 1,
            template_hash: Some(template.to_owned()),
            common_hash: Some(template[..1].to_owned()),
            is_observed: true,
            total: 1,
            updated: 1,
            ready,
            ..DeploymentSeen::default()
        };
        (format!("farm-{name}"), deployment)
    }

    fn behind(name: &str) -> Turn {
        Turn::Hold { behind: name.to_owned() }
    }

    #[test]
    fn all_facilities_begin_together() {
        let facilities = [facility("a", "1", 1), facility("b", "1", 1)];
        assert_eq!(turns(&facilities, "1", &BTreeMap::new()), [Turn::Apply, Turn::Apply]);
    }

    #[test]
    fn a_common_change_goes_from_one_to_the_next() {
        let facilities = [facility("a", "2", 1), facility("b", "2", 1), facility("c", "2", 1)];
        let table = [
            ("nobody has it", [("1", 1), ("1", 1), ("1", 1)], [Turn::Apply, behind("a"), behind("a")]),
            ("the first is at it, or fails", [("2", 0), ("1", 1), ("1", 1)], [Turn::Apply, behind("a"), behind("a")]),
            ("the first has it", [("2", 1), ("1", 1), ("1", 1)], [Turn::Apply, Turn::Apply, behind("b")]),
            ("the second is at it", [("2", 1), ("2", 0), ("1", 1)], [Turn::Apply, Turn::Apply, behind("b")]),
            ("all have it", [("2", 1), ("2", 1), ("2", 1)], [Turn::Apply, Turn::Apply, Turn::Apply]),
        ];
        for (about, state, expected) in table {
            let names = ["a", "b", "c"].iter().zip(state);
            let seen = names.map(|(name, (template, ready))| seen(name, template, ready)).collect();
            assert_eq!(turns(&facilities, "2", &seen), expected, "{about}");
        }
    }

    #[test]
    fn nobody_waits_for_a_facility_that_is_suspended() {
        let facilities = [facility("a", "2", 0), facility("b", "2", 1)];
        let seen = BTreeMap::from([seen("a", "1", 0), seen("b", "1", 1)]);
        assert_eq!(turns(&facilities, "2", &seen), [Turn::Apply, Turn::Apply]);
    }

    #[test]
    fn a_change_of_a_facilitys_own_waits_for_nobody() {
        let facilities = [facility("a", "2", 1), facility("b", "2b", 1), facility("c", "2c", 1)];
        let failing = seen("a", "2", 0);
        let table = [
            ("its own", ("2", 1), ("2", 1), [Turn::Apply, Turn::Apply, Turn::Apply]),
            ("common and its own", ("1", 1), ("2", 1), [Turn::Apply, behind("a"), Turn::Apply]),
            ("common alone", ("2b", 1), ("1c", 1), [Turn::Apply, Turn::Apply, behind("a")]),
        ];
        for (about, b, c, expected) in table {
            let seen = BTreeMap::from([failing.clone(), seen("b", b.0, b.1), seen("c", c.0, c.1)]);
            assert_eq!(turns(&facilities, "2", &seen), expected, "{about}");
        }
    }

    #[test]
    fn a_deployment_that_does_not_say_what_it_has_in_common_waits() {
        let facilities = [facility("a", "2", 1), facility("b", "2b", 1)];
        let mut silent = seen("b", "2", 1);
        silent.1.common_hash = None;
        assert_eq!(turns(&facilities, "2", &BTreeMap::from([seen("a", "2", 0), silent])), [Turn::Apply, behind("a")]);
    }
}
