//! Where replicas run: the real kube-scheduler, with nodes that are objects and nothing else.

use std::collections::BTreeMap;

use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::operator::{Operator, Place};

const ZONES: [&str; 2] = ["east", "west"];
const NODES: usize = 4;

/// How many of the pods, all of which have a node, are on each.
fn on_nodes(place: &Place, count: usize) -> Option<BTreeMap<String, usize>> {
    let pods = place.plane.list(&place.namespace, "pods");
    let pods: Vec<_> = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect();
    let mut nodes = BTreeMap::new();
    for pod in &pods {
        *nodes.entry(pod["spec"]["nodeName"].as_str()?.to_owned()).or_default() += 1;
    }
    (pods.len() == count).then_some(nodes)
}

#[test]
fn replicas_spread_over_nodes_and_zones_also_after_a_roll() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start()));
    let names: Vec<String> = (0..NODES).map(|n| format!("node-{n}")).collect();
    for (name, zone) in names.iter().zip(ZONES.iter().cycle()) {
        let labels = json!({ "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone });
        plane.apply(
            &json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels } }).to_string(),
        );
        // By room alone everything would come to the first zone.
        let cpu = if *zone == ZONES[0] { "64" } else { "1" };
        let room = json!({ "cpu": cpu, "memory": "16Gi", "pods": "110" });
        let ready = json!({ "type": "Ready", "status": "True", "reason": "Told", "message": "" });
        let status = json!({ "status": { "capacity": room, "allocatable": room, "conditions": [ready] } });
        plane.run(&["patch", "node", name, "--subresource=status", "--type=merge", "--patch", &status.to_string()]);
    }
    let _scheduler = plane.scheduler();
    let farm = Place::on(plane, "spread");
    let user = plane.operator("spread");
    let _operator = Operator::of(&user, "spread");
    let facility = |replicas: usize, threads: u32| {
        let config = json!({ "queue": { "worker_threads": threads } });
        json!({ "facilities": [{ "name": "spi", "replicas": replicas, "config": config }] })
    };
    for threads in 1..=2 {
        let before = farm.get("deployment/farm-spi")["status"]["observedGeneration"].clone();
        farm.put("farm", &facility(ZONES.len(), threads));
        farm.wait("they are new", || farm.get("deployment/farm-spi")["status"]["observedGeneration"] != before);
        farm.wait_ready("farm");
        farm.wait("each has a node", || on_nodes(&farm, ZONES.len()).is_some());
        let nodes = on_nodes(&farm, ZONES.len()).unwrap();
        let of_first: usize = names.iter().step_by(2).filter_map(|name| nodes.get(name)).sum();
        assert_eq!(of_first, 1, "with {threads} threads one zone has both: {nodes:?}");
    }
    for times in [1, 2] {
        farm.put("farm", &facility(times * NODES, 2));
        let wanted: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), times)).collect();
        // Also more than there are nodes.
        farm.wait("they are everywhere", || on_nodes(&farm, times * NODES).as_ref() == Some(&wanted));
    }
}
