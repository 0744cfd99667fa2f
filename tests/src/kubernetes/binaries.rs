//! The programs of a Kubernetes: those that are there (`KUBEBUILDER_ASSETS`, `PATH`), or built from their Go modules once and kept
//! in the user's cache folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::digest;

/// Each program, and the package that it is built from.
const PROGRAMS: [(&str, &str); 8] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("helm", "helm.sh/helm/v4/cmd/helm"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
];

/// How many of them are a control plane and its clients; the others are for a node.
const OF_CONTROL_PLANE: usize = 5;

/// Where the programs are.
#[derive(Debug)]
pub struct Binaries(BTreeMap<&'static str, PathBuf>);

impl Binaries {
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
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane");
        let cache = cache()?.join(format!("control-plane-{}", key(&module)?));
        let found = |name| Some((name, find(name, &cache)?));
        let there: BTreeMap<&str, PathBuf> = PROGRAMS.iter().filter_map(|(name, _)| found(*name)).collect();
        if needed.iter().all(|(name, _)| there.contains_key(name)) {
            return Ok(Self(there));
        }
        let missing: Vec<(&str, &str)> = PROGRAMS.into_iter().filter(|(name, _)| !there.contains_key(name)).collect();
        build(&module, &cache, &missing)?;
        let built = missing.iter().map(|(name, _)| (*name, cache.join(name)));
        Ok(Self(there.into_iter().chain(built).collect()))
    }

    /// Where a program is.
    pub fn path(&self, name: &str) -> &Path {
        // A name that is none of theirs is found by nobody, and whoever starts it says so.
        self.0.get(name).map_or_else(|| Path::new(""), PathBuf::as_path)
    }
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
fn build(module: &Path, cache: &Path, missing: &[(&str, &str)]) -> anyhow::Result<()> {
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    println!("building {names} from their Go modules; this takes a quarter of an hour, once");
    let started = Instant::now();
    let folder = cache.with_extension("new");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitVersion={v} -X {version}.gitMajor=1 -X {version}.gitMinor=37 -X {version}.gitTreeState=clean",
        v = kubernetes_version(module)?
    );
    let status = Command::new("go")
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .args(["build", "-ldflags", &flags, "-o"])
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
    for (name, _) in missing {
        // The package of etcd is called `server`.
        let built = if *name == "etcd" { "server" } else { name };
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
