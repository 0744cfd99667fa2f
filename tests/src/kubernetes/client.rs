//! `kubectl` and Helm, as somebody uses them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::binaries::Binaries;

/// Somebody who has a kubeconfig.
#[derive(Clone, Debug)]
pub struct Client {
    /// The programs.
    pub binaries: &'static Binaries,
    /// Beside it lies what the programs remember.
    pub kubeconfig: PathBuf,
}

impl Client {
    /// What `kubectl` prints; it has to work.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.kubectl(arguments, "")?;
        ensure!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What `kubectl` prints, on both outputs, and whether it worked.
    pub fn attempt(&self, arguments: &[&str], input: &str) -> anyhow::Result<(bool, String)> {
        let output = self.kubectl(arguments, input)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.success(), said))
    }

    /// Applies manifests, as a user would.
    pub fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        let (is_applied, said) = self.attempt(&["apply", "-f", "-"], manifests)?;
        ensure!(is_applied, "{said}\n{manifests}");
        Ok(())
    }

    /// Applies objects, as a user would.
    pub fn apply_all(&self, objects: &[Value]) -> anyhow::Result<()> {
        self.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string())
    }

    /// An object, or null.
    pub fn get(&self, namespace: &str, object: &str) -> anyhow::Result<Value> {
        let (is_there, said) =
            self.attempt(&["get", "-n", namespace, object, "-o", "json", "--show-managed-fields"], "")?;
        if is_there { Ok(serde_json::from_str(&said)?) } else { Ok(Value::Null) }
    }

    /// All objects of some kinds, and of some labels, unless that is an empty text.
    pub fn list(&self, namespace: &str, kinds: &str, labels: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.run(&["get", "-n", namespace, kinds, "-l", labels, "-o", "json"])?;
        let mut list: Value = serde_json::from_str(&list)?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// What Helm prints; it has to work.
    pub fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (is_done, said) = self.attempt_helm(arguments)?;
        ensure!(is_done, "helm {arguments:?}: {said}");
        Ok(said)
    }

    /// What Helm prints, on its error output if it failed, and whether it worked.
    pub fn attempt_helm(&self, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
        let beside = |name: &str| self.kubeconfig.with_extension(name);
        let output = Command::new(self.binaries.path("helm"))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", beside("helm-discovered"))
            .env("HELM_CACHE_HOME", beside("helm-cache"))
            .env("HELM_CONFIG_HOME", beside("helm-config"))
            .env("HELM_DATA_HOME", beside("helm-data"))
            .args(arguments)
            .output()
            .context("running helm")?;
        let said = if output.status.success() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8(said)?))
    }

    /// What `kubectl` remembers of the kinds that there are.
    pub fn discovered(&self) -> PathBuf {
        self.kubeconfig.with_extension("cache")
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> anyhow::Result<Output> {
        let mut child = Command::new(self.binaries.path("kubectl"))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.discovered())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("running kubectl")?;
        if let Some(mut pipe) = child.stdin.take() {
            // It may have said no before it has read everything.
            let _ = pipe.write_all(input.as_bytes());
        }
        Ok(child.wait_with_output()?)
    }
}

/// Writes a kubeconfig for a server that is known by its authority, or believed without.
pub(super) fn write_kubeconfig(
    file: &Path,
    address: &str,
    authority: Option<&Path>,
    token: &str,
) -> anyhow::Result<()> {
    let cluster = match authority {
        Some(authority) => json!({ "server": address, "certificate-authority": authority }),
        None => json!({ "server": address, "insecure-skip-tls-verify": true }),
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "users": [{ "name": "u", "user": { "token": token } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    std::fs::write(file, config.to_string()).with_context(|| format!("writing {}", file.display()))
}
