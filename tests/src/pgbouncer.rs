//! A real `PgBouncer` before a server, which deals the server's sessions out for one transaction each.

use std::time::Duration;

use anyhow::{Context as _, bail};
use cue_scheduler::store::Target;
use tokio::process::Child;

use crate::debian::{Program, Source};
use crate::postgres::{free_port, unprivileged_user, watched};

/// The program, and libraries of its that are seldom there without it.
const SOURCE: Source = Source {
    program: "pgbouncer",
    variable: "PGBOUNCER",
    packages: &["pgbouncer", "libc-ares2", "libevent-2.1-7"],
    place: "usr/sbin/pgbouncer",
};

/// A running pooler; it ends with this value.
pub struct PgBouncer {
    port: u16,
    _process: Child,
}

/// What it does with settings of clients that it doesn't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownSettings {
    /// It refuses the connection, as it does by default.
    Refused,
    /// It takes the connection without them: `ignore_startup_parameters`.
    Ignored,
}

impl PgBouncer {
    /// Starts one before the server of `target`, with so many sessions for a database and role.
    pub async fn start(target: &Target, sessions: u32, unknown: UnknownSettings) -> anyhow::Result<Self> {
        let program = Program::find(&SOURCE).await?;
        let folder = tempfile::Builder::new().prefix("cue-pgbouncer-").tempdir()?;
        let user = unprivileged_user(folder.path())?;
        let (port, path) = (free_port()?, folder.path().display());
        let ignored = if unknown == UnknownSettings::Ignored { "ignore_startup_parameters = options" } else { "" };
        let settings = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {path}/users\npool_mode = transaction\ndefault_pool_size = {sessions}\n\
             max_client_conn = 200\n{ignored}\n",
            target.host, target.port
        );
        std::fs::write(folder.path().join("settings"), settings)?;
        std::fs::write(folder.path().join("users"), format!("\"{}\" \"\"\n", target.user))?;
        let mut command = watched(user, folder.path(), "TERM", &program.path)?;
        let process = program
            .with_libraries(&mut command)
            .arg(folder.path().join("settings"))
            .spawn()
            .context("starting PgBouncer")?;
        // From here on the watching shell removes it.
        let folder = folder.keep();
        let answers = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), answers).await.is_err() {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("PgBouncer did not answer within 30 s; its log:\n{log}");
        }
        Ok(Self { port, _process: process })
    }

    /// How a scheduler reaches the database through it.
    pub fn before(&self, target: &Target) -> Target {
        Target { host: "127.0.0.1".to_owned(), port: self.port, ..target.clone() }
    }
}
