//! Frames that die for want of memory, and Cuebot that raises what their layer asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_proto::rqd::RunFrame;

use super::most_at_once;
use crate::farm_sim::{Outcome, Run};
use crate::loader::amount::{Cores, Memory};
use crate::loader::description::{FarmDescription, JobDescription, LayerDescription};
use crate::scenarios::parts::two_pools;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Oom;

const HOSTS: i64 = 16;
const CORES: i64 = 8;

/// What every layer asks for at first.
const ASKED: Memory = Memory::gib(2);

/// What the frames that die need.
const NEEDED: Memory = Memory::gib(3);

/// Every so many layers hold such frames, every other frame of them: one frame of ten.
const GREEDY_EVERY: usize = 5;

#[tonic::async_trait(?Send)]
impl Scenario for Oom {
    fn name(&self) -> &'static str {
        "OOM"
    }

    fn demanded(&self) -> &'static str {
        "one frame of ten dies of memory: only layers with such frames ask for more afterwards, by one step, the next start has it, \
         all frames are done, at least 40 % of the cores are in use at the peak"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let (layers, frames) = setting.pick((20, 20), (60, 60));
        let mut farm = FarmDescription::from_yaml(&format!(
            "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}]}}]
hosts: [{{allocation: local.general, count: {HOSTS}, first_address: 127.1.0.1, cores: {CORES}, memory: 64 GiB}}]"
        ))?;
        farm.seed = setting.seed;
        farm.jobs = (0..layers / 10).map(|n| job(n, frames)).collect();
        let mut parts = Parts::new(setting, two_pools(farm, &["alpha"])?)?;
        parts.hosts.script = Some(Arc::new(outcome));
        Ok(parts)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.until_done().await?;
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT str_name, int_mem_min, (SELECT count(*) FROM frame WHERE frame.pk_layer = layer.pk_layer AND str_state = 'DEAD')
             FROM layer WHERE pk_job = ANY ($1)",
        )
        .bind(stage.jobs())
        .fetch_all(&stage.harness.pool)
        .await?;
        let raised = ASKED.to_kib() + 2 * 1024 * 1024;
        let mut wrong: BTreeMap<&str, i64> = BTreeMap::new();
        for (layer, memory, dead) in &rows {
            let expected = if is_greedy(layer) { raised } else { ASKED.to_kib() };
            if *memory != expected || *dead > 0 {
                wrong.insert(layer, *memory);
            }
        }
        stage.demand(
            "layers whose frames died ask for one step more, all others for what they did, and no frame is dead",
            wrong.is_empty(),
            format!("{wrong:?}"),
        );
        let runs = stage.harness.hosts.record();
        let died = runs.iter().filter(|run| run.end.is_some_and(|end| end.exit_status != 0)).count();
        let peak = most_at_once(&runs, |run: &Run| i64::from(run.cores)) as f64 / (HOSTS * CORES * 100) as f64;
        stage.demand(
            "at least 40 % of the cores are in use at the peak",
            peak >= 0.4,
            format!("{:.0} %", peak * 100.0),
        );
        stage.demand("frames died", died > 0, format!("{died} runs"));
        stage.see(format!(
            "{died} runs died, {} of {} layers raised by a step, peak {:.0} %",
            rows.iter().filter(|row| row.1 == raised).count(),
            rows.len(),
            peak * 100.0
        ));
        Ok(())
    }
}

fn is_greedy(layer: &str) -> bool {
    layer.trim_start_matches('l').parse::<usize>().is_ok_and(|n| n.is_multiple_of(GREEDY_EVERY))
}

fn job(n: usize, frames: usize) -> JobDescription {
    let layer = |l: usize| LayerDescription {
        name: format!("l{l}"),
        command: "sleep 0.4".to_owned(),
        range: format!("1-{frames}"),
        min_cores: Cores::whole(1),
        memory: ASKED,
        threadable: false,
        ..LayerDescription::default()
    };
    JobDescription {
        name: format!("j{n}"),
        show: "alpha".to_owned(),
        layers: (n * 10..n * 10 + 10).map(layer).collect(),
        ..JobDescription::default()
    }
}

/// Every other frame of a greedy layer dies soon unless it was given what it needs.
fn outcome(frame: &RunFrame, _tries: u32) -> Option<Outcome> {
    let (number, layer) = frame.frame_name.split_once('-')?;
    let needs_more = is_greedy(layer) && number.parse::<u32>().ok()? % 2 == 0;
    let given: i64 = frame.environment.get("CUE_MEMORY")?.parse().ok()?;
    (needs_more && given < NEEDED.to_kib()).then_some(Outcome {
        duration: Duration::from_millis(200),
        exit_status: 33,
        exit_signal: 0,
        rss_kb: ASKED.to_kib() as u64,
    })
}
