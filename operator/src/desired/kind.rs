//! The kinds of objects that the operator makes.

use kube::api::{ApiResource, GroupVersionKind};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is named as Kubernetes names it")]
pub enum Kind {
    ServiceAccount,
    NetworkPolicy,
    ConfigMap,
    Service,
    PodDisruptionBudget,
    Deployment,
    HorizontalPodAutoscaler,
    ScaledObject,
    ServiceMonitor,
    PodMonitor,
    PrometheusRule,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::ServiceAccount,
        Self::NetworkPolicy,
        Self::ConfigMap,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::ScaledObject,
        Self::ServiceMonitor,
        Self::PodMonitor,
        Self::PrometheusRule,
    ];

    const fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
            Self::ScaledObject => ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
            Self::ServiceMonitor => ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
            Self::PodMonitor => ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
            Self::PrometheusRule => ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
        }
    }

    /// The kind's name.
    pub const fn name(self) -> &'static str {
        self.parts().2
    }

    /// How manifests name the group and version.
    pub fn api_version(self) -> String {
        self.resource().api_version
    }

    /// How the API server is asked for objects of it.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.parts();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// Whether the kind is an extension that a cluster may lack.
    pub const fn is_extension(self) -> bool {
        matches!(self, Self::ScaledObject | Self::ServiceMonitor | Self::PodMonitor | Self::PrometheusRule)
    }
}
