//! The wire contract of OpenCue's render agents.
//!
//! A scheduler calls agents ([`rqd`]); agents call Cuebot ([`report`]). Both sides are generated from the `.proto` files
//! beside this crate, which are written from what was observed on the wire: package, service and method names, field
//! numbers and types are those of OpenCue, and everything else, the comments with their units included, is ours. Of the
//! other packages only the enumerations are there, because the database and these messages use them.
//!
//! The invariant is byte equality: a message written here is read by either agent, and the other way round. The vectors
//! in `tests/vectors.rs` hold it.

/// Package `rqd`: launch, kill, ask.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod rqd {
    tonic::include_proto!("rqd");
}

/// Package `report`: what agents tell Cuebot.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod report {
    tonic::include_proto!("report");
}

/// Package `host`: states of hosts.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod host {
    tonic::include_proto!("host");
}

/// Package `job`: states of jobs, layers and frames.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod job {
    tonic::include_proto!("job");
}

/// Package `depend`: kinds of dependencies.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod depend {
    tonic::include_proto!("depend");
}

/// Package `renderPartition`: kinds of local bookings.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod render_partition {
    tonic::include_proto!("render_partition");
}

/// All of the above as an encoded `google.protobuf.FileDescriptorSet`, for servers that offer reflection and for tests.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
