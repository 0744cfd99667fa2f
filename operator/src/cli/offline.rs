//! `check` and `render`: what a resource means, without a cluster.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use kube::ResourceExt as _;
use serde_json::Value;

use crate::crd::{self, GROUP, KIND, MonitoringStatus, SchedulerDeployment, VERSION};
use crate::desired::{Cluster, build};
use crate::reconcile::validate::{Defaults, validate};
use crate::wanted::Wanted;
use crate::yaml;

/// The text of a file, or of standard input.
pub(super) fn text(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// Says of each resource that it is sound; all faults of all resources are the error.
pub(super) fn check(file: &Path) -> anyhow::Result<String> {
    let mut said = String::new();
    for wanted in wanted(file)? {
        let facilities: Vec<&str> = wanted.facilities.iter().map(|facility| facility.name.as_str()).collect();
        writeln!(said, "{}: sound: {} facilities: {}", wanted.owner.name, facilities.len(), facilities.join(", "))?;
    }
    Ok(said)
}

/// The objects of all resources.
pub(super) fn render(file: &Path) -> anyhow::Result<String> {
    let extensions =
        MonitoringStatus { service_monitors: true, pod_monitors: true, prometheus_rules: true, scaled_objects: true };
    let cluster = Cluster { extensions, ..Cluster::default() };
    let mut printed = String::new();
    for wanted in wanted(file)? {
        let desired = build(&wanted, &cluster)?;
        let mut objects: Vec<Value> = desired.objects().into_iter().map(|(_, manifest)| manifest.clone()).collect();
        for object in &mut objects {
            // The resource has no uid before it is in a cluster.
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("ownerReferences");
            }
        }
        printed += &yaml::write_all(&objects)?;
    }
    Ok(printed)
}

/// What the resources in a file mean.
fn wanted(file: &Path) -> anyhow::Result<Vec<Wanted>> {
    let text = text(file)?;
    let documents = yaml::read_all(&text).with_context(|| format!("reading {}", file.display()))?;
    let ours = documents.into_iter().filter(|document| document["kind"] == KIND);
    let mut all = Vec::new();
    let mut faults = Vec::new();
    for document in ours {
        match one(document) {
            Ok(wanted) => all.push(wanted),
            Err(wrong) => faults.extend(wrong),
        }
    }
    if !faults.is_empty() {
        bail!("{}:\n{}", file.display(), faults.join("\n"));
    }
    if all.is_empty() {
        bail!("{}: there is no {KIND} in it", file.display());
    }
    Ok(all)
}

fn one(document: Value) -> Result<Wanted, Vec<String>> {
    let name = document["metadata"]["name"].as_str().unwrap_or("(no name)").to_owned();
    let said = |faults: Vec<String>| faults.into_iter().map(|fault| format!("{name}: {fault}")).collect();
    if document["apiVersion"] != format!("{GROUP}/{VERSION}") {
        return Err(said(vec![format!("apiVersion: found {}, known is {GROUP}/{VERSION}", document["apiVersion"])]));
    }
    let faults = crd::conform(&document);
    if !faults.is_empty() {
        return Err(said(faults));
    }
    let resource: SchedulerDeployment =
        serde_json::from_value(document).map_err(|error| said(vec![error.to_string()]))?;
    if resource.name_any().is_empty() {
        return Err(said(vec!["metadata.name: it is missing".to_owned()]));
    }
    validate(&resource, &Defaults::default()).map_err(|refusal| said(refusal.faults))
}
