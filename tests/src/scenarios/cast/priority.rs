//! Much more work than the hosts can run, in classes of priority.

use std::collections::BTreeMap;

use crate::loader::amount::{Cores, Memory};
use crate::loader::description::{FarmDescription, JobDescription, LayerDescription};
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Priority;

const CLASSES: [i32; 5] = [10, 32, 55, 78, 100];

/// How often the hosts could be filled with the work.
const WAVES: usize = 9;

/// Of frames in the order of their starts with their priorities. Five equal classes in perfect order come to 0.98.
const CORRELATION_MIN: f64 = 0.9;

#[tonic::async_trait(?Send)]
impl Scenario for Priority {
    fn name(&self) -> &'static str {
        "PRIORITY"
    }

    fn demanded(&self) -> &'static str {
        "nine times more work than fits: starts follow the priority (rank correlation at least 0.9), and at half time the shares that \
         are done are ordered like the priorities"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let hosts = setting.pick(12, 60);
        let mut farm = FarmDescription::from_yaml(&format!(
            "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 10000}}]}}]
hosts: [{{allocation: local.general, count: {hosts}, first_address: 127.1.0.1, cores: 4, memory: 16 GiB}}]"
        ))?;
        let frames = hosts * 4 * WAVES / CLASSES.len();
        // The lowest class is the oldest, so that age alone would turn the order round.
        farm.jobs = CLASSES.iter().map(|priority| job(*priority, frames)).collect();
        farm.seed = setting.seed;
        Parts::new(setting, farm)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.until_done().await?;
        let mut runs: Vec<(u64, u64, i32)> = Vec::new();
        for priority in CLASSES {
            let of_class = stage.runs_of(&name(priority)).into_iter();
            runs.extend(of_class.map(|run| (run.started_us, run.end.map_or(u64::MAX, |end| end.at_us), priority)));
        }
        runs.sort_unstable();
        let order: Vec<f64> = runs.iter().map(|run| f64::from(run.2)).collect();
        let correlation = -correlation_with_position(&order);
        stage.demand(
            "starts follow the priority",
            correlation >= CORRELATION_MIN,
            format!("rank correlation {correlation:.3}"),
        );
        let mut ends: Vec<(u64, i32)> = runs.iter().map(|run| (run.1, run.2)).collect();
        ends.sort_unstable();
        let mut shares: BTreeMap<i32, usize> = CLASSES.iter().map(|priority| (*priority, 0)).collect();
        for (_, priority) in &ends[..ends.len() / 2] {
            *shares.entry(*priority).or_default() += 1;
        }
        let counts: Vec<usize> = shares.values().copied().collect();
        let ordered = counts.is_sorted() && counts.last() > counts.first();
        stage.demand("shares at half time are ordered like the priorities", ordered, format!("{shares:?}"));
        stage.see(format!("rank correlation {correlation:.3}; done at half time, by priority: {shares:?}"));
        Ok(())
    }
}

fn name(priority: i32) -> String {
    format!("p{priority}")
}

fn job(priority: i32, frames: usize) -> JobDescription {
    let layer = LayerDescription {
        name: "render".to_owned(),
        command: "sleep 0.4".to_owned(),
        range: format!("1-{frames}"),
        min_cores: Cores::whole(1),
        memory: Memory::gib(1),
        threadable: false,
        ..LayerDescription::default()
    };
    JobDescription {
        name: name(priority),
        show: "alpha".to_owned(),
        priority,
        layers: vec![layer],
        ..JobDescription::default()
    }
}

/// Spearman's: of values with their places in the sequence, equal values sharing the mean of their ranks.
fn correlation_with_position(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |value: &f64| {
        let (low, high) =
            (sorted.partition_point(|other| other < value), sorted.partition_point(|other| other <= value));
        (low + high) as f64 / 2.0
    };
    let middle = values.len() as f64 / 2.0;
    let (mut both, mut of_values, mut of_places) = (0.0, 0.0, 0.0);
    for (place, value) in values.iter().enumerate() {
        let (x, y) = (rank(value) - middle, place as f64 + 0.5 - middle);
        both += x * y;
        of_values += x * x;
        of_places += y * y;
    }
    both / (of_values * of_places).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correlation_of_a_sequence_with_its_places() {
        let near = |values: &[f64], expected: f64| {
            let found = correlation_with_position(values);
            assert!((found - expected).abs() < 0.01, "{values:?}: {found}");
        };
        near(&[1.0, 2.0, 3.0, 4.0], 1.0);
        near(&[4.0, 3.0, 2.0, 1.0], -1.0);
        near(&[1.0, 3.0, 2.0, 4.0], 0.8);
        let classes: Vec<f64> = (0..100).map(|n| f64::from(n / 20)).collect();
        near(&classes, 0.98);
    }
}
