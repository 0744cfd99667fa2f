//! `import`: from a scheduler.yaml to a resource and a Secret that do the same.

use anyhow::{Context as _, bail};
use cue_scheduler_config::{Config, Loaded, idle_keys};
use serde_json::{Map, Value, json};

use super::{Import, offline};
use crate::crd::{GROUP, KIND, VERSION};
use crate::{scheduler_yaml, yaml};

/// Both manifests. What could not be taken over is told on standard error.
pub(super) fn import(arguments: &Import) -> anyhow::Result<String> {
    let text = offline::text(&arguments.file)?;
    let file = arguments.file.display().to_string();
    let loaded = Config::from_text(&file, &text)?;
    let raw: Option<Map<String, Value>> = yaml::read(&text).with_context(|| format!("reading {file}"))?;
    let (manifests, notes) = manifests(arguments, &loaded, &raw.unwrap_or_default())?;
    for note in notes {
        eprintln!("cue-scheduler-operator: {file}: {note}");
    }
    Ok(yaml::write_all(&manifests)?)
}

fn manifests(
    arguments: &Import,
    loaded: &Loaded,
    raw: &Map<String, Value>,
) -> anyhow::Result<([Value; 2], Vec<String>)> {
    let mut notes = Vec::new();
    let facilities = match (&arguments.facilities[..], &loaded.config.scheduler.facility) {
        ([], Some(facility)) => vec![facility.clone()],
        ([], None) => bail!("the file names no facility, and a resource needs them by name: give --facility NAME"),
        (given, _) => given.to_vec(),
    };
    let secret_name = format!("{}-database", arguments.name);
    let mut spec = json!({
        "database": database(loaded, &secret_name, &mut notes),
        "facilities": facilities.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
    });
    if !loaded.config.scheduler.ignore_tags.is_empty() {
        spec["ignoreTags"] = json!(loaded.config.scheduler.ignore_tags);
    }
    let config = rest(raw, &mut notes);
    if !config.is_empty() {
        spec["config"] = Value::Object(config);
    }
    let metadata = json!({ "name": arguments.name, "namespace": arguments.namespace });
    let resource =
        json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": KIND, "metadata": metadata, "spec": spec });
    let user = &loaded.config.database.db_user;
    if !loaded.is_set("database.db_pass") {
        notes.push("it has no db_pass: write the password into the Secret".to_owned());
    }
    let password = if loaded.is_set("database.db_pass") { loaded.config.database.db_pass.expose() } else { "" };
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": secret_name, "namespace": arguments.namespace },
        "type": "Opaque",
        "stringData": { "username": user, "password": password },
    });
    Ok(([secret, resource], notes))
}

fn database(loaded: &Loaded, secret: &str, notes: &mut Vec<String>) -> Value {
    let database = &loaded.config.database;
    let mut fields =
        json!({ "host": database.db_host, "name": database.db_name, "credentialsSecretRef": { "name": secret } });
    let given = [
        ("database.db_port", "port", json!(database.db_port)),
        ("database.pool_size", "poolSize", json!(database.pool_size)),
        ("database.sslmode", "sslMode", json!(database.sslmode.word())),
        ("database.direct_host", "directHost", json!(database.direct_host)),
        ("database.direct_port", "directPort", json!(database.direct_port)),
    ];
    for (_, field, value) in given.into_iter().filter(|(path, _, value)| loaded.is_set(path) && !value.is_null()) {
        fields[field] = value;
    }
    for (path, field) in [
        ("database.ssl_root_cert", "spec.database.ca"),
        ("database.ssl_cert", "spec.database.clientCertificateSecretRef"),
    ] {
        if loaded.is_set(path) {
            notes.push(format!("`{path}` is a file: put it into a Secret and name that in {field}"));
        }
    }
    fields
}

/// What stays a key of scheduler.yaml.
fn rest(raw: &Map<String, Value>, notes: &mut Vec<String>) -> Map<String, Value> {
    let mut config = scheduler_yaml::merge(&Map::new(), raw);
    for idle in idle_keys() {
        if scheduler_yaml::is_set(&config, idle.path) {
            notes.push(format!("`{}` has no meaning and is left out: {}", idle.path, idle.why));
            scheduler_yaml::remove(&mut config, idle.path);
        }
    }
    for (path, _) in scheduler_yaml::ELSEWHERE {
        scheduler_yaml::remove(&mut config, path);
    }
    config.retain(|_, value| !value.is_null());
    config
}
