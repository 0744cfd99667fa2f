//! What a scenario is made of.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::bail;

use super::Setting;
use crate::cuebot_sim::CuebotConfig;
use crate::farm_sim::FarmConfig;
use crate::harness::simulated;
use crate::loader::Loaded;
use crate::loader::description::{AllocationDescription, FarmDescription, HostGroup, SubscriptionDescription};
use crate::postgres::free_port;

/// The parts, before anything runs.
pub struct Parts {
    /// Rows.
    pub farm: FarmDescription,
    /// Hosts, those of the description unless changed.
    pub hosts: FarmConfig,
    /// The stand-in.
    pub cuebot: CuebotConfig,
    /// How many schedulers are started before the play.
    pub schedulers: usize,
    /// Settings of the schedulers: variables of their environment.
    pub variables: Vec<(&'static str, String)>,
}

impl Parts {
    /// The parts for a described farm: its hosts simulated, two schedulers whose counters are compared every second, and a Cuebot of
    /// the wanted generation that sends kills to the hosts.
    pub fn new(setting: &Setting, farm: FarmDescription) -> anyhow::Result<Self> {
        let hosts = simulated(&farm)?;
        // Cuebot is started before the hosts and has to know their port.
        let port = free_port()?;
        Ok(Self {
            hosts: FarmConfig {
                port,
                hosts,
                seed: setting.seed,
                first_report: Some(Duration::from_millis(200)),
                report_interval: Some(Duration::from_secs(2)),
                ..FarmConfig::default()
            },
            cuebot: CuebotConfig {
                generation: setting.generation,
                agent_port: Some(port),
                flag_cache: Duration::from_secs(3),
                ..CuebotConfig::default()
            },
            farm,
            schedulers: 2,
            variables: vec![
                ("OPENSCHEDULER_ACCOUNTING__RECOMPUTE_INTERVAL", "1s".to_owned()),
                // A core that was freed is offered again sooner than by default, so that more happens in the time.
                ("OPENSCHEDULER_HOST_CACHE__MONITORING_INTERVAL", "300ms".to_owned()),
                ("OPENSCHEDULER_QUEUE__CLUSTER_RELOAD_INTERVAL", "2s".to_owned()),
                ("OPENSCHEDULER_LOGGING__LEVEL", "info,cue_scheduler=debug".to_owned()),
            ],
        })
    }

    /// The same from YAML; ids and draws follow from the setting's seed.
    pub fn from_yaml(setting: &Setting, yaml: &str) -> anyhow::Result<Self> {
        let farm = FarmDescription { seed: setting.seed, ..FarmDescription::from_yaml(yaml)? };
        Self::new(setting, farm)
    }

    /// The same with the hosts of the only allocation shared out to two with the same tag, to which these shows have the same right. A
    /// pool belongs to one scheduler, so only then two of them write the rows of one job, folder or limit.
    pub fn in_two_pools(setting: &Setting, shows: &[&str], yaml: &str) -> anyhow::Result<Self> {
        let farm = FarmDescription { seed: setting.seed, ..FarmDescription::from_yaml(yaml)? };
        Self::new(setting, two_pools(farm, shows)?)
    }

    /// One scheduler only.
    pub fn with_one_scheduler(self) -> Self {
        Self { schedulers: 1, ..self }
    }

    /// With a setting of the schedulers.
    pub fn with_variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }
}

/// See [`Parts::in_two_pools`]. Of every group of hosts one half goes to the second pool.
pub(super) fn two_pools(mut farm: FarmDescription, shows: &[&str]) -> anyhow::Result<FarmDescription> {
    let [facility] = &mut farm.facilities[..] else { bail!("a farm of one facility is cut into pools") };
    let [first] = &facility.allocations[..] else { bail!("a farm of one allocation is cut into pools") };
    let second = AllocationDescription {
        name: format!("{}2", first.name),
        tag: Some(first.tag.clone().unwrap_or_else(|| first.name.clone())),
        default: false,
    };
    for show in farm.shows.iter_mut().filter(|show| shows.contains(&show.name.as_str())) {
        let same = show
            .subscriptions
            .iter()
            .map(|one| SubscriptionDescription { allocation: second.name.clone(), ..one.clone() });
        show.subscriptions.extend(same.collect::<Vec<_>>());
    }
    let halves = farm.hosts.iter_mut().map(|group| {
        let stay = group.count.div_ceil(2);
        let half = HostGroup {
            allocation: second.name.clone(),
            count: group.count - stay,
            first_address: group.first_address.map(|first| Ipv4Addr::from_bits(first.to_bits() + stay)),
            ..group.clone()
        };
        group.count = stay;
        half
    });
    let halves: Vec<HostGroup> = halves.collect();
    farm.hosts.extend(halves);
    facility.allocations.push(second);
    Ok(farm)
}

/// The simulated hosts of a group.
/// Puts a prefix before all names that must be unique in a database, so that a scenario can be loaded beside what is there.
pub(super) fn prefixed(mut farm: FarmDescription, prefix: &str) -> FarmDescription {
    let put = |name: &mut String| name.insert_str(0, prefix);
    for facility in &mut farm.facilities {
        put(&mut facility.name);
        for allocation in &mut facility.allocations {
            // Tags stay: they meet within a facility only.
            allocation.tag.get_or_insert_with(|| allocation.name.clone());
            put(&mut allocation.name);
        }
    }
    for show in &mut farm.shows {
        put(&mut show.name);
        show.subscriptions.iter_mut().for_each(|subscription| put(&mut subscription.allocation));
    }
    farm.limits.iter_mut().for_each(|limit| put(&mut limit.name));
    farm.hosts.iter_mut().for_each(|group| put(&mut group.allocation));
    for job in &mut farm.jobs {
        put(&mut job.name);
        put(&mut job.show);
        job.facility.iter_mut().for_each(put);
        job.after_jobs.iter_mut().for_each(put);
        for layer in &mut job.layers {
            layer.limits.iter_mut().for_each(put);
            layer.after.iter_mut().filter_map(|after| after.job.as_mut()).for_each(put);
        }
    }
    farm
}

/// Ids under the names without the prefix.
pub(super) fn without_prefix(loaded: Loaded, prefix: &str) -> Loaded {
    fn strip<T>(map: std::collections::BTreeMap<String, T>, prefix: &str) -> std::collections::BTreeMap<String, T> {
        map.into_iter().map(|(name, value)| (name.strip_prefix(prefix).unwrap_or(&name).to_owned(), value)).collect()
    }
    let Loaded { facilities, allocations, shows, folders, limits, hosts, jobs, layers, frames } = loaded;
    Loaded {
        facilities: strip(facilities, prefix),
        allocations: strip(allocations, prefix),
        shows: strip(shows, prefix),
        folders: strip(folders, prefix),
        limits: strip(limits, prefix),
        hosts,
        jobs: strip(jobs, prefix),
        layers: strip(layers, prefix),
        frames: strip(frames, prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farm_in_two_pools_has_the_same_hosts_and_rights_to_both() {
        let farm = FarmDescription::from_yaml(
            "
facilities: [{name: f, allocations: [{name: f.a, tag: t}]}]
shows: [{name: s, subscriptions: [{allocation: f.a, burst: 7}]}, {name: o, subscriptions: [{allocation: f.a, burst: 7}]}]
hosts: [{allocation: f.a, count: 5, first_address: 127.1.0.1}]",
        )
        .unwrap();
        let cut = two_pools(farm, &["s"]).unwrap();
        let hosts: Vec<_> =
            cut.hosts.iter().map(|group| (&*group.allocation, group.count, group.first_address)).collect();
        let address = |last| Some(Ipv4Addr::new(127, 1, 0, last));
        assert_eq!(hosts, [("f.a", 3, address(1)), ("f.a2", 2, address(4))]);
        let rights: Vec<_> = cut.shows.iter().map(|show| show.subscriptions.len()).collect();
        assert_eq!(rights, [2, 1]);
        assert_eq!(cut.facilities[0].allocations[1].tag.as_deref(), Some("t"));
    }

    #[test]
    fn a_prefixed_farm_is_the_same_farm_under_other_names() {
        let farm = FarmDescription::from_yaml(
            "
facilities: [{name: f, allocations: [{name: f.a}]}]
limits: [{name: l, max: 1}]
shows: [{name: s, subscriptions: [{allocation: f.a, burst: 1}], folders: [{name: shots}]}]
hosts: [{allocation: f.a}]
jobs:
  - {name: j, show: s, folder: shots, layers: [{name: x, limits: [l]}]}
  - {name: k, show: s, facility: f, after_jobs: [j], layers: [{name: x, after: [{kind: LAYER_ON_LAYER, job: j, layer: x}]}]}",
        )
        .unwrap();
        let text = prefixed(farm.clone(), "p_").to_yaml().unwrap();
        for name in
            ["name: p_f\n", "name: p_f.a\n", "tag: f.a\n", "name: p_s\n", "allocation: p_f.a\n", "name: shots\n"]
        {
            assert!(text.contains(name), "no {name:?} in {text}");
        }
        for name in ["name: p_j\n", "show: p_s\n", "- p_l\n", "- p_j\n", "job: p_j\n", "facility: p_f\n"] {
            assert!(text.contains(name), "no {name:?} in {text}");
        }
        let named = |name: &str| Loaded { jobs: [(name.to_owned(), "1".to_owned())].into(), ..Loaded::default() };
        assert_eq!(without_prefix(named("p_j"), "p_"), named("j"));
    }
}
