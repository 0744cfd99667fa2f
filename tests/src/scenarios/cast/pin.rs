//! Layers that are pinned to hosts by their names.

use std::time::Duration;

use super::hosts_of;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Pin;

/// Each pinned layer's hosts.
const PINS: [&[&str]; 5] = [
    &["127.1.0.1"],
    &["127.1.0.1", "127.1.0.2"],
    &["127.1.0.3", "127.1.0.4", "127.1.0.5"],
    &["127.1.0.6", "127.1.0.20"],
    &["127.1.0.9", "127.1.0.10"],
];

#[tonic::async_trait(?Send)]
impl Scenario for Pin {
    fn name(&self) -> &'static str {
        "PIN"
    }

    fn demanded(&self) -> &'static str {
        "five layers pinned to hosts run at least ten frames each, on their hosts only; those pinned to a locked host or to none are told \
         `no_host_with_tag` and never run"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(14, 60);
        let pins: Vec<String> = PINS
            .iter()
            .enumerate()
            .map(|(at, hosts)| {
                let hosts = hosts.join(", ");
                format!("      - {{name: pin{at}, range: 1-{frames}, command: sleep 0.4, tags: [{hosts}], threadable: false}}")
            })
            .collect();
        let pins = pins.join("\n");
        Parts::from_yaml(
            setting,
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}]}}]
hosts:
  - {{allocation: local.general, count: 12, first_address: 127.1.0.1, cores: 4, memory: 32 GiB}}
  - {{allocation: local.general, count: 2, first_address: 127.1.0.30, cores: 4, memory: 32 GiB, locked: true}}
jobs:
  - {{name: free, show: alpha, layers: [{{name: a, range: 1-80, command: sleep 0.3, threadable: false}}]}}
  - name: pinned
    show: alpha
    priority: 50
    layers:
{pins}
      - {{name: dead, range: 1-10, command: sleep 0.3, tags: [127.1.0.30, 127.1.0.31], threadable: false}}
      - {{name: gone, range: 1-10, command: sleep 0.3, tags: [127.1.0.99], threadable: false}}"
            ),
        )
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.until_reason("no_host_with_tag").await?;
        let all = stage.frames_of_all_states().await?;
        stage.until_succeeded(all - 20).await?;
        // The dead ones have had all hosts to themselves meanwhile.
        stage.linger(Duration::from_secs(1)).await;
        let (mut wrong, mut counts) = (Vec::new(), Vec::new());
        for (at, hosts) in PINS.iter().enumerate() {
            let layer = format!("pinned/pin{at}");
            counts.push(stage.runs_of_layer(&layer).len());
            wrong.extend(
                hosts_of(stage, &layer)
                    .into_iter()
                    .filter(|host| !hosts.contains(&host.as_str()))
                    .map(|host| format!("pin{at} on {host}")),
            );
        }
        let dead = stage.runs_of_layer("pinned/dead").len() + stage.runs_of_layer("pinned/gone").len();
        stage.demand("pinned frames run on their hosts only", wrong.is_empty(), format!("{wrong:?}"));
        stage.demand("each pinned layer runs ten frames", counts.iter().all(|runs| *runs >= 10), format!("{counts:?}"));
        stage.demand("what is pinned to a locked host, or to none, never runs", dead == 0, format!("{dead} runs"));
        stage.see(format!("runs of the pinned layers {counts:?}, of the dead ones {dead}"));
        Ok(())
    }
}
