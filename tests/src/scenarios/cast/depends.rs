//! Frames that wait for frames, layers and jobs.

use std::collections::HashMap;

use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Depends;

/// Job and layer, and the layer that each of its frames waits for.
const BY_FRAME: [(&str, &str); 2] = [("tree/light", "tree/sim"), ("tree/comp", "tree/light")];

/// A layer, and one that must have ended as a whole.
const BY_LAYER: [(&str, &str); 3] =
    [("tree/sim", "tree/model"), ("tree/fx", "tree/model"), ("other/edit", "tree/comp")];

#[tonic::async_trait(?Send)]
impl Scenario for Depends {
    fn name(&self) -> &'static str {
        "DEPENDS"
    }

    fn demanded(&self) -> &'static str {
        "no frame starts on a host before all that it waits for has ended there: frames by frame, by layer and by job, over several \
         layers at once"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(40, 250);
        // On 40 cores some frames of each layer wait for others of it, so what waits for them has time to begin too early.
        let more_than_fit = 60;
        Parts::in_two_pools(
            setting,
            &["alpha"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}]}}]
hosts: [{{allocation: local.general, count: 5, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}]
jobs:
  - name: tree
    show: alpha
    layers:
      - {{name: model, range: 1-{more_than_fit}, command: sleep 0.3, threadable: false}}
      - {{name: sim, range: 1-{frames}, command: sleep 0.2, threadable: false, after: [{{kind: LAYER_ON_LAYER, layer: model}}]}}
      - {{name: fx, range: 1-{frames}, command: sleep 0.4, threadable: false, after: [{{kind: LAYER_ON_LAYER, layer: model}}]}}
      - {{name: light, range: 1-{frames}, command: sleep 0.2, threadable: false, after: [{{kind: FRAME_BY_FRAME, layer: sim}}]}}
      - {{name: comp, range: 1-{frames}, command: sleep 0.2, threadable: false, after: [{{kind: FRAME_BY_FRAME, layer: light}}]}}
  - name: other
    show: alpha
    layers: [{{name: edit, range: 1-20, command: sleep 0.2, threadable: false, after: [{{kind: LAYER_ON_LAYER, job: tree, layer: comp}}]}}]
  - {{name: last, show: alpha, after_jobs: [other], layers: [{{name: a, range: 1-20, command: sleep 0.2, threadable: false}}]}}"
            ),
        )
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.until_done().await?;
        // The first start and the first end of each frame: one that began too early may run once more at its time.
        let mut started: HashMap<String, u64> = HashMap::new();
        let mut ended: HashMap<String, u64> = HashMap::new();
        for run in stage.harness.hosts.record() {
            let end = run.end.map_or(u64::MAX, |end| end.at_us);
            let first = started.entry(run.frame_id.clone()).or_insert(run.started_us);
            *first = run.started_us.min(*first);
            let first = ended.entry(run.frame_id).or_insert(end);
            *first = end.min(*first);
        }
        let frames = |layer: &str| stage.harness.loaded.frames[layer].clone();
        let mut early = Vec::new();
        for (waits, on) in BY_FRAME {
            for (frame, other) in frames(waits).iter().zip(frames(on)) {
                if started[&frame.id] < ended[&other.id] {
                    early.push(format!("frame {} of {waits}", frame.number));
                }
            }
        }
        for (waits, on) in BY_LAYER.into_iter().chain([("last/a", "other/edit")]) {
            let last = frames(on).iter().map(|frame| ended[&frame.id]).max();
            let first = frames(waits).iter().map(|frame| started[&frame.id]).min();
            if first < last {
                early.push(format!("layer {waits}"));
            }
        }
        stage.demand("no frame starts before what it waits for has ended", early.is_empty(), format!("{early:?}"));
        let satisfied = stage.harness.cuebot.as_ref().map(|cuebot| cuebot.counts().dependencies_satisfied);
        stage.see(format!(
            "{} frames kept the order of {} dependencies",
            started.len(),
            satisfied.map_or_else(|| "their".to_owned(), |count| count.to_string())
        ));
        Ok(())
    }
}
