//! The launcher against agents on loopback addresses.

mod agent;
mod hostile;
mod launching;
mod outcomes;

use std::collections::BTreeMap;
use std::sync::Arc;

use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb, Resources};
use cue_scheduler_core::domain::id::{FrameId, HostId, JobId, LayerId, ProcId};
use cue_scheduler_core::launch::{Booking, Hold};
use cue_scheduler_core::run_frame::{PID_OF_NOBODY, RunFrame};

use super::clock;

fn run_frame(proc: &str) -> RunFrame {
    RunFrame {
        resource_id: ProcId::from(proc),
        job_id: JobId::from("job-id"),
        job_name: "job".into(),
        frame_id: FrameId::from("frame-id"),
        frame_name: "0001-layer".into(),
        layer_id: LayerId::from("layer-id"),
        command: "true".into(),
        user_name: "user".into(),
        log_dir: "/logs".into(),
        show: "show".into(),
        shot: "shot".into(),
        start_time_ms: 1_700_000_000_123,
        uid: Some(1000),
        num_cores: 200,
        environment: BTreeMap::from([("NAME".into(), "value".into())]),
        num_gpus: 1,
        os: "rocky9".into(),
        soft_memory_limit: Kb(160),
        hard_memory_limit: Kb(200),
        pid: PID_OF_NOBODY,
        loki_url: "http://loki".into(),
    }
}

/// A booking on the host with an address, committed now.
fn booking(proc: &str, address: &str) -> Booking {
    Booking {
        hold: Hold {
            proc: ProcId::from(proc),
            frame: FrameId::from(format!("frame of {proc}")),
            frame_version: 2,
            host: HostId::from(format!("host at {address}")),
            host_name: Arc::from(address),
            show_name: "show".into(),
            size: Resources { cores: Centicores::cores(2), memory: Kb(100), gpus: Gpus(0), gpu_memory: Kb(0) },
        },
        run_frame: run_frame(proc),
        committed_at: clock::now(),
    }
}
