//! Two real schedulers on one simulated farm: both see all hosts and all work, and caps keep most of it waiting.

use std::time::Duration;

use testbed::auditor::{Audit, CapRecords, Sampler, audit};
use testbed::cuebot_sim::{CuebotConfig, Generation};
use testbed::farm_sim::{Durations, FarmConfig, HostSet};
use testbed::harness::{Harness, HarnessConfig};
use testbed::loader::description::FarmDescription;

/// On a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(3);

const FRAMES: i64 = 400;

/// 320 cores, of which the caps allow about 30.
const FARM: &str = "
seed: 23
facilities: [{name: local, allocations: [{name: local.general, tag: general}]}]
limits: [{name: licence, max: 5}]
shows:
  - name: alpha
    subscriptions: [{allocation: local.general, size: 10, burst: 20}]
    folders: [{name: shots, max_cores: 12}]
  - {name: beta, subscriptions: [{allocation: local.general, size: 10, burst: 10}]}
hosts: [{allocation: local.general, count: 40, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}]
jobs:
  - {name: alpha-1, show: alpha, folder: shots, max_cores: 8, layers: [{name: a, range: 1-60}, {name: b, range: 1-40, limits: [licence]}]}
  - {name: alpha-2, show: alpha, folder: shots, max_cores: 8, layers: [{name: a, range: 1-50}]}
  - {name: alpha-3, show: alpha, layers: [{name: a, range: 1-50, limits: [licence]}, {name: b, range: 1-50, min_cores: 2}]}
  - {name: beta-1, show: beta, max_cores: 6, layers: [{name: a, range: 1-80}]}
  - {name: beta-2, show: beta, layers: [{name: a, range: 1-70}]}
";

/// How a run ended.
struct Outcome {
    audit: Audit,
    caps: CapRecords,
    /// What each scheduler booked.
    booked: Vec<f64>,
    healed: f64,
}

/// Lets two schedulers do all frames, and checks what must hold with every Cuebot.
async fn run(generation: Generation) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { count: 40, ..HostSet::default() }],
            durations: Durations { min: Duration::from_millis(100), max: Duration::from_millis(300) },
            first_report: Some(Duration::from_millis(200)),
            ..FarmConfig::default()
        },
        agent: None,
        cuebot: CuebotConfig { generation, ..CuebotConfig::default() },
        existing: None,
    };
    let harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
    let sampler = Sampler::start(harness.pool.clone(), Duration::from_millis(50));
    let mut schedulers = [harness.scheduler("one", "").unwrap(), harness.scheduler("two", "").unwrap()];
    for scheduler in &mut schedulers {
        scheduler.ready().await.unwrap();
    }
    let done = harness.until_states("all frames succeeded", LIMIT, |states| states.are_all("SUCCEEDED")).await;
    let states = done.unwrap_or_else(|error| panic!("{error}\n{}\n{}", schedulers[0].log(), schedulers[1].log()));
    assert_eq!(states.total(), FRAMES);
    harness.until_released(LIMIT).await.unwrap();

    let runs = harness.runs_per_frame();
    let often: Vec<_> = runs.iter().filter(|(_, runs)| **runs != 1).collect();
    assert!(often.is_empty(), "frames that ran more than once: {often:?}");
    assert_eq!(runs.len() as i64, FRAMES);
    assert_eq!(harness.hosts.overlaps(), []);
    let counts = harness.cuebot.as_ref().unwrap().counts();
    assert_eq!((counts.completions as i64, counts.deadlocks, counts.failures), (FRAMES, 0, 0), "{counts}");
    let caps = sampler.finish().await.unwrap();
    let over: Vec<String> = caps.passed().map(ToString::to_string).collect();
    assert_eq!(over, Vec::<String>::new(), "caps were passed");

    let mut booked = Vec::new();
    let mut healed = 0.0;
    for scheduler in &schedulers {
        booked.push(scheduler.metric("scheduler_frames_dispatched_total").await.unwrap());
        healed += scheduler.metric("scheduler_counters_healed_total").await.unwrap();
    }
    assert_eq!(booked.iter().sum::<f64>() as i64, FRAMES, "booked by each: {booked:?}");
    let audit = audit(&harness.pool).await.unwrap();
    for scheduler in schedulers {
        assert_eq!(scheduler.stop().await.unwrap(), 0);
    }
    harness.stop().await.unwrap();
    Outcome { audit, caps, booked, healed }
}

/// That the caps were what kept the work back: each kind was used up to its last core or frame.
fn assert_caps_were_reached(caps: &CapRecords) {
    for kind in ["subscription burst", "job max cores", "folder max cores", "limit"] {
        let of_kind = caps.caps.iter().filter(|record| record.largest.cap == kind);
        let reached = of_kind.clone().any(|record| record.largest.used == record.largest.allowed);
        assert!(reached, "no {kind} was reached: {:?}", of_kind.collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_run_each_frame_once_and_leave_every_counter_exact() {
    let Outcome { audit, caps, booked, .. } = run(Generation::C).await;
    println!("booked by each: {booked:?}; {caps}");
    assert!(audit.is_clean(), "{audit}");
    assert_caps_were_reached(&caps);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_where_cuebot_leaves_the_counters_high() {
    let Outcome { audit, caps, booked, healed } = run(Generation::B1).await;
    println!("booked by each: {booked:?}, healed {healed}; {caps}");
    assert!(audit.is_clean_but_for_high_counters(), "{audit}");
    assert!(!audit.is_clean(), "this Cuebot leaves counters high, or the test shows nothing");
    assert!(healed > 0.0, "counters that never come down have to be set right for the work to go on");
    assert_caps_were_reached(&caps);
}
