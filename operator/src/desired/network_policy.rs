//! Who may reach the schedulers, and whom they may reach.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{HTTP_PORT, Kind, meta};
use crate::crd::NetworkPolicy;
use crate::labels;
use crate::wanted::Wanted;

pub(super) fn build(wanted: &Wanted, policy: &NetworkPolicy) -> Value {
    let mut manifest = meta::manifest(Kind::NetworkPolicy, &wanted.owner.name, wanted, None);
    let database = &wanted.database;
    // A port that stands in the Secret is not known here.
    let port = database.port.or(database.host.as_ref().map(|_| 5432));
    let ports: BTreeSet<i32> = port.into_iter().chain(database.direct_port).collect();
    let ports = if port.is_some() { ports } else { BTreeSet::new() };
    let agents: BTreeSet<i32> = wanted.facilities.iter().map(|facility| i32::from(facility.agent_port)).collect();
    let names = json!({ "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }] });
    manifest["spec"] = json!({
        "podSelector": { "matchLabels": labels::selector(&wanted.owner.name, None) },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [rule("from", policy.metrics_from.as_deref(), &BTreeSet::from([i32::from(HTTP_PORT)]))],
        "egress": [
            names,
            rule("to", policy.database_to.as_deref(), &ports),
            rule("to", policy.render_hosts_to.as_deref(), &agents),
        ],
    });
    manifest
}

/// Peers and TCP ports; none of either is all of them.
fn rule(direction: &str, peers: Option<&[Map<String, Value>]>, ports: &BTreeSet<i32>) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({ "protocol": "TCP", "port": port })).collect();
    let mut rule = json!({});
    meta::extend(&mut rule, (!ports.is_empty()).then(|| ("ports".to_owned(), json!(ports))));
    meta::extend(&mut rule, peers.map(|peers| (direction.to_owned(), json!(peers))));
    rule
}
