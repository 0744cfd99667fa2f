//! The Deployment of a facility.

use serde_json::{Value, json};

use super::pod::Template;
use super::{Kind, meta};
use crate::labels;
use crate::wanted::{Scale, Update, Wanted, WantedFacility};

/// Replica sets that are kept for a look back. Their configurations are kept with them.
const HISTORY: u32 = 3;

/// Seconds after which a roll-out that does not get on counts as failed.
const PROGRESS_DEADLINE: u32 = 600;

pub(super) fn build(wanted: &Wanted, facility: &WantedFacility, template: &Template, common_hash: &str) -> Value {
    let mut manifest = meta::manifest(Kind::Deployment, &facility.names.object, wanted, Some(facility));
    meta::extend(
        &mut manifest["metadata"]["annotations"],
        [(labels::TEMPLATE_HASH, &*template.hash), (labels::COMMON_HASH, common_hash)]
            .map(|(key, hash)| (key.to_owned(), json!(hash))),
    );
    let strategy = match &wanted.update {
        Update::Recreate => json!({ "type": "Recreate" }),
        Update::Rolling { max_surge, max_unavailable } => json!({
            "type": "RollingUpdate",
            "rollingUpdate": { "maxSurge": max_surge, "maxUnavailable": max_unavailable },
        }),
    };
    manifest["spec"] = json!({
        "selector": { "matchLabels": labels::selector(&wanted.owner.name, Some(&facility.names.slug)) },
        "strategy": strategy,
        "revisionHistoryLimit": HISTORY,
        "progressDeadlineSeconds": PROGRESS_DEADLINE,
        "template": template.manifest,
    });
    let replicas = match &facility.scale {
        Scale::Suspended => Some(0),
        Scale::Fixed(replicas) => Some(*replicas),
        // The autoscaler's.
        Scale::Automatic(_) => None,
    };
    meta::extend(&mut manifest["spec"], replicas.map(|replicas| ("replicas".to_owned(), json!(replicas))));
    manifest
}
