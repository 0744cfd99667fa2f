//! The programs of a control plane: those that are there (`KUBEBUILDER_ASSETS`, `PATH`), or built from their Go modules once
//! and kept in the user's cache folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;

/// Each program, and the package that it is built from.
const PROGRAMS: [(&str, &str); 5] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("helm", "helm.sh/helm/v4/cmd/helm"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// Where the programs are.
pub struct Binaries(BTreeMap<&'static str, PathBuf>);

impl Binaries {
    /// Finds them, or builds those that are missing: once, whoever asks. Says why if neither works.
    pub fn get() -> &'static Self {
        static FOUND: LazyLock<Binaries> = LazyLock::new(Binaries::find_or_build);
        &FOUND
    }

    fn find_or_build() -> Self {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane");
        let cache = cache().join(format!("control-plane-{}", key(&module)));
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for (name, package) in PROGRAMS {
            match find(name, &cache) {
                Some(path) => {
                    found.insert(name, path);
                }
                None => missing.push((name, package)),
            }
        }
        if !missing.is_empty() {
            build(&module, &cache, &missing);
            found.extend(missing.iter().map(|(name, _)| (*name, cache.join(name))));
        }
        Self(found)
    }

    pub fn path(&self, name: &str) -> &Path {
        &self.0[name]
    }
}

fn cache() -> PathBuf {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    given
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .expect("a cache folder")
        .join("cue-scheduler")
}

/// Another version of anything is another folder.
fn key(module: &Path) -> String {
    let text = std::fs::read(module.join("go.mod")).expect("operator/controlplane/go.mod");
    cue_scheduler_operator::names::short_hash(&text, 12)
}

fn find(name: &str, cache: &Path) -> Option<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = assets.into_iter().chain(std::env::split_paths(&path)).chain([cache.to_owned()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// One build for all, since they share most packages.
fn build(module: &Path, cache: &Path, missing: &[(&str, &str)]) {
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    println!("building {} from their Go modules; this takes about 12 minutes, once", names.join(", "));
    let started = Instant::now();
    let folder = cache.with_extension("new");
    std::fs::create_dir_all(&folder).expect("the cache folder");
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitVersion={v} -X {version}.gitMajor=1 -X {version}.gitMinor=37 -X {version}.gitTreeState=clean",
        v = kubernetes_version(module)
    );
    let status = Command::new("go")
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .args(["build", "-ldflags", &flags, "-o"])
        .arg(&folder)
        .args(missing.iter().map(|(_, package)| *package))
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("go build of {} ended with {status}", names.join(", ")),
        Err(error) => panic!(
            "{} are neither in KUBEBUILDER_ASSETS nor on the PATH, and can't be built without Go: {error}",
            names.join(", ")
        ),
    }
    std::fs::create_dir_all(cache).expect("the cache folder");
    for (name, _) in missing {
        // The package of etcd is called `server`.
        let built = if *name == "etcd" { "server" } else { name };
        std::fs::rename(folder.join(built), cache.join(name)).expect("the built program");
    }
    println!("built in {} s", started.elapsed().as_secs());
}

fn kubernetes_version(module: &Path) -> String {
    let text = std::fs::read_to_string(module.join("go.mod")).expect("go.mod");
    let line =
        text.lines().find(|line| line.trim().starts_with("k8s.io/kubernetes v")).expect("k8s.io/kubernetes in go.mod");
    // `// indirect` may come after it.
    line.split_whitespace().nth(1).expect("a version").to_owned()
}
