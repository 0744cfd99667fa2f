//! What a stand-in can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How the stand-in behaves. The defaults are those of a Cuebot of generation C that books nothing and sweeps nothing.
#[derive(Clone, Debug)]
pub struct CuebotConfig {
    /// Where reports are taken; port 0 is any that is free.
    pub listen: SocketAddr,
    /// Whether releases of managed shows decrement the counters.
    pub generation: Generation,
    /// Whether generation B1 announces its releases (`accounting.notify.enabled`).
    pub notify: bool,
    /// The order in which a release locks rows.
    pub release_order: ReleaseOrder,
    /// How many releases go on at once.
    pub release_workers: usize,
    /// How long a proc stands without a frame before its release.
    pub release_delay: Duration,
    /// How long the managed flag of a show is remembered, so that a switch is seen late.
    pub flag_cache: Duration,
    /// Name of the allocation for hosts that nobody knows; left out: the default one of their facility.
    pub default_allocation: Option<String>,
    /// The port of the agents, to which kills and own launches are sent; left out: nothing is sent, and every kill counts as
    /// confirmed.
    pub agent_port: Option<u16>,
    /// How old a frame must be before an agent that runs it without a proc is told to kill it.
    pub kill_grace: Duration,
    /// How often one report of some host sets its idle memory right; left out: never.
    pub idle_memory_reset: Option<Duration>,
    /// Added to the reservation of a frame that died of memory, KB.
    pub memory_raise: i64,
    /// Sweeps by time; left out: only when asked for.
    pub sweeps: Option<Sweeps>,
    /// Own bookings; left out: none.
    pub legacy: Option<LegacyBooking>,
}

impl Default for CuebotConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            generation: Generation::C,
            notify: true,
            release_order: ReleaseOrder::HostFirst,
            release_workers: 4,
            release_delay: Duration::ZERO,
            flag_cache: Duration::from_secs(30),
            default_allocation: None,
            agent_port: None,
            kill_grace: Duration::from_mins(2),
            idle_memory_reset: None,
            memory_raise: 2 * 1024 * 1024,
            sweeps: None,
            legacy: None,
        }
    }
}

/// How a release treats the five counters of a managed show. For other shows they are always decremented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Generation {
    /// Leaves them alone and announces the release on `acct_release`.
    B1,
    /// Decrements them and says nothing.
    C,
}

/// The order in which a release locks rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReleaseOrder {
    /// Cuebot's: proc, host, then the counters.
    HostFirst,
    /// A fault: proc, the counters, then the host. Waits in a circle with everybody who keeps Cuebot's order.
    CountersFirst,
}

/// Ages after which things are taken for lost, and how often to look. The defaults are Cuebot's.
#[derive(Clone, Debug)]
pub struct Sweeps {
    /// Between two rounds.
    pub interval: Duration,
    /// A host that has not reported for so long is DOWN, and its procs are lost.
    pub host_down_after: Duration,
    /// A proc that no report named for so long is lost.
    pub orphan_proc_after: Duration,
    /// A RUNNING frame without a proc that nobody touched for so long is cleared.
    pub orphan_frame_after: Duration,
    /// A lost proc whose agent can't be asked is kept for so long.
    pub lost_proc_max_defer: Duration,
}

impl Default for Sweeps {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(1),
            host_down_after: Duration::from_mins(5),
            orphan_proc_after: Duration::from_mins(5),
            orphan_frame_after: Duration::from_mins(5),
            lost_proc_max_defer: Duration::from_mins(20),
        }
    }
}

/// Bookings of Cuebot's own.
#[derive(Clone, Debug)]
pub struct LegacyBooking {
    /// How many bookers work at once.
    pub bookers: usize,
    /// A pause after a round of bookings, and when there was nothing to book.
    pub pause: Duration,
    /// Also book managed shows, as Cuebot does for deeds and redirects.
    pub managed_too: bool,
    /// After so long the stand-in ends the frame itself, well. Left out: the frame is not ended, unless somebody reports it.
    pub run_for: Option<Duration>,
}

impl Default for LegacyBooking {
    fn default() -> Self {
        Self {
            bookers: 1,
            pause: Duration::from_millis(200),
            managed_too: false,
            run_for: Some(Duration::from_secs(1)),
        }
    }
}
