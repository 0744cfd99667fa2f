//! The operator: from `SchedulerDeployment` resources to the schedulers of a studio's facilities.
//!
//! [`reconcile`] is the story of one resource: [`reconcile::validate`] makes of it what it means ([`wanted`]), or refuses it;
//! [`desired`] makes of that the objects; both are pure. [`cluster`] is what is seen, [`controller`] what wakes a reconcile.

pub mod backoff;
pub mod cli;
pub mod cluster;
pub mod controller;
pub mod crd;
pub mod desired;
pub mod http;
pub mod labels;
pub mod leader;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod readiness;
pub mod reconcile;
pub mod scheduler_yaml;
pub mod strategic_merge;
pub mod typed;
pub mod wanted;
pub mod yaml;
