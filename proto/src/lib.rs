//! The wire contract of OpenCue's render agents, generated from our own `.proto` files.
//!
//! Package, service and method names, field numbers and field types are what reaches the wire; tests hold them against
//! recorded bytes, and against the descriptors that the real agent's package ships.

#![allow(clippy::pedantic, missing_docs, reason = "generated code; the comments are in the .proto files")]

/// The render agent as a scheduler calls it.
pub mod rqd {
    tonic::include_proto!("rqd");
}

/// What a render agent tells Cuebot.
pub mod report {
    tonic::include_proto!("report");
}

/// Enumerations of hosts.
pub mod host {
    tonic::include_proto!("host");
}

/// Enumerations of jobs, layers and frames.
pub mod job {
    tonic::include_proto!("job");
}

/// Enumerations of dependencies.
pub mod depend {
    tonic::include_proto!("depend");
}

/// Enumerations of local bookings.
pub mod render_partition {
    tonic::include_proto!("render_partition");
}

/// All descriptors, as an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
