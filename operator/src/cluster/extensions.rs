//! Which extensions the cluster has: asked at the start, and every half minute, since they are installed and removed while the
//! operator runs. It is also how an API server that answers nothing any more is noticed while nothing is to be done.

use std::time::Duration;

use kube::Client;

use crate::crd::MonitoringStatus;
use crate::desired::Kind;
use crate::reconcile::error::{code, timely};

/// How often is asked.
pub const PERIOD: Duration = Duration::from_secs(30);

/// What is there, and why nobody answers, if so. A group that can't be asked is one that is missing, unless it was there `before`.
pub async fn discover(client: &Client, before: MonitoringStatus) -> (MonitoringStatus, Option<String>) {
    let mut silence = None;
    let mut kinds = async |group: &'static str| match timely(client.list_api_group_resources(group)).await {
        Ok(list) => Some(list.resources.into_iter().map(|resource| resource.kind).collect::<Vec<_>>()),
        Err(kube::Error::Api(status)) if status.code == 404 => Some(Vec::new()),
        Err(error) => {
            tracing::debug!(group, error = %error, "the extension's group could not be asked");
            if code(&error).is_none() {
                silence = Some(format!("asking the API server: {error}"));
            }
            None
        }
    };
    let prometheus = kinds("monitoring.coreos.com/v1").await;
    let keda = kinds("keda.sh/v1alpha1").await;
    let has = |found: &Option<Vec<String>>, kind: Kind, before: bool| {
        found.as_ref().map_or(before, |kinds| kinds.iter().any(|found| found == kind.name()))
    };
    let found = MonitoringStatus {
        service_monitors: has(&prometheus, Kind::ServiceMonitor, before.service_monitors),
        pod_monitors: has(&prometheus, Kind::PodMonitor, before.pod_monitors),
        prometheus_rules: has(&prometheus, Kind::PrometheusRule, before.prometheus_rules),
        scaled_objects: has(&keda, Kind::ScaledObject, before.scaled_objects),
    };
    (found, silence)
}

/// Each extension, and whether it is there.
pub fn kinds(status: MonitoringStatus) -> [(Kind, bool); 4] {
    [
        (Kind::ServiceMonitor, status.service_monitors),
        (Kind::PodMonitor, status.pod_monitors),
        (Kind::PrometheusRule, status.prometheus_rules),
        (Kind::ScaledObject, status.scaled_objects),
    ]
}
