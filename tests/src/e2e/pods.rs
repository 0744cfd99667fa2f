//! The pods of the schedulers, as the API server, they themselves and the machine tell of them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::cluster::Cluster;
use crate::kubernetes::Client;

/// Where the farm's schedulers are.
pub const NAMESPACE: &str = "opencue-e2e";

/// Where the operator is.
pub const OPERATORS: &str = "opencue-e2e-operator";

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Never given twice.
    pub uid: String,
    /// Its address, once it has one.
    pub address: String,
    /// Whether it says that it can work.
    pub is_ready: bool,
    /// Whether it was told to go.
    pub is_leaving: bool,
    /// Image of its program.
    pub image: String,
}

impl Pod {
    /// Reads one.
    pub fn of(pod: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let conditions = pod["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        Self {
            name: text(&pod["metadata"]["name"]),
            uid: text(&pod["metadata"]["uid"]),
            address: text(&pod["status"]["podIP"]),
            is_ready: conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"),
            is_leaving: !pod["metadata"]["deletionTimestamp"].is_null(),
            image: text(&pod["spec"]["containers"][0]["image"]),
        }
    }

    /// What it says of how the pools are shared out.
    pub async fn share(&self, cluster: &Cluster) -> anyhow::Result<Share> {
        let asked = tokio::time::timeout(Duration::from_secs(2), cluster.status(self));
        let told = asked.await.context("a scheduler does not tell its status")??;
        let coordination = &told["coordination"];
        let number = |value: &Value| value.as_u64().unwrap_or_default() as usize;
        // All of a database are told; those of another facility share other pools.
        let members = coordination["members"].as_array().into_iter().flatten();
        Ok(Share {
            members: members.filter(|member| member["facility"] == told["facility"]).count(),
            owned: number(&coordination["pools_owned"]),
            pools: number(&coordination["pools"]),
        })
    }
}

/// How a scheduler shares pools with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Those that share the facility's pools, itself among them.
    pub members: usize,
    /// Its own pools.
    pub owned: usize,
    /// All.
    pub pools: usize,
}

/// The pods of a facility, whatever state they are in.
pub fn of(client: &Client, facility: &str) -> anyhow::Result<Vec<Pod>> {
    let labels = format!("scheduler.opencue.io/facility={facility}");
    let pods = tokio::task::block_in_place(|| client.list(NAMESPACE, "pods", &labels))?;
    Ok(pods.iter().map(Pod::of).collect())
}

/// Those of a facility that stay.
pub fn staying(client: &Client, facility: &str) -> anyhow::Result<Vec<Pod>> {
    Ok(of(client, facility)?.into_iter().filter(|pod| !pod.is_leaving).collect())
}

/// Waits until a facility has so many pods, all ready and none leaving.
pub async fn until_ready(client: &Client, facility: &str, count: usize, limit: Duration) -> anyhow::Result<Vec<Pod>> {
    let began = Instant::now();
    loop {
        let pods = of(client, facility)?;
        if pods.len() == count && pods.iter().all(|pod| pod.is_ready && !pod.is_leaving) {
            return Ok(pods);
        }
        if began.elapsed() > limit {
            bail!("within {limit:?} {facility} has not {count} ready pods: {pods:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until these pods, and no others, share all pools of their facility as evenly as can be; their own pools.
pub async fn until_shared(cluster: &Cluster, pods: &[Pod], limit: Duration) -> anyhow::Result<Vec<usize>> {
    let began = Instant::now();
    loop {
        let mut shares = Vec::new();
        for pod in pods {
            shares.push(pod.share(cluster).await);
        }
        let told: Vec<Share> = shares.iter().flatten().copied().collect();
        let owned: Vec<usize> = told.iter().map(|share| share.owned).collect();
        let all = told.first().map_or(0, |share| share.pools);
        let are_members = told.len() == pods.len() && told.iter().all(|share| share.members == pods.len());
        let is_even = owned.iter().max().unwrap_or(&0) - owned.iter().min().unwrap_or(&0) <= 1;
        if are_members && is_even && owned.iter().sum::<usize>() == all {
            return Ok(owned);
        }
        if began.elapsed() > limit {
            bail!("within {limit:?} the pods do not share the pools: {shares:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Kills the program of a pod, as the kernel would that has no memory left.
pub fn kill(uid: &str, program: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // It may be gone by now.
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let is_program = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.ends_with(program));
        if is_program && groups.contains(uid) {
            return Ok(kill_process(pid, Signal::KILL)?);
        }
    }
    bail!("no {program} runs in the pod {uid}")
}
