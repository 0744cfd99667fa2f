//! Licences as limits of layers, several to a layer, and work that needs none.

use super::{most_at_once, most_hosts_at_once};
use crate::farm_sim::Run;
use crate::scenarios::{Parts, Scenario, Setting, Stage};

/// See [`Scenario::demanded`].
pub struct License;

/// Each limit, and the layers that are under it.
const LIMITS: [(&str, i64, &[&str]); 3] = [
    ("renderer", 12, &["one/beauty", "one/both", "two/beauty"]),
    ("denoiser", 5, &["one/both", "two/denoise"]),
    ("solver", 3, &["two/sim"]),
];

/// Hosts on which frames under the limit of hosts may run.
const SEATS: i64 = 2;

#[tonic::async_trait(?Send)]
impl Scenario for License {
    fn name(&self) -> &'static str {
        "LICENSE"
    }

    fn demanded(&self) -> &'static str {
        "three limits, some layers under two of them, and a limit of two hosts, two schedulers: each used up and never passed, a host's \
         seat shared by its frames, work without a licence goes on at full width, a refusal costs no retry"
    }

    fn parts(&self, setting: &Setting) -> anyhow::Result<Parts> {
        let frames = setting.pick(40, 300);
        Parts::in_two_pools(
            setting,
            &["alpha"],
            &format!(
                "
facilities: [{{name: local, allocations: [{{name: local.general, tag: general}}]}}]
limits: [{{name: renderer, max: 12}}, {{name: denoiser, max: 5}}, {{name: solver, max: 3}}, {{name: seat, max: {SEATS}, hosts: true}}]
shows: [{{name: alpha, subscriptions: [{{allocation: local.general, burst: 1000}}]}}]
hosts: [{{allocation: local.general, count: 12, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}}]
jobs:
  - name: one
    show: alpha
    priority: 50
    layers:
      - {{name: beauty, range: 1-{frames}, command: sleep 0.5, limits: [renderer], threadable: false}}
      - {{name: both, range: 1-{frames}, command: sleep 0.4, limits: [renderer, denoiser], threadable: false}}
  - name: two
    show: alpha
    priority: 50
    layers:
      - {{name: beauty, range: 1-{frames}, command: sleep 0.5, limits: [renderer], threadable: false}}
      - {{name: denoise, range: 1-{frames}, command: sleep 0.3, limits: [denoiser], threadable: false}}
      - {{name: sim, range: 1-20, command: sleep 0.5, limits: [solver], threadable: false}}
      - {{name: paint, range: 1-{frames}, command: sleep 0.5, limits: [seat], threadable: false}}
  - {{name: free, show: alpha, layers: [{{name: a, range: 1-120, command: sleep 1.5, threadable: false}}]}}"
            ),
        )
    }

    async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let free = stage.harness.loaded.jobs["free"].clone();
        stage
            .until("the work without a licence is done", async |stage| {
                let sql = "SELECT count(*) FROM frame WHERE pk_job = $1 AND str_state <> 'SUCCEEDED'";
                Ok(stage.number_of(sql, &free).await? == 0)
            })
            .await?;
        let waiting = stage.frames("WAITING").await?;
        stage.demand(
            "work without a licence is done while that of higher priority waits for one",
            waiting > 0,
            format!("{waiting} frames wait then"),
        );
        stage.until_done().await?;
        let mut seen = Vec::new();
        for (limit, max, layers) in LIMITS {
            let runs: Vec<Run> = layers.iter().flat_map(|layer| stage.runs_of_layer(layer)).collect();
            let most = most_at_once(&runs, |_| 1);
            stage.demand(&format!("`{limit}` is used up and not passed"), most == max, format!("{most} of {max}"));
            seen.push(format!("{limit} {most} of {max}"));
        }
        let painted = stage.runs_of_layer("two/paint");
        let (frames, hosts) = (most_at_once(&painted, |_| 1), most_hosts_at_once(&painted));
        stage.demand("`seat` is used up and not passed", hosts == SEATS, format!("{hosts} of {SEATS} hosts"));
        stage.demand("frames of a host share its seat", frames > SEATS, format!("{frames} on {hosts} hosts"));
        seen.push(format!("seat {hosts} of {SEATS} hosts with {frames} frames"));
        let wide = most_at_once(&stage.runs_of("free"), |_| 1);
        stage.demand("free work fills the rest of the hosts", wide >= 50, format!("{wide} at once on 96 cores"));
        let retries = stage.number("SELECT COALESCE(sum(int_retries), 0)::bigint FROM frame").await?;
        stage.demand("no refusal costs a retry", retries == 0, format!("{retries} retries"));
        stage.see(format!("{}; free work {wide} at once", seen.join(", ")));
        Ok(())
    }
}
