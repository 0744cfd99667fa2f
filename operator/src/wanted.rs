//! What a resource means, once it has been checked: names made, defaults filled in, facilities merged over what is common.
//! Builders see this and never the resource itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::crd::{
    Autoscaling, Compatibility, Database, MetricsScrape, NetworkPolicy, PrometheusRule, PullPolicy, Resources,
};
use crate::names::FacilityName;

/// A whole resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The resource that owns all objects.
    pub owner: Owner,
    /// Labels of all objects and pods, beside the operator's own.
    pub labels: BTreeMap<String, String>,
    /// Annotations of all objects and pods.
    pub annotations: BTreeMap<String, String>,
    /// The tag or digest that the status shows.
    pub version: String,
    /// The program that the pods are made for, if it is not ours.
    pub compatibility: Option<Compatibility>,
    /// The database.
    pub database: Database,
    /// The account of the pods.
    pub account: Account,
    /// How many pods of a facility may be away.
    pub disruption: Option<Disruption>,
    /// Who reaches whom; `None` for no policy.
    pub network: Option<NetworkPolicy>,
    /// How metrics are scraped, if at all.
    pub scrape: Option<Scrape>,
    /// The alerts, if there are to be any.
    pub alerts: Option<PrometheusRule>,
    /// How pods are replaced.
    pub update: Update,
    /// Objects are left as they are.
    pub paused: bool,
    /// Laid over every pod template, last of all.
    pub pod_template: Map<String, Value>,
    /// The facilities, in the order of the list.
    pub facilities: Vec<WantedFacility>,
    /// A facility that says nothing of its own and is never made: what of a pod all facilities have in common shows in it.
    pub plain: Box<WantedFacility>,
}

/// The resource that owns what is built.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty for a resource that was read from a file.
    pub uid: String,
}

/// The account of the pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Whether the operator makes it.
    pub create: bool,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The one bound of a disruption budget.
#[derive(Clone, Debug, PartialEq)]
pub enum Disruption {
    /// Most pods that are away.
    MaxUnavailable(Value),
    /// Fewest pods that stay.
    MinAvailable(Value),
}

/// How metrics are scraped.
#[derive(Clone, Debug, PartialEq)]
pub enum Scrape {
    /// Through the Services.
    Service(MetricsScrape),
    /// Pod by pod.
    Pod(MetricsScrape),
}

/// How pods are replaced.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Old ones first.
    Recreate,
    /// New ones first.
    Rolling {
        /// Pods above the wanted number.
        max_surge: Value,
        /// Pods below the wanted number.
        max_unavailable: Value,
    },
}

/// A facility.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedFacility {
    /// Its exact name in OpenCue.
    pub name: String,
    /// What its objects are called.
    pub names: FacilityName,
    /// How many replicas.
    pub scale: Scale,
    /// Its scheduler.yaml, without what other fields say.
    pub config: Map<String, Value>,
    /// How long a replica may take to end.
    pub drain: Duration,
    /// The port of the render agents.
    pub agent_port: u16,
    /// Tags by which nothing is booked.
    pub ignore_tags: Vec<String>,
    /// The image.
    pub image: ImageRef,
    /// What a replica asks for.
    pub resources: Resources,
    /// Labels of the facility's objects and pods.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the facility's objects and pods.
    pub annotations: BTreeMap<String, String>,
    /// Fields of the pod that are taken as they are.
    pub pod: PodFields,
}

/// How many replicas a facility has.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// None for now.
    Suspended,
    /// This many, at least one.
    Fixed(i32),
    /// As many as an autoscaler says.
    Automatic(Autoscaling),
}

impl Scale {
    /// The most replicas that there can be.
    pub fn most(&self) -> i32 {
        match self {
            Self::Suspended => 0,
            Self::Fixed(replicas) => *replicas,
            Self::Automatic(autoscaling) => autoscaling.max_replicas,
        }
    }

    /// The fewest replicas that there are to be.
    pub fn fewest(&self) -> i32 {
        match self {
            Self::Suspended => 0,
            Self::Fixed(replicas) => *replicas,
            Self::Automatic(autoscaling) => autoscaling.min_replicas,
        }
    }
}

/// An image, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRef {
    /// Repository with tag or digest.
    pub reference: String,
    /// Its tag, or its digest where there is one.
    pub version: String,
    /// When nodes fetch it.
    pub pull_policy: PullPolicy,
    /// The names of Secrets for the registry.
    pub pull_secrets: Vec<String>,
}

/// Fields of a pod that the operator does not look into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFields {
    /// `nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// `tolerations`.
    pub tolerations: Vec<Value>,
    /// `affinity`.
    pub affinity: Option<Value>,
    /// `topologySpreadConstraints`; `None` for the default.
    pub topology_spread: Option<Vec<Value>>,
    /// `priorityClassName`.
    pub priority_class: Option<String>,
    /// `env` of the container, beside the operator's.
    pub env: Vec<Value>,
    /// `volumes`, beside the operator's.
    pub volumes: Vec<Value>,
    /// `volumeMounts` of the container, beside the operator's.
    pub volume_mounts: Vec<Value>,
}

/// An object of the namespace that pods use, and the keys that they need of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Whether it is a Secret or a `ConfigMap`.
    pub kind: ReferenceKind,
    /// Its name.
    pub name: String,
    /// Keys that it must have.
    pub keys: Vec<String>,
}

/// What pods can refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceKind {
    /// A Secret.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
}

impl ReferenceKind {
    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// The objects that pods with this database use: each once, with all the keys that are needed of it.
pub fn references(database: &Database) -> Vec<Reference> {
    let mut needed: BTreeMap<(ReferenceKind, &str), Vec<&str>> = BTreeMap::new();
    let credentials = &database.credentials_secret_ref;
    let keys = needed.entry((ReferenceKind::Secret, &credentials.name)).or_default();
    keys.extend([credentials.username_key.as_str(), credentials.password_key.as_str()]);
    if database.host.is_none() {
        keys.push("host");
    }
    if let Some(ca) = &database.ca {
        let sources = [(ReferenceKind::Secret, &ca.secret_key_ref), (ReferenceKind::ConfigMap, &ca.config_map_key_ref)];
        for (kind, selector) in sources {
            if let Some(selector) = selector {
                needed.entry((kind, &selector.name)).or_default().push(&selector.key);
            }
        }
    }
    if let Some(client) = &database.client_certificate_secret_ref {
        let keys = needed.entry((ReferenceKind::Secret, &client.name)).or_default();
        keys.extend([client.certificate_key.as_str(), client.private_key.as_str()]);
    }
    let reference = |((kind, name), keys): ((ReferenceKind, &str), Vec<&str>)| Reference {
        kind,
        name: name.to_owned(),
        keys: keys.into_iter().map(str::to_owned).collect(),
    };
    needed.into_iter().map(reference).collect()
}
