//! From what a resource means to the objects that carry it out. Pure: nothing is asked and nothing applied.
//!
//! Manifests are values of JSON, written down as they would be in YAML: half of their fields come from the resource as they
//! are. A test reads each of them as the type that Kubernetes has for it, so that a misspelt field can't slip in.

mod autoscaler;
mod config_map;
mod deployment;
mod kind;
mod meta;
mod monitoring;
mod network_policy;
mod pod;
mod rules;
mod service;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::crd::MonitoringStatus;
use crate::names::FacilityName;
use crate::wanted::{ReferenceKind, Wanted, WantedFacility};
use crate::yaml;

pub use kind::Kind;
pub use meta::owner_reference;
pub use pod::{OWN_VARIABLES, OWN_VOLUMES};

/// The port of metrics, probes and status.
pub const HTTP_PORT: u16 = 9090;

/// What the cluster says that has a part in the objects.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Which extensions are there: objects of others would be refused.
    pub extensions: MonitoringStatus,
    /// The versions of the objects that pods refer to; a new one makes new pods. Empty without a cluster.
    pub revisions: BTreeMap<(ReferenceKind, String), String>,
}

/// Everything that a resource comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Objects that all facilities share.
    pub shared: SharedObjects,
    /// Each facility, in the order of the list.
    pub facilities: Vec<FacilityObjects>,
    /// The hash of what of the pod templates all facilities have in common: a new one is a change that concerns all.
    pub common_hash: String,
}

/// Objects that all facilities share.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedObjects {
    /// The account of the pods.
    pub service_account: Option<Value>,
    /// Who reaches whom.
    pub network_policy: Option<Value>,
    /// A `ServiceMonitor`, or a `PodMonitor`.
    pub scrape: Option<(Kind, Value)>,
    /// The alerts.
    pub prometheus_rule: Option<Value>,
}

/// The objects of a facility.
#[derive(Clone, Debug, PartialEq)]
pub struct FacilityObjects {
    /// The facility's exact name.
    pub facility: String,
    /// What they are called.
    pub names: FacilityName,
    /// The hash that the `ConfigMap`'s name ends with.
    pub config_hash: String,
    /// The hash of the pod template.
    pub template_hash: String,
    /// scheduler.yaml.
    pub config_map: Value,
    /// The pods. Without a number of replicas while an autoscaler owns it.
    pub deployment: Value,
    /// Metrics and status.
    pub service: Value,
    /// How many pods may be away.
    pub disruption_budget: Option<Value>,
    /// A `HorizontalPodAutoscaler`, or a `ScaledObject`.
    pub autoscaler: Option<(Kind, Value)>,
}

/// What can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The pod template can't be laid over the operator's.
    #[error("spec.podTemplate: {0}")]
    PodTemplate(String),
    /// A text of YAML can't be written.
    #[error("writing scheduler.yaml")]
    Yaml(#[from] yaml::WriteError),
}

/// Builds all objects.
pub fn build(wanted: &Wanted, cluster: &Cluster) -> Result<Desired, BuildError> {
    let common_hash = pod::template(wanted, &wanted.plain, &config_map::build(wanted, &wanted.plain)?, cluster)?.hash;
    let facilities = wanted.facilities.iter().map(|facility| facility_objects(wanted, facility, &common_hash, cluster));
    let facilities = facilities.collect::<Result<_, _>>()?;
    Ok(Desired { shared: shared_objects(wanted, cluster), facilities, common_hash })
}

fn shared_objects(wanted: &Wanted, cluster: &Cluster) -> SharedObjects {
    let extensions = cluster.extensions;
    SharedObjects {
        service_account: wanted.account.create.then(|| service::account(wanted)),
        network_policy: wanted.network.as_ref().map(|policy| network_policy::build(wanted, policy)),
        scrape: wanted.scrape.as_ref().and_then(|scrape| monitoring::scrape(wanted, scrape, extensions)),
        prometheus_rule: wanted
            .alerts
            .as_ref()
            .filter(|_| extensions.prometheus_rules)
            .map(|settings| rules::build(wanted, settings)),
    }
}

fn facility_objects(
    wanted: &Wanted,
    facility: &WantedFacility,
    common_hash: &str,
    cluster: &Cluster,
) -> Result<FacilityObjects, BuildError> {
    let config = config_map::build(wanted, facility)?;
    let template = pod::template(wanted, facility, &config, cluster)?;
    Ok(FacilityObjects {
        facility: facility.name.clone(),
        names: facility.names.clone(),
        deployment: deployment::build(wanted, facility, &template, common_hash),
        service: service::build(wanted, facility),
        disruption_budget: wanted.disruption.as_ref().map(|bound| service::disruption_budget(wanted, facility, bound)),
        autoscaler: autoscaler::build(wanted, facility, cluster.extensions),
        config_hash: config.hash,
        template_hash: template.hash,
        config_map: config.manifest,
    })
}

impl Desired {
    /// All objects with their kinds, in the order in which they are applied: what pods mount or run under comes before them,
    /// what finds or scales them after.
    pub fn objects(&self) -> Vec<(Kind, &Value)> {
        let SharedObjects { service_account, network_policy, scrape, prometheus_rule } = &self.shared;
        let mut objects = Vec::new();
        objects.extend(service_account.iter().map(|manifest| (Kind::ServiceAccount, manifest)));
        objects.extend(network_policy.iter().map(|manifest| (Kind::NetworkPolicy, manifest)));
        for facility in &self.facilities {
            objects.extend(facility.objects());
        }
        objects.extend(scrape.iter().map(|(kind, manifest)| (*kind, manifest)));
        objects.extend(prometheus_rule.iter().map(|manifest| (Kind::PrometheusRule, manifest)));
        objects
    }
}

impl FacilityObjects {
    /// All objects with their kinds, in the order in which they are applied.
    pub fn objects(&self) -> Vec<(Kind, &Value)> {
        let Self {
            facility: _,
            names: _,
            config_hash: _,
            template_hash: _,
            config_map,
            deployment,
            service,
            disruption_budget,
            autoscaler,
        } = self;
        let mut objects = vec![(Kind::ConfigMap, config_map), (Kind::Service, service)];
        objects.extend(disruption_budget.iter().map(|manifest| (Kind::PodDisruptionBudget, manifest)));
        objects.push((Kind::Deployment, deployment));
        objects.extend(autoscaler.iter().map(|(kind, manifest)| (*kind, manifest)));
        objects
    }
}
