//! A render farm that is not there: any number of hosts in one process, over real gRPC.
//!
//! A host is an address, all of them at one port, most simply of the loopback range. A listener on 0.0.0.0 takes every connection,
//! and the connection's local address says which host was called. A scheduler therefore needs no hook: it dials the host's name,
//! which is the address as text, at the port it dials everywhere. `SO_REUSEPORT` leaves single addresses to real agents.
//!
//! Nothing is executed. A frame is an entry in a queue of ends ([`outcome`] says when), a host costs some memory and no task, one
//! loop reports for all of them. The agents' manners, down to what they get wrong, are kept: refusals and their codes, what becomes
//! of completions when Cuebot is away, kills that come too early. Hosts misbehave when told to ([`Fault`]).
//!
//! The invariant that the rest leans on: the record ([`FarmSim::record`]) is written when a frame starts or ends on its host,
//! whatever anybody is told, so an auditor can find two runs of one frame that overlapped.

mod agent;
mod config;
pub mod control;
mod door;
mod farm;
mod fault;
mod host;
mod outcome;
mod queue;
mod record;
mod refusal;
mod report;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cue_scheduler_proto::host::HardwareState;
use cue_scheduler_proto::rqd::rqd_interface_server::RqdInterfaceServer;
use cue_scheduler_proto::rqd::running_frame_server::RunningFrameServer;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::transport::Server;

pub use self::config::{Chance, Durations, FarmConfig, HostSet, Listen, Manner, Script};
pub use self::fault::{Fault, Hosts, LaunchFault, Starts};
pub use self::outcome::Outcome;
pub use self::record::{Cause, Completion, Counts, End, Overlap, Run, overlaps};

use self::agent::Agents;
use self::door::{Connection, Hears, HostIndex};
use self::farm::Farm;
use self::report::Reporter;

/// Raises the soft limit of open files to the hard one and says what it is now.
pub fn raise_open_files() -> anyhow::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("the soft limit of open files can't be raised to the hard one")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// A farm that runs until it is shut down or dropped.
pub struct FarmSim {
    farm: Arc<Farm>,
    port: u16,
    open_files: u64,
    doors: Doors,
    stop: CancellationToken,
    tasks: TaskTracker,
    _stops_when_dropped: DropGuard,
}

/// What a farm did, at its end.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Port of every host.
    pub port: u16,
    /// Number of hosts.
    pub hosts: usize,
    /// What happened.
    pub counts: Counts,
    /// Frames that still ran.
    pub running: usize,
    /// Runs of one frame that overlapped.
    pub overlaps: Vec<Overlap>,
}

/// The listeners.
struct Doors {
    port: u16,
    farm: Arc<Farm>,
    taken: mpsc::Sender<Connection>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// The open ones of single hosts.
    own: Mutex<HashMap<HostIndex, JoinHandle<()>>>,
}

impl FarmSim {
    /// Starts listening; boot reports leave at once. Fails if the configuration is not a farm, or the port is taken.
    pub async fn start(config: FarmConfig) -> anyhow::Result<Self> {
        let open_files = raise_open_files()?;
        let (events, mut due_events) = queue::queue();
        let (reports, due_reports) = queue::queue();
        let (outbox, completions) = mpsc::unbounded_channel();
        let farm = Arc::new(Farm::new(config, events, reports, outbox)?);
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let tasks = TaskTracker::new();

        let (taken, incoming) = mpsc::channel(64);
        let doors = Doors::open(Arc::clone(&farm), taken, stop.clone(), tasks.clone()).await?;
        let keeper = Arc::clone(&farm);
        let incoming = ReceiverStream::new(incoming).map(move |connection: Connection| {
            let callee = connection.callee();
            let mut state = keeper.state(callee.host);
            state.keep(&callee.cut);
            // It may have died between being called and being heard.
            if !state.fault.is_reachable() {
                callee.cut.pull();
            }
            drop(state);
            Ok::<_, std::io::Error>(connection)
        });
        let agents = Agents(Arc::clone(&farm));
        let server = Server::builder()
            .add_service(RqdInterfaceServer::new(agents.clone()))
            .add_service(RunningFrameServer::new(agents))
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        tasks.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the agents' server ended");
            }
        });

        let ends = Arc::clone(&farm);
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Some((_, event)) = due_events.next().await {
                ends.happen(event);
            }
        }));
        if let Some(cuebot) = &farm.config.cuebot {
            let reporter = Reporter::new(Arc::clone(&farm), cuebot, stop.clone(), tasks.clone())?;
            tasks.spawn(reporter.clone().report(due_reports));
            tasks.spawn(reporter.complete(completions));
        }
        let port = doors.port;
        Ok(Self { farm, port, open_files, doors, stop, tasks, _stops_when_dropped: guard })
    }

    /// The port of every host.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many files this process may have open.
    pub fn open_files(&self) -> u64 {
        self.open_files
    }

    /// Addresses of all hosts.
    pub fn hosts(&self) -> Vec<Ipv4Addr> {
        self.farm.hosts.iter().map(|host| host.spec.address).collect()
    }

    fn chosen(&self, hosts: Hosts) -> impl Iterator<Item = HostIndex> {
        (0..self.farm.hosts.len()).filter(move |host| hosts.contains(self.farm.spec(*host).address))
    }

    /// Makes hosts behave so from now on, and says how many there are. [`Fault::Healthy`] heals: a dead host comes back without its
    /// frames, a partitioned one with them.
    pub async fn set_fault(&self, hosts: impl Into<Hosts>, fault: Fault) -> anyhow::Result<usize> {
        let mut count = 0;
        for host in self.chosen(hosts.into()) {
            // A door opens before the host is well, and closes after it has fallen ill: who gets in then is hung up on.
            if fault.is_reachable() {
                self.doors.set(host, true).await?;
            }
            {
                let mut state = self.farm.state(host);
                self.farm.change(host, &mut state, fault);
            }
            if !fault.is_reachable() {
                self.doors.set(host, false).await?;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Sits somebody down at the hosts, or lets them go; says how many hosts there are. Frames that mind are killed.
    pub fn set_nimby(&self, hosts: impl Into<Hosts>, locked: bool) -> usize {
        self.chosen(hosts.into()).inspect(|host| self.farm.set_nimby(*host, locked)).count()
    }

    /// Sets the state of the hosts' hardware; says how many hosts there are.
    pub fn set_hardware(&self, hosts: impl Into<Hosts>, state: HardwareState) -> usize {
        self.chosen(hosts.into()).inspect(|host| self.farm.set_hardware(*host, state)).count()
    }

    /// Every run so far, in the order of their starts.
    pub fn record(&self) -> Vec<Run> {
        self.farm.read(|record| record.runs().to_vec())
    }

    /// What runs now.
    pub fn running(&self) -> Vec<Run> {
        self.farm.read(|record| record.runs().iter().filter(|run| run.end.is_none()).cloned().collect())
    }

    /// Runs of one frame that overlapped: on a farm that is scheduled well there are none.
    pub fn overlaps(&self) -> Vec<Overlap> {
        self.farm.read(|record| overlaps(record.runs()))
    }

    /// How many frames were started so far.
    pub fn launched_count(&self) -> u64 {
        self.farm.read(|record| record.counts.launched)
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.farm.read(|record| record.counts.clone())
    }

    /// Waits until the condition holds, looking whenever something happened; says whether it did within the limit.
    pub async fn wait_until(&self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            let mut changed = pin!(self.farm.changed.notified());
            // Registered before the look, so that nothing falls in between.
            changed.as_mut().enable();
            if condition(self) {
                return true;
            }
            if timeout_at(end, changed).await.is_err() {
                return condition(self);
            }
        }
    }

    /// What happened so far, in short.
    pub fn summary(&self) -> Summary {
        self.farm.read(|record| Summary {
            port: self.port,
            hosts: self.farm.hosts.len(),
            counts: record.counts.clone(),
            running: record.runs().iter().filter(|run| run.end.is_none()).count(),
            overlaps: overlaps(record.runs()),
        })
    }

    /// Ends everything: connections are reset, reports under way are given up, frames that run stay without an end.
    pub async fn shutdown(self) -> Summary {
        self.stop.cancel();
        for host in 0..self.farm.hosts.len() {
            Farm::hang_up(&mut self.farm.state(host));
        }
        self.tasks.close();
        self.tasks.wait().await;
        self.summary()
    }
}

impl Doors {
    async fn open(
        farm: Arc<Farm>,
        taken: mpsc::Sender<Connection>,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        let mut this = Self { port: farm.config.port, farm, taken, stop, tasks, own: Mutex::default() };
        if this.farm.config.listen == Listen::Shared {
            let listener = door::listen(Ipv4Addr::UNSPECIFIED, this.port)?;
            this.port = listener.local_addr()?.port();
            this.accept(listener, Hears::Called(Arc::clone(&this.farm.by_address)));
            return Ok(this);
        }
        for host in 0..this.farm.hosts.len() {
            let listener = this.listen(host)?;
            if host == 0 {
                // With a free port wanted, the first host finds it. That it is free for the others too is likely, and said if not.
                this.port = listener.local_addr()?.port();
            }
            let task = this.accept(listener, Hears::For(host));
            this.own.lock().await.insert(host, task);
        }
        Ok(this)
    }

    /// A host's own listener.
    fn listen(&self, host: HostIndex) -> anyhow::Result<tokio::net::TcpListener> {
        if self.farm.config.listen == Listen::PortPerHost {
            let port = u16::try_from(host).ok().and_then(|host| self.port.checked_add(host));
            return door::listen(Ipv4Addr::UNSPECIFIED, port.context("there are too many hosts for a port each")?);
        }
        door::listen(self.farm.spec(host).address, self.port)
    }

    fn accept(&self, listener: tokio::net::TcpListener, hears: Hears) -> JoinHandle<()> {
        let farm = Arc::clone(&self.farm);
        let is_open = move |host| farm.is_open(host);
        self.tasks.spawn(door::accept(listener, hears, self.taken.clone(), is_open, self.stop.clone()))
    }

    /// Opens or closes a host's own door; a shared one stays.
    async fn set(&self, host: HostIndex, open: bool) -> anyhow::Result<()> {
        if self.farm.config.listen == Listen::Shared {
            return Ok(());
        }
        let mut own = self.own.lock().await;
        if open && !own.contains_key(&host) {
            own.insert(host, self.accept(self.listen(host)?, Hears::For(host)));
        } else if !open && let Some(task) = own.remove(&host) {
            task.abort();
            // The task's end closes the listener, so a connection is refused from here on.
            drop(task.await);
        }
        Ok(())
    }
}
