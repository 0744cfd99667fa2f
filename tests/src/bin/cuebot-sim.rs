//! The stand-in Cuebot as a program, for a farm that is put together by hand.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use sqlx::postgres::PgPoolOptions;
use testbed::cuebot_sim::{CuebotConfig, CuebotSim, Generation, LegacyBooking, ReleaseOrder, Sweeps};
use tokio::signal::unix::{SignalKind, signal};

/// Takes reports of render agents and does to the database what Cuebot does.
#[derive(Parser)]
#[command(name = "cuebot-sim")]
struct Arguments {
    /// Database, as postgres://USER:PASSWORD@HOST:PORT/NAME; left out: the variable `DATABASE_URL`, which no process list shows.
    #[arg(long)]
    database: Option<String>,
    /// Most connections to it.
    #[arg(long, default_value_t = 20)]
    connections: u32,
    /// Where reports are taken.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Whether releases of managed shows decrement the counters (c) or announce themselves (b1).
    #[arg(long, value_enum, default_value = "c")]
    generation: Generation,
    /// Send no messages in generation b1.
    #[arg(long)]
    no_notify: bool,
    /// The order of locks of a release; counters-first is a fault.
    #[arg(long, value_enum, default_value = "host-first")]
    release_order: ReleaseOrder,
    /// Releases that go on at once.
    #[arg(long, default_value_t = 4)]
    release_workers: usize,
    /// Seconds that a proc stands without a frame before its release.
    #[arg(long, default_value_t = 0.0)]
    release_delay: f64,
    /// Name of the allocation for hosts that nobody knows.
    #[arg(long)]
    default_allocation: Option<String>,
    /// Port of the agents, for kills.
    #[arg(long)]
    agent_port: Option<u16>,
    /// Seconds between two rounds of sweeps; 0 is never.
    #[arg(long, default_value_t = 60.0)]
    sweep_interval: f64,
    /// Seconds after which hosts, procs and frames that nobody reports are lost.
    #[arg(long, default_value_t = 300.0)]
    lost_after: f64,
    /// Bookers for the shows that are not managed; 0 is none.
    #[arg(long, default_value_t = 0)]
    bookers: usize,
    /// Seconds after which a frame of our own bookings ends; 0 is never.
    #[arg(long, default_value_t = 1.0)]
    run_for: f64,
}

impl Arguments {
    fn config(&self) -> anyhow::Result<CuebotConfig> {
        let seconds = |name: &str, value: f64| {
            Duration::try_from_secs_f64(value).with_context(|| format!("--{name} {value}: give seconds, 0 or more"))
        };
        let (interval, lost_after) =
            (seconds("sweep-interval", self.sweep_interval)?, seconds("lost-after", self.lost_after)?);
        let run_for = seconds("run-for", self.run_for)?;
        Ok(CuebotConfig {
            listen: self.listen,
            generation: self.generation,
            notify: !self.no_notify,
            release_order: self.release_order,
            release_workers: self.release_workers,
            release_delay: seconds("release-delay", self.release_delay)?,
            default_allocation: self.default_allocation.clone(),
            agent_port: self.agent_port,
            idle_memory_reset: Some(Duration::from_mins(10)),
            sweeps: (!interval.is_zero()).then(|| Sweeps {
                interval,
                host_down_after: lost_after,
                orphan_proc_after: lost_after,
                orphan_frame_after: lost_after,
                ..Sweeps::default()
            }),
            legacy: (self.bookers > 0).then(|| LegacyBooking {
                bookers: self.bookers,
                run_for: (!run_for.is_zero()).then_some(run_for),
                ..LegacyBooking::default()
            }),
            ..CuebotConfig::default()
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let arguments = Arguments::parse();
    let config = arguments.config()?;
    let database = match &arguments.database {
        Some(database) => database.clone(),
        None => std::env::var("DATABASE_URL").context("give --database, or set DATABASE_URL")?,
    };
    let pool = PgPoolOptions::new()
        .max_connections(arguments.connections)
        .connect(&database)
        .await
        .context("connecting to the database")?;
    let sim = CuebotSim::start(config, pool).await?;
    println!("listening on {}", sim.address());
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    println!("{}", sim.shutdown().await);
    Ok(())
}
