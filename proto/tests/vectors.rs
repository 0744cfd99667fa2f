//! Bytes that OpenCue's own message classes wrote and read, against ours, both ways.

#![allow(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;

use cue_scheduler_proto::host::HardwareState;
use cue_scheduler_proto::report::{
    ChildrenProcStats, CoreDetail, CoreId, FrameCompleteReport, HostReport, ProcStats, RenderHost,
    RqdReportRunningFrameCompletionRequest, RqdReportStatusRequest, RunningFrameInfo, Stat, Statm,
};
use cue_scheduler_proto::rqd::run_frame::UidOptional;
use cue_scheduler_proto::rqd::{RqdStaticLaunchFrameRequest, RunFrame};
use prost::Message;

const LAUNCH: &str = "\
    0a7b0a03722d3112036a2d311a036a6f622203662d312a06303030312d6c32036c2d313a04747275654201754a052f6c\
    6f67735201735a01688001fbd095ffbc318801e8079001fa01980114a00101aa01060a014b120156b80101ca01056c69\
    6e7578d0018080c002d80180809003ea010b687474703a2f2f6c6f6b69";

const COMPLETION: &str = "\
    0a600a090a0268311801800101124d2203662d31386440fbd095ffbc314880c00c7081e2cfaa0692012712250a110801\
    10031a0153220273682a0234323002120408041005220a7368202d632074727565980107a0018008a801800418012009\
    283d";

const HOST_REPORT: &str = "\
    0a670a460a026831100122056c6f63616c280230c00c38014002480350045805600668077080e2cfaa067a01617a0162\
    8a010e0a0553505f4f5312056c696e7578900101980108a0010912052203662d311a1608801910b817186420642a0a08\
    0112060a040003ac02";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(
    message: &M,
    hex: &str,
    length: usize,
) {
    let wire = bytes(hex);
    assert_eq!(wire.len(), length, "the vector itself was cut");
    assert_eq!(message.encode_to_vec(), wire);
    assert_eq!(M::decode(wire.as_slice()).unwrap(), *message);
}

fn one(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

#[test]
fn a_launch_request_has_the_same_bytes_both_ways() {
    let message = RqdStaticLaunchFrameRequest {
        run_frame: Some(RunFrame {
            resource_id: "r-1".into(),
            job_id: "j-1".into(),
            job_name: "job".into(),
            frame_id: "f-1".into(),
            frame_name: "0001-l".into(),
            layer_id: "l-1".into(),
            command: "true".into(),
            user_name: "u".into(),
            log_dir: "/logs".into(),
            show: "s".into(),
            shot: "h".into(),
            start_time: 1_700_000_000_123,
            uid_optional: Some(UidOptional::Uid(1000)),
            num_cores: 250,
            gid: 20,
            ignore_nimby: true,
            environment: one("K", "V"),
            num_gpus: 1,
            os: "linux".into(),
            soft_memory_limit: 5_242_880,
            hard_memory_limit: 6_553_600,
            loki_url: "http://loki".into(),
            ..RunFrame::default()
        }),
    };
    check(&message, LAUNCH, 125);
}

#[test]
fn a_uid_of_zero_is_written_and_told_apart_from_no_uid() {
    let zero = RunFrame {
        uid_optional: Some(UidOptional::Uid(0)),
        ..RunFrame::default()
    };
    check(&zero, "880100", 3);
    check(&RunFrame::default(), "", 0);
    assert_ne!(zero, RunFrame::default());
}

#[test]
fn a_completion_report_has_the_same_bytes_both_ways() {
    let message = RqdReportRunningFrameCompletionRequest {
        frame_complete_report: Some(FrameCompleteReport {
            host: Some(RenderHost {
                name: "h1".into(),
                nimby_locked: true,
                state: HardwareState::Down.into(),
                ..RenderHost::default()
            }),
            frame: Some(RunningFrameInfo {
                frame_id: "f-1".into(),
                num_cores: 100,
                start_time: 1_700_000_000_123,
                max_rss: 204_800,
                llu_time: 1_700_000_001,
                children: Some(ChildrenProcStats {
                    children: vec![ProcStats {
                        stat: Some(Stat {
                            rss: 1,
                            vsize: 3,
                            state: "S".into(),
                            name: "sh".into(),
                            pid: "42".into(),
                            pss: 2,
                        }),
                        statm: Some(Statm { rss: 4, size: 5 }),
                        cmdline: "sh -c true".into(),
                        ..ProcStats::default()
                    }],
                }),
                used_swap_memory: 7,
                max_pss: 1024,
                pss: 512,
                ..RunningFrameInfo::default()
            }),
            exit_status: 1,
            exit_signal: 9,
            run_time: 61,
        }),
    };
    check(&message, COMPLETION, 98);
}

#[test]
fn a_host_report_has_the_same_bytes_both_ways_also_a_packed_list_inside_a_map() {
    let message = RqdReportStatusRequest {
        host_report: Some(HostReport {
            host: Some(RenderHost {
                name: "h1".into(),
                nimby_enabled: true,
                facility: "local".into(),
                num_procs: 2,
                cores_per_proc: 1600,
                total_swap: 1,
                total_mem: 2,
                total_mcp: 3,
                free_swap: 4,
                free_mem: 5,
                free_mcp: 6,
                load: 7,
                boot_time: 1_700_000_000,
                tags: vec!["a".into(), "b".into()],
                attributes: one("SP_OS", "linux"),
                num_gpus: 1,
                free_gpu_mem: 8,
                total_gpu_mem: 9,
                ..RenderHost::default()
            }),
            frames: vec![RunningFrameInfo {
                frame_id: "f-1".into(),
                ..RunningFrameInfo::default()
            }],
            core_info: Some(CoreDetail {
                total_cores: 3200,
                idle_cores: 3000,
                locked_cores: 100,
                booked_cores: 100,
                reserved_cores: BTreeMap::from([(
                    1,
                    CoreId {
                        coreid: vec![0, 3, 300],
                    },
                )]),
            }),
        }),
    };
    check(&message, HOST_REPORT, 105);
}
