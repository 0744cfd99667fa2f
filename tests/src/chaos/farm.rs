//! The farm that faults happen to: several pools, two shows under caps of every kind, and work, of which more comes until the faults are
//! over.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{Rng, RngExt as _, SeedableRng as _};

use crate::cuebot_sim::{CuebotConfig, Generation, Sweeps};
use crate::farm_sim::{FarmConfig, HostSet, Manner};
use crate::harness::HarnessConfig;
use crate::loader::description::{FarmDescription, JobDescription};
use crate::postgres::free_port;
use crate::scenarios::Length;

/// Allocations, each a pool.
pub const ALLOCATIONS: usize = 6;

/// Hosts of each.
const HOSTS: u32 = 3;

/// Hosts of an allocation that may misbehave at a time. One stays well: an agent that misbehaved is left alone for ten seconds and more,
/// and its pool's work must be able to end.
pub const HOSTS_STRUCK_MAX: u32 = HOSTS - 1;

/// Whole cores of a host.
const CORES: u32 = 4;

const SHOWS: [&str; 2] = ["alpha", "beta"];

/// Frames of a job that is submitted while the farm runs.
pub const MORE: u32 = 30;

/// From a proc's last report to the sweep that takes it for lost: 300 s with Cuebot. It has to be longer than a launch may be late: the
/// fence of 5 s, and the second by which agents are late here. At length it leaves the replicas the time to find what one of them left
/// behind.
pub fn orphan_after(length: Length) -> Duration {
    Duration::from_secs(match length {
        Length::Short => 8,
        Length::Full => 25,
    })
}

/// `rqd.call_timeout` of the replicas. A replica that takes a pool over looks at bookings that are so old and 10 s more.
const CALL_TIMEOUT: &str = "3s";

/// What a seed says beside its schedule. Four seeds in a row have all four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Whether Cuebot's releases count.
    pub generation: Generation,
    /// Which agent hosts behave like.
    pub agents: Manner,
}

impl Manners {
    /// Of a seed.
    pub fn of(seed: u64) -> Self {
        Self {
            generation: if seed % 2 == 1 { Generation::B1 } else { Generation::C },
            agents: if seed / 2 % 2 == 1 { Manner::Python } else { Manner::Rust },
        }
    }
}

/// A host of an allocation.
pub fn host(allocation: usize, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + allocation as u32 * HOSTS + n)
}

/// Everything but replicas.
pub fn parts(seed: u64, length: Length, manners: Manners) -> anyhow::Result<HarnessConfig> {
    let port = free_port()?;
    let count = ALLOCATIONS as u32 * HOSTS;
    let hosts = HostSet { first: host(0, 0), count, cores: CORES, ..HostSet::default() };
    Ok(HarnessConfig {
        farm: FarmDescription { seed, ..FarmDescription::from_yaml(&describe(seed)?)? },
        hosts: FarmConfig {
            port,
            hosts: vec![hosts],
            manner: manners.agents,
            seed,
            first_report: Some(Duration::from_millis(200)),
            report_interval: Some(Duration::from_secs(1)),
            // One in Rust tells with its next report that a frame has ended.
            report_on_events: manners.agents == Manner::Rust,
            boot_retry: Duration::from_secs(1),
            cuebot_timeout: Duration::from_secs(3),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig {
            generation: manners.generation,
            agent_port: Some(port),
            kill_grace: Duration::from_secs(20),
            flag_cache: Duration::from_secs(3),
            // Not by time: a stopped replica outlasts this age, which 300 s would cover.
            sweeps: Some(Sweeps {
                interval: Duration::from_hours(1),
                orphan_proc_after: orphan_after(length),
                orphan_frame_after: orphan_after(length),
                ..Sweeps::default()
            }),
            ..CuebotConfig::default()
        },
        existing: None,
    })
}

/// Settings of a replica.
pub const SETTINGS: [(&str, &str); 8] = [
    ("OPENSCHEDULER_RQD__CONNECT_TIMEOUT", "2s"),
    ("OPENSCHEDULER_RQD__CALL_TIMEOUT", CALL_TIMEOUT),
    ("OPENSCHEDULER_SCHEDULER__DRAIN_TIMEOUT", "4s"),
    ("OPENSCHEDULER_ACCOUNTING__RECOMPUTE_INTERVAL", "1s"),
    ("OPENSCHEDULER_HOST_CACHE__MONITORING_INTERVAL", "300ms"),
    ("OPENSCHEDULER_QUEUE__CLUSTER_RELOAD_INTERVAL", "2s"),
    // More commits, so that more of them meet a fault.
    ("OPENSCHEDULER_BOOKING__CHUNK_FRAMES", "10"),
    ("OPENSCHEDULER_LOGGING__LEVEL", "info,cue_scheduler=debug"),
];

fn describe(seed: u64) -> anyhow::Result<String> {
    let mut draw = StdRng::seed_from_u64(seed);
    let mut yaml = String::from("facilities:\n  - name: local\n    allocations:\n");
    for at in 0..ALLOCATIONS {
        writeln!(yaml, "      - {{name: local.a{at}, tag: t{at}, default: {}}}", at == 0)?;
    }
    writeln!(yaml, "limits: [{{name: licence, max: {}}}]\nshows:", draw.random_range(6..=10))?;
    for (show, burst) in [("alpha", 5..=9), ("beta", 3..=6)] {
        writeln!(yaml, "  - name: {show}\n    subscriptions:")?;
        for at in 0..ALLOCATIONS {
            // Half a core is left over at times: caps are exact to the centicore.
            let half = draw.random_range(0..=1) * 5;
            writeln!(yaml, "      - {{allocation: local.a{at}, burst: {}.{half}}}", draw.random_range(burst.clone()))?;
        }
        if show == "alpha" {
            writeln!(yaml, "    folders: [{{name: shots, max_cores: {}}}]", draw.random_range(14..=20))?;
        }
    }
    yaml.push_str("hosts:\n");
    for at in 0..ALLOCATIONS {
        writeln!(
            yaml,
            "  - {{allocation: local.a{at}, count: {HOSTS}, first_address: {}, cores: {CORES}, memory: 32 GiB, manual_tags: [any]}}",
            host(at, 0)
        )?;
    }
    yaml.push_str("jobs:\n");
    for at in 0..ALLOCATIONS {
        let show = SHOWS[at % 2];
        let work = layer(&mut draw, "work", 12, &format!("tags: [t{at}]"));
        job(&mut yaml, &format!("name: pool-{at}, show: {show}, priority: {}", 10 * at), &[work])?;
    }
    let after = "tags: [any], after: [{kind: LAYER_ON_LAYER, layer: first}]";
    let shots = [layer(&mut draw, "first", 25, "tags: [any]"), layer(&mut draw, "second", 20, after)];
    job(&mut yaml, "name: shots-one, show: alpha, folder: shots, max_cores: 10", &shots)?;
    let comp = layer(&mut draw, "comp", 30, "tags: [any], limits: [licence]");
    job(&mut yaml, "name: shots-two, show: alpha, folder: shots", &[comp])?;
    let wide = layer(&mut draw, "sim", 15, "tags: [t0, t3, any], min_cores: 2");
    job(&mut yaml, "name: wide, show: beta, max_cores: 7", &[wide])?;
    Ok(yaml)
}

/// A job of [`MORE`] frames that is submitted while the farm runs: the `n`th of a seed.
pub fn more(seed: u64, n: u64) -> anyhow::Result<JobDescription> {
    let mut draw = StdRng::seed_from_u64(seed ^ n.rotate_left(32));
    let (show, at) = (SHOWS[draw.random_range(0..2)], draw.random_range(0..ALLOCATIONS));
    let (of_job, of_layer) = match draw.random_range(0..4) {
        0 => (", max_cores: 12", "tags: [any], limits: [licence]".to_owned()),
        1 => (", priority: 200", "tags: [any]".to_owned()),
        2 => (", max_cores: 9", format!("tags: [t{at}, any], min_cores: 2")),
        _ => ("", format!("tags: [t{at}]")),
    };
    let mut yaml = String::new();
    let work = layer(&mut draw, "work", MORE, &of_layer);
    job(&mut yaml, &format!("name: more-{n}, show: {show}{of_job}"), &[work])?;
    let jobs: Vec<JobDescription> = serde_saphyr::from_str(&yaml)?;
    jobs.into_iter().next().context("one job was described")
}

fn layer(draw: &mut impl Rng, name: &str, frames: u32, more: &str) -> String {
    let seconds = f64::from(draw.random_range(4..=16)) / 10.0;
    format!("{{name: {name}, range: 1-{frames}, command: sleep {seconds}, threadable: false, {more}}}")
}

/// No frame fails by itself here, and none may die of how often it was interrupted.
fn job(yaml: &mut String, head: &str, layers: &[String]) -> std::fmt::Result {
    writeln!(yaml, "  - {{{head}, max_retries: 1000, layers: [{}]}}", layers.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_says_which_farm_it_is() {
        let text = |seed| describe(seed).unwrap();
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
        for seed in 0..20 {
            let farm = FarmDescription::from_yaml(&text(seed)).unwrap();
            assert_eq!(farm.hosts.iter().map(|group| group.count).sum::<u32>(), 18);
        }
        assert_eq!(more(3, 1).unwrap(), more(3, 1).unwrap());
        let tags: BTreeSet<_> = (0..40).map(|n| more(3, n).unwrap().layers[0].tags.clone()).collect();
        assert!(tags.len() > 6, "{tags:?}");
        let manners: Vec<Manners> = (8..12).map(Manners::of).collect();
        assert!((0..4).all(|n| (0..n).all(|m| manners[n] != manners[m])), "{manners:?}");
    }

    #[test]
    fn hosts_of_an_allocation_follow_each_other() {
        assert_eq!(host(0, 0), Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(host(5, 2), Ipv4Addr::new(127, 1, 0, 18));
    }
}
