//! A production-like farm: three classes of hosts, five shows by priority, layers drawn from a published mix in which most are
//! small and a few need a whole large host.

use super::super::amount::{Cores, Memory};
use super::super::description::{
    AllocationDescription, FacilityDescription, FarmDescription, HostGroup, JobDescription, LayerDependency,
    LayerDependencyKind, LayerDescription, ShowDescription, SubscriptionDescription,
};
use super::super::seeded::Draws;

/// The parameters; the defaults are the published farm with work to fill it.
#[derive(Clone, Debug)]
pub struct MixShape {
    /// Of ids and draws.
    pub seed: u64,
    /// Begins the names of all that is made.
    pub prefix: String,
    /// Hosts with 128, 32 and 16 cores.
    pub hosts: [u32; 3],
    /// Jobs are made until so many frames wait.
    pub frames: usize,
    /// Whether layers of a job wait for each other, in trees of depth 3 with up to 3 branches.
    pub dependencies: bool,
    /// Simulated seconds of a frame for each minute of the mix, at least half a second in all.
    pub seconds_per_minute: f64,
}

impl Default for MixShape {
    fn default() -> Self {
        Self {
            seed: 0x00C0_FFEE,
            prefix: "mix".to_owned(),
            hosts: [246, 303, 1004],
            frames: 40_000,
            dependencies: false,
            seconds_per_minute: 0.27,
        }
    }
}

impl MixShape {
    /// The same proportions with more or fewer hosts and frames; every class keeps one host.
    pub fn scaled(mut self, factor: f64) -> Self {
        self.hosts = self.hosts.map(|n| ((f64::from(n) * factor).round() as u32).max(1));
        self.frames = ((self.frames as f64 * factor).round() as usize).max(1);
        self
    }
}

/// Cores, memory that is usable, in GiB.
const HOST_CLASSES: [(i64, i64); 3] = [(128, 496), (32, 116), (16, 56)];

/// Priorities of the five shows' jobs.
const PRIORITIES: [i32; 5] = [10, 32, 55, 78, 100];

/// Cores, share of layers in hundredths of a percent, mean of the memory used in GiB, mean minutes.
const LAYER_MIX: [(i64, usize, f64, f64); 7] = [
    (1, 2289, 0.52, 2.31),
    (2, 2554, 1.38, 4.70),
    (4, 3422, 6.44, 11.38),
    (8, 1455, 27.27, 30.14),
    (16, 188, 63.85, 52.43),
    (32, 28, 109.0, 47.98),
    (64, 3, 233.0, 40.26),
];

/// Memory that a layer asks for, whatever it uses.
const GIB_PER_CORE: i64 = 4;

/// Variables in which each layer tells a simulated host how its frames behave.
pub const SECONDS_VARIABLE: &str = "SIM_SECONDS";
/// Resident memory that a frame of the layer reaches, in kibibytes.
pub const RSS_VARIABLE: &str = "SIM_RSS_KB";

/// The farm: one facility, one allocation with the tag `general`, five managed shows that may each use all of it.
pub fn mix(shape: &MixShape) -> FarmDescription {
    let mut draws = Draws::new(shape.seed);
    let allocation = format!("{}.general", shape.prefix);
    let hosts: Vec<HostGroup> = shape
        .hosts
        .iter()
        .zip(HOST_CLASSES)
        .map(|(count, (cores, gib))| HostGroup {
            allocation: allocation.clone(),
            count: *count,
            cores: Cores::whole(cores),
            memory: Memory::gib(gib),
            ..HostGroup::default()
        })
        .collect();
    let total: i64 = hosts.iter().map(|group| group.cores.to_centicores() * i64::from(group.count)).sum();
    let shows = PRIORITIES
        .iter()
        .map(|priority| ShowDescription {
            name: show(shape, *priority),
            subscriptions: vec![SubscriptionDescription {
                allocation: allocation.clone(),
                size: Cores::centicores(total),
                burst: Cores::centicores(total.saturating_mul(10)),
            }],
            ..ShowDescription::default()
        })
        .collect();
    let mut jobs = Vec::new();
    let mut frames = 0;
    while frames < shape.frames {
        let (job, added) = job(jobs.len(), shape.frames - frames, shape, &mut draws);
        frames += added;
        jobs.push(job);
    }
    FarmDescription {
        seed: shape.seed,
        facilities: vec![FacilityDescription {
            name: shape.prefix.clone(),
            allocations: vec![AllocationDescription {
                name: allocation,
                tag: Some("general".to_owned()),
                default: true,
            }],
        }],
        shows,
        hosts,
        jobs,
        ..FarmDescription::default()
    }
}

fn show(shape: &MixShape, priority: i32) -> String {
    format!("{}_p{priority}", shape.prefix)
}

/// 2 to 10 layers of 48 to 96 frames; the last job is cut so that the farm holds the wanted number.
fn job(n: usize, wanted: usize, shape: &MixShape, draws: &mut Draws) -> (JobDescription, usize) {
    let priority = PRIORITIES[n % PRIORITIES.len()];
    let count = draws.between(2, 10) as usize;
    let mut layers: Vec<LayerDescription> = Vec::with_capacity(count);
    let mut added = 0;
    for l in 0..count {
        let frames = (draws.between(48, 96) as usize).min(wanted - added);
        if frames == 0 {
            break;
        }
        added += frames;
        let mut layer = layer(l, frames, shape, draws);
        if shape.dependencies && l > 0 {
            // Layer 0 has the branches 1, 2, 3; those have three each: a tree of depth 3 for up to ten layers.
            let parent = (l - 1) / 3;
            layer.after.push(LayerDependency {
                kind: LayerDependencyKind::LayerOnLayer,
                job: None,
                layer: layers[parent].name.clone(),
            });
        }
        layers.push(layer);
    }
    let job = JobDescription {
        name: format!("{}_j{n}", shape.prefix),
        show: show(shape, priority),
        priority,
        max_cores: Cores::whole(8000),
        layers,
        ..JobDescription::default()
    };
    (job, added)
}

fn layer(l: usize, frames: usize, shape: &MixShape, draws: &mut Draws) -> LayerDescription {
    let mut ticket = draws.below(LAYER_MIX.iter().map(|(_, share, _, _)| share).sum());
    let (cores, _, mean_gib, minutes) = LAYER_MIX
        .into_iter()
        .find(|(_, share, _, _)| {
            let found = ticket < *share;
            ticket = ticket.saturating_sub(*share);
            found
        })
        .unwrap_or(LAYER_MIX[0]);
    let rss_kb = draws.lognormal(mean_gib, 0.5).clamp(0.25, 480.0) * 1024.0 * 1024.0;
    let seconds = (minutes * shape.seconds_per_minute).max(0.5);
    LayerDescription {
        name: format!("l{l}"),
        command: format!("sleep {seconds:.2}"),
        range: format!("1-{frames}"),
        min_cores: Cores::whole(cores),
        memory: Memory::gib(GIB_PER_CORE * cores),
        env: [
            (SECONDS_VARIABLE.to_owned(), format!("{seconds:.2}")),
            (RSS_VARIABLE.to_owned(), format!("{rss_kb:.0}")),
        ]
        .into(),
        ..LayerDescription::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_has_the_published_shares() {
        let farm = mix(&MixShape::default());
        let layers: Vec<_> = farm.jobs.iter().flat_map(|job| &job.layers).collect();
        for (cores, share, _, _) in &LAYER_MIX[..4] {
            let found = layers.iter().filter(|layer| layer.min_cores == Cores::whole(*cores)).count();
            let percent = found as f64 * 100.0 / layers.len() as f64;
            assert!((percent - *share as f64 / 100.0).abs() < 6.0, "{cores} cores: {percent} %");
        }
        let hosts: u32 = farm.hosts.iter().map(|group| group.count).sum();
        assert_eq!(hosts, 1553);
    }

    #[test]
    fn the_mix_holds_exactly_the_wanted_frames() {
        let farm = mix(&MixShape { frames: 1001, ..MixShape::default() });
        let frames: usize = farm
            .jobs
            .iter()
            .flat_map(|job| &job.layers)
            .map(|layer| layer.range.trim_start_matches("1-").parse::<usize>().unwrap())
            .sum();
        assert_eq!(frames, 1001);
    }

    #[test]
    fn dependent_layers_form_a_tree_of_three_branches() {
        let farm = mix(&MixShape { dependencies: true, ..MixShape::default() });
        let job = farm.jobs.iter().find(|job| job.layers.len() == 10).unwrap();
        let parents: Vec<&str> = job.layers[1..].iter().map(|layer| layer.after[0].layer.as_str()).collect();
        assert_eq!(parents, ["l0", "l0", "l0", "l1", "l1", "l1", "l2", "l2", "l2"]);
    }
}
