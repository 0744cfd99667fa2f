//! Why an agent refuses a launch or a kill, and with which code, in the manner of either agent.

use tonic::{Code, Status};

use super::config::Manner;

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request holds no frame")]
    NoFrame,
    #[error("the frame is already running on this host")]
    Duplicate,
    #[error("uid must be positive")]
    Uid,
    #[error("num_cores must be positive")]
    NoCores,
    #[error("num_cores must be a multiple of 100 here")]
    Fraction,
    #[error("the hardware state is not UP")]
    NotUp,
    #[error("the agent waits for its frames to end")]
    WaitsForIdle,
    #[error("the host is NIMBY-locked")]
    Nimby,
    #[error("not enough idle cores")]
    Cores,
    #[error("not enough idle GPUs")]
    Gpus,
    /// The handler of an agent in Rust panics: the stream is reset and the client sees `CANCELLED`.
    #[error("the call crashes")]
    Crash,
    #[error("the frame is not running here")]
    NotRunning,
    #[error("a kill needs a reason")]
    NoReason,
    #[error("the frame has no process yet")]
    NoProcess,
    #[error("the method is not served")]
    NotServed,
    #[error("the method fails in this agent")]
    Broken,
    #[error("the host is off")]
    Off,
}

impl Refusal {
    /// A name for counting.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoFrame => "no_frame",
            Self::Duplicate => "duplicate",
            Self::Uid => "uid",
            Self::NoCores => "no_cores",
            Self::Fraction => "fraction",
            Self::NotUp => "not_up",
            Self::WaitsForIdle => "waits_for_idle",
            Self::Nimby => "nimby",
            Self::Cores => "cores",
            Self::Gpus => "gpus",
            Self::Crash => "crash",
            Self::NotRunning => "not_running",
            Self::NoReason => "no_reason",
            Self::NoProcess => "no_process",
            Self::NotServed => "not_served",
            Self::Broken => "broken",
            Self::Off => "off",
        }
    }

    /// The code of the answer. A crash is no answer; its code is what a client sees.
    pub fn code(self, manner: Manner) -> Code {
        match self {
            Self::NotRunning => Code::NotFound,
            Self::NotServed => Code::Unimplemented,
            Self::Crash => Code::Cancelled,
            // An agent in Python raises an exception for every other reason, which gRPC turns into UNKNOWN.
            _ if manner == Manner::Python => Code::Unknown,
            Self::NoFrame | Self::Duplicate | Self::Uid | Self::NoCores | Self::Fraction => Code::InvalidArgument,
            Self::NotUp | Self::NoReason | Self::NoProcess => Code::FailedPrecondition,
            Self::WaitsForIdle | Self::Nimby | Self::Cores | Self::Gpus => Code::Aborted,
            Self::Broken => Code::Unknown,
            Self::Off => Code::Unavailable,
        }
    }

    pub fn status(self, manner: Manner) -> Status {
        Status::new(self.code(manner), self.to_string())
    }
}
