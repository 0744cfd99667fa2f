//! What the operator knows of the cluster: small records of the objects it watches, and who has to be looked at when one of
//! them changes.

pub mod caches;
pub mod extensions;
mod follow;
pub mod guarded;
pub mod queue;
pub mod references;
pub mod seen;
pub mod watch;

pub use caches::Caches;
pub use queue::Queue;
