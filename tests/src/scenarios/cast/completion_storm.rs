//! Very many jobs of very short frames.

use std::collections::HashMap;
use std::time::Duration;

use crate::farm_sim::Completion;
use crate::loader::amount::{Cores, Memory};
use crate::loader::description::{FarmDescription, JobDescription, LayerDescription};
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct CompletionStorm;

/// The longest that a pass should take. The short form, which runs wherever tests do and beside whatever else, fails at four times
/// that.
const PASS_MAX: Duration = Duration::from_secs(2);

#[tonic::async_trait(?Send)]
impl Scenario for CompletionStorm {
    fn name(&self) -> &'static str {
        "COMPLETIONSTORM"
    }

    fn demanded(&self) -> &'static str {
        "jobs of 1-second frames, 400 in full, on hosts that take all at once: no pass longer than 2 s in full, no answered completion lost, \
         each accepted once"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        // Two pools, so that each scheduler has one.
        let (jobs, frames, hosts) = setting.pick((100, 6, 20), (400, 8, 40));
        let mut farm = FarmDescription::from_yaml(&format!(
            "
facilities: [{{name: local, allocations: [{{name: local.a, tag: general}}, {{name: local.b, tag: other}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.a, burst: 10000}}, {{allocation: local.b, burst: 10000}}]}}]
hosts:
  - {{allocation: local.a, count: {hosts}, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}
  - {{allocation: local.b, count: {hosts}, first_address: 127.1.1.1, cores: 8, memory: 32 GiB}}"
        ))?;
        farm.seed = setting.seed;
        farm.jobs = (0..jobs).map(|n| job(n, frames)).collect();
        Ok(Parts::new(setting, farm)?.with_variable("OPENSCHEDULER_RQD__MAX_LAUNCHES_PER_HOST", "8"))
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.until_done().await?;
        let passes: Vec<Duration> = stage
            .schedulers
            .iter()
            .flat_map(|scheduler| scheduler.log().lines().filter_map(pass_time).collect::<Vec<_>>())
            .collect();
        let longest = passes.iter().max().copied().unwrap_or(Duration::MAX);
        let most = stage.setting.pick(4 * PASS_MAX, PASS_MAX);
        stage.demand(
            &format!("no pass takes longer than {most:?}"),
            longest <= most,
            format!("{longest:?} of {} passes", passes.len()),
        );
        let runs = stage.harness.hosts.record();
        let answered = runs.iter().filter(|run| matches!(run.completion, Completion::Delivered(_))).count();
        let mut line = format!("longest pass {longest:.0?}, {answered} completions answered");
        if let Some(cuebot) = &stage.harness.cuebot {
            let mut accepted: HashMap<String, usize> = HashMap::new();
            for end in cuebot.accepted() {
                *accepted.entry(end.resource).or_default() += 1;
            }
            let lost = runs.iter().filter(|run| accepted.get(&run.resource_id) != Some(&1)).count();
            stage.demand("every run is accepted once", lost == 0, format!("{lost} of {} are not", runs.len()));
            line = format!("{line}, {} accepted", accepted.len());
        }
        stage.see(line);
        Ok(())
    }
}

fn job(n: usize, frames: usize) -> JobDescription {
    let layer = LayerDescription {
        name: "a".to_owned(),
        command: "sleep 1".to_owned(),
        range: format!("1-{frames}"),
        min_cores: Cores::whole(1),
        memory: Memory::gib(1),
        tags: vec!["general".to_owned(), "other".to_owned()],
        threadable: false,
        ..LayerDescription::default()
    };
    JobDescription { name: format!("j{n}"), show: "alpha".to_owned(), layers: vec![layer], ..JobDescription::default() }
}

/// How long a pass took, from its line in the log.
fn pass_time(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once("planned frames booked in ")?;
    let (took, _) = rest.split_once(',')?;
    let unit = took.find(|c: char| c.is_alphabetic() || c == 'µ')?;
    let (number, unit) = took.split_at(unit);
    let seconds = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_pass_is_read_from_the_log() {
        let line =
            |took: &str| format!("DEBUG pass of a: 3 of 4 planned frames booked in {took}, 7 left waiting, refused: ");
        assert_eq!(pass_time(&line("1.5s")), Some(Duration::from_millis(1500)));
        assert_eq!(pass_time(&line("12.25ms")), Some(Duration::from_micros(12_250)));
        assert_eq!(pass_time(&line("800µs")), Some(Duration::from_micros(800)));
        assert_eq!(pass_time("something else"), None);
    }
}
