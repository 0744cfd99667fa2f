//! Plain, pinned and alternative requests, another facility, and Cuebot's own booking of the same work.

use std::collections::BTreeSet;

use crate::cuebot_sim::LegacyBooking;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

use std::time::Duration;

/// See [`Scenario::demanded`].
pub struct Parity;

/// The jobs of both shows; `SHOW` and `FRAMES` are replaced.
const JOBS: &str = "
  - name: SHOW-plain
    show: SHOW
    facility: local
    layers:
      - {name: general, range: 1-FRAMES, command: sleep 0.3, threadable: false}
      - {name: either, range: 1-FRAMES, command: sleep 0.3, tags: [nowhere, special], threadable: false}
      - {name: large, range: 1-FRAMES, command: sleep 0.3, min_cores: 8, threadable: false}
      - {name: nowhere, range: 1-5, tags: [closed], threadable: false}
      - {name: huge, range: 1-5, min_cores: 64, threadable: false}
  - {name: SHOW-linux, show: SHOW, facility: local, os: linux, layers: [{name: a, range: 1-FRAMES, command: sleep 0.3, threadable: false}]}
  - {name: SHOW-rocky, show: SHOW, facility: local, os: rocky9, layers: [{name: a, range: 1-FRAMES, command: sleep 0.3, threadable: false}]}
  - {name: SHOW-other-os, show: SHOW, facility: local, os: irix, layers: [{name: a, range: 1-5, threadable: false}]}
  - {name: SHOW-other, show: SHOW, facility: other, layers: [{name: a, range: 1-FRAMES, command: sleep 0.3, threadable: false}]}";

#[tonic::async_trait(?Send)]
impl Scenario for Parity {
    fn name(&self) -> &'static str {
        "PARITY"
    }

    fn demanded(&self) -> &'static str {
        "the layers that run are those that the rows allow: plain, pinned to an OS, with alternative tags; another facility's only by \
         its own scheduler; Cuebot's own booking takes the same set"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick("20", "120");
        let jobs: String =
            ["ours", "cuebots"].iter().map(|show| JOBS.replace("SHOW", show).replace("FRAMES", frames)).collect();
        let subscriptions = "[{allocation: local.general, burst: 1000}, {allocation: other.general, burst: 1000}]";
        let mut parts = Parts::from_yaml(
            setting,
            &format!(
                "
facilities:
  - {{name: local, allocations: [{{name: local.general, tag: general, default: true}}]}}
  - {{name: other, allocations: [{{name: other.general, tag: general}}]}}
shows:
  - {{name: ours, subscriptions: {subscriptions}}}
  - {{name: cuebots, managed: false, subscriptions: {subscriptions}}}
hosts:
  - {{allocation: local.general, count: 6, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}
  - {{allocation: local.general, count: 3, first_address: 127.1.0.11, cores: 8, memory: 32 GiB, os: rocky9, manual_tags: [special]}}
  - {{allocation: local.general, count: 1, first_address: 127.1.0.21, cores: 8, memory: 32 GiB, manual_tags: [closed], locked: true}}
  - {{allocation: other.general, count: 4, first_address: 127.2.0.1, cores: 8, memory: 32 GiB}}
jobs:{jobs}"
            ),
        )?;
        parts.cuebot.legacy = Some(LegacyBooking {
            bookers: 2,
            pause: Duration::from_millis(30),
            run_for: Some(Duration::from_millis(300)),
            ..LegacyBooking::default()
        });
        parts.schedulers = 0;
        Ok(parts)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let facility = |stage: &Stage, name: &str| format!("{}{name}", stage.prefix());
        let local = facility(stage, "local");
        stage.start_scheduler("local", &[("OPENSCHEDULER_SCHEDULER__FACILITY", &local)]).await?;
        let allowed = allowed(stage).await?;
        let done = async |stage: &Stage, show: &str, allowed: &BTreeSet<String>| {
            let left = "SELECT count(*) FROM frame WHERE pk_layer = ANY ($1) AND str_state <> 'SUCCEEDED'";
            let layers: Vec<&String> = stage
                .harness
                .loaded
                .layers
                .iter()
                .filter(|(name, _)| name.strip_prefix(show).is_some_and(|layer| allowed.contains(layer)))
                .map(|(_, id)| id)
                .collect();
            let left: i64 = sqlx::query_scalar(left).bind(layers).fetch_one(&stage.harness.pool).await?;
            anyhow::Ok(left == 0)
        };
        let here: BTreeSet<String> = allowed.iter().filter(|layer| !layer.starts_with("-other/")).cloned().collect();
        stage
            .until("all allowed layers of this facility are done", async |stage| done(stage, "ours", &here).await)
            .await?;
        let strangers = stage.runs_of("ours-other").len();
        stage.demand("the other facility's frames are left alone", strangers == 0, format!("{strangers} runs"));

        let other = facility(stage, "other");
        stage.start_scheduler("other", &[("OPENSCHEDULER_SCHEDULER__FACILITY", &other)]).await?;
        stage.until("all allowed layers are done", async |stage| done(stage, "ours", &allowed).await).await?;
        stage.until("Cuebot's are done", async |stage| done(stage, "cuebots", &allowed).await).await?;
        let (ours, cuebots) = (started(stage, "ours").await?, started(stage, "cuebots").await?);
        stage.demand("what runs is what the rows allow", ours == allowed, format!("{ours:?}, allowed {allowed:?}"));
        stage.demand("Cuebot's booking takes the same", cuebots == ours, format!("{cuebots:?}"));
        stage.see(format!("{} of {} layers may run and ran, by us and by Cuebot alike", ours.len(), 9));
        Ok(())
    }
}

/// By the rows alone: the layers of our show that some host could ever run, without the show's name.
async fn allowed(stage: &Stage) -> anyhow::Result<BTreeSet<String>> {
    named(stage, "ours", include_str!("../queries/may_run.sql")).await
}

/// Layers of which a frame has ever started.
async fn started(stage: &Stage, show: &str) -> anyhow::Result<BTreeSet<String>> {
    let sql = "SELECT DISTINCT pk_layer FROM frame WHERE pk_layer = ANY ($1) AND ts_started IS NOT NULL";
    named(stage, show, sql).await
}

/// Names of those layers of a show that a statement picks, without the show's name.
async fn named(stage: &Stage, show: &str, sql: &'static str) -> anyhow::Result<BTreeSet<String>> {
    let layers = &stage.harness.loaded.layers;
    let ids: Vec<&String> = layers.values().collect();
    let picked: Vec<String> = sqlx::query_scalar(sql).bind(ids).fetch_all(&stage.harness.pool).await?;
    let of_show = layers.iter().filter(|(_, id)| picked.contains(id));
    Ok(of_show.filter_map(|(name, _)| name.strip_prefix(show)).map(str::to_owned).collect())
}
