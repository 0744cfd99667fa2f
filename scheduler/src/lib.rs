//! Books OpenCue's frames onto render hosts.

pub mod launch;
