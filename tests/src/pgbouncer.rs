//! A real `PgBouncer` before a server, which deals the server's sessions out for one transaction each.
//!
//! The program is looked for where people keep it. On a machine without it, Debian's packages are unpacked into the target folder,
//! which installs nothing and needs no root.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cue_scheduler::store::Target;
use tokio::process::{Child, Command};

use crate::postgres::{free_port, unprivileged_user, watched};
use crate::python::target_folder;

/// The variable that names the program outright.
const VARIABLE: &str = "PGBOUNCER";

/// Folders beside those of `PATH` where distributions put it.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The program, and libraries of its that are seldom there without it.
const PACKAGES: [&str; 3] = ["pgbouncer", "libc-ares2", "libevent-2.1-7"];

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
        let program = Program::find().await?;
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
        if let Some(libraries) = &program.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let process = command.arg(folder.path().join("settings")).spawn().context("starting PgBouncer")?;
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

/// The program, and where its libraries are if not where all are.
struct Program {
    path: PathBuf,
    libraries: Option<PathBuf>,
}

impl Program {
    async fn find() -> anyhow::Result<Self> {
        if let Some(named) = std::env::var_os(VARIABLE).map(PathBuf::from) {
            ensure!(named.is_file(), "{VARIABLE}={} is no program", named.display());
            return Ok(Self { path: named, libraries: None });
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
        if let Some(path) = folders.map(|folder| folder.join("pgbouncer")).find(|path| path.is_file()) {
            return Ok(Self { path, libraries: None });
        }
        Self::unpack().await.with_context(|| {
            format!(
                "no PgBouncer was found on PATH, and Debian's package can't be unpacked either. Install it (Debian: `apt-get \
                 install pgbouncer`, Red Hat: `dnf install pgbouncer`) or set {VARIABLE} to the program"
            )
        })
    }

    /// From Debian's packages, once.
    async fn unpack() -> anyhow::Result<Self> {
        let base = target_folder()?;
        std::fs::create_dir_all(&base)?;
        let lock = std::fs::File::create(base.join("pgbouncer.lock"))?;
        lock.lock()?;
        let folder = base.join("pgbouncer");
        if !folder.is_dir() {
            let parts = tempfile::Builder::new().prefix("pgbouncer-").tempdir_in(&base)?;
            download(parts.path()).await?;
            let unpacked = parts.path().join("unpacked");
            for entry in std::fs::read_dir(parts.path())? {
                let package = entry?.path();
                if package.extension().is_some_and(|extension| extension == "deb") {
                    let mut command = Command::new("dpkg-deb");
                    succeeded(&command.arg("--extract").arg(package).arg(&unpacked).output().await?)?;
                }
            }
            std::fs::rename(unpacked, &folder)?;
        }
        // Named after the machine: `x86_64-linux-gnu`.
        let libraries = std::fs::read_dir(folder.join("usr/lib"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with("-linux-gnu"))
            .context("the packages hold no libraries")?;
        Ok(Self { path: folder.join("usr/sbin/pgbouncer"), libraries: Some(libraries) })
    }
}

/// Fetches [`PACKAGES`]; when the lists of packages are old or missing, after fetching those.
async fn download(folder: &Path) -> anyhow::Result<()> {
    let download = async || {
        let mut command = Command::new("apt-get");
        command.args(["download", "--quiet"]).args(PACKAGES).current_dir(folder);
        succeeded(&command.output().await.context("running apt-get")?)
    };
    if download().await.is_ok() {
        return Ok(());
    }
    succeeded(&Command::new("apt-get").args(["update", "--quiet"]).output().await.context("running apt-get")?)?;
    download().await
}

fn succeeded(output: &Output) -> anyhow::Result<()> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
