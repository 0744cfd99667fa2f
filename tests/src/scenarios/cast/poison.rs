//! Procs that nobody knows any more sit on the first frames of a layer.

use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct Poison;

/// Frames with a stale proc.
const POISONED: usize = 40;

/// Starts that have to follow while the stale procs are still there.
const STARTS_MIN: u64 = 200;

#[tonic::async_trait(?Send)]
impl Scenario for Poison {
    fn name(&self) -> &'static str {
        "POISON"
    }

    fn demanded(&self) -> &'static str {
        "stale procs on the first 40 frames of a layer: the layer's other frames go on (at least 200 starts), passes too, and the 40 \
         run once Cuebot has swept the procs away"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(320, 1200);
        let mut parts = Parts::in_two_pools(
            setting,
            &["alpha"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}]}}]
hosts: [{{allocation: local.general, count: 20, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}]
jobs: [{{name: one, show: alpha, layers: [{{name: a, range: 1-{frames}, command: sleep 0.4, threadable: false}}]}}]"
            ),
        )?;
        parts.schedulers = 0;
        Ok(parts)
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let head: Vec<String> =
            stage.harness.loaded.frames["one/a"][..POISONED].iter().map(|frame| frame.id.clone()).collect();
        for (at, frame) in head.iter().enumerate() {
            let host = format!("127.1.0.{}", at % 20 + 1);
            stage.stand_in()?.book(frame, &host).await?;
        }
        // The frames wait again and their procs have stayed, as after an update that came half through.
        sqlx::query("UPDATE frame SET str_state = 'WAITING', int_version = int_version + 1 WHERE pk_frame = ANY ($1)")
            .bind(&head)
            .execute(&stage.harness.pool)
            .await?;
        sqlx::query(
            "UPDATE proc SET ts_ping = now() - interval '10 minutes', ts_booked = now() - interval '10 minutes'",
        )
        .execute(&stage.harness.pool)
        .await?;
        stage.start_scheduler("scheduler-1", &[]).await?;
        stage.start_scheduler("scheduler-2", &[]).await?;
        stage
            .until("200 starts have followed", async |stage| Ok(stage.harness.hosts.launched_count() >= STARTS_MIN))
            .await?;
        let on_head = stage.harness.hosts.record().iter().filter(|run| head.contains(&run.frame_id)).count();
        stage.demand("no frame with a stale proc starts", on_head == 0, format!("{on_head} started"));
        let starts = stage.harness.hosts.launched_count();

        stage.logbook.note("Cuebot sweeps");
        stage
            .until("Cuebot has swept the stale procs away", async |stage| {
                stage.stand_in()?.sweep().await?;
                Ok(stage.number("SELECT count(*) FROM proc WHERE ts_ping < now() - interval '5 minutes'").await? == 0)
            })
            .await?;
        stage.until_done().await?;
        let swept = stage.stand_in()?.counts().lost_procs;
        stage.demand("what Cuebot sweeps is what is stale", swept == POISONED as u64, format!("{swept} procs"));
        stage.see(format!("{starts} starts beside {POISONED} stale procs; after the sweep all frames are done"));
        Ok(())
    }
}
