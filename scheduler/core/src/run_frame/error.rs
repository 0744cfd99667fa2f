//! Why a frame can't be launched as its job and layer are written.

use thiserror::Error;

use super::{COMMAND_BYTES_MAX, ENVIRONMENT_BYTES_MAX};
use crate::domain::amount::{Centicores, Gpus};
use crate::frame_set::RangeError;

/// Why a frame can't be built. Each variant names the row and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// The layer's range can't be parsed.
    #[error("the frame range of layer {layer} of job {job} is unusable")]
    Range {
        /// Job name.
        job: String,
        /// Layer name.
        layer: String,
        /// What is wrong with it.
        source: RangeError,
    },
    /// A chunk of no frames.
    #[error("layer {layer} of job {job} has chunk size {chunk_size}; 1 or more would be right")]
    ChunkSize {
        /// Job name.
        job: String,
        /// Layer name.
        layer: String,
        /// The column.
        chunk_size: i64,
    },
    /// A uid that agents refuse.
    #[error("job {job} has uid {uid}; 1 to 2147483647, or none for the agent's default, would be right")]
    Uid {
        /// Job name.
        job: String,
        /// The column.
        uid: i64,
    },
    /// A frame whose name doesn't start with its number.
    #[error("frame {frame} of job {job} has no number of 32 bits before its first hyphen; 0012-{layer} would be right")]
    FrameName {
        /// Job name.
        job: String,
        /// Layer name.
        layer: String,
        /// Frame name.
        frame: String,
    },
    /// A frame that the layer's range does not list.
    #[error("frame {frame} of job {job} is not in the range {range} of its layer")]
    NotInRange {
        /// Job name.
        job: String,
        /// Frame name.
        frame: String,
        /// The range.
        range: String,
    },
    /// A chunk whose spec can't be written.
    #[error("the chunk of frame {frame} of job {job} can't be written as a frame spec")]
    Spec {
        /// Job name.
        job: String,
        /// Frame name.
        frame: String,
        /// What is wrong with it.
        source: RangeError,
    },
    /// A command that grows too long.
    #[error(
        "the command of frame {frame} of job {job} is longer than {COMMAND_BYTES_MAX} bytes when its tokens are replaced; fewer \
         tokens would be right"
    )]
    CommandTooLong {
        /// Job name.
        job: String,
        /// Frame name.
        frame: String,
    },
    /// More variables than a message holds.
    #[error(
        "layer {layer} of job {job} has {bytes} bytes of variables; at most {ENVIRONMENT_BYTES_MAX} would be right"
    )]
    EnvironmentTooLarge {
        /// Job name.
        job: String,
        /// Layer name.
        layer: String,
        /// Names and values together.
        bytes: usize,
    },
    /// Cores that an agent refuses.
    #[error("frame {frame} of job {job} would reserve {cores}; whole cores, 1 to 21474836, would be right")]
    Cores {
        /// Job name.
        job: String,
        /// Frame name.
        frame: String,
        /// The reservation.
        cores: Centicores,
    },
    /// GPUs that the message can't hold.
    #[error("frame {frame} of job {job} would reserve {} GPUs; 0 to 2147483647 would be right", gpus.0)]
    Gpus {
        /// Job name.
        job: String,
        /// Frame name.
        frame: String,
        /// The reservation.
        gpus: Gpus,
    },
}
