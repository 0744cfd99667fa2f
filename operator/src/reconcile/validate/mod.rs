//! From a resource to what it means, or a clear refusal. Pure.
//!
//! Most of what is refused here is refused at admission already. It is checked again, since the definition in the cluster
//! may be older than the operator, and since `check` and `render` work without a cluster. All faults are told at once.

mod facility;
mod pods;
mod share;

use std::collections::BTreeMap;
use std::fmt;

use kube::ResourceExt as _;
use serde_json::json;

use crate::crd::{
    Compatibility, Database, FACILITIES_MAX, Image, Monitoring, NAME_MAX, PodDisruptionBudget, SchedulerDeployment,
    SchedulerDeploymentSpec, Strategy, UpdateStrategy,
};
use crate::labels;
use crate::wanted::{Account, Disruption, Owner, Scale, Scrape, Update, Wanted};
use share::Share;

/// Why a resource can't be carried out. What is there stays as it is until the resource changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For machines: the reason of the condition.
    pub reason: Reason,
    /// For people: a line each.
    pub faults: Vec<String>,
}

/// The kinds of refusal, the first of which counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Something of the resource itself.
    InvalidSpec,
    /// Something of a scheduler.yaml.
    InvalidConfig,
    /// Two facilities would have objects of the same name.
    NameTaken,
}

impl Reason {
    /// The reason of a condition.
    pub fn word(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::InvalidConfig => "InvalidConfig",
            Self::NameTaken => "NameTaken",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

/// What holds where a resource says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The image's repository.
    pub repository: String,
    /// The image's tag.
    pub tag: String,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { repository: "opencue/cue-scheduler".to_owned(), tag: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What is found while a resource is gone through.
#[derive(Default)]
struct Faults(Vec<(Reason, String)>);

impl Faults {
    fn spec(&mut self, fault: impl Into<String>) {
        self.0.push((Reason::InvalidSpec, fault.into()));
    }

    fn configs(&mut self, faults: impl IntoIterator<Item = String>) {
        self.0.extend(faults.into_iter().map(|fault| (Reason::InvalidConfig, fault)));
    }

    fn name(&mut self, fault: impl Into<String>) {
        self.0.push((Reason::NameTaken, fault.into()));
    }

    fn conclude(self) -> Result<(), Refusal> {
        let Some(reason) = self.0.iter().map(|(reason, _)| *reason).min() else { return Ok(()) };
        Err(Refusal { reason, faults: self.0.into_iter().map(|(_, fault)| fault).collect() })
    }
}

/// What the resource means.
pub fn validate(resource: &SchedulerDeployment, defaults: &Defaults) -> Result<Wanted, Refusal> {
    let spec = &resource.spec;
    let mut faults = Faults::default();
    let name = resource.name_any();
    resource_name(&name, &mut faults);
    database(&spec.database, spec.compatibility, &mut faults);
    facility::image_parts("spec.image", spec.image.as_ref(), &mut faults);
    let common_labels = spec.common_labels.clone().unwrap_or_default();
    pods::labels("spec.commonLabels", &common_labels, &mut faults);
    let (facilities, plain) = facility::all(&name, spec, defaults, &mut faults);
    let disruption = disruption(spec.pod_disruption_budget.as_ref(), &facilities, &mut faults);
    let wanted = Wanted {
        owner: Owner {
            namespace: resource.namespace().unwrap_or_default(),
            uid: resource.uid().unwrap_or_default(),
            name: name.clone(),
        },
        labels: common_labels,
        annotations: spec.common_annotations.clone().unwrap_or_default(),
        version: facility::image(&[spec.image.as_ref()], defaults).version,
        compatibility: spec.compatibility,
        database: spec.database.clone(),
        account: account(spec, &name, &mut faults),
        disruption,
        network: network(spec, &mut faults),
        scrape: scrape(spec.monitoring.as_ref(), &mut faults),
        alerts: spec
            .monitoring
            .as_ref()
            .and_then(|monitoring| monitoring.prometheus_rule.as_ref())
            .filter(|rule| rule.enabled)
            .cloned(),
        update: update(spec.update_strategy.as_ref(), spec.compatibility, &mut faults),
        paused: spec.paused.unwrap_or(false),
        pod_template: pods::template(spec.pod_template.as_ref(), &mut faults),
        facilities,
        plain: Box::new(plain),
    };
    faults.conclude()?;
    Ok(wanted)
}

fn resource_name(name: &str, faults: &mut Faults) {
    if name.chars().count() > NAME_MAX {
        faults.spec(format!(
            "metadata.name: it has at most {NAME_MAX} letters, since the names of its objects begin with it"
        ));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(allowed) {
        faults.spec("metadata.name: it begins with a letter and has small letters, digits and - only");
    }
}

fn database(database: &Database, compatibility: Option<Compatibility>, faults: &mut Faults) {
    use crate::crd::SslMode::{Disable, Require, VerifyCa, VerifyFull};
    let mode = database.ssl_mode;
    if mode == Some(VerifyCa) && database.ca.is_none() {
        faults.spec("spec.database: sslMode verify-ca needs a ca; verify-full does without");
    }
    if let Some(ca) = &database.ca {
        if !matches!(mode, Some(Require | VerifyCa | VerifyFull)) {
            faults.spec("spec.database: a ca is looked at with sslMode require, verify-ca or verify-full only");
        }
        if ca.secret_key_ref.is_some() == ca.config_map_key_ref.is_some() {
            faults.spec("spec.database.ca: it comes either from a secretKeyRef or from a configMapKeyRef");
        }
    }
    if database.client_certificate_secret_ref.is_some() && mode == Some(Disable) {
        faults.spec("spec.database: a client certificate is shown over TLS only, and sslMode is disable");
    }
    if database.direct_port.is_some() && database.direct_host.is_none() {
        faults.spec("spec.database: directPort goes with directHost");
    }
    if compatibility.is_some() {
        let unknown = [
            ("sslMode", mode.is_some()),
            ("ca", database.ca.is_some()),
            ("clientCertificateSecretRef", database.client_certificate_secret_ref.is_some()),
            ("directHost", database.direct_host.is_some()),
        ];
        for (field, _) in unknown.iter().filter(|(_, given)| *given) {
            faults.spec(format!("spec.database.{field}: the retired scheduler knows nothing like it"));
        }
    }
}

fn account(spec: &SchedulerDeploymentSpec, resource: &str, faults: &mut Faults) -> Account {
    let given = spec.service_account.clone().unwrap_or_default();
    let create = given.create.unwrap_or(true);
    if !create && given.name.is_none() {
        faults.spec("spec.serviceAccount: one that is not created needs the name of one that is there");
    }
    Account {
        name: given.name.unwrap_or_else(|| resource.to_owned()),
        create,
        annotations: given.annotations.unwrap_or_default(),
    }
}

fn network(spec: &SchedulerDeploymentSpec, faults: &mut Faults) -> Option<crate::crd::NetworkPolicy> {
    let policy = spec.network_policy.clone().filter(|policy| policy.enabled)?;
    let peers = [
        ("metricsFrom", &policy.metrics_from),
        ("databaseTo", &policy.database_to),
        ("renderHostsTo", &policy.render_hosts_to),
    ];
    for (field, peers) in peers {
        let place = format!("spec.networkPolicy.{field}");
        pods::typed::<Vec<k8s_openapi::api::networking::v1::NetworkPolicyPeer>>(&place, &json!(peers), faults);
    }
    Some(policy)
}

fn scrape(monitoring: Option<&Monitoring>, faults: &mut Faults) -> Option<Scrape> {
    let monitoring = monitoring?;
    let service = monitoring.service_monitor.clone().filter(|scrape| scrape.enabled);
    let pod = monitoring.pod_monitor.clone().filter(|scrape| scrape.enabled);
    if service.is_some() && pod.is_some() {
        faults.spec("spec.monitoring: enable either the serviceMonitor or the podMonitor");
    }
    service.map(Scrape::Service).or(pod.map(Scrape::Pod))
}

fn update(strategy: Option<&UpdateStrategy>, compatibility: Option<Compatibility>, faults: &mut Faults) -> Update {
    let given = strategy.cloned().unwrap_or_default();
    let rolling = given.rolling_update.clone().unwrap_or_default();
    if given.kind == Some(Strategy::Recreate) && given.rolling_update.is_some() {
        faults.spec("spec.updateStrategy: rollingUpdate goes with type RollingUpdate");
    }
    if compatibility.is_some() {
        if given.kind == Some(Strategy::RollingUpdate) || given.rolling_update.is_some() {
            faults.spec(
                "spec.updateStrategy: with compatibility upstream it is Recreate: two of them book the same frames",
            );
        }
        return Update::Recreate;
    }
    if given.kind == Some(Strategy::Recreate) {
        return Update::Recreate;
    }
    let max_surge = rolling.max_surge.unwrap_or(json!(1));
    let max_unavailable = rolling.max_unavailable.unwrap_or(json!(0));
    let surge = Share::read("spec.updateStrategy.rollingUpdate.maxSurge", &max_surge, faults);
    let away = Share::read("spec.updateStrategy.rollingUpdate.maxUnavailable", &max_unavailable, faults);
    if surge.is_some_and(Share::is_zero) && away.is_some_and(Share::is_zero) {
        faults.spec(
            "spec.updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so nothing could be replaced",
        );
    }
    Update::Rolling { max_surge, max_unavailable }
}

fn disruption(
    budget: Option<&PodDisruptionBudget>,
    facilities: &[crate::wanted::WantedFacility],
    faults: &mut Faults,
) -> Option<Disruption> {
    let budget = budget.cloned().unwrap_or_default();
    match (budget.max_unavailable, budget.min_available) {
        (Some(_), Some(_)) => {
            faults.spec("spec.podDisruptionBudget: it has either maxUnavailable or minAvailable");
            None
        }
        (Some(max), None) => {
            let share = Share::read("spec.podDisruptionBudget.maxUnavailable", &max, faults);
            if share.is_some_and(Share::is_zero) {
                faults.spec("spec.podDisruptionBudget: with maxUnavailable 0 no node with a replica could be drained");
            }
            budget.enabled.unwrap_or(true).then_some(Disruption::MaxUnavailable(max))
        }
        (None, Some(min)) => {
            let share = Share::read("spec.podDisruptionBudget.minAvailable", &min, faults)?;
            for facility in facilities.iter().filter(|facility| facility.scale != Scale::Suspended) {
                let replicas = facility.scale.fewest();
                if share.of(replicas) >= i64::from(replicas) {
                    faults.spec(format!(
                        "spec.podDisruptionBudget: minAvailable {min} is not below the {replicas} replicas of facility \
                         {:?}, so no node with one of them could be drained",
                        facility.name
                    ));
                }
            }
            budget.enabled.unwrap_or(true).then_some(Disruption::MinAvailable(min))
        }
        (None, None) => budget.enabled.unwrap_or(true).then(|| Disruption::MaxUnavailable(json!(1))),
    }
}

/// The images of a resource and a facility, merged part by part: later ones win.
fn merged_image(images: &[Option<&Image>]) -> Image {
    let mut merged = Image::default();
    for image in images.iter().copied().flatten().cloned() {
        let Image { repository, tag, digest, pull_policy, pull_secrets } = image;
        // A tag of a facility is not to be hidden by the digest that all have.
        if (tag.is_some() || repository.is_some()) && digest.is_none() {
            merged.digest = None;
        }
        merged.repository = repository.or(merged.repository);
        merged.tag = tag.or(merged.tag);
        merged.digest = digest.or(merged.digest);
        merged.pull_policy = pull_policy.or(merged.pull_policy);
        merged.pull_secrets = pull_secrets.or(merged.pull_secrets);
    }
    merged
}

/// Maps merged key by key, later ones over earlier ones.
fn merged_maps(maps: &[Option<&BTreeMap<String, String>>]) -> BTreeMap<String, String> {
    maps.iter().copied().flatten().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether the number of facilities is one that can be.
fn count(spec: &SchedulerDeploymentSpec, faults: &mut Faults) {
    if spec.facilities.is_empty() {
        faults.spec("spec.facilities: name at least one facility");
    }
    if spec.facilities.len() > FACILITIES_MAX {
        faults.spec(format!("spec.facilities: at most {FACILITIES_MAX}; make a second resource for the rest"));
    }
}

/// A label that the operator sets itself is nobody else's.
fn foreign_label(key: &str) -> bool {
    !labels::is_ours(key)
}
