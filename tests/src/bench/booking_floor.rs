//! Scenario `booking-floor`: one replica on a large farm, against the floor, and how many statements a booked frame takes.
//!
//! The farm is the *drain* shape: 1,200 hosts, 300 jobs × 4 layers × 5 frames.

use super::fill::fill;
use super::{Figure, Goal, Scale};
use crate::loader::generate::{DrainShape, drain};

/// Runs the scenario.
pub async fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let shape = DrainShape::default().scaled(scale.size);
    let filled = fill(&drain(&shape), shape.frames(), scale).await?;
    let rate = filled.rate("booking-floor").with("hosts", shape.hosts).with("waiting", shape.frames());
    Ok(vec![rate.with_goal(Goal::RatioAtLeast(0.9)), filled.statements("booking-floor").with_goal(Goal::AtMost(0.2))])
}
