//! The operator: from `SchedulerDeployment` resources to the schedulers of a studio's facilities.
//!
//! A reconcile is a story: [`reconcile::validate`] makes of a resource what it means ([`wanted`]), or refuses it;
//! [`desired`] makes of that the objects. Both are pure.

pub mod cli;
pub mod crd;
pub mod desired;
pub mod labels;
pub mod names;
pub mod reconcile;
pub mod scheduler_yaml;
pub mod strategic_merge;
pub mod typed;
pub mod wanted;
pub mod yaml;
