//! Bytes recorded from the real package, both ways: what others send we read, and what we send they read.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

use std::collections::HashMap;

use cue_scheduler_proto::host::HardwareState;
use cue_scheduler_proto::report::{
    ChildrenProcStats, CoreDetail, CoreId, FrameCompleteReport, HostReport, ProcStats, RenderHost,
    RqdReportRunningFrameCompletionRequest, RqdReportStatusRequest, RunningFrameInfo, Stat, Statm,
};
use cue_scheduler_proto::rqd::run_frame::UidOptional;
use cue_scheduler_proto::rqd::{RqdStaticLaunchFrameRequest, RunFrame};
use prost::Message;

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M, hex: &str) {
    let bytes: Vec<u8> = hex
        .split_whitespace()
        .collect::<String>()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(&M::decode(bytes.as_slice()).unwrap(), message);
    assert_eq!(message.encode_to_vec(), bytes);
}

fn text(value: &str) -> String {
    value.to_owned()
}

#[test]
fn a_launch_request_is_the_bytes_that_the_agents_know() {
    let run_frame = RunFrame {
        resource_id: text("r-1"),
        job_id: text("j-1"),
        job_name: text("job"),
        frame_id: text("f-1"),
        frame_name: text("0001-l"),
        layer_id: text("l-1"),
        command: text("true"),
        user_name: text("u"),
        log_dir: text("/logs"),
        show: text("s"),
        shot: text("h"),
        start_time: 1_700_000_000_123,
        uid_optional: Some(UidOptional::Uid(1000)),
        num_cores: 250,
        gid: 20,
        ignore_nimby: true,
        environment: HashMap::from([(text("K"), text("V"))]),
        num_gpus: 1,
        os: text("linux"),
        soft_memory_limit: 5_242_880,
        hard_memory_limit: 6_553_600,
        loki_url: text("http://loki"),
        ..RunFrame::default()
    };
    check(
        &RqdStaticLaunchFrameRequest { run_frame: Some(run_frame) },
        "0a7b0a03722d3112036a2d311a036a6f622203662d312a06303030312d6c32036c2d313a04747275654201754a052f6c
         6f67735201735a01688001fbd095ffbc318801e8079001fa01980114a00101aa01060a014b120156b80101ca01056c69
         6e7578d0018080c002d80180809003ea010b687474703a2f2f6c6f6b69",
    );
}

#[test]
fn a_user_id_of_zero_is_written_because_it_was_set() {
    check(&RunFrame { uid_optional: Some(UidOptional::Uid(0)), ..RunFrame::default() }, "880100");
    check(&RunFrame::default(), "");
}

#[test]
fn a_completion_report_is_the_bytes_that_the_agents_send() {
    let stat = Stat { rss: 1, vsize: 3, state: text("S"), name: text("sh"), pid: text("42"), pss: 2 };
    let process = ProcStats {
        stat: Some(stat),
        statm: Some(Statm { rss: 4, size: 5 }),
        cmdline: text("sh -c true"),
        ..ProcStats::default()
    };
    let report = FrameCompleteReport {
        host: Some(RenderHost {
            name: text("h1"),
            nimby_locked: true,
            state: HardwareState::Down.into(),
            ..RenderHost::default()
        }),
        frame: Some(RunningFrameInfo {
            frame_id: text("f-1"),
            num_cores: 100,
            start_time: 1_700_000_000_123,
            max_rss: 204_800,
            llu_time: 1_700_000_001,
            children: Some(ChildrenProcStats { children: vec![process] }),
            used_swap_memory: 7,
            max_pss: 1024,
            pss: 512,
            ..RunningFrameInfo::default()
        }),
        exit_status: 1,
        exit_signal: 9,
        run_time: 61,
    };
    check(
        &RqdReportRunningFrameCompletionRequest { frame_complete_report: Some(report) },
        "0a600a090a0268311801800101124d2203662d31386440fbd095ffbc314880c00c7081e2cfaa0692012712250a110801
         10031a0153220273682a0234323002120408041005220a7368202d632074727565980107a0018008a801800418012009
         283d",
    );
}

#[test]
fn a_host_report_is_the_bytes_that_the_agents_send() {
    let host = RenderHost {
        name: text("h1"),
        nimby_enabled: true,
        facility: text("local"),
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
        tags: vec![text("a"), text("b")],
        attributes: HashMap::from([(text("SP_OS"), text("linux"))]),
        num_gpus: 1,
        free_gpu_mem: 8,
        total_gpu_mem: 9,
        ..RenderHost::default()
    };
    #[allow(deprecated, reason = "an agent sends it")]
    let core_info = CoreDetail {
        total_cores: 3200,
        idle_cores: 3000,
        locked_cores: 100,
        booked_cores: 100,
        reserved_cores: HashMap::from([(1, CoreId { coreid: vec![0, 3, 300] })]),
    };
    let frames = vec![RunningFrameInfo { frame_id: text("f-1"), ..RunningFrameInfo::default() }];
    let report = HostReport { host: Some(host), frames, core_info: Some(core_info) };
    check(
        &RqdReportStatusRequest { host_report: Some(report) },
        "0a670a460a026831100122056c6f63616c280230c00c38014002480350045805600668077080e2cfaa067a01617a0162
         8a010e0a0553505f4f5312056c696e7578900101980108a0010912052203662d311a1608801910b817186420642a0a08
         0112060a040003ac02",
    );
}
