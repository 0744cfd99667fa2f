//! A private PostgreSQL server, and a database for everyone who asks.
//!
//! The server lives in a temporary folder, listens on loopback at a free port, and dies with the process that started it. Its
//! template database is made once; each test copies it, so that no test sees another's rows. PostgreSQL refuses to run as root:
//! there it is started as another user.

pub mod binaries;
pub mod template;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cue_scheduler::store::{Direct, Password, Target, Tls};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

/// The superuser of the server, and the only role.
const USER: &str = "postgres";

/// The database that all others are copied from.
const TEMPLATE: &str = "opencue_template";

/// Users to run the server as, where it must not run as root.
const UNPRIVILEGED: [&str; 3] = ["postgres", "nobody", "daemon"];

/// How the server is to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Wait for the disk. Tests don't need it; a published figure does.
    pub fsync: bool,
    /// More settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// More files of its data folder, such as certificates or another `pg_hba.conf`: name and content.
    pub files: Vec<(String, String)>,
    /// The folder with the server programs; `None` to find them.
    pub binaries: Option<PathBuf>,
    /// A folder of migrations to make the template from; `None` takes what [`template::MIGRATIONS_VARIABLE`] names, else our own
    /// schema.
    pub migrations: Option<PathBuf>,
}

/// A running server.
pub struct Server {
    port: u16,
    /// The watching shell; closing its standard input tells it to stop the server.
    process: Child,
    command: Invocation,
    databases: AtomicU32,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are ended, and everything is written out.
    Fast,
    /// As a power cut would: the next start recovers from the log.
    Immediate,
}

/// How the server is started.
#[derive(Debug)]
struct Invocation {
    user: Option<&'static str>,
    binaries: PathBuf,
    folder: PathBuf,
    settings: Vec<(String, String)>,
}

impl Server {
    /// Starts a server and makes the template.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let binaries = options.binaries.map_or_else(binaries::find, Ok)?;
        let folder = tempfile::Builder::new().prefix("cue-postgres-").tempdir()?;
        let user = unprivileged_user(folder.path())?;
        let initdb = run_as(user, &binaries.join("initdb"))
            .args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(folder.path().join("data"))
            .output()
            .await
            .with_context(|| format!("running {}", binaries.join("initdb").display()))?;
        ensure!(initdb.status.success(), "initdb failed: {}", String::from_utf8_lossy(&initdb.stderr));

        let port = free_port()?;
        let mut settings: Vec<(String, String)> = [
            ("port", port.to_string()),
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("unix_socket_directories", String::new()),
            ("max_connections", "200".to_owned()),
            ("fsync", if options.fsync { "on" } else { "off" }.to_owned()),
            ("shared_preload_libraries", "pg_stat_statements".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec();
        if !has_pg_stat_statements(&binaries) {
            settings.retain(|(key, _)| key != "shared_preload_libraries");
        }
        settings.extend(options.settings);
        for (name, content) in &options.files {
            write_for_server(&folder.path().join("data").join(name), content)?;
        }
        let command = Invocation { user, binaries, folder: folder.path().to_owned(), settings };
        let process = command.start()?;
        // From here on the watching shell removes it.
        let _ = folder.keep();
        let server = Self { port, process, command, databases: AtomicU32::new(0) };
        server.wait().await?;
        let migrations =
            options.migrations.or_else(|| std::env::var_os(template::MIGRATIONS_VARIABLE).map(PathBuf::from));
        server.make_template(migrations.as_deref()).await?;
        Ok(server)
    }

    /// The server that all tests of a process share.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Server> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(Options::default())).await
    }

    /// A new database from the template.
    pub async fn database(&self) -> anyhow::Result<Database> {
        self.copy(TEMPLATE).await
    }

    /// A copy of a database that nobody is connected to.
    pub async fn copy_of(&self, database: &Database) -> anyhow::Result<Database> {
        self.copy(&database.name).await
    }

    /// Stops the server as a power cut would, and keeps its data for [`Server::start_again`].
    pub async fn cut_off(&mut self) -> anyhow::Result<()> {
        self.shut_down(Shutdown::Immediate).await
    }

    /// Stops the server, and keeps its data for [`Server::start_again`].
    pub async fn shut_down(&mut self, how: Shutdown) -> anyhow::Result<()> {
        std::fs::write(self.command.folder.join(KEPT), "")?;
        // Held until the end: the watching shell takes its closing for an order to be immediate.
        let hold = self.process.stdin.take();
        let _hold = match how {
            Shutdown::Immediate => {
                drop(hold);
                None
            }
            Shutdown::Fast => {
                let file = std::fs::read_to_string(self.command.folder.join("data/postmaster.pid"))?;
                let number = file.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
                kill_process(number.context("the server's file has no number of a process")?, Signal::INT)?;
                hold
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(30), self.process.wait()).await;
        ended.context("PostgreSQL does not end")??;
        Ok(())
    }

    /// Starts the server again, at the same port with the same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        std::fs::remove_file(self.command.folder.join(KEPT)).context("the server was not cut off")?;
        self.process = self.command.start()?;
        self.wait().await
    }

    /// Removes a database by its name, with whoever is connected.
    pub async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        let mut admin = PgConnection::connect_with(&options(self.port, "postgres")).await?;
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&mut admin).await?;
        admin.close().await?;
        Ok(())
    }

    async fn copy(&self, template: &str) -> anyhow::Result<Database> {
        let name = format!("copy_{}_{}", std::process::id(), self.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect_with(&options(self.port, "postgres")).await?;
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        // Two copies of one template at once are refused while the other is being made.
        let mut tries = 0;
        while let Err(error) = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut admin).await {
            tries += 1;
            if tries == 100 {
                return Err(error).with_context(|| format!("copying the database {template}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        admin.close().await?;
        Ok(Database { name, port: self.port })
    }

    async fn wait(&self) -> anyhow::Result<()> {
        for _ in 0..600 {
            if let Ok(connection) = PgConnection::connect_with(&options(self.port, "postgres")).await {
                connection.close().await?;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.command.folder.join("log")).unwrap_or_default();
        bail!("PostgreSQL did not answer within 30 s; its log:\n{log}")
    }

    async fn make_template(&self, migrations: Option<&Path>) -> anyhow::Result<()> {
        let mut admin = PgConnection::connect_with(&options(self.port, "postgres")).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {TEMPLATE}"))).execute(&mut admin).await?;
        admin.close().await?;
        let mut connection = PgConnection::connect_with(&options(self.port, TEMPLATE)).await?;
        for piece in template::pieces(migrations)? {
            let done = sqlx::raw_sql(AssertSqlSafe(piece.sql)).execute(&mut connection).await;
            done.with_context(|| format!("running {}", piece.name))?;
        }
        connection.close().await?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        for _ in 0..100 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Where the shell was told to keep it.
        let folder = &self.command.folder;
        if folder.join(KEPT).exists() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// One database of a [`Server`].
#[derive(Clone, Debug)]
pub struct Database {
    name: String,
    port: u16,
}

impl Database {
    /// Connections to it.
    pub async fn pool(&self) -> anyhow::Result<PgPool> {
        let options = options(self.port, &self.name);
        Ok(PgPoolOptions::new().max_connections(20).connect_with(options).await?)
    }

    /// How a scheduler reaches it.
    pub fn target(&self, pool_size: u32) -> Target {
        Target {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: self.name.clone(),
            user: USER.to_owned(),
            password: Password::Text(String::new()),
            direct: Direct::default(),
            tls: Tls::default(),
            pool_size,
            booking_connections: 3,
            member: "cue-scheduler/test".to_owned(),
        }
    }

    /// Removes it, with whoever is connected.
    pub async fn drop(self) -> anyhow::Result<()> {
        let mut admin = PgConnection::connect_with(&options(self.port, "postgres")).await?;
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name))).execute(&mut admin).await?;
        admin.close().await?;
        Ok(())
    }
}

fn options(port: u16, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username(USER).database(database)
}

/// A file of this name in the server's folder tells the watching shell not to remove the folder.
const KEPT: &str = "kept";

impl Invocation {
    fn start(&self) -> anyhow::Result<Child> {
        let Self { user, binaries, folder, settings } = self;
        let mut command = watched(*user, folder, "QUIT", &binaries.join("postgres"))?;
        command.arg("-D").arg(folder.join("data"));
        for (key, value) in settings {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        command.spawn().context("starting PostgreSQL")
    }
}

/// A server program under a shell that ends it with this signal and removes its folder when this process is gone: the shell waits
/// for the end of its standard input, which this process holds open. What it prints is in the folder's `log`.
pub(crate) fn watched(user: Option<&str>, folder: &Path, signal: &str, program: &Path) -> anyhow::Result<Command> {
    const WATCH: &str = r#"
        exec 3<&0
        folder=$1; signal=$2; shift 2
        "$@" </dev/null 3<&- & server=$!
        (cat <&3 >/dev/null; kill -s $signal $server 2>/dev/null) & watch=$!
        wait $server
        kill $watch 2>/dev/null
        cd / && { [ -e "$folder/kept" ] || rm -rf "$folder"; }"#;
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
    let mut command = run_as(user, Path::new("/bin/sh"));
    command.args(["-c", WATCH, "sh"]).arg(folder).arg(signal).arg(program);
    // A signal to the foreground group, such as Ctrl-C, is not for the server: it ends with this process.
    command.process_group(0).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// Writes a file that the server alone may read, as it wants it for keys.
fn write_for_server(path: &Path, content: &str) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("writing {}", path.display()))?;
    let folder = std::fs::metadata(path.parent().context("a file lies in a folder")?)?;
    std::os::unix::fs::chown(path, Some(folder.uid()), Some(folder.gid()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// A command as that user; `None` for the own one.
fn run_as(user: Option<&str>, program: &Path) -> Command {
    match user {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user_group(user), "--clear-groups", "--"]).arg(program);
            command
        }
    }
}

fn user_group(user: &str) -> &str {
    if user == "nobody" { "nogroup" } else { user }
}

/// For root: a user to run a server as, who is given the folder.
pub(crate) fn unprivileged_user(folder: &Path) -> anyhow::Result<Option<&'static str>> {
    if std::fs::metadata(folder)?.uid() != 0 {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    for user in UNPRIVILEGED {
        let Some(line) = passwd.lines().find(|line| line.split(':').next() == Some(user)) else { continue };
        let ids: Vec<u32> = line.split(':').skip(2).take(2).filter_map(|id| id.parse().ok()).collect();
        let [uid, gid] = ids[..] else { continue };
        std::os::unix::fs::chown(folder, Some(uid), Some(gid))?;
        return Ok(Some(user));
    }
    bail!("this server does not run as root, and there is none of the users {}", UNPRIVILEGED.join(", "))
}

/// Whether the server's folder of libraries has the extension that counts statements. Distributions put links to the programs
/// on `PATH`, so the real place is looked at.
fn has_pg_stat_statements(binaries: &Path) -> bool {
    let real = binaries.join("postgres").canonicalize().ok();
    let version = real.as_deref().and_then(Path::parent).and_then(Path::parent);
    ["lib", "lib/postgresql", "lib64/pgsql"]
        .iter()
        .any(|folder| version.is_some_and(|version| version.join(folder).join("pg_stat_statements.so").is_file()))
}

/// A port of loopback that is free now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
