//! Renders that Cuebot has given up and given out again come back.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::cuebot_sim::Sweeps;
use crate::farm_sim::{Cause, Fault, Hosts, Manner};
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct DoubleRender;

/// Hosts that are cut off from everybody for a while.
const CUT_OFF: Hosts = Hosts::Range(Ipv4Addr::new(127, 1, 0, 1), Ipv4Addr::new(127, 1, 0, 4));

/// Silence after which Cuebot takes a host for dead.
const DEAD_AFTER: Duration = Duration::from_secs(4);

#[tonic::async_trait(?Send)]
impl Scenario for DoubleRender {
    fn name(&self) -> &'static str {
        "DOUBLERENDER"
    }

    fn demanded(&self) -> &'static str {
        "hosts are cut off, Cuebot gives their frames out again, the hosts come back: a late \"finished\" ends no new run, an old \
         render that still runs is killed, every frame is done once"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let more = setting.pick(100, 600);
        let mut parts = Parts::from_yaml(
            setting,
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}]}}]
hosts:
  - {{allocation: local.general, count: 4, first_address: 127.1.0.1, cores: 8, memory: 32 GiB, manual_tags: [first]}}
  - {{allocation: local.general, count: 8, first_address: 127.1.0.11, cores: 8, memory: 32 GiB, manual_tags: [second]}}
jobs:
  - {{name: short, show: alpha, layers: [{{name: a, range: 1-8, command: sleep 3, tags: [first, late], threadable: false}}]}}
  - {{name: long, show: alpha, layers: [{{name: a, range: 1-8, command: sleep 9, tags: [first, late], threadable: false}}]}}
  - {{name: others, show: alpha, layers: [{{name: a, range: 1-{more}, command: sleep 0.4, tags: [second], threadable: false}}]}}"
            ),
        )?;
        // Completions are repeated until they are answered, as an agent in Rust does.
        parts.hosts.manner = Manner::Rust;
        parts.hosts.report_interval = Some(Duration::from_secs(1));
        parts.cuebot.kill_grace = Duration::from_secs(1);
        parts.cuebot.sweeps =
            Some(Sweeps { interval: Duration::from_millis(500), host_down_after: DEAD_AFTER, ..Sweeps::default() });
        Ok(parts
            .with_variable("OPENSCHEDULER_RQD__CONNECT_TIMEOUT", "1s")
            .with_variable("OPENSCHEDULER_RQD__CALL_TIMEOUT", "2s"))
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let frames: HashSet<String> = ["short/a", "long/a"]
            .iter()
            .flat_map(|layer| &stage.harness.loaded.frames[*layer])
            .map(|frame| frame.id.clone())
            .collect();
        let running =
            |stage: &Stage| stage.harness.hosts.running().iter().filter(|run| frames.contains(&run.frame_id)).count();
        stage.until("all sixteen run", async |stage| Ok(running(stage) == frames.len())).await?;
        stage.harness.hosts.set_fault(CUT_OFF, Fault::Partitioned).await?;
        stage.given_up.extend((1..=4).map(|last| Ipv4Addr::new(127, 1, 0, last)));
        stage.logbook.note("four hosts are cut off");
        // The other hosts are let in only now, so that everything began on those that were cut off.
        sqlx::query("UPDATE layer SET str_tags = 'first | second' WHERE pk_job = ANY ($1) AND str_tags LIKE '%late%'")
            .bind(stage.jobs())
            .execute(&stage.harness.pool)
            .await?;
        let again = |stage: &Stage| {
            let runs = stage.harness.hosts.record();
            runs.iter().filter(|run| frames.contains(&run.frame_id) && !CUT_OFF.contains(run.host)).count()
        };
        stage.until("all sixteen were given out again", async |stage| Ok(again(stage) == frames.len())).await?;
        stage.harness.hosts.set_fault(CUT_OFF, Fault::Healthy).await?;
        stage.logbook.note("they are back");
        stage.until_done().await?;

        let mut runs: HashMap<String, Vec<Cause>> = HashMap::new();
        for run in stage.harness.hosts.record() {
            if let (true, Some(end)) = (frames.contains(&run.frame_id), run.end) {
                runs.entry(run.frame_id).or_default().push(end.cause);
            }
        }
        let count = |cause: Cause, job: &str| {
            let of_job = &stage.harness.loaded.frames[job];
            of_job.iter().filter_map(|frame| runs.get(&frame.id)).flatten().filter(|end| **end == cause).count()
        };
        let (old_ended, old_killed) = (count(Cause::Finished, "short/a"), count(Cause::Killed, "long/a"));
        let twice = runs.values().filter(|ends| ends.len() == 2).count();
        stage.demand(
            "every frame ran once more and not again",
            twice == frames.len(),
            format!("{twice} of {}", frames.len()),
        );
        stage.demand("old renders that still ran are killed", old_killed == 8, format!("{old_killed} of 8"));
        stage.demand("short ones ended by themselves, both times", old_ended == 16, format!("{old_ended} of 16"));
        let mut line = format!("{twice} frames given out again, {old_killed} old renders killed");
        if let Some(cuebot) = &stage.harness.cuebot {
            let well =
                cuebot.accepted().iter().filter(|end| frames.contains(&end.frame) && end.exit_status == 0).count();
            let late_reports = cuebot.counts().stale_completions;
            stage.demand(
                "each is completed once",
                well == frames.len(),
                format!("{well} completions for {}", frames.len()),
            );
            stage.demand(
                "late reports come and change nothing",
                late_reports >= 8,
                format!("{late_reports} late reports"),
            );
            line = format!("{line}, {late_reports} late reports, {well} completions for {} frames", frames.len());
        }
        stage.see(line);
        Ok(())
    }
}
