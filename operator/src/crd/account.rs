//! The account that pods run under.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The ServiceAccount of the pods. Its token is not mounted: a scheduler asks Kubernetes nothing.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.create) || self.create || has(self.name)")
    .message("a serviceAccount that is not created needs the name of one that is there"))]
pub struct ServiceAccount {
    /// Whether the operator makes it. Unset: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
    /// Its name. Unset: that of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Annotations, for instance for the identity of a cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}
