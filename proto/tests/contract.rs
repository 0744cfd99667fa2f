//! Names, numbers and types as the descriptors say them, against a list made from OpenCue's contract.
//!
//! Paths and field numbers are what reaches the wire, so a slip in a `.proto` file has to fail here and not on a farm.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use cue_scheduler_proto::{FILE_DESCRIPTOR_SET, depend, host, job, render_partition};
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

fn file(package: &str) -> FileDescriptorProto {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)
        .unwrap()
        .file
        .into_iter()
        .find(|file| file.package() == package)
        .unwrap()
}

fn paths(package: &str) -> Vec<String> {
    let mut paths: Vec<String> = file(package)
        .service
        .iter()
        .flat_map(|service| {
            service.method.iter().map(move |method| {
                assert!(!method.client_streaming() && !method.server_streaming());
                format!(
                    "/{package}.{}/{} {} {}",
                    service.name(),
                    method.name(),
                    method.input_type(),
                    method.output_type()
                )
            })
        })
        .collect();
    paths.sort();
    paths
}

#[test]
fn cuebot_serves_three_methods_for_agents() {
    assert_eq!(
        paths("report"),
        [
            "/report.RqdReportInterface/ReportRqdStartup .report.RqdReportRqdStartupRequest .report.RqdReportRqdStartupResponse",
            "/report.RqdReportInterface/ReportRunningFrameCompletion .report.RqdReportRunningFrameCompletionRequest .report.RqdReportRunningFrameCompletionResponse",
            "/report.RqdReportInterface/ReportStatus .report.RqdReportStatusRequest .report.RqdReportStatusResponse",
        ]
    );
}

#[test]
fn an_agent_serves_seventeen_methods_and_two_for_a_running_frame() {
    let methods = [
        ("GetRunFrame", "GetRunFrame"),
        ("GetRunningFrameStatus", "GetRunningFrameStatus"),
        ("KillRunningFrame", "KillRunningFrame"),
        ("LaunchFrame", "LaunchFrame"),
        ("Lock", "Lock"),
        ("LockAll", "LockAll"),
        ("NimbyOff", "NimbyOff"),
        ("NimbyOn", "NimbyOn"),
        ("RebootIdle", "RebootIdle"),
        ("RebootNow", "RebootNow"),
        ("ReportStatus", "ReportStatus"),
        ("RestartRqdIdle", "RestartIdle"),
        ("RestartRqdNow", "RestartNow"),
        ("ShutdownRqdIdle", "ShutdownIdle"),
        ("ShutdownRqdNow", "ShutdownNow"),
        ("Unlock", "Unlock"),
        ("UnlockAll", "UnlockAll"),
    ];
    let mut expected: Vec<String> = methods
        .iter()
        .map(|(method, stem)| {
            format!("/rqd.RqdInterface/{method} .rqd.RqdStatic{stem}Request .rqd.RqdStatic{stem}Response")
        })
        .collect();
    for method in ["Kill", "Status"] {
        expected.push(format!(
            "/rqd.RunningFrame/{method} .rqd.RunningFrame{method}Request .rqd.RunningFrame{method}Response"
        ));
    }
    assert_eq!(paths("rqd"), expected);
}

/// `number name type` of each field in the order of numbers; `*` before a repeated one's type.
fn fields(message: &DescriptorProto) -> String {
    let mut fields: Vec<_> = message.field.iter().collect();
    fields.sort_by_key(|field| field.number());
    fields
        .iter()
        .map(|field| {
            let kind = match field.r#type() {
                Type::Message | Type::Enum => field.type_name().to_owned(),
                other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
            };
            let many = if field.label() == Label::Repeated { "*" } else { "" };
            format!("{} {} {many}{kind}", field.number(), field.name())
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_fields_of_the_messages_in_use_have_their_numbers_and_types() {
    let cases = [
        (
            "rqd",
            "RunFrame",
            "1 resource_id string\n2 job_id string\n3 job_name string\n4 frame_id string\n5 frame_name string\n\
             6 layer_id string\n7 command string\n8 user_name string\n9 log_dir string\n10 show string\n11 shot string\n\
             12 job_temp_dir string\n13 frame_temp_dir string\n14 log_file string\n15 log_dir_file string\n\
             16 start_time int64\n17 uid int32\n18 num_cores int32\n19 gid int32\n20 ignore_nimby bool\n\
             21 environment *.rqd.RunFrame.EnvironmentEntry\n22 attributes *.rqd.RunFrame.AttributesEntry\n\
             23 num_gpus int32\n24 children .report.ChildrenProcStats\n25 os string\n26 soft_memory_limit int64\n\
             27 hard_memory_limit int64\n28 pid int32\n29 loki_url string",
        ),
        ("rqd", "RqdStaticKillRunningFrameRequest", "1 frame_id string\n2 message string"),
        (
            "report",
            "RenderHost",
            "1 name string\n2 nimby_enabled bool\n3 nimby_locked bool\n4 facility string\n5 num_procs int32\n\
             6 cores_per_proc int32\n7 total_swap int64\n8 total_mem int64\n9 total_mcp int64\n10 free_swap int64\n\
             11 free_mem int64\n12 free_mcp int64\n13 load int32\n14 boot_time int32\n15 tags *string\n\
             16 state .host.HardwareState\n17 attributes *.report.RenderHost.AttributesEntry\n18 num_gpus int32\n\
             19 free_gpu_mem int64\n20 total_gpu_mem int64",
        ),
        (
            "report",
            "RunningFrameInfo",
            "1 resource_id string\n2 job_id string\n3 job_name string\n4 frame_id string\n5 frame_name string\n\
             6 layer_id string\n7 num_cores int32\n8 start_time int64\n9 max_rss int64\n10 rss int64\n\
             11 max_vsize int64\n12 vsize int64\n13 attributes *.report.RunningFrameInfo.AttributesEntry\n\
             14 llu_time int64\n15 num_gpus int32\n16 max_used_gpu_memory int64\n17 used_gpu_memory int64\n\
             18 children .report.ChildrenProcStats\n19 used_swap_memory int64\n20 max_pss int64\n21 pss int64",
        ),
        ("report", "Stat", "1 rss int64\n2 vsize int64\n3 state string\n4 name string\n5 pid string\n6 pss int64"),
    ];
    for (package, name, expected) in cases {
        let file = file(package);
        let message = file.message_type.iter().find(|message| message.name() == name).unwrap();
        assert_eq!(fields(message), expected, "{package}.{name}");
    }
}

#[test]
fn there_is_every_message_of_the_two_packages_that_reach_the_wire() {
    // `rqd` has 14 messages with fields and 26 without; `report` has 19 with fields and 3 without.
    let count = |package| file(package).message_type.len();
    assert_eq!((count("rqd"), count("report")), (40, 22));
}

#[test]
fn enumerations_have_the_names_that_the_database_stores() {
    assert_eq!(host::HardwareState::RebootWhenIdle.as_str_name(), "REBOOT_WHEN_IDLE");
    assert_eq!(host::LockState::NimbyLocked.as_str_name(), "NIMBY_LOCKED");
    assert_eq!(host::ThreadMode::Variable as i32, 2);
    assert_eq!(host::HostTagType::Hostname.as_str_name(), "HOSTNAME");
    assert_eq!(job::FrameState::from_str_name("CHECKPOINT"), Some(job::FrameState::Checkpoint));
    assert_eq!(job::FrameState::Eaten as i32, 6);
    assert_eq!(job::FrameExitStatus::SkipRetry as i32, 286);
    assert_eq!(depend::DependType::LayerOnSimFrame as i32, 11);
    assert_eq!(render_partition::RenderPartitionType::FramePartition as i32, 2);
}
