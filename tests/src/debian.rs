//! Programs of others that tests work with: looked for where people keep them. On a machine without one, Debian's packages are
//! unpacked into the target folder, which installs nothing and needs no root.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::python::target_folder;

/// Where packages put programs.
const PROGRAMS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// Folders beside those of `PATH` where distributions put programs that serve.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The file with the names of the packages that a folder was made of.
const LIST: &str = ".packages";

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
    libraries: Option<OsString>,
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
    pub fn with_libraries<'c>(&self, command: &'c mut tokio::process::Command) -> &'c mut tokio::process::Command {
        match &self.libraries {
            Some(libraries) => command.env("LD_LIBRARY_PATH", libraries),
            None => command,
        }
    }

    async fn unpack(source: &Source) -> anyhow::Result<Self> {
        let packages = source.packages;
        let unpacked = tokio::task::spawn_blocking(|| Unpacked::get(packages[0], packages)).await??;
        Ok(Self { path: unpacked.file(source.place), libraries: Some(unpacked.libraries()?) })
    }
}

/// Unpacked packages, with those that they need and the machine hasn't.
#[derive(Clone, Debug)]
pub struct Unpacked {
    folder: PathBuf,
}

impl Unpacked {
    /// Fetches and unpacks packages, once for a name while they are the same.
    pub fn get(name: &str, packages: &[&str]) -> anyhow::Result<Self> {
        let base = target_folder()?;
        std::fs::create_dir_all(&base)?;
        let lock = std::fs::File::create(base.join(format!("{name}.lock")))?;
        lock.lock()?;
        let folder = base.join(name);
        let wanted = packages.join(" ");
        if std::fs::read_to_string(folder.join(LIST)).ok().as_ref() != Some(&wanted) {
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
            let parts = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(&base)?;
            download(parts.path(), packages)?;
            let unpacked = parts.path().join("unpacked");
            for entry in std::fs::read_dir(parts.path())? {
                let package = entry?.path();
                if package.extension().is_some_and(|extension| extension == "deb") {
                    succeeds(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&unpacked))?;
                }
            }
            std::fs::write(unpacked.join(LIST), wanted)?;
            std::fs::rename(unpacked, &folder).with_context(|| format!("keeping {name}"))?;
        }
        Ok(Self { folder })
    }

    /// A file of the packages, by its path on a machine on which they are installed, without the first slash.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// `PATH` with their programs first.
    pub fn path(&self) -> anyhow::Result<OsString> {
        let own = PROGRAMS.map(|folder| self.folder.join(folder));
        let others = std::env::var_os("PATH").unwrap_or_default();
        Ok(std::env::join_paths(own.into_iter().chain(std::env::split_paths(&others)))?)
    }

    /// `LD_LIBRARY_PATH` for their programs.
    pub fn libraries(&self) -> anyhow::Result<OsString> {
        let mut found = Vec::new();
        for folder in ["lib", "usr/lib"] {
            // Named after the machine: `x86_64-linux-gnu`.
            for entry in std::fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().ends_with("-linux-gnu") {
                    found.push(entry.path());
                }
            }
        }
        Ok(std::env::join_paths(found)?)
    }
}

/// Fetches packages and what they need; when the lists of packages are old or missing, after fetching those.
fn download(folder: &Path, packages: &[&str]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder.join("partial"))?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "--download-only", "--no-install-recommends", "--yes", "--quiet"]);
        // Nothing is installed, so nobody has to be kept away meanwhile.
        command.args(["--option", "Debug::NoLocking=1", "--option"]);
        let mut archives = OsString::from("Dir::Cache::archives=");
        archives.push(folder);
        succeeds(command.arg(archives).args(packages))
    };
    if download().is_ok() {
        return Ok(());
    }
    succeeds(Command::new("apt-get").args(["update", "--quiet"]))?;
    download()
}

fn succeeds(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("running {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
