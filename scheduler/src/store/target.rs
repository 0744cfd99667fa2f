//! How the database is reached: address, user, password, TLS.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cue_scheduler_config::SslMode;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::StoreError;

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database name.
    pub database: String,
    /// User.
    pub user: String,
    /// Where the password comes from.
    pub password: Password,
    /// The server itself.
    pub direct: Direct,
    /// TLS.
    pub tls: Tls,
    /// Most connections.
    pub pool_size: u32,
    /// Of these, the connections for booking transactions; at least one is left for reading.
    pub booking_connections: u32,
    /// `application_name` of every session, at most 63 bytes.
    pub member: String,
}

/// How the database server itself is reached, where `host` and `port` are a pooler's.
#[derive(Clone, Debug, Default)]
pub struct Direct {
    /// Host name or address; `None` if it is the same.
    pub host: Option<String>,
    /// Port; `None` if it is the same.
    pub port: Option<u16>,
}

impl Direct {
    /// Whether it is reached like everything else.
    pub(super) fn is_same(&self) -> bool {
        self.host.is_none() && self.port.is_none()
    }
}

/// Where the password comes from. It does not print the password.
#[derive(Clone)]
pub enum Password {
    /// This text.
    Text(String),
    /// What stands in this file now, without the line end.
    File(PathBuf),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("***"),
            Self::File(path) => path.fmt(f),
        }
    }
}

/// TLS to the database: `database.sslmode` and what goes with it.
#[derive(Clone, Debug)]
pub struct Tls {
    /// How far it goes.
    pub mode: SslMode,
    /// Authorities that are trusted beside the system's.
    pub root_cert: Option<PathBuf>,
    /// What is shown to the server: certificate and private key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Default for Tls {
    /// If the server offers it.
    fn default() -> Self {
        Self { mode: SslMode::Prefer, root_cert: None, client: None }
    }
}

impl Tls {
    fn apply(&self, options: PgConnectOptions) -> PgConnectOptions {
        let mode = match (self.mode, &self.root_cert) {
            (SslMode::Disable, _) => PgSslMode::Disable,
            (SslMode::Prefer, _) => PgSslMode::Prefer,
            (SslMode::Require, None) => PgSslMode::Require,
            // As libpq has it: who names an authority wants it asked.
            (SslMode::Require, Some(_)) | (SslMode::VerifyCa, _) => PgSslMode::VerifyCa,
            (SslMode::VerifyFull, _) => PgSslMode::VerifyFull,
        };
        let mut options = options.ssl_mode(mode);
        if let Some(authority) = &self.root_cert {
            options = options.ssl_root_cert(authority);
        }
        if let Some((certificate, key)) = &self.client {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        options
    }
}

impl Target {
    /// For sqlx; without the password if that stands in a file, and with no settings for the session that a pooler might refuse.
    pub(super) fn options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(&self.user)
            .application_name(&self.member)
            // It concerns numbers as text, of which there are none.
            .extra_float_digits(None);
        let options = match &self.password {
            Password::Text(password) => options.password(password),
            Password::File(_) => options,
        };
        self.tls.apply(options)
    }
}

/// A file with a password, and what stood in it last.
#[derive(Clone, Debug)]
pub(super) struct PasswordFile {
    path: Arc<Path>,
    last: Arc<Mutex<Option<String>>>,
}

impl PasswordFile {
    pub(super) fn of(target: &Target) -> Option<Self> {
        match &target.password {
            Password::Text(_) => None,
            Password::File(path) => Some(Self { path: path.as_path().into(), last: Arc::default() }),
        }
    }

    /// The password, if it is another than last time.
    pub(super) async fn changed(&self) -> Result<Option<String>, StoreError> {
        let text = tokio::fs::read_to_string(&self.path).await;
        let text = text.map_err(|source| StoreError::PasswordFile { path: self.path.to_path_buf(), source })?;
        let password = text.trim_end_matches(['\r', '\n']).to_owned();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() == Some(&password) {
            return Ok(None);
        }
        *last = Some(password.clone());
        Ok(Some(password))
    }
}
