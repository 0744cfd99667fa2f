//! The pods: one container, that may do nothing but its work.

use serde_json::{Value, json};

use super::config_map::{CA_FOLDER, CERTIFICATE_FOLDER, Config, FILE};
use super::{BuildError, Cluster, HTTP_PORT, meta};
use crate::labels;
use crate::names::short_hash;
use crate::strategic_merge;
use crate::wanted::{Wanted, WantedFacility, references};

/// Variables that the operator sets.
pub const OWN_VARIABLES: &[&str] = &[
    "OPENCUE_SCHEDULER_CONFIG",
    "OPENSCHEDULER_DATABASE__DB_HOST",
    "OPENSCHEDULER_DATABASE__DB_NAME",
    "OPENSCHEDULER_DATABASE__DB_PASS",
    "OPENSCHEDULER_DATABASE__DB_PORT",
    "OPENSCHEDULER_DATABASE__DB_USER",
    "POD_NAME",
];
/// Volumes that the operator mounts.
pub const OWN_VOLUMES: &[&str] = &["ca", "certificate", "config", "tmp"];

const CONTAINER: &str = "scheduler";
const CONFIG_FOLDER: &str = "/etc/cue-scheduler";
/// Longer than the program's own limit for a stop.
const GRACE_SECONDS: u64 = 10;

/// A pod template, and a hash that tells whether pods are of it.
pub(super) struct Template {
    pub(super) manifest: Value,
    pub(super) hash: String,
}

pub(super) fn template(
    wanted: &Wanted,
    facility: &WantedFacility,
    config: &Config,
    cluster: &Cluster,
) -> Result<Template, BuildError> {
    let mut manifest = json!({
        "metadata": {
            "labels": meta::labels(wanted, Some(facility)),
            "annotations": meta::annotations(wanted, Some(facility)),
        },
        "spec": spec(wanted, facility, config),
    });
    meta::extend(&mut manifest["metadata"]["labels"], [(labels::CONFIG_HASH.to_owned(), json!(config.hash))]);
    if let Some(revision) = revision(wanted, cluster) {
        meta::extend(&mut manifest["metadata"]["annotations"], [(labels::SECRET_REVISION.to_owned(), json!(revision))]);
    }
    if let Value::Object(template) = &mut manifest {
        strategic_merge::merge(template, &wanted.pod_template).map_err(BuildError::PodTemplate)?;
    }
    let hash = short_hash(manifest.to_string().as_bytes(), 10);
    Ok(Template { manifest, hash })
}

/// Which versions of Secrets and `ConfigMap`s the pods are started with. Not their content, nor a hash of it: a password can be
/// guessed from that.
fn revision(wanted: &Wanted, cluster: &Cluster) -> Option<String> {
    let known = references(&wanted.database).into_iter().filter_map(|reference| {
        let revision = cluster.revisions.get(&(reference.kind, reference.name.clone()))?;
        Some(format!("{}={revision}", reference.name))
    });
    let known: Vec<String> = known.collect();
    (!known.is_empty()).then(|| known.join(","))
}

fn spec(wanted: &Wanted, facility: &WantedFacility, config: &Config) -> Value {
    let pod = &facility.pod;
    let mut spec = json!({
        "serviceAccountName": wanted.account.name,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": facility.drain.as_secs() + GRACE_SECONDS,
        // No fixed user: OpenShift gives each namespace users of its own.
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [container(wanted, facility)],
        "volumes": volumes(wanted, facility, config),
        "topologySpreadConstraints": spread(wanted, facility),
    });
    let pull_secrets: Vec<Value> = facility.image.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let given = [
        ("imagePullSecrets", (!pull_secrets.is_empty()).then(|| json!(pull_secrets))),
        ("nodeSelector", (!pod.node_selector.is_empty()).then(|| json!(pod.node_selector))),
        ("tolerations", (!pod.tolerations.is_empty()).then(|| json!(pod.tolerations))),
        ("affinity", pod.affinity.clone()),
        ("priorityClassName", pod.priority_class.as_ref().map(|name| json!(name))),
    ];
    meta::extend(&mut spec, given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    spec
}

fn container(wanted: &Wanted, facility: &WantedFacility) -> Value {
    let upstream = wanted.compatibility.is_some();
    let mut mounts = vec![
        json!({ "name": "config", "mountPath": CONFIG_FOLDER, "readOnly": true }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
    ];
    if wanted.database.ca.is_some() {
        mounts.push(json!({ "name": "ca", "mountPath": CA_FOLDER, "readOnly": true }));
    }
    if wanted.database.client_certificate_secret_ref.is_some() {
        mounts.push(json!({ "name": "certificate", "mountPath": CERTIFICATE_FOLDER, "readOnly": true }));
    }
    mounts.extend(facility.pod.volume_mounts.iter().cloned());
    let (liveness, readiness) = if upstream {
        // It has no paths to ask; its port is open once it works.
        (json!({ "tcpSocket": { "port": "http" } }), json!({ "tcpSocket": { "port": "http" } }))
    } else {
        (
            json!({ "httpGet": { "path": "/healthz", "port": "http" } }),
            json!({ "httpGet": { "path": "/readyz", "port": "http" } }),
        )
    };
    json!({
        "name": CONTAINER,
        "image": facility.image.reference,
        "imagePullPolicy": facility.image.pull_policy.word(),
        "args": arguments(wanted, facility),
        "env": environment(wanted, facility),
        "ports": [{ "name": "http", "containerPort": HTTP_PORT, "protocol": "TCP" }],
        "resources": facility.resources,
        "volumeMounts": mounts,
        "livenessProbe": probe(liveness, 10, 6),
        "readinessProbe": probe(readiness, 2, 5),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    })
}

fn probe(mut how: Value, period: u32, failures: u32) -> Value {
    let pace = [("periodSeconds", period), ("timeoutSeconds", 5), ("failureThreshold", failures)];
    meta::extend(&mut how, pace.map(|(name, value)| (name.to_owned(), json!(value))));
    how
}

fn arguments(wanted: &Wanted, facility: &WantedFacility) -> Vec<String> {
    let mut arguments = vec![format!("--facility={}", literal(&facility.name))];
    // The retired scheduler splits nothing at commas, and takes one tag each time.
    if wanted.compatibility.is_some() {
        arguments.extend(facility.ignore_tags.iter().map(|tag| format!("--ignore-tags={}", literal(tag))));
    }
    arguments
}

/// A text in which Kubernetes finds no variable to put in.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn environment(wanted: &Wanted, facility: &WantedFacility) -> Vec<Value> {
    // The retired scheduler's variables have a dot between section and key.
    let separator = if wanted.compatibility.is_some() { "." } else { "__" };
    let credentials = &wanted.database.credentials_secret_ref;
    let mut secrets = vec![("DB_PASS", credentials.password_key.as_str()), ("DB_USER", &credentials.username_key)];
    if wanted.database.host.is_none() {
        secrets.push(("DB_HOST", "host"));
        secrets.extend(wanted.database.port.is_none().then_some(("DB_PORT", "port")));
        secrets.extend(wanted.database.name.is_none().then_some(("DB_NAME", "dbname")));
    }
    secrets.sort_unstable();
    let mut variables = vec![
        json!({ "name": "OPENCUE_SCHEDULER_CONFIG", "value": format!("{CONFIG_FOLDER}/{FILE}") }),
        json!({ "name": "POD_NAME", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } } }),
    ];
    variables.extend(secrets.into_iter().map(|(name, key)| {
        // A server without these keys in its Secret is one at the usual place.
        let optional = ["port", "dbname"].contains(&key).then_some(true);
        let mut selector = json!({ "name": credentials.name, "key": key });
        meta::extend(&mut selector, optional.map(|optional| ("optional".to_owned(), json!(optional))));
        json!({ "name": format!("OPENSCHEDULER_DATABASE{separator}{name}"), "valueFrom": { "secretKeyRef": selector } })
    }));
    variables.extend(facility.pod.env.iter().cloned());
    variables
}

fn volumes(wanted: &Wanted, facility: &WantedFacility, config: &Config) -> Vec<Value> {
    let mut volumes = vec![
        json!({ "name": "config", "configMap": { "name": config.name } }),
        json!({ "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } }),
    ];
    if let Some(ca) = &wanted.database.ca {
        let source = ca.secret_key_ref.as_ref().map(|selector| ("secret", selector));
        let source = source.or(ca.config_map_key_ref.as_ref().map(|selector| ("configMap", selector)));
        if let Some((kind, selector)) = source {
            let items = json!({ "name": selector.name, "items": [{ "key": selector.key, "path": "ca.crt" }] });
            volumes.push(json!({ "name": "ca", "projected": { "sources": [{ kind: items }] } }));
        }
    }
    if let Some(client) = &wanted.database.client_certificate_secret_ref {
        let items = json!([
            { "key": client.certificate_key, "path": "tls.crt" },
            { "key": client.private_key, "path": "tls.key" },
        ]);
        let source = json!({ "secret": { "name": client.name, "items": items } });
        volumes.push(json!({ "name": "certificate", "projected": { "sources": [source] } }));
    }
    volumes.extend(facility.pod.volumes.iter().cloned());
    volumes
}

/// Over zones and nodes, where it is possible: a scheduler that has to share a node is better than none. Constraints that say
/// nothing of whom they are about are about the facility's own pods.
fn spread(wanted: &Wanted, facility: &WantedFacility) -> Vec<Value> {
    let own = json!({ "matchLabels": labels::selector(&wanted.owner.name, Some(&facility.names.slug)) });
    let constraints = facility.pod.topology_spread.clone().unwrap_or_else(|| {
        let over = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"];
        // Pods of the template before do not count: in a roll, all new ones could come to one zone otherwise.
        let of_template = ["pod-template-hash"];
        let constraint = |key| {
            json!({ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "matchLabelKeys": of_template })
        };
        over.map(constraint).to_vec()
    });
    let mut constraints = constraints;
    for constraint in &mut constraints {
        if constraint.get("labelSelector").is_none() {
            meta::extend(constraint, [("labelSelector".to_owned(), own.clone())]);
        }
    }
    constraints
}
