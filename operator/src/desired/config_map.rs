//! scheduler.yaml of a facility, in a `ConfigMap` that never changes: another text has another name. So pods that roll back find
//! the file that they had, and a change of the file is a change of the pod template.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{BuildError, HTTP_PORT, Kind, meta};
use crate::names::short_hash;
use crate::scheduler_yaml;
use crate::wanted::{Wanted, WantedFacility};

/// The file's name.
pub(super) const FILE: &str = "scheduler.yaml";
/// Where authorities for the database's certificate are mounted.
pub(super) const CA_FOLDER: &str = "/etc/cue-scheduler-ca";
/// Where the client certificate is mounted.
pub(super) const CERTIFICATE_FOLDER: &str = "/etc/cue-scheduler-certificate";

/// The `ConfigMap` of a facility.
pub(super) struct Config {
    pub(super) name: String,
    pub(super) hash: String,
    pub(super) manifest: Value,
}

pub(super) fn build(wanted: &Wanted, facility: &WantedFacility) -> Result<Config, BuildError> {
    let mut config = facility.config.clone();
    let mut fields = database(wanted);
    fields.insert("queue.metrics_port", json!(HTTP_PORT));
    if wanted.compatibility.is_some() {
        scheduler_yaml::retain_upstream(&mut config);
        // Its own default shows nothing at all.
        if !scheduler_yaml::is_set(&config, "logging.level") {
            fields.insert("logging.level", json!("info"));
        }
    } else if !facility.ignore_tags.is_empty() {
        fields.insert("scheduler.ignore_tags", json!(facility.ignore_tags));
    }
    let text = scheduler_yaml::render(&config, &fields)?;
    let hash = short_hash(text.as_bytes(), 10);
    let name = format!("{}-{hash}", facility.names.object);
    let mut manifest = meta::manifest(Kind::ConfigMap, &name, wanted, Some(facility));
    manifest["data"] = json!({ FILE: text });
    manifest["immutable"] = json!(true);
    Ok(Config { name, hash, manifest })
}

/// Where the database is, as far as it is no secret. What is left out comes from the Secret, by the environment.
fn database(wanted: &Wanted) -> BTreeMap<&'static str, Value> {
    let database = &wanted.database;
    let in_secret = database.host.is_none();
    let port = database.port.or((!in_secret).then_some(5432));
    let name = database.name.clone().or((!in_secret).then(|| "cuebot".to_owned()));
    let mut fields = BTreeMap::from([("database.pool_size", json!(database.pool_size.unwrap_or(20)))]);
    let given = [
        ("database.db_host", database.host.as_ref().map(|host| json!(host))),
        ("database.db_port", port.map(|port| json!(port))),
        ("database.db_name", name.map(|name| json!(name))),
        ("database.sslmode", database.ssl_mode.map(|mode| json!(mode.word()))),
        ("database.direct_host", database.direct_host.as_ref().map(|host| json!(host))),
        ("database.direct_port", database.direct_port.map(|port| json!(port))),
        ("database.ssl_root_cert", database.ca.as_ref().map(|_| json!(format!("{CA_FOLDER}/ca.crt")))),
    ];
    fields.extend(given.into_iter().filter_map(|(path, value)| Some((path, value?))));
    if database.client_certificate_secret_ref.is_some() {
        fields.insert("database.ssl_cert", json!(format!("{CERTIFICATE_FOLDER}/tls.crt")));
        fields.insert("database.ssl_key", json!(format!("{CERTIFICATE_FOLDER}/tls.key")));
    }
    fields
}
