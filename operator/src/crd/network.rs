//! Who may reach the schedulers, and whom they may reach.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema;

/// A NetworkPolicy for the schedulers. They may then reach name servers, the database's port and the agents' port, and nothing
/// else.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct NetworkPolicy {
    /// Whether there is one.
    #[serde(default)]
    pub enabled: bool,
    /// Who may reach metrics and status, as the peers of a NetworkPolicy. Unset: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub metrics_from: Option<Vec<Map<String, Value>>>,
    /// Where the database is, as the peers of a NetworkPolicy. Unset: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub database_to: Option<Vec<Map<String, Value>>>,
    /// Where the render hosts are, as the peers of a NetworkPolicy. Unset: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_objects")]
    pub render_hosts_to: Option<Vec<Map<String, Value>>>,
}
