//! What happens on the farm: frames start and end, hosts fall ill and recover.
//!
//! Every host has a lock of its own, the record has one. Whoever needs both takes the host's first. The record is written under
//! the host's lock, so a run is in it before anybody can be told of the launch, and has its end before the completion leaves.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cue_scheduler_proto::host::HardwareState;
use cue_scheduler_proto::report::{FrameCompleteReport, HostReport, RunningFrameInfo};
use cue_scheduler_proto::rqd::RunFrame;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::config::{FarmConfig, HostSpec, Manner};
use super::door::HostIndex;
use super::fault::{Fault, LaunchFault};
use super::host::{HostState, Running, Wall, WhenIdle, centicores, echo, frame_key};
use super::outcome::Outcome;
use super::queue::Due;
use super::record::{Cause, Completion, End, Record, Run, RunId};
use super::refusal::Refusal;

/// Time a machine takes to go down after it was told to.
const GOING_DOWN: Duration = Duration::from_millis(100);

/// One host.
pub(super) struct Host {
    pub spec: HostSpec,
    state: Mutex<HostState>,
}

/// A thing that becomes due on a host.
pub(super) enum Event {
    /// A frame's time is over.
    End { host: HostIndex, key: String, run: RunId, exit_status: i32, exit_signal: i32 },
    /// A machine that was told to go down does.
    Down { host: HostIndex },
}

/// A completion on its only way, in Python's manner.
pub(super) struct Outgoing {
    pub host: HostIndex,
    pub run: RunId,
    pub report: FrameCompleteReport,
}

/// What a kill did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Killed {
    /// The signal was sent.
    Signalled,
    /// It came too early for an agent in Python, and hit the agent.
    AgentDied,
}

/// The whole farm.
pub(super) struct Farm {
    pub config: FarmConfig,
    pub hosts: Vec<Host>,
    pub by_address: Arc<HashMap<Ipv4Addr, HostIndex>>,
    /// Told whenever something was counted.
    pub changed: Notify,
    wall: Wall,
    record: Mutex<Record>,
    draw: Mutex<StdRng>,
    events: Due<Event>,
    reports: Due<HostIndex>,
    outbox: mpsc::UnboundedSender<Outgoing>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A crash of a call, which is simulated by unwinding, never holds a lock; and a test that failed has said so.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Farm {
    pub fn new(
        config: FarmConfig,
        events: Due<Event>,
        reports: Due<HostIndex>,
        outbox: mpsc::UnboundedSender<Outgoing>,
    ) -> anyhow::Result<Self> {
        let now = Instant::now();
        let specs = config.expand()?;
        let by_address: HashMap<_, _> = specs.iter().enumerate().map(|(index, spec)| (spec.address, index)).collect();
        anyhow::ensure!(
            by_address.len() == specs.len(),
            "two hosts of the farm have one address: make their ranges apart"
        );
        let hosts =
            specs.into_iter().map(|spec| Host { spec, state: Mutex::new(HostState::new(now)) }).collect::<Vec<_>>();
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let farm = Self {
            wall: Wall { started: now, epoch_ms: epoch.as_millis() as i64 },
            record: Mutex::new(Record::new()),
            draw: Mutex::new(StdRng::seed_from_u64(config.seed)),
            by_address: Arc::new(by_address),
            changed: Notify::new(),
            config,
            hosts,
            events,
            reports,
            outbox,
        };
        for host in 0..farm.hosts.len() {
            farm.report_at(host, &mut farm.state(host), now);
        }
        Ok(farm)
    }

    pub fn state(&self, host: HostIndex) -> MutexGuard<'_, HostState> {
        lock(&self.hosts[host].state)
    }

    pub fn spec(&self, host: HostIndex) -> &HostSpec {
        &self.hosts[host].spec
    }

    pub fn manner(&self) -> Manner {
        self.config.manner
    }

    /// Looks at the record, or counts in it.
    pub fn recorded<T>(&self, with: impl FnOnce(&mut Record) -> T) -> T {
        let answer = with(&mut lock(&self.record));
        self.changed.notify_waiters();
        answer
    }

    /// Looks at the record and changes nothing, so nobody is told.
    pub fn read<T>(&self, with: impl FnOnce(&Record) -> T) -> T {
        with(&lock(&self.record))
    }

    /// A number for whatever is random about pauses.
    pub fn share(&self) -> f64 {
        lock(&self.draw).random_range(0.5..=1.0)
    }

    /// Whether the host takes connections. An agent in Rust opens its port once Cuebot has taken its boot report.
    pub fn is_open(&self, host: HostIndex) -> bool {
        let state = self.state(host);
        let waits = self.manner() == Manner::Rust && self.config.cuebot.is_some() && !state.booted;
        state.fault.is_reachable() && !waits
    }

    /// Makes the host report at a time, instead of at whatever time it would.
    pub fn report_at(&self, host: HostIndex, state: &mut HostState, at: Instant) {
        state.next_report = at;
        if self.config.cuebot.is_some() {
            self.reports.at(at, host);
        }
    }

    /// What goes wrong with the launch that has just arrived.
    pub fn strike(&self, host: HostIndex) -> Option<LaunchFault> {
        let fault = self.state(host).fault;
        let fault = if let Fault::Launch(fault) = fault {
            Some(fault)
        } else {
            let mut draw = lock(&self.draw);
            self.config.chances.iter().find(|chance| draw.random_bool(chance.probability)).map(|c| c.fault)
        };
        if let Some(fault) = fault {
            let name = match fault {
                LaunchFault::Refuse(_) => "refuse",
                LaunchFault::Hang { .. } => "hang",
                LaunchFault::Late { .. } => "late",
                LaunchFault::Drop { .. } => "drop",
            };
            self.recorded(|record| *record.counts.faults.entry(name).or_default() += 1);
        }
        fault
    }

    /// Starts a frame, or says why not.
    pub fn launch(&self, host: HostIndex, frame: Option<RunFrame>) -> Result<(), Refusal> {
        let answer = self.try_launch(host, frame);
        if let Err(refusal) = answer {
            self.recorded(|record| *record.counts.refused.entry(refusal.label()).or_default() += 1);
        }
        answer
    }

    fn try_launch(&self, host: HostIndex, frame: Option<RunFrame>) -> Result<(), Refusal> {
        let frame = frame.ok_or(Refusal::NoFrame)?;
        let mut state = self.state(host);
        if state.fault == Fault::Dead {
            return Err(Refusal::Off);
        }
        let now = Instant::now();
        state.admit(self.manner(), self.spec(host), &frame, now)?;

        let tries = self.recorded(|record| record.tries(&frame.frame_id));
        let outcome = Outcome::of(&self.config, &frame, tries);
        let run = self.recorded(|record| {
            record.begin(Run {
                frame_id: frame.frame_id.clone(),
                resource_id: frame.resource_id.clone(),
                job_id: frame.job_id.clone(),
                layer_id: frame.layer_id.clone(),
                host: self.spec(host).address,
                cores: frame.num_cores,
                started_us: record.at_us(now),
                end: None,
                completion: Completion::Unsent,
            })
        });
        let key = frame_key(self.manner(), &frame.frame_id);
        let (exit_status, exit_signal) = as_reported(self.manner(), outcome.exit_status, outcome.exit_signal);
        state.running.insert(
            key.clone(),
            Running {
                run,
                since: now,
                rss_kb: outcome.rss_kb,
                ignore_nimby: frame.ignore_nimby,
                pid_zero: frame.pid == 0,
                info: echo(frame),
            },
        );
        self.events.at(now + outcome.duration, Event::End { host, key, run, exit_status, exit_signal });
        Ok(())
    }

    /// Does what has become due.
    pub fn happen(&self, event: Event) {
        match event {
            Event::End { host, key, run, exit_status, exit_signal } => {
                let mut state = self.state(host);
                // The frame may have been killed, and another run of it started.
                if state.running.get(&key).is_some_and(|running| running.run == run) {
                    self.end(host, &mut state, &key, Cause::Finished, exit_status, exit_signal);
                }
            }
            Event::Down { host } => {
                let mut state = self.state(host);
                self.change(host, &mut state, Fault::Dead);
            }
        }
    }

    fn end(&self, host: HostIndex, state: &mut HostState, key: &str, cause: Cause, exit_status: i32, exit_signal: i32) {
        let Some(running) = state.running.remove(key) else { return };
        let now = Instant::now();
        let run = running.run;
        let report = FrameCompleteReport {
            host: Some(state.render_host(self.spec(host), self.wall)),
            frame: Some(self.info(&running, now)),
            exit_status,
            exit_signal,
            run_time: now.saturating_duration_since(running.since).as_secs() as i32,
        };
        self.recorded(|record| {
            let at_us = record.at_us(now);
            record.end(run, End { at_us, cause, exit_status, exit_signal });
        });
        if self.config.cuebot.is_some() {
            match self.manner() {
                Manner::Python => drop(self.outbox.send(Outgoing { host, run, report })),
                Manner::Rust => state.unsent.push((run, report)),
            }
        }
        if state.running.is_empty() && state.when_idle.is_some() {
            self.go_down(host);
        }
        self.report_event(host, state);
    }

    fn report_event(&self, host: HostIndex, state: &mut HostState) {
        if self.config.report_on_events && state.booted {
            // Events close together make one report.
            let soon = Instant::now() + Duration::from_millis(200);
            if state.next_report > soon {
                self.report_at(host, state, soon);
            }
        }
    }

    /// Kills a frame as the agent's manner has it.
    pub fn kill(&self, host: HostIndex, frame_id: &str, message: &str) -> Result<Killed, Refusal> {
        self.recorded(|record| record.counts.kills += 1);
        let mut state = self.state(host);
        let key = frame_key(self.manner(), frame_id);
        let running = state.running.get(&key).ok_or(Refusal::NotRunning)?;
        let has_process = running.since.elapsed() >= self.config.process_start;
        match self.manner() {
            Manner::Rust if message.is_empty() => Err(Refusal::NoReason),
            Manner::Rust if !has_process => Err(Refusal::NoProcess),
            Manner::Rust => {
                self.end(host, &mut state, &key, Cause::Killed, 1, 15);
                Ok(Killed::Signalled)
            }
            Manner::Python if has_process => {
                self.end(host, &mut state, &key, Cause::Killed, 1, 9);
                Ok(Killed::Signalled)
            }
            // It signals the process group that the launch named: 0 is its own.
            Manner::Python if running.pid_zero => {
                self.change(host, &mut state, Fault::Dead);
                Ok(Killed::AgentDied)
            }
            Manner::Python => Ok(Killed::Signalled),
        }
    }

    /// Makes a host behave otherwise, with all that follows.
    pub fn change(&self, host: HostIndex, state: &mut HostState, fault: Fault) {
        let before = std::mem::replace(&mut state.fault, fault);
        if before == fault {
            return;
        }
        let now = Instant::now();
        if fault == Fault::Dead {
            let ended = std::mem::take(&mut state.running);
            let unsent = std::mem::take(&mut state.unsent);
            state.forget();
            self.recorded(|record| {
                let at_us = record.at_us(now);
                for running in ended.into_values() {
                    record.end(running.run, End { at_us, cause: Cause::Lost, exit_status: 0, exit_signal: 0 });
                }
                for (run, _) in unsent {
                    record.complete(run, Completion::Lost);
                }
            });
        }
        if fault.is_reachable() {
            if !before.is_reachable() {
                self.report_at(host, state, now);
            }
        } else {
            Self::hang_up(state);
        }
        self.changed.notify_waiters();
    }

    /// Resets every connection to the host.
    pub fn hang_up(state: &mut HostState) {
        for cut in state.connections.drain(..).filter_map(|cut| cut.upgrade()) {
            cut.pull();
        }
    }

    /// Somebody sits down at the host, or leaves. Frames that mind are killed.
    pub fn set_nimby(&self, host: HostIndex, locked: bool) {
        let mut state = self.state(host);
        state.nimby_enabled = true;
        state.nimby_locked = locked;
        if locked {
            let minding: Vec<_> =
                state.running.iter().filter(|(_, running)| !running.ignore_nimby).map(|(key, _)| key.clone()).collect();
            let (exit_status, exit_signal) = match self.manner() {
                Manner::Python => (286, 9),
                Manner::Rust => (1, 15),
            };
            for key in minding {
                self.end(host, &mut state, &key, Cause::Nimby, exit_status, exit_signal);
            }
        }
        self.report_changed(host, &mut state);
    }

    /// Sets the state of the hardware.
    pub fn set_hardware(&self, host: HostIndex, hardware: HardwareState) {
        let mut state = self.state(host);
        state.hardware = hardware;
        self.report_changed(host, &mut state);
    }

    fn report_changed(&self, host: HostIndex, state: &mut HostState) {
        if state.booted && state.fault.is_reachable() {
            self.report_at(host, state, Instant::now());
        }
    }

    /// Locks cores, or unlocks them if negative, in the unit of the agent.
    pub fn lock_cores(&self, host: HostIndex, amount: i32) {
        let centicores = match self.manner() {
            Manner::Python => amount,
            Manner::Rust => amount.saturating_mul(100),
        };
        let mut state = self.state(host);
        if centicores < 0 {
            state.when_idle = None;
        }
        state.lock(self.spec(host), centicores);
        self.report_event(host, &mut state);
    }

    /// Locks every core and does the thing when nothing runs.
    pub fn when_idle(&self, host: HostIndex, what: WhenIdle) {
        let mut state = self.state(host);
        state.locked = centicores(self.spec(host));
        state.when_idle = Some(what);
        if state.running.is_empty() {
            self.go_down(host);
        }
    }

    /// The machine goes down in a moment, so that the answer still gets out.
    pub fn go_down(&self, host: HostIndex) {
        self.events.at(Instant::now() + GOING_DOWN, Event::Down { host });
    }

    /// A report of the host as it is now.
    pub fn host_report(&self, host: HostIndex, state: &HostState) -> HostReport {
        state.host_report(self.spec(host), self.manner(), self.config.process_start, self.wall, Instant::now())
    }

    pub fn boot_report(&self, host: HostIndex, state: &HostState) -> cue_scheduler_proto::report::BootReport {
        state.boot_report(self.spec(host), self.wall, Instant::now())
    }

    /// One frame of the host, as reported.
    pub fn running_info(&self, host: HostIndex, frame_id: &str) -> Option<RunningFrameInfo> {
        let state = self.state(host);
        let running = state.running.get(&frame_key(self.manner(), frame_id))?;
        Some(self.info(running, Instant::now()))
    }

    fn info(&self, running: &Running, now: Instant) -> RunningFrameInfo {
        HostState::info(running, self.manner(), self.config.process_start, self.wall, now)
    }
}

/// Status and signal of a completion: a death by signal has status 1; an agent in Rust reads statuses above 128 as signals.
fn as_reported(manner: Manner, exit_status: i32, exit_signal: i32) -> (i32, i32) {
    match manner {
        _ if exit_signal != 0 && exit_status == 0 => (1, exit_signal),
        Manner::Rust if exit_signal == 0 && (129..=255).contains(&exit_status) => (1, exit_status - 128),
        _ => (exit_status, exit_signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_reported_in_the_manner_of_the_agent() {
        let cases = [
            ((0, 0), (0, 0), (0, 0)),
            ((7, 0), (7, 0), (7, 0)),
            ((137, 0), (137, 0), (1, 9)),
            ((200, 0), (200, 0), (1, 72)),
            ((0, 11), (1, 11), (1, 11)),
            ((256, 0), (256, 0), (256, 0)),
        ];
        for ((status, signal), python, rust) in cases {
            assert_eq!(as_reported(Manner::Python, status, signal), python, "{status}/{signal}");
            assert_eq!(as_reported(Manner::Rust, status, signal), rust, "{status}/{signal}");
        }
    }
}
