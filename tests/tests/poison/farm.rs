//! A whole farm with one of each poison: hosts that can't be reached, that speak nonsense or refuse in every way, rows that hold
//! what no row should. A real scheduler, simulated agents, a stand-in Cuebot; and all healthy frames run.

use std::net::Ipv4Addr;
use std::time::Duration;

use testbed::cuebot_sim::{CuebotConfig, Sweeps};
use testbed::farm_sim::{Durations, FarmConfig, HostSet, Listen};
use testbed::harness::{Harness, HarnessConfig, Scheduler};
use testbed::loader::description::FarmDescription;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::world::write;

const LIMIT: Duration = Duration::from_mins(3);

/// Frames of the healthy jobs.
const HEALTHY: i64 = 240;

/// Hosts whose agents answer each launch with one code.
const CODES: [&str; 16] = [
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// Hosts of healthy agents.
const WELL: u32 = 12;

/// Hosts where no agent listens, but something else does. At 127.1.1.3 nobody listens at all.
const GARBAGE: Ipv4Addr = Ipv4Addr::new(127, 1, 1, 1);
const CUTS_OFF: Ipv4Addr = Ipv4Addr::new(127, 1, 1, 2);

/// The most important work is sick; the healthy work comes last.
const FARM: &str = "
seed: 83
facilities: [{name: local, allocations: [{name: local.general, tag: general, default: true}]}]
shows:
  - {name: well, subscriptions: [{allocation: local.general, burst: 100000}]}
  - {name: ill, subscriptions: [{allocation: local.general, burst: 100000}], folders: [{name: bad}]}
hosts:
  - {allocation: local.general, count: 28, first_address: 127.1.0.1, cores: 8, memory: 32 GiB}
  - {allocation: local.general, names: [127.1.1.1, 127.1.1.2, 127.1.1.3], cores: 8, memory: 32 GiB}
  - allocation: local.general
    names: [no-such-host.invalid, 'http://127.1.0.1', '127.1.0.1:80', 'host with blanks', 'ünï🎬', '../..', '[::1', '%00', 'a@b', '']
    cores: 8
    memory: 32 GiB
jobs:
  - {name: well-1, show: well, layers: [{name: a, range: 1-200, threadable: false}]}
  - {name: well-2, show: well, layers: [{name: a, range: 1-40, min_cores: 2}]}
  - {name: no-range, show: ill, priority: 90, layers: [{name: a, range: 1-4}]}
  - {name: no-number, show: ill, priority: 90, layers: [{name: a, range: 1-4}]}
  - {name: heavy, show: ill, priority: 90, layers: [{name: a, range: 1-4}]}
  - {name: bomb, show: ill, priority: 90, layers: [{name: a, range: 1-4}]}
  - {name: worn-out, show: ill, priority: 90, layers: [{name: a, range: 1-4}]}
  - {name: overflow, show: ill, priority: 90, folder: bad, layers: [{name: a, range: 1-4}]}
  - {name: too-many, show: ill, priority: 90, layers: [{name: a, range: 1-4, threadable: false}]}
  - {name: negative, show: ill, priority: 90, layers: [{name: a, range: 1-4}]}
  - {name: never, show: ill, priority: 90, layers: [{name: a, range: 1-4}]}
";

fn poison() -> Vec<String> {
    let of = |job: &str| format!("WHERE pk_job = (SELECT pk_job FROM job WHERE str_name = '{job}')");
    vec![
        format!("UPDATE layer SET str_range = 'all of them' {}", of("no-range")),
        format!("UPDATE frame SET str_name = 'frame ' || int_number {}", of("no-number")),
        format!(
            "INSERT INTO layer_env (pk_layer_env, pk_layer, pk_job, str_key, str_value)
             SELECT md5('heavy' || n), pk_layer, pk_job, 'K' || n, repeat('v', 2048) FROM layer, generate_series(1, 3000) AS n {}",
            of("heavy")
        ),
        format!("UPDATE layer SET str_cmd = repeat('#JOB#', 800) {}", of("bomb")),
        "UPDATE job SET str_name = repeat('#FRAMESPEC#', 23) WHERE str_name = 'bomb'".to_owned(),
        format!("UPDATE frame SET int_version = 2147483647 {}", of("worn-out")),
        format!("UPDATE layer_stat SET int_running_count = 9223372036854775807 {}", of("overflow")),
        format!("UPDATE job_stat SET int_running_count = 9223372036854775807 {}", of("overflow")),
        format!("UPDATE layer_stat SET int_waiting_count = 9223372036854775807 {}", of("too-many")),
        format!("UPDATE layer SET int_cores_min = -9223372036854775808, int_mem_min = -1 {}", of("negative")),
        format!("UPDATE layer SET ts_start_after = 'infinity' {}", of("never")),
        "UPDATE job SET ts_started = 'infinity' WHERE str_name = 'too-many'".to_owned(),
    ]
}

/// Something that listens where an agent should, and speaks nonsense, or hangs up in the middle of it.
async fn nonsense(address: Ipv4Addr, port: u16, says: &'static [u8], open: bool) -> AbortOnDropHandle<()> {
    let listener = TcpListener::bind((address, port)).await.unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // The other side may be gone before us.
            let _ = stream.write_all(says).await;
            if open {
                connections.push(stream);
            }
        }
    }))
}

async fn outcome(scheduler: &Scheduler, series: &str) -> f64 {
    scheduler.series(series).await.unwrap().unwrap_or_else(|| panic!("there is no {series}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_healthy_frames_run_on_a_farm_that_holds_one_of_each_poison() {
    let folder = tempfile::tempdir().unwrap();
    let config = HarnessConfig {
        farm: FarmDescription::from_yaml(FARM).unwrap(),
        hosts: FarmConfig {
            hosts: vec![HostSet { count: WELL + CODES.len() as u32, ..HostSet::default() }],
            listen: Listen::PerHost,
            durations: Durations { min: Duration::from_millis(200), max: Duration::from_millis(600) },
            report_interval: Some(Duration::from_secs(2)),
            ..FarmConfig::default()
        },
        agent: None,
        // Where a call's outcome stays unknown, it is Cuebot that takes the host for down and gives the frame away again.
        cuebot: CuebotConfig {
            sweeps: Some(Sweeps {
                interval: Duration::from_secs(1),
                host_down_after: Duration::from_secs(15),
                orphan_proc_after: Duration::from_secs(15),
                orphan_frame_after: Duration::from_secs(15),
                lost_proc_max_defer: Duration::from_secs(3),
            }),
            ..CuebotConfig::default()
        },
        existing: None,
    };
    let harness = Harness::start(config, folder.path(), |_| {}).await.unwrap();
    let port = harness.hosts.port();
    let _speakers = [
        nonsense(GARBAGE, port, b"SSH-2.0-OpenSSH_9.9\r\n\x00\xff\xfe nonsense", true).await,
        // The beginning of an answer in HTTP/2: settings, then half a frame.
        nonsense(CUTS_OFF, port, b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x40\x00\x01", false).await,
    ];
    for (number, code) in CODES.iter().enumerate() {
        let address = Ipv4Addr::new(127, 1, 0, (WELL as usize + 1 + number) as u8);
        harness.hosts.set_fault(address, format!("refuse {code}").parse().unwrap()).await.unwrap();
    }
    write(&harness.pool, &poison()).await;

    let variables = [("OPENSCHEDULER_RQD__CALL_TIMEOUT", "2s"), ("OPENSCHEDULER_RQD__CONNECT_TIMEOUT", "2s")];
    let mut scheduler = harness.scheduler("scheduler", &variables).unwrap();
    scheduler.ready().await.unwrap();
    let began = std::time::Instant::now();
    loop {
        let done: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM frame JOIN job USING (pk_job) WHERE job.str_name LIKE 'well-%' AND frame.str_state = 'SUCCEEDED'",
        )
        .fetch_one(&harness.pool)
        .await
        .unwrap();
        if done == HEALTHY {
            break;
        }
        assert!(began.elapsed() < LIMIT, "{done} of {HEALTHY} healthy frames are done; the log:\n{}", scheduler.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // Each poison ended in an outcome that has a name and a count.
    let refused = |cause: &str| format!("scheduler_booking_refused_total{{cause=\"{cause}\"}}");
    for cause in ["frame_unbuildable", "frame_worn_out", "rejected"] {
        assert!(outcome(&scheduler, &refused(cause)).await > 0.0, "{cause}");
    }
    for launch in ["launched", "refused", "not_sent", "unknown", "undone"] {
        let series = format!("scheduler_launch_outcomes_total{{outcome=\"{launch}\"}}");
        assert!(outcome(&scheduler, &series).await > 0.0, "{launch}");
    }
    assert!(outcome(&scheduler, "scheduler_checkout_outcome_total{outcome=\"dispatch_error\"}").await > 0.0);
    assert_eq!(scheduler.metric("scheduler_database_up").await.unwrap().to_string(), "1");
    assert_eq!(harness.hosts.overlaps(), []);
    let log = scheduler.log();
    for said in ["no-range.a", "heavy.a", "can't be launched", "can't be booked because of what the database holds"] {
        assert!(log.contains(said), "{said} is not in the log:\n{log}");
    }
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(scheduler.stop().await.unwrap(), 0);
    harness.stop().await.unwrap();
}
