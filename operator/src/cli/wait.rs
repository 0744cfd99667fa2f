//! `wait`: until a resource is ready.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use kube::Client;
use kube::api::Api;
use kube::runtime::wait::{Condition, await_condition};

use crate::crd::SchedulerDeployment;
use crate::reconcile::status::READY;

/// What `wait` takes.
#[derive(Args, Clone, Debug)]
pub struct Wait {
    /// The resource.
    pub name: String,
    /// Its namespace. Otherwise that of the kubeconfig.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// How long to wait.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub timeout: Duration,
}

/// 0 when it is ready, in its newest generation; an error that says what is missing when the time is over.
pub async fn wait(arguments: &Wait) -> anyhow::Result<ExitCode> {
    let client = Client::try_default().await.context("finding the cluster")?;
    let api: Api<SchedulerDeployment> = match &arguments.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::default_namespaced(client),
    };
    let name = &arguments.name;
    match tokio::time::timeout(arguments.timeout, await_condition(api.clone(), name, is_ready())).await {
        Ok(Ok(_)) => {
            println!("{name} is ready");
            Ok(ExitCode::SUCCESS)
        }
        Ok(Err(error)) => Err(error).with_context(|| format!("waiting for {name}")),
        Err(_) => {
            let resource = api.get_opt(name).await.with_context(|| format!("reading {name}"))?;
            let Some(resource) = resource else { bail!("there is no SchedulerDeployment {name}") };
            let conditions = resource.status.unwrap_or_default().conditions;
            let message = conditions.into_iter().find(|condition| condition.kind == READY).map(|ready| ready.message);
            bail!("{name} is not ready: {}", message.unwrap_or_else(|| "no operator has looked at it".to_owned()))
        }
    }
}

/// Whether a resource is ready, and that is about its newest generation.
fn is_ready() -> impl Condition<SchedulerDeployment> {
    |resource: Option<&SchedulerDeployment>| {
        let Some(resource) = resource else { return false };
        let Some(status) = &resource.status else { return false };
        let ready = status.conditions.iter().find(|condition| condition.kind == READY);
        status.observed_generation == resource.metadata.generation && ready.is_some_and(|ready| ready.status == "True")
    }
}
