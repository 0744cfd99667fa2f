//! Where the story is told: on a node of one's own, or in a cluster that somebody gives for it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::farm::{HOSTS_OF_ALL, Site};
use super::pods::{self, NAMESPACE, OPERATORS, Pod};
use crate::harness::scheduler::page;
use crate::kubernetes::Client;
use crate::kubernetes::binaries::Binaries;
use crate::kubernetes::node::{ADDRESS, FIRST_HOST, Node, PODS};
use crate::postgres::free_port;

/// The definition that everything begins with.
pub const DEFINITION: &str = "schedulerdeployments.scheduler.opencue.io";

/// Another tag of the scheduler's image, of the same content.
pub const NEXT: &str = "next";

/// The port at which a scheduler tells of itself.
const HTTP_PORT: u16 = 9090;

/// What names a cluster that is given: all of it, or nothing.
const VARIABLES: [&str; 3] = ["E2E_CONTEXT", "E2E_ADDRESS", "E2E_IMAGE_PREFIX"];

/// Where pods run.
pub enum Cluster {
    /// A node that goes with this process.
    Own(Box<Node>),
    /// Somebody's cluster, on which nothing stays.
    Given(Given),
}

/// A cluster that somebody gives.
#[derive(Clone, Debug)]
pub struct Given {
    /// Who may do everything there.
    pub client: Client,
    /// This machine's address, as pods reach it.
    pub address: Ipv4Addr,
    /// What the names of images begin with, without the last slash.
    pub images: String,
}

/// What the environment says of a cluster: its context of the kubeconfig, this machine's address and where the images are.
pub type Named = (String, Ipv4Addr, String);

/// Reads it. An error if only some of it is said.
pub fn named(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Named>> {
    let said = VARIABLES.map(|name| variable(name).filter(|value| !value.is_empty()));
    match said {
        [None, None, None] => Ok(None),
        [Some(context), Some(address), Some(images)] => {
            let address = address.parse().with_context(|| format!("{} is no IPv4 address: {address}", VARIABLES[1]))?;
            Ok(Some((context, address, images.trim_end_matches('/').to_owned())))
        }
        said => {
            let missing = VARIABLES.into_iter().zip(said).filter(|(_, value)| value.is_none()).map(|(name, _)| name);
            let missing = missing.collect::<Vec<_>>().join(" and ");
            anyhow::bail!(
                "an existing cluster is used only if all of {} are set; not set: {missing}",
                VARIABLES.join(", ")
            )
        }
    }
}

impl Given {
    /// Takes a context of somebody's kubeconfig. What is not of this story stays as it is: an error if our definition or our
    /// namespaces are there already.
    pub fn take((context, address, images): Named, kubeconfig: Option<&Path>, folder: &Path) -> anyhow::Result<Self> {
        let binaries = Binaries::of_clients()?;
        let own = folder.join("given.kubeconfig");
        let mut command = Command::new(binaries.path("kubectl"));
        command.args(["config", "view", "--raw", "--minify", "--flatten", "--context", &context]);
        if let Some(kubeconfig) = kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        let output = command.output().context("running kubectl")?;
        ensure!(output.status.success(), "the context {context}: {}", String::from_utf8_lossy(&output.stderr).trim());
        std::fs::write(&own, output.stdout)?;
        let this = Self { client: Client { binaries, kubeconfig: own }, address, images };
        this.client.run(&["version"])?;
        for object in [format!("crd/{DEFINITION}"), format!("namespace/{NAMESPACE}"), format!("namespace/{OPERATORS}")]
        {
            let is_there = !this.client.get("default", &object)?.is_null();
            ensure!(
                !is_there,
                "the cluster {context} has {object} already, and nothing of it is to be lost: take another cluster"
            );
        }
        Ok(this)
    }

    /// A Service for each host: what schedulers call leads to a port of this machine. Their addresses, and the ports.
    fn hosts(&self) -> anyhow::Result<(u16, Vec<Ipv4Addr>)> {
        let port = free_row(HOSTS_OF_ALL)?;
        let name = |at: usize| format!("host-{at}");
        let mut objects = Vec::new();
        for (at, own) in (0..HOSTS_OF_ALL).zip(port..) {
            objects.push(json!({ "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": name(at), "namespace": NAMESPACE },
                "spec": { "ipFamilies": ["IPv4"], "ports": [{ "port": port, "targetPort": own }] } }));
            objects.push(json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": { "name": name(at), "namespace": NAMESPACE, "labels": { "kubernetes.io/service-name": name(at) } },
                "addressType": "IPv4", "ports": [{ "port": own }],
                "endpoints": [{ "addresses": [self.address.to_string()] }] }));
        }
        self.client.apply_all(&objects)?;
        let address = |at: usize| -> anyhow::Result<Ipv4Addr> {
            let service = self.client.get(NAMESPACE, &format!("service/{}", name(at)))?;
            let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
            address.parse().with_context(|| format!("the Service {} has the address {address:?}", name(at)))
        };
        Ok((port, (0..HOSTS_OF_ALL).map(address).collect::<anyhow::Result<_>>()?))
    }

    /// Leaves the cluster as it was.
    pub fn leave(&self) -> anyhow::Result<()> {
        // What has gone already is not missed.
        for release in ["cue-scheduler-operator", "cue-scheduler-crds"] {
            self.client.helm(&["uninstall", release, "--namespace", OPERATORS, "--ignore-not-found", "--wait"])?;
        }
        self.client.run(&["delete", "crd", DEFINITION, "--ignore-not-found"])?;
        self.client.run(&["delete", "namespace", NAMESPACE, OPERATORS, "--ignore-not-found", "--wait"])?;
        Ok(())
    }
}

impl Cluster {
    /// Who may do everything.
    pub fn client(&self) -> &Client {
        match self {
            Self::Own(node) => &node.admin,
            Self::Given(given) => &given.client,
        }
    }

    /// The namespaces of the story, for restricted pods only; and where the farm is, as pods see it.
    pub fn prepare(&self) -> anyhow::Result<Site> {
        for namespace in [OPERATORS, NAMESPACE] {
            self.client()
                .apply_all(&[json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace,
                "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } })])?;
        }
        Ok(match self {
            Self::Own(_) => {
                let hosts = (1..).map(|at| Ipv4Addr::from(u32::from(FIRST_HOST) + at)).take(HOSTS_OF_ALL).collect();
                Site { address: ADDRESS, pods: PODS, port: free_port()?, hosts, is_node: true }
            }
            Self::Given(given) => {
                let (port, hosts) = given.hosts()?;
                Site { address: given.address, pods: "0.0.0.0/0", port, hosts, is_node: false }
            }
        })
    }

    /// The repository of a program's image.
    pub fn repository(&self, name: &str) -> String {
        match self {
            Self::Own(_) => format!("docker.io/opencue/{name}"),
            Self::Given(given) => format!("{}/{name}", given.images),
        }
    }

    /// Sees to it that the scheduler's image is there under another tag.
    pub fn has_next_image(&self) -> anyhow::Result<()> {
        let Self::Own(node) = self else {
            // Who gave the cluster has put it there.
            return Ok(());
        };
        let repository = self.repository("cue-scheduler");
        node.tag_image(&format!("{repository}:{}", env!("CARGO_PKG_VERSION")), &format!("{repository}:{NEXT}"))
    }

    /// The logs of the cluster's own programs, where they can be had.
    pub fn logs(&self) -> anyhow::Result<Vec<PathBuf>> {
        match self {
            Self::Own(node) => node.logs(),
            Self::Given(_) => Ok(Vec::new()),
        }
    }

    /// Kills a pod's program as the kernel would that has no memory left; or, where its node is out of reach, the whole pod.
    pub fn kill(&self, namespace: &str, pod: &Pod, program: &str) -> anyhow::Result<()> {
        match self {
            Self::Own(_) => pods::kill(&pod.uid, program),
            Self::Given(given) => {
                let how = ["--grace-period=0", "--force"];
                given.client.run(&[&["delete", "pod", &pod.name, "--namespace", namespace][..], &how].concat())?;
                Ok(())
            }
        }
    }

    /// What a scheduler says of itself.
    pub async fn status(&self, pod: &Pod) -> anyhow::Result<Value> {
        const PAGE: &str = "/api/v1/status";
        let body = match self {
            Self::Own(_) => {
                let (status, body) = page(format!("{}:{HTTP_PORT}", pod.address).parse()?, PAGE).await?;
                ensure!(status == 200, "{} answers {status}", pod.name);
                body
            }
            Self::Given(given) => {
                let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}:{HTTP_PORT}/proxy{PAGE}", pod.name);
                block_in_place(|| given.client.run(&["get", "--raw", &path]))?
            }
        };
        Ok(serde_json::from_str(&body)?)
    }
}

/// The first of so many ports in a row that are free, below those that connections take by themselves.
fn free_row(count: usize) -> anyhow::Result<u16> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
    let mut firsts = (20_000..32_000).step_by(count);
    let first = firsts.find(|first| (*first..).take(count).all(is_free));
    first.with_context(|| format!("no {count} ports in a row are free"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(said: &[(&str, &str)]) -> Result<Option<Named>, String> {
        let said: HashMap<&str, &str> = said.iter().copied().collect();
        named(|name| said.get(name).map(|value| (*value).to_owned())).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_cluster_is_named_with_all_or_not_at_all() {
        assert_eq!(read(&[]), Ok(None));
        let all =
            [("E2E_CONTEXT", "test"), ("E2E_ADDRESS", "192.0.2.7"), ("E2E_IMAGE_PREFIX", "registry.example/cue/")];
        let named = ("test".to_owned(), Ipv4Addr::new(192, 0, 2, 7), "registry.example/cue".to_owned());
        assert_eq!(read(&all), Ok(Some(named)));
        assert!(read(&all[..2]).unwrap_err().ends_with("not set: E2E_IMAGE_PREFIX"));
        assert!(read(&all[2..]).unwrap_err().ends_with("not set: E2E_CONTEXT and E2E_ADDRESS"));
        let wrong = [all[0], ("E2E_ADDRESS", "farm.example"), all[2]];
        assert!(read(&wrong).unwrap_err().starts_with("E2E_ADDRESS is no IPv4 address: farm.example"));
    }
}
