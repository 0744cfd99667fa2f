//! A [`RunFrame`] as the message that agents read.

use cue_scheduler_core::run_frame::RunFrame;
use cue_scheduler_proto::rqd;

/// The request that launches a frame.
pub(super) fn launch_request(frame: &RunFrame) -> rqd::RqdStaticLaunchFrameRequest {
    // Taken apart without `..`, so that a field which is not sent doesn't compile.
    let RunFrame {
        resource_id,
        job_id,
        job_name,
        frame_id,
        frame_name,
        layer_id,
        command,
        user_name,
        log_dir,
        show,
        shot,
        start_time_ms,
        uid,
        num_cores,
        environment,
        num_gpus,
        os,
        soft_memory_limit,
        hard_memory_limit,
        pid,
        loki_url,
    } = frame;
    rqd::RqdStaticLaunchFrameRequest {
        run_frame: Some(rqd::RunFrame {
            resource_id: resource_id.to_string(),
            job_id: job_id.to_string(),
            job_name: job_name.to_string(),
            frame_id: frame_id.to_string(),
            frame_name: frame_name.to_string(),
            layer_id: layer_id.to_string(),
            command: command.clone(),
            user_name: user_name.to_string(),
            log_dir: log_dir.to_string(),
            show: show.to_string(),
            shot: shot.to_string(),
            start_time: *start_time_ms,
            uid_optional: uid.map(rqd::run_frame::UidOptional::Uid),
            num_cores: *num_cores,
            environment: environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            num_gpus: *num_gpus,
            os: os.to_string(),
            soft_memory_limit: soft_memory_limit.0,
            hard_memory_limit: hard_memory_limit.0,
            pid: *pid,
            loki_url: loki_url.to_string(),
            // The agent's defaults and its own fields.
            ..rqd::RunFrame::default()
        }),
    }
}
