//! Real and simulated parts around the scheduler, for its tests, demonstrations and measurements.

pub mod loader;
pub mod auditor;
