//! The operator: from `SchedulerDeployment` resources to the schedulers of a studio's facilities.

pub mod cli;
pub mod crd;
pub mod scheduler_yaml;
pub mod yaml;
