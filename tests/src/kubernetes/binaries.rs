//! The programs of a Kubernetes, and the Prometheus Operator: those that are there (`KUBEBUILDER_ASSETS`, `PATH`), or built from their
//! Go modules once and kept in the user's cache folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::digest;

/// Each program, and the package that it is built from.
const PROGRAMS: [(&str, &str); 8] = [
    ("helm", "helm.sh/helm/v4/cmd/helm"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
];

/// How many of them are for people.
const OF_CLIENTS: usize = 2;

/// How many of them are those and a control plane; the others are for a node.
const OF_CONTROL_PLANE: usize = 6;

/// The Prometheus Operator, which is built apart: it needs other versions of what Kubernetes is made of.
const PROMETHEUS_OPERATOR: (&str, &str) =
    ("prometheus-operator", "github.com/prometheus-operator/prometheus-operator/cmd/operator");

/// The module that it is in, with its definitions.
pub const PROMETHEUS_OPERATOR_MODULE: &str = "github.com/prometheus-operator/prometheus-operator@v0.85.0";

/// Where the programs are.
#[derive(Debug)]
pub struct Binaries(BTreeMap<&'static str, PathBuf>);

impl Binaries {
    /// `kubectl` and Helm, for a cluster that is there.
    pub fn of_clients() -> anyhow::Result<&'static Self> {
        Self::kept(&PROGRAMS[..OF_CLIENTS])
    }

    /// Finds those of a control plane, with `kubectl` and Helm; or builds them: once, whoever asks. Says why if neither works.
    pub fn of_control_plane() -> anyhow::Result<&'static Self> {
        Self::kept(&PROGRAMS[..OF_CONTROL_PLANE])
    }

    /// All of them, for a cluster on which pods run.
    pub fn of_cluster() -> anyhow::Result<&'static Self> {
        Self::kept(&PROGRAMS)
    }

    fn kept(needed: &[(&'static str, &str)]) -> anyhow::Result<&'static Self> {
        static FOUND: OnceLock<Binaries> = OnceLock::new();
        if FOUND.get().is_none() {
            let _ = FOUND.set(Self::find_or_build(needed)?);
        }
        let found = FOUND.get().context("the programs were found")?;
        match needed.iter().find(|(name, _)| !found.0.contains_key(name)) {
            Some((name, _)) => bail!("this process has begun without {name}"),
            None => Ok(found),
        }
    }

    /// Where something that is needed is missing, everything that is missing is built: most of the work is what all share.
    fn find_or_build(needed: &[(&'static str, &str)]) -> anyhow::Result<Self> {
        let module = module("controlplane");
        let cache = cache()?.join(format!("control-plane-{}", key(&module)?));
        let found = |name| Some((name, find(name, &cache)?));
        let there: BTreeMap<&str, PathBuf> = PROGRAMS.iter().filter_map(|(name, _)| found(*name)).collect();
        if needed.iter().all(|(name, _)| there.contains_key(name)) {
            return Ok(Self(there));
        }
        let missing: Vec<(&str, &str)> = PROGRAMS.into_iter().filter(|(name, _)| !there.contains_key(name)).collect();
        let version = "k8s.io/component-base/version";
        let flags = format!(
            "-X {version}.gitVersion={v} -X {version}.gitMajor=1 -X {version}.gitMinor=37 -X {version}.gitTreeState=clean",
            v = kubernetes_version(&module)?
        );
        build(&module, &cache, &missing, &flags)?;
        let built = missing.iter().map(|(name, _)| (*name, cache.join(name)));
        Ok(Self(there.into_iter().chain(built).collect()))
    }

    /// Where a program is.
    pub fn path(&self, name: &str) -> &Path {
        // A name that is none of theirs is found by nobody, and whoever starts it says so.
        self.0.get(name).map_or_else(|| Path::new(""), PathBuf::as_path)
    }
}

/// Finds the Prometheus Operator, or builds it.
pub fn prometheus_operator() -> anyhow::Result<PathBuf> {
    let module = module("prometheus-operator");
    let (name, _) = PROMETHEUS_OPERATOR;
    let cache = cache()?.join(format!("{name}-{}", key(&module)?));
    if let Some(found) = find(name, &cache) {
        return Ok(found);
    }
    build(&module, &cache, &[PROMETHEUS_OPERATOR], "")?;
    Ok(cache.join(name))
}

/// The folder of a Go module with its version, fetched if it is not there.
pub fn fetched(module: &str) -> anyhow::Result<PathBuf> {
    // Outside of any module, so that none is changed.
    let outside = tempfile::tempdir()?;
    let output = Command::new("go").args(["mod", "download", "-json", module]).current_dir(outside.path()).output();
    let output = output.with_context(|| format!("{module} is fetched with Go"))?;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let folder = said["Dir"].as_str().with_context(|| format!("{module}: {}", String::from_utf8_lossy(&output.stdout)));
    Ok(PathBuf::from(folder?))
}

/// A module of this workspace that says what is built.
fn module(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn cache() -> anyhow::Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = given.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    Ok(folder.context("no cache folder: neither XDG_CACHE_HOME nor HOME is set")?.join("cue-scheduler"))
}

/// Another version of anything is another folder.
fn key(module: &Path) -> anyhow::Result<String> {
    let file = module.join("go.mod");
    let text = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    Ok(digest(&text)[..12].to_owned())
}

fn find(name: &str, cache: &Path) -> Option<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = assets.into_iter().chain(std::env::split_paths(&path)).chain([cache.to_owned()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// One build for all, since they share most packages.
fn build(module: &Path, cache: &Path, missing: &[(&str, &str)], flags: &str) -> anyhow::Result<()> {
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    println!("building {names} from their Go modules; this takes about ten minutes, once");
    let started = Instant::now();
    let folder = cache.with_extension("new");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let status = Command::new("go")
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .args(["build", "-ldflags", &format!("-s -w {flags}"), "-o"])
        .arg(&folder)
        .args(missing.iter().map(|(_, package)| *package))
        .status()
        .with_context(|| {
            format!("{names} are neither in KUBEBUILDER_ASSETS nor on the PATH, and can't be built without Go")
        })?;
    if !status.success() {
        bail!("go build of {names} ended with {status}");
    }
    std::fs::create_dir_all(cache)?;
    for (name, package) in missing {
        // It is called as its package, whose version does not count.
        let built = package.trim_end_matches("/v3").rsplit('/').next().unwrap_or(name);
        std::fs::rename(folder.join(built), cache.join(name)).with_context(|| format!("keeping {name}"))?;
    }
    println!("built in {} s", started.elapsed().as_secs());
    Ok(())
}

fn kubernetes_version(module: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(module.join("go.mod"))?;
    let line = text.lines().find(|line| line.trim().starts_with("k8s.io/kubernetes v"));
    // `// indirect` may come after it.
    let version = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(version.context("go.mod says no version of k8s.io/kubernetes")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prometheus_operator_is_built_of_the_version_whose_definitions_are_installed() {
        let manifest = std::fs::read_to_string(module("prometheus-operator").join("go.mod")).unwrap();
        let required = PROMETHEUS_OPERATOR_MODULE.replace('@', " ");
        assert!(manifest.contains(&required), "go.mod does not require {required}");
    }
}
