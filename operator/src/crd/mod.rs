//! The resource `SchedulerDeployment`: a studio's facilities, and the schedulers that work for them.
//!
//! Names are those that people know from other operators and from Kubernetes itself. Two rules shape the types:
//!
//! - **A default that could hide a merge is none of the schema's.** The API server writes defaults into the object, and a
//!   default inside a facility would then win over what is common to all. Such defaults are told in the descriptions and
//!   filled in by [`crate::reconcile::validate`].
//! - **Pod-level types are not typed again.** Affinities, volumes and the like are kept as they come: with their full
//!   schemas the definition is larger than `kubectl apply` and etcd take well. The operator checks them itself.

#![allow(
    clippy::doc_markdown,
    rustdoc::bare_urls,
    reason = "these comments are the descriptions of the schema, which `kubectl explain` shows as plain text"
)]

mod account;
mod autoscaling;
mod availability;
mod conform;
mod database;
mod definition;
mod facility;
mod image;
mod monitoring;
mod network;
mod schema;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use account::ServiceAccount;
pub use autoscaling::{Autoscaling, Keda, TriggerAuthentication};
pub use availability::{PodDisruptionBudget, RollingUpdate, Strategy, UpdateStrategy};
pub use conform::conform;
pub use database::{CertificateAuthority, ClientCertificate, Credentials, Database, KeySelector, SslMode};
pub use definition::{SIZE_MAX, definition, definition_yaml};
pub use facility::{Facility, FacilitySettings, Resources};
pub use image::{Image, LocalReference, PullPolicy};
pub use monitoring::{MetricsScrape, Monitoring, PrometheusRule};
pub use network::NetworkPolicy;
pub use status::{Condition, FacilityStatus, MonitoringStatus, SchedulerDeploymentStatus};

/// The API group.
pub const GROUP: &str = "scheduler.opencue.io";
/// The version that is served and stored.
pub const VERSION: &str = "v1alpha1";
/// The kind.
pub const KIND: &str = "SchedulerDeployment";

/// Most facilities of one resource. The rules of the schema are weighed by it.
pub const FACILITIES_MAX: usize = 64;
/// Most letters of a facility's name.
pub const FACILITY_NAME_MAX: usize = 36;
/// Most letters of the resource's name, so that names of its objects have room for a facility.
pub const NAME_MAX: usize = 40;

/// What is wanted: the schedulers of a studio's facilities, all on one OpenCue database.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "scheduler.opencue.io",
    version = "v1alpha1",
    kind = "SchedulerDeployment",
    plural = "schedulerdeployments",
    shortname = "schd",
    category = "opencue",
    namespaced,
    derive = "PartialEq",
    status = "SchedulerDeploymentStatus",
    doc = "The schedulers of a studio: for each OpenCue facility a Deployment of cue-scheduler, its scheduler.yaml, and \
           everything around it.",
    printcolumn(
        name = "Facilities",
        type_ = "string",
        json_path = ".status.facilitiesReady",
        description = "Facilities whose replicas are all ready, of those that are not suspended."
    ),
    printcolumn(
        name = "Replicas",
        type_ = "string",
        json_path = ".status.replicasReady",
        description = "Replicas that are ready, of those that are wanted."
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "The tag or digest of the image."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Database",
        type_ = "string",
        json_path = ".status.database",
        description = "Host and name of the OpenCue database.",
        priority = "1"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        description = "What is missing, in a sentence.",
        priority = "1"
    ),
    validation = Rule::new("self.metadata.name.size() <= 40")
        .message("the name of a SchedulerDeployment has at most 40 letters, since the names of its objects begin with it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z][-a-z0-9]*$')")
        .message("the name of a SchedulerDeployment begins with a letter and has letters, digits and - only, since the names of Services begin with it"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("size(self.facilities) > 0")
        .message("name at least one facility in spec.facilities")
        .field_path(".facilities"),
    validation = Rule::new(
        "!has(self.compatibility) || self.facilities.all(f, !has(f.autoscaling) && (!has(f.replicas) || f.replicas <= 1))"
    )
        .message("with compatibility upstream a facility has 0 or 1 replica and no autoscaling: two of the retired schedulers in one facility book the same frames")
        .field_path(".facilities"),
)]
pub struct SchedulerDeploymentSpec {
    /// The facilities, each with schedulers of its own. A facility that is taken out of the list goes away with all its
    /// objects; its running frames are not touched.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    #[schemars(length(max = 64))]
    pub facilities: Vec<Facility>,

    /// OpenCue's PostgreSQL database.
    pub database: Database,

    /// The image of the schedulers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,

    /// For which program the pods are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Compatibility>,

    /// The keys of scheduler.yaml that all facilities share. What other fields say (the database, the facility, tags to ignore)
    /// is refused here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub config: Option<Map<String, Value>>,

    /// Tags by which no facility books anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub ignore_tags: Option<Vec<String>>,

    /// What every facility has unless it says otherwise. Maps are merged key by key, scheduler.yaml section by section;
    /// everything else of a facility takes the place of what is said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facility_defaults: Option<FacilitySettings>,

    /// The account that the pods run under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccount>,

    /// How many replicas of a facility may be taken away at once, for instance when nodes are drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_disruption_budget: Option<PodDisruptionBudget>,

    /// Who may reach the schedulers, and whom they may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,

    /// What Prometheus learns, where its operator is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,

    /// How the pods of a facility are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<UpdateStrategy>,

    /// Labels of all objects and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_labels: Option<BTreeMap<String, String>>,

    /// Annotations of all objects and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_annotations: Option<BTreeMap<String, String>>,

    /// Leave all objects as they are. The schedulers go on booking; status and deletion go on too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,

    /// A pod template that is merged over the one that the operator makes, last of all and for every facility, as a strategic
    /// merge: lists by the names of their items, null takes a field away. For what has no field here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub pod_template: Option<Map<String, Value>>,
}

/// For which program the pods are made. Unset: cue-scheduler. With upstream: the retired scheduler of OpenCue, one replica for
/// each facility, with the probes, variables and flags that it understands.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, schemars::JsonSchema, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
pub enum Compatibility {
    /// The retired scheduler of OpenCue.
    Upstream,
}
