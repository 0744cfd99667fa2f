//! Programs of others that tests work with: looked for where people keep them. On a machine without one, Debian's packages are
//! unpacked into the target folder, which installs nothing and needs no root.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::python::target_folder;

/// Folders beside those of `PATH` where distributions put programs that serve.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Where a program comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What the program is called.
    pub program: &'static str,
    /// The variable that names it outright.
    pub variable: &'static str,
    /// Debian's packages: the one that it is in, and those with libraries that are seldom there without it.
    pub packages: &'static [&'static str],
    /// Where it is in them.
    pub place: &'static str,
}

/// A program, and where its libraries are if not where all are.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    libraries: Option<PathBuf>,
}

impl Program {
    /// Finds it, or unpacks it: once, whoever asks.
    pub async fn find(source: &Source) -> anyhow::Result<Self> {
        let Source { program, variable, packages, .. } = source;
        if let Some(named) = std::env::var_os(variable).map(PathBuf::from) {
            ensure!(named.is_file(), "{variable}={} is no program", named.display());
            return Ok(Self { path: named, libraries: None });
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
        if let Some(path) = folders.map(|folder| folder.join(program)).find(|path| path.is_file()) {
            return Ok(Self { path, libraries: None });
        }
        Self::unpack(source).await.with_context(|| {
            format!(
                "no {program} was found on PATH, and Debian's package can't be unpacked either. Install it (Debian: `apt-get \
                 install {package}`, Red Hat: `dnf install {package}`) or set {variable} to the program",
                package = packages[0]
            )
        })
    }

    /// A command that starts it, told where its libraries are.
    pub fn with_libraries<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        match &self.libraries {
            Some(libraries) => command.env("LD_LIBRARY_PATH", libraries),
            None => command,
        }
    }

    async fn unpack(source: &Source) -> anyhow::Result<Self> {
        let base = target_folder()?;
        std::fs::create_dir_all(&base)?;
        let folder = base.join(source.packages[0]);
        let lock = std::fs::File::create(folder.with_extension("lock"))?;
        lock.lock()?;
        if !folder.is_dir() {
            let parts = tempfile::Builder::new().prefix("debian-").tempdir_in(&base)?;
            download(source.packages, parts.path()).await?;
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
        Ok(Self { path: folder.join(source.place), libraries: libraries(&folder) })
    }
}

/// The folder of libraries, which is named after the machine: `x86_64-linux-gnu`. Some packages bring none.
fn libraries(folder: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(folder.join("usr/lib")).ok()?;
    folders.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.to_string_lossy().ends_with("-linux-gnu"))
}

/// Fetches packages; when the lists of packages are old or missing, after fetching those.
async fn download(packages: &[&str], folder: &Path) -> anyhow::Result<()> {
    let download = async || {
        let mut command = Command::new("apt-get");
        command.args(["download", "--quiet"]).args(packages).current_dir(folder);
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
