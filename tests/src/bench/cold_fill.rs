//! Scenario `cold-fill`: filling an idle farm like a studio's, against the floor.
//!
//! The farm is the *mix* shape: 1,553 hosts with 57,248 cores in three classes, five shows, most layers small and a few that need a
//! whole large host; more waits than fits.

use super::fill::fill;
use super::{Figure, Goal, Scale};
use crate::loader::generate::{MixShape, mix};

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    // A run books many more frames than one of the other scenarios.
    let scale = Scale { pairs: scale.pairs.div_ceil(3), ..scale };
    let shape = MixShape::default().scaled(scale.size);
    let filled = fill(&mix(&shape), shape.frames, scale).await?;
    let rate = filled.rate("cold-fill").with("hosts", shape.hosts.iter().sum::<u32>()).with("waiting", shape.frames);
    Ok(vec![rate.with_goal(Goal::RatioAtLeast(0.8)), filled.seconds("cold-fill").with_goal(Goal::AtMost(15.0))])
}
