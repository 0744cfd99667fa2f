//! Facilities: names, numbers, and what each has of its own merged over what all have.

use std::collections::BTreeMap;

use cue_scheduler_config::Config;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, MetricSpec};
use serde_json::{Map, Value, json};

use super::{Defaults, Faults, count, merged_image, merged_maps, pods};
use crate::crd::{
    Autoscaling, FACILITY_NAME_MAX, Facility, FacilitySettings, Image, PullPolicy, Resources, SchedulerDeploymentSpec,
};
use crate::names::FacilityName;
use crate::scheduler_yaml;
use crate::wanted::{ImageRef, PodFields, Scale, WantedFacility};

/// All facilities of a resource, and one that has nothing of its own. Those with a fault are left out, and told.
pub(super) fn all(
    resource: &str,
    spec: &SchedulerDeploymentSpec,
    defaults: &Defaults,
    faults: &mut Faults,
) -> (Vec<WantedFacility>, WantedFacility) {
    count(spec, faults);
    let common = Common::of(spec, faults);
    let mut facilities: Vec<WantedFacility> = Vec::new();
    for facility in &spec.facilities {
        let Some(wanted) = one(resource, spec, facility, &common, defaults, faults) else { continue };
        if facilities.iter().any(|other| other.name == wanted.name) {
            faults.spec(format!("spec.facilities: {:?} is named twice", wanted.name));
        } else if let Some(other) = facilities.iter().find(|other| other.names == wanted.names) {
            faults.name(format!(
                "spec.facilities: the objects of {:?} and {:?} would both be called {}; rename one of the facilities",
                other.name, wanted.name, wanted.names.object
            ));
        }
        facilities.push(wanted);
    }
    // What is wrong with what is common has been told, and a facility may make whole what is common.
    let plain = wanted(resource, spec, &Facility::default(), &common, defaults, &mut Faults::default());
    (facilities, plain)
}

/// What all facilities have.
struct Common {
    config: Map<String, Value>,
    settings: FacilitySettings,
    /// Whether the configuration is sound as far as it goes.
    sound: bool,
}

impl Common {
    fn of(spec: &SchedulerDeploymentSpec, faults: &mut Faults) -> Self {
        let settings = spec.facility_defaults.clone().unwrap_or_default();
        pods::settings("spec.facilityDefaults", &settings, faults);
        let mut config = Map::new();
        let mut sound = true;
        for (place, given) in [("spec.config", &spec.config), ("spec.facilityDefaults.config", &settings.config)] {
            let Some(given) = given else { continue };
            let wrong = scheduler_yaml::check(place, given);
            sound &= wrong.is_empty();
            faults.configs(wrong);
            config = scheduler_yaml::merge(&config, given);
        }
        Self { config, settings, sound }
    }
}

fn one(
    resource: &str,
    spec: &SchedulerDeploymentSpec,
    facility: &Facility,
    common: &Common,
    defaults: &Defaults,
    faults: &mut Faults,
) -> Option<WantedFacility> {
    let name = &facility.name;
    let letters = name.chars().count();
    if letters == 0 || letters > FACILITY_NAME_MAX || name.chars().any(char::is_control) {
        faults
            .spec(format!("spec.facilities: a name has 1 to {FACILITY_NAME_MAX} letters, found {:?}", shortened(name)));
        return None;
    }
    Some(wanted(resource, spec, facility, common, defaults, faults))
}

fn wanted(
    resource: &str,
    spec: &SchedulerDeploymentSpec,
    facility: &Facility,
    common: &Common,
    defaults: &Defaults,
    faults: &mut Faults,
) -> WantedFacility {
    let name = &facility.name;
    let place = format!("spec.facilities[{}]", name.escape_debug());
    let settings = &facility.settings;
    pods::settings(&place, settings, faults);
    image_parts(&format!("{place}.image"), facility.image.as_ref(), faults);
    let resources = settings.resources.clone().or_else(|| common.settings.resources.clone()).unwrap_or_else(small);
    let scale = scale(&place, spec, facility, &resources, faults);
    let (config, checked) = config(&place, settings, common, faults);
    let mut ignore_tags = spec.ignore_tags.clone().unwrap_or_default();
    ignore_tags.extend(facility.ignore_tags.iter().flatten().cloned());
    if ignore_tags.iter().any(|tag| tag.trim().is_empty()) {
        faults.spec(format!("{place}: a tag to ignore is empty"));
    }
    ignore_tags.sort();
    ignore_tags.dedup();
    WantedFacility {
        names: FacilityName::of(resource, name),
        name: name.clone(),
        scale,
        config,
        drain: checked.scheduler.drain_timeout,
        agent_port: checked.rqd.grpc_port,
        ignore_tags,
        image: image(&[spec.image.as_ref(), facility.image.as_ref()], defaults),
        resources,
        labels: merged_maps(&[common.settings.labels.as_ref(), settings.labels.as_ref()]),
        annotations: merged_maps(&[common.settings.annotations.as_ref(), settings.annotations.as_ref()]),
        pod: pod_fields(&common.settings, settings),
    }
}

/// A text of which somebody wants to see the beginning.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Requests that a small farm's scheduler gets along with.
fn small() -> Resources {
    let requests = Map::from_iter([("cpu".to_owned(), json!("250m")), ("memory".to_owned(), json!("256Mi"))]);
    Resources { requests: Some(requests), limits: None }
}

/// The facility's configuration over the common one, and what it comes to.
fn config(
    place: &str,
    settings: &FacilitySettings,
    common: &Common,
    faults: &mut Faults,
) -> (Map<String, Value>, Config) {
    let own = settings.config.clone().unwrap_or_default();
    let wrong = scheduler_yaml::check(&format!("{place}.config"), &own);
    let sound = common.sound && wrong.is_empty();
    faults.configs(wrong);
    let merged = scheduler_yaml::merge(&common.config, &own);
    match Config::from_json(&format!("{place}.config over spec.config"), &Value::Object(merged.clone())) {
        Ok(loaded) => (merged, loaded.config),
        Err(errors) => {
            // What is wrong in a part has been told with that part.
            if sound {
                faults.configs(errors.faults().iter().map(ToString::to_string));
            }
            (merged, Config::default())
        }
    }
}

fn scale(
    place: &str,
    spec: &SchedulerDeploymentSpec,
    facility: &Facility,
    resources: &Resources,
    faults: &mut Faults,
) -> Scale {
    let upstream = spec.compatibility.is_some();
    match (facility.replicas, &facility.autoscaling) {
        (Some(_), Some(_)) => faults.spec(format!("{place}: it has either replicas or autoscaling")),
        (Some(replicas), None) if !(0..=100).contains(&replicas) => {
            faults.spec(format!("{place}.replicas: found {replicas}; allowed is 0 to 100"));
        }
        (Some(replicas), None) if upstream && replicas > 1 => faults.spec(format!(
            "{place}.replicas: with compatibility upstream it is 0 or 1: two of the retired schedulers book the same frames"
        )),
        (None, Some(_)) if upstream => {
            faults.spec(format!("{place}.autoscaling: with compatibility upstream there is none"));
        }
        (None, Some(given)) => autoscaling(&format!("{place}.autoscaling"), given, resources, faults),
        _ => {}
    }
    if facility.suspend == Some(true) || facility.replicas == Some(0) {
        return Scale::Suspended;
    }
    match &facility.autoscaling {
        Some(autoscaling) => Scale::Automatic(autoscaling.clone()),
        None => Scale::Fixed(facility.replicas.unwrap_or(1)),
    }
}

fn autoscaling(place: &str, given: &Autoscaling, resources: &Resources, faults: &mut Faults) {
    let bounds = (given.min_replicas, given.max_replicas);
    if bounds.0 > bounds.1 {
        faults.spec(format!("{place}: minReplicas {} is above maxReplicas {}", bounds.0, bounds.1));
    }
    if bounds.0 < 1 || bounds.1 > 100 {
        faults.spec(format!("{place}: minReplicas and maxReplicas are from 1 to 100"));
    }
    pods::typed::<Vec<MetricSpec>>(&format!("{place}.metrics"), &json!(given.metrics), faults);
    pods::typed::<HorizontalPodAutoscalerBehavior>(&format!("{place}.behavior"), &json!(given.behavior), faults);
    if given.keda.is_some() {
        if given.metrics.is_some() || given.target_cpu_utilization.is_some() {
            faults.spec(format!("{place}: it follows either keda, or targetCPUUtilization and metrics"));
        }
        return;
    }
    let follows_cpu = given.target_cpu_utilization.is_some() || given.metrics.is_none();
    let has_request = resources.requests.as_ref().is_some_and(|requests| requests.contains_key("cpu"));
    if follows_cpu && !has_request {
        faults.spec(format!(
            "{place}: it follows the CPU in per cent of what a replica requests, and resources.requests has no cpu"
        ));
    }
}

/// Whether the parts of an image are what registries take.
pub(super) fn image_parts(place: &str, image: Option<&Image>, faults: &mut Faults) {
    let Some(Image { repository, tag, digest, pull_policy: _, pull_secrets: _ }) = image else { return };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_tag =
        |tag: &str| tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || ".-".contains(c));
    let is_digest = |digest: &str| {
        let digits = digest.strip_prefix("sha256:").unwrap_or_default();
        digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_repository = |name: &str| !name.is_empty() && name.chars().all(|c| word(c) || "./:-".contains(c));
    let wrong = [
        (
            "repository",
            repository.as_deref().filter(|name| !is_repository(name)),
            "a registry and a path, such as registry.example/cue-scheduler",
        ),
        ("tag", tag.as_deref().filter(|tag| !is_tag(tag)), "letters, digits, _, . and -"),
        ("digest", digest.as_deref().filter(|digest| !is_digest(digest)), "sha256: and 64 digits"),
    ];
    for (field, value, allowed) in wrong {
        if let Some(value) = value {
            faults.spec(format!("{place}.{field}: found {:?}; allowed is {allowed}", shortened(value)));
        }
    }
}

/// The image that parts, later ones over earlier ones, come to.
pub(super) fn image(images: &[Option<&Image>], defaults: &Defaults) -> ImageRef {
    let Image { repository, tag, digest, pull_policy, pull_secrets } = merged_image(images);
    let repository = repository.unwrap_or_else(|| defaults.repository.clone());
    let tag = tag.unwrap_or_else(|| defaults.tag.clone());
    let (reference, version) = match digest {
        Some(digest) => (format!("{repository}@{digest}"), digest),
        None => (format!("{repository}:{tag}"), tag),
    };
    ImageRef {
        reference,
        version,
        pull_policy: pull_policy.unwrap_or(PullPolicy::IfNotPresent),
        pull_secrets: pull_secrets.unwrap_or_default().into_iter().map(|secret| secret.name).collect(),
    }
}

fn pod_fields(common: &FacilitySettings, own: &FacilitySettings) -> PodFields {
    let list = |own: &Option<Vec<Map<String, Value>>>, common: &Option<Vec<Map<String, Value>>>| {
        let given = own.clone().or_else(|| common.clone());
        given.map(|items| items.into_iter().map(Value::Object).collect::<Vec<_>>())
    };
    let node_selector: BTreeMap<String, String> =
        merged_maps(&[common.node_selector.as_ref(), own.node_selector.as_ref()]);
    PodFields {
        node_selector,
        tolerations: list(&own.tolerations, &common.tolerations).unwrap_or_default(),
        affinity: own.affinity.clone().or_else(|| common.affinity.clone()).map(Value::Object),
        topology_spread: list(&own.topology_spread_constraints, &common.topology_spread_constraints),
        priority_class: own.priority_class_name.clone().or_else(|| common.priority_class_name.clone()),
        env: list(&own.env, &common.env).unwrap_or_default(),
        volumes: list(&own.volumes, &common.volumes).unwrap_or_default(),
        volume_mounts: list(&own.volume_mounts, &common.volume_mounts).unwrap_or_default(),
    }
}
