//! Where OpenCue's database is, and how it is reached.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// OpenCue's PostgreSQL database.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.sslMode) || self.sslMode != 'verify-ca' || has(self.ca)")
        .message("sslMode verify-ca needs a ca: any authority of the system would do otherwise; verify-full does without"),
    validation = Rule::new("!has(self.ca) || (has(self.sslMode) && self.sslMode in ['require', 'verify-ca', 'verify-full'])")
        .message("a ca is looked at with sslMode require, verify-ca or verify-full only"),
    validation = Rule::new("!has(self.clientCertificateSecretRef) || !has(self.sslMode) || self.sslMode != 'disable'")
        .message("a client certificate is shown over TLS only, and sslMode is disable"),
    validation = Rule::new("!has(self.directPort) || has(self.directHost)")
        .message("directPort goes with directHost"),
)]
pub struct Database {
    /// The host of the server, or of a pooler before it. Unset: the key host of the credentials Secret, as CloudNativePG
    /// writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// The port. Unset: 5432; the key port of the Secret, where the host is taken from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The name of the database. Unset: cuebot; the key dbname of the Secret, where the host is taken from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// How far TLS goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_mode: Option<SslMode>,
    /// The certificate authorities that are trusted beside the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CertificateAuthority>,
    /// The certificate that the schedulers show the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<ClientCertificate>,
    /// The Secret of this namespace with user and password. When it changes, the pods are replaced one after another.
    pub credentials_secret_ref: Credentials,
    /// Most connections of one replica for work; two more are used for coordination and listening. Unset: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 10_000))]
    pub pool_size: Option<i32>,
    /// The server itself, where host is a pooler: coordination between replicas needs a session of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub direct_host: Option<String>,
    /// The port of directHost. Unset: port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub direct_port: Option<i32>,
    /// How many connections the server has for all these schedulers together. More that they could need is told in the condition
    /// DatabaseConnections. Unset: 100, PostgreSQL's own default for all its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connection_budget: Option<i32>,
}

/// How far TLS goes, in libpq's words. Unset: prefer.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Always, with whatever certificate.
    Require,
    /// With a certificate of a trusted authority.
    VerifyCa,
    /// And for the name of the host.
    VerifyFull,
}

impl SslMode {
    /// As scheduler.yaml spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// A PEM file with certificate authorities, from a Secret or a ConfigMap.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Eq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
    .message("a ca comes either from a secretKeyRef or from a configMapKeyRef"))]
pub struct CertificateAuthority {
    /// A Secret of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    /// A ConfigMap of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
}

/// A key of a Secret or ConfigMap.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct KeySelector {
    /// The name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key. Unset: ca.crt.
    #[serde(default = "ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn ca_key() -> String {
    "ca.crt".to_owned()
}

/// A certificate and its key, as cert-manager and CloudNativePG write them.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ClientCertificate {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key of the certificate.
    #[serde(default = "certificate_key")]
    #[schemars(length(min = 1, max = 253))]
    pub certificate_key: String,
    /// The key of the private key, which has no passphrase.
    #[serde(default = "private_key")]
    #[schemars(length(min = 1, max = 253))]
    pub private_key: String,
}

fn certificate_key() -> String {
    "tls.crt".to_owned()
}

fn private_key() -> String {
    "tls.key".to_owned()
}

/// A Secret with user and password.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Credentials {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key of the user's name.
    #[serde(default = "username_key")]
    #[schemars(length(min = 1, max = 253))]
    pub username_key: String,
    /// The key of the password.
    #[serde(default = "password_key")]
    #[schemars(length(min = 1, max = 253))]
    pub password_key: String,
}

fn username_key() -> String {
    "username".to_owned()
}

fn password_key() -> String {
    "password".to_owned()
}
