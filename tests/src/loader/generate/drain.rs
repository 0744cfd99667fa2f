//! The *drain* shape: far more hosts than work, 300 small jobs with mixed tags. Throughput figures of different schedulers
//! on it can be compared, since its proportions are published; here its ids and draws are fixed as well.

use super::super::amount::{Cores, Memory};
use super::super::description::{
    AllocationDescription, FacilityDescription, FarmDescription, HostGroup, JobDescription, LayerDescription,
    ShowDescription, SubscriptionDescription,
};
use super::super::seeded::Draws;

/// The parameters; the defaults are the published shape.
#[derive(Clone, Debug)]
pub struct DrainShape {
    /// Of ids and draws.
    pub seed: u64,
    /// Begins the names of all that is made.
    pub prefix: String,
    /// Number of hosts.
    pub hosts: usize,
    /// Number of jobs.
    pub jobs: usize,
    /// Layers of each job.
    pub layers_per_job: usize,
    /// Frames of each layer.
    pub frames_per_layer: usize,
    /// Number of allocations, over which hosts are dealt in turn.
    pub allocations: usize,
    /// Number of manual tags.
    pub manual_tags: usize,
}

impl Default for DrainShape {
    fn default() -> Self {
        Self {
            seed: 0x00C0_FFEE,
            prefix: "drain".to_owned(),
            hosts: 1200,
            jobs: 300,
            layers_per_job: 4,
            frames_per_layer: 5,
            allocations: 3,
            manual_tags: 8,
        }
    }
}

impl DrainShape {
    /// The same proportions with more or fewer hosts and jobs, at least one of each.
    pub fn scaled(mut self, factor: f64) -> Self {
        let scale = |n: usize| ((n as f64 * factor).round() as usize).max(1);
        self.hosts = scale(self.hosts);
        self.jobs = scale(self.jobs);
        self
    }

    /// How many frames wait.
    pub fn frames(&self) -> usize {
        self.jobs * self.layers_per_job * self.frames_per_layer
    }
}

/// The farm: one facility and one managed show, with a subscription of 90,000 cores to each allocation.
pub fn drain(shape: &DrainShape) -> FarmDescription {
    let mut draws = Draws::new(shape.seed);
    let allocations: Vec<String> = (0..shape.allocations).map(|n| format!("{}_a{n}", shape.prefix)).collect();
    let manual: Vec<String> = (0..shape.manual_tags).map(|n| format!("{}_t{n}", shape.prefix)).collect();
    let show = format!("{}_show", shape.prefix);
    let hosts = (0..shape.hosts).map(|n| host(n, &allocations, &manual, &mut draws)).collect();
    let all_tags: Vec<&String> = manual.iter().chain(&allocations).collect();
    let jobs = (0..shape.jobs).map(|n| job(n, shape, &show, &all_tags, &mut draws)).collect();
    FarmDescription {
        seed: shape.seed,
        facilities: vec![FacilityDescription {
            name: format!("{}_facility", shape.prefix),
            allocations: allocations
                .iter()
                .map(|name| AllocationDescription { name: name.clone(), ..AllocationDescription::default() })
                .collect(),
        }],
        shows: vec![ShowDescription {
            name: show,
            subscriptions: allocations
                .iter()
                .map(|allocation| SubscriptionDescription {
                    allocation: allocation.clone(),
                    size: Cores::whole(90_000),
                    burst: Cores::whole(90_000),
                })
                .collect(),
            ..ShowDescription::default()
        }],
        hosts,
        jobs,
        ..FarmDescription::default()
    }
}

/// 16 to 128 cores and 32 to 256 GiB. The first hosts carry one manual tag each, so that none is without a host; the others
/// carry none, one or two.
fn host(n: usize, allocations: &[String], manual: &[String], draws: &mut Draws) -> HostGroup {
    let cores = Cores::whole(16 + 8 * draws.between(0, 14));
    let memory = Memory::gib(draws.between(32, 256));
    let manual_tags = if n < manual.len() {
        vec![manual[n].clone()]
    } else {
        let count = draws.below(3);
        let chosen = draws.distinct(manual.len(), count);
        chosen.into_iter().map(|tag| manual[tag].clone()).collect()
    };
    HostGroup {
        allocation: allocations[n % allocations.len().max(1)].clone(),
        cores,
        memory,
        manual_tags,
        hostname_tag: false,
        ..HostGroup::default()
    }
}

fn job(n: usize, shape: &DrainShape, show: &str, tags: &[&String], draws: &mut Draws) -> JobDescription {
    let name = format!("{}_j{n}", shape.prefix);
    let layers = (0..shape.layers_per_job)
        .map(|l| {
            let count = draws.between(1, 3) as usize;
            let chosen = draws.distinct(tags.len(), count);
            LayerDescription {
                name: format!("{name}_l{l}"),
                command: "echo drain".to_owned(),
                range: format!("1-{}", shape.frames_per_layer),
                kind: "PRE".to_owned(),
                tags: chosen.into_iter().map(|tag| tags[tag].clone()).collect(),
                min_cores: Cores::whole(1 << draws.below(4)),
                memory: Memory::gib(draws.between(2, 8)),
                ..LayerDescription::default()
            }
        })
        .collect();
    JobDescription {
        priority: draws.between(1, 200) as i32,
        show: show.to_owned(),
        max_cores: Cores::whole(100_000),
        max_gpus: 0,
        os: Some("linux".to_owned()),
        layers,
        name,
        ..JobDescription::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drain_has_the_published_proportions() {
        let shape = DrainShape::default();
        let farm = drain(&shape);
        assert_eq!(shape.frames(), 6000);
        assert_eq!((farm.hosts.len(), farm.jobs.len()), (1200, 300));
        let cores: i64 = farm.hosts.iter().map(|host| host.cores.to_centicores()).sum();
        assert!((cores / 100 - 86_400).abs() < 3_000, "{cores}");
        let asked: i64 =
            farm.jobs.iter().flat_map(|job| &job.layers).map(|layer| layer.min_cores.to_centicores() * 5).sum();
        assert!((asked / 100 - 22_500).abs() < 1_500, "{asked}");
        let untagged = farm.hosts.iter().filter(|host| host.manual_tags.is_empty()).count();
        assert!((350..450).contains(&untagged), "{untagged}");
    }

    #[test]
    fn a_seed_makes_one_farm_and_a_factor_scales_it() {
        let small = DrainShape::default().scaled(0.01);
        assert_eq!((small.hosts, small.jobs), (12, 3));
        assert_eq!(drain(&small), drain(&small));
        assert_ne!(drain(&small), drain(&DrainShape { seed: 1, ..small.clone() }));
    }
}
