//! Eight tags, and a quarter of the layers want GPUs.

use crate::loader::amount::{Cores, Memory};
use crate::loader::description::{FarmDescription, HostGroup, JobDescription, LayerDescription};
use crate::scenarios::{Parts, Scenario, Setting, Stage};

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// See [`Scenario::demanded`].
pub struct TagsGpu;

const TAGS: u8 = 8;

/// Hosts with a tag; the last has GPUs.
const HOSTS_OF_TAG: u8 = 3;

/// Layers with a tag; the last wants a GPU.
const LAYERS_OF_TAG: u8 = 4;

const GPU_PROCS_MIN: usize = 50;

#[tonic::async_trait(?Send)]
impl Scenario for TagsGpu {
    fn name(&self) -> &'static str {
        "TAGS_GPU"
    }

    fn demanded(&self) -> &'static str {
        "eight tags, a quarter of the layers with GPUs: no frame on a host without its tag or its GPU, at least 50 GPU procs, every \
         tag's hosts used"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(8, 60);
        let mut farm = FarmDescription::from_yaml(
            "
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
shows: [{name: alpha, subscriptions: [{allocation: local.general, burst: 1000}]}]",
        )?;
        farm.seed = setting.seed;
        for tag in 0..TAGS {
            for host in 0..HOSTS_OF_TAG {
                farm.hosts.push(HostGroup {
                    allocation: "local.general".to_owned(),
                    first_address: Some(address(tag, host)),
                    cores: Cores::whole(8),
                    memory: Memory::gib(32),
                    gpus: if has_gpus(host) { 4 } else { 0 },
                    gpu_memory: Memory::gib(if has_gpus(host) { 32 } else { 0 }),
                    manual_tags: vec![name(tag)],
                    ..HostGroup::default()
                });
            }
            let layers = (0..LAYERS_OF_TAG).map(|layer| self::layer(tag, layer, frames)).collect();
            farm.jobs.push(JobDescription {
                name: format!("j{tag}"),
                show: "alpha".to_owned(),
                layers,
                ..JobDescription::default()
            });
        }
        Parts::new(setting, farm)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.until_done().await?;
        let (mut wrong, mut gpu_procs, mut used) = (Vec::new(), 0, BTreeSet::new());
        for tag in 0..TAGS {
            for layer in 0..LAYERS_OF_TAG {
                for run in stage.runs_of_layer(&format!("j{tag}/l{layer}")) {
                    let right: Vec<Ipv4Addr> = (0..HOSTS_OF_TAG)
                        .filter(|host| !wants_gpu(layer) || has_gpus(*host))
                        .map(|host| address(tag, host))
                        .collect();
                    if !right.contains(&run.host) {
                        wrong.push(format!("j{tag}/l{layer} on {}", run.host));
                    }
                    gpu_procs += usize::from(wants_gpu(layer));
                    used.insert(tag);
                }
            }
        }
        stage.demand("no frame runs on a wrong host", wrong.is_empty(), format!("{wrong:?}"));
        stage.demand("at least 50 procs have GPUs", gpu_procs >= GPU_PROCS_MIN, format!("{gpu_procs} procs"));
        stage.demand("every tag's hosts are used", used.len() == usize::from(TAGS), format!("{used:?}"));
        stage.see(format!("{gpu_procs} GPU procs, {} tags used, {} on wrong hosts", used.len(), wrong.len()));
        Ok(())
    }
}

fn name(tag: u8) -> String {
    format!("t{tag}")
}

fn address(tag: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, tag, host + 1)
}

fn has_gpus(host: u8) -> bool {
    host + 1 == HOSTS_OF_TAG
}

fn wants_gpu(layer: u8) -> bool {
    layer + 1 == LAYERS_OF_TAG
}

fn layer(tag: u8, layer: u8, frames: u32) -> LayerDescription {
    LayerDescription {
        name: format!("l{layer}"),
        command: "sleep 0.4".to_owned(),
        range: format!("1-{frames}"),
        min_cores: Cores::whole(i64::from(layer) + 1),
        gpus: i64::from(wants_gpu(layer)),
        gpu_memory: Memory::gib(i64::from(wants_gpu(layer))),
        tags: vec![name(tag)],
        threadable: false,
        ..LayerDescription::default()
    }
}
