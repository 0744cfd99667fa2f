//! Benchmarks: figures as ratios against something measured in the same run, on the real path.
//!
//! A scenario returns [`Figure`]s. They are printed as one table and written to `target/bench/results.json`, an array with
//! one object a figure.

mod booking_floor;
mod cold_fill;
mod figure;
mod fill;
mod floor;
mod four_pools;
mod history;
mod idle;
mod live;
mod machine;
mod memory;
mod planning;
mod refill;
mod short_frames;
mod steady_state;
mod wake;
mod with_launches;

use clap::ValueEnum;

pub use figure::{Figure, Goal, median, percentile, table, write};
pub use machine::Machine;
pub use planning::many_hosts;

/// Which way a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Factor on the size of farm and work.
    pub size: f64,
    /// How many pairs of runs.
    pub pairs: usize,
}

impl Scale {
    /// So many of something, at least one.
    fn of(self, n: usize) -> usize {
        ((n as f64 * self.size).round() as usize).max(1)
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One replica on a large farm, against the writes alone.
    BookingFloor,
    /// One, two and four replicas on four pools, of one show and of four.
    FourPools,
    /// Booking with real launches to simulated hosts, against booking without them.
    WithLaunches,
    /// Filling an idle farm like a studio's.
    ColdFill,
    /// From the commit of a job to its first launch.
    Wake,
    /// Many short frames on the real agent.
    ShortFrames,
    /// From a freed core to the next launch on it.
    Refill,
    /// The pure decision, for very many hosts and layers.
    Plan,
    /// The reads of a pass, beside more and more history.
    Snapshot,
    /// Ten minutes of a full farm.
    SteadyState,
    /// A replica without work.
    Idle,
    /// Memory with very many hosts.
    Memory,
}

impl Scenario {
    /// Runs it.
    pub async fn run(self, scale: Scale) -> anyhow::Result<Vec<Figure>> {
        match self {
            Self::BookingFloor => booking_floor::run(scale).await,
            Self::FourPools => four_pools::run(scale).await,
            Self::WithLaunches => with_launches::run(scale).await,
            Self::ColdFill => cold_fill::run(scale).await,
            Self::Wake => wake::run(scale).await,
            Self::ShortFrames => short_frames::run(scale).await,
            Self::Refill => refill::run(scale).await,
            Self::Plan => Ok(planning::run(scale)),
            Self::Snapshot => history::run(scale).await,
            Self::SteadyState => steady_state::run(scale).await,
            Self::Idle => idle::run(scale).await,
            Self::Memory => memory::run(scale).await,
        }
    }
}
