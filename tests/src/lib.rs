//! Real and simulated parts around the scheduler, for its tests, demonstrations and measurements.

pub mod auditor;
pub mod loader;
