//! All scenarios.

mod limit;

use super::Scenario;

/// In the order in which they are shown.
pub const ALL: &[&dyn Scenario] = &[&limit::Limit];
