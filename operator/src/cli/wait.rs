//! `wait`: until a resource is ready, or an operator.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http::{Request, Uri};
use kube::api::Api;
use kube::runtime::wait::{Condition, await_condition};
use kube::{Client, Config};

use crate::crd::SchedulerDeployment;
use crate::reconcile::status::READY;

/// Between two questions to an operator.
const PAUSE: Duration = Duration::from_secs(1);

/// What `wait` takes.
#[derive(Args, Clone, Debug)]
pub struct Wait {
    /// The resource.
    #[arg(required_unless_present = "operator")]
    pub name: Option<String>,
    /// Its namespace. Otherwise that of the kubeconfig.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Wait for the operator behind this address instead, such as `http://cue-scheduler-operator-metrics:8080`.
    #[arg(long, value_name = "URL", conflicts_with_all = ["name", "namespace"])]
    pub operator: Option<Uri>,
    /// How long to wait.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub timeout: Duration,
}

/// 0 when it is ready; an error that says what is missing when the time is over.
pub async fn wait(arguments: &Wait) -> anyhow::Result<ExitCode> {
    let waited_for = match (&arguments.operator, &arguments.name) {
        (Some(address), _) => operator(address, arguments.timeout).await?,
        (None, Some(name)) => resource(name, arguments).await?,
        // The arguments are not taken without one of them.
        (None, None) => bail!("name a resource, or an operator"),
    };
    println!("{waited_for} is ready");
    Ok(ExitCode::SUCCESS)
}

/// Until a resource is ready in its newest generation.
async fn resource(name: &str, arguments: &Wait) -> anyhow::Result<String> {
    let client = Client::try_default().await.context("finding the cluster")?;
    let api: Api<SchedulerDeployment> = match &arguments.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::default_namespaced(client),
    };
    match tokio::time::timeout(arguments.timeout, await_condition(api.clone(), name, is_ready())).await {
        Ok(Ok(_)) => Ok(name.to_owned()),
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

/// Until the operator behind an address says that it is ready; no cluster is asked.
async fn operator(address: &Uri, limit: Duration) -> anyhow::Result<String> {
    let client = Client::try_from(Config::new(address.clone())).context("making a client")?;
    let ask = async || anyhow::Ok(client.request_text(Request::get("/readyz").body(Vec::new())?).await?);
    let mut said = "it did not answer".to_owned();
    let ready = async {
        while let Err(error) = ask().await {
            said = error.to_string();
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(limit, ready).await.is_err() {
        bail!("the operator at {address} is not ready: {said}");
    }
    Ok(format!("the operator at {address}"))
}
