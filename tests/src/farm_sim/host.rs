//! One agent's books: what runs, what is locked, what it says of itself.
//!
//! Nothing here waits, sends or looks at a clock: a call gets the time and gives a decision, and [`super::farm`] acts on it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cue_scheduler_proto::host::HardwareState;
use cue_scheduler_proto::report::{
    BootReport, CoreDetail, FrameCompleteReport, HostReport, RenderHost, RunningFrameInfo,
};
use cue_scheduler_proto::rqd::RunFrame;
use cue_scheduler_proto::rqd::run_frame::UidOptional;
use tokio::time::Instant;
use uuid::Uuid;

use super::config::{HostSpec, Manner};
use super::door::Cut;
use super::fault::Fault;
use super::record::RunId;
use super::refusal::Refusal;

/// Cores that a crashed call of an agent in Rust reserved come back after about a minute.
const LEAK: Duration = Duration::from_mins(1);

/// A frame on a host.
pub(super) struct Running {
    pub run: RunId,
    /// As reported.
    pub info: RunningFrameInfo,
    pub since: Instant,
    pub rss_kb: u64,
    pub ignore_nimby: bool,
    /// Whether the launch carried pid 0, which makes an early kill deadly to an agent in Python.
    pub pid_zero: bool,
}

/// What the agent does once nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenIdle {
    Shutdown,
    Reboot,
}

/// A host's state.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, two of them as the protocol has them")]
pub(super) struct HostState {
    pub fault: Fault,
    /// By frame id, as the agent compares them.
    pub running: BTreeMap<String, Running>,
    /// Centicores.
    pub locked: i32,
    leaked: Vec<(Instant, i32)>,
    pub nimby_enabled: bool,
    pub nimby_locked: bool,
    pub hardware: HardwareState,
    pub when_idle: Option<WhenIdle>,
    /// Whether Cuebot knows of this start of the agent.
    pub booted: bool,
    /// Completions that wait for the next report, in Rust's manner.
    pub unsent: Vec<(RunId, FrameCompleteReport)>,
    /// Counts the agent's starts. The answer to a report of an earlier one means nothing to this one.
    pub start: u32,
    /// Whether a report is under way; two of one host at once would send a completion twice.
    pub reporting: bool,
    /// The moment of the next report; entries of the schedule for any other moment are stale.
    pub next_report: Instant,
    pub connections: Vec<Weak<Cut>>,
}

impl HostState {
    pub fn new(now: Instant) -> Self {
        Self {
            fault: Fault::Healthy,
            running: BTreeMap::new(),
            locked: 0,
            leaked: Vec::new(),
            nimby_enabled: false,
            nimby_locked: false,
            hardware: HardwareState::Up,
            when_idle: None,
            booted: false,
            unsent: Vec::new(),
            start: 0,
            reporting: false,
            next_report: now,
            connections: Vec::new(),
        }
    }

    /// Centicores held by frames, and by calls that crashed.
    pub fn booked(&self, now: Instant) -> i32 {
        let leaked: i32 = self.leaked.iter().filter(|(until, _)| *until > now).map(|(_, cores)| cores).sum();
        self.running.values().map(|frame| frame.info.num_cores).sum::<i32>() + leaked
    }

    /// Asks the agent's questions in the agent's order.
    pub fn admit(&mut self, manner: Manner, spec: &HostSpec, frame: &RunFrame, now: Instant) -> Result<(), Refusal> {
        match manner {
            Manner::Python => self.admit_python(spec, frame, now),
            Manner::Rust => self.admit_rust(spec, frame, now),
        }
    }

    fn admit_python(&self, spec: &HostSpec, frame: &RunFrame, now: Instant) -> Result<(), Refusal> {
        let threadable = frame.environment.get("CUE_THREADABLE").is_some_and(|value| value == "1");
        refuse_if(self.hardware != HardwareState::Up, Refusal::NotUp)?;
        refuse_if(self.when_idle.is_some(), Refusal::WaitsForIdle)?;
        refuse_if(self.nimby_locked && !frame.ignore_nimby, Refusal::Nimby)?;
        refuse_if(self.running.contains_key(&frame_key(Manner::Python, &frame.frame_id)), Refusal::Duplicate)?;
        refuse_if(has_bad_uid(frame), Refusal::Uid)?;
        refuse_if(frame.num_cores <= 0, Refusal::NoCores)?;
        refuse_if(threadable && frame.num_cores % 100 != 0, Refusal::Fraction)?;
        let free = centicores(spec) - self.booked(now) - self.locked;
        refuse_if(frame.num_cores > free, Refusal::Cores)?;
        let used_gpus: i32 = self.running.values().map(|running| running.info.num_gpus).sum();
        refuse_if(frame.num_gpus > spec.set.gpus as i32 - used_gpus, Refusal::Gpus)
    }

    fn admit_rust(&mut self, spec: &HostSpec, frame: &RunFrame, now: Instant) -> Result<(), Refusal> {
        refuse_if(self.running.contains_key(&frame_key(Manner::Rust, &frame.frame_id)), Refusal::Duplicate)?;
        refuse_if(has_bad_uid(frame), Refusal::Uid)?;
        refuse_if(frame.num_cores <= 0, Refusal::NoCores)?;
        refuse_if(frame.num_cores % 100 != 0, Refusal::Fraction)?;
        refuse_if(self.hardware != HardwareState::Up, Refusal::NotUp)?;
        refuse_if(self.nimby_locked && !frame.ignore_nimby, Refusal::Nimby)?;
        // It does not look at locks when it launches.
        refuse_if(frame.num_cores > centicores(spec) - self.booked(now), Refusal::Cores)?;
        if frame.num_gpus != 0 {
            self.leaked.retain(|(until, _)| *until > now);
            self.leaked.push((now + LEAK, frame.num_cores));
            return Err(Refusal::Crash);
        }
        Ok(())
    }

    /// Locks centicores, at most what is unlocked; negative ones unlock.
    pub fn lock(&mut self, spec: &HostSpec, by: i32) {
        self.locked = self.locked.saturating_add(by).clamp(0, centicores(spec));
    }

    /// Takes the agent's memory away, as at its start.
    pub fn forget(&mut self) {
        self.locked = 0;
        self.leaked.clear();
        self.when_idle = None;
        self.booted = false;
        self.start += 1;
        self.reporting = false;
        self.nimby_locked = false;
        self.hardware = HardwareState::Up;
    }

    pub fn keep(&mut self, cut: &Arc<Cut>) {
        self.connections.retain(|cut| cut.strong_count() > 0);
        self.connections.push(Arc::downgrade(cut));
    }

    /// The frame as an agent reports it. `age` is how long there has been a process.
    pub fn info(
        running: &Running,
        manner: Manner,
        process_start: Duration,
        wall: Wall,
        now: Instant,
    ) -> RunningFrameInfo {
        let mut info = running.info.clone();
        if manner == Manner::Rust {
            info.start_time = wall.at(running.since) / 1000 * 1000;
        }
        if now.saturating_duration_since(running.since) >= process_start {
            let rss = running.rss_kb as i64;
            info.rss = rss;
            info.max_rss = rss;
            info.vsize = rss;
            info.max_vsize = rss;
            if manner == Manner::Rust {
                info.pss = rss;
                info.max_pss = rss;
            }
            info.llu_time = wall.at(now) / 1000;
        }
        info
    }

    pub fn boot_report(&self, spec: &HostSpec, wall: Wall, now: Instant) -> BootReport {
        BootReport { host: Some(self.render_host(spec, wall)), core_info: Some(self.core_detail(spec, now)) }
    }

    pub fn host_report(
        &self,
        spec: &HostSpec,
        manner: Manner,
        process_start: Duration,
        wall: Wall,
        now: Instant,
    ) -> HostReport {
        let frames = self
            .running
            .values()
            // An agent in Python answers a launch before the frame is in its list.
            .filter(|running| manner == Manner::Rust || now.saturating_duration_since(running.since) >= process_start)
            .map(|running| Self::info(running, manner, process_start, wall, now))
            .collect();
        HostReport { host: Some(self.render_host(spec, wall)), frames, core_info: Some(self.core_detail(spec, now)) }
    }

    pub fn render_host(&self, spec: &HostSpec, wall: Wall) -> RenderHost {
        let set = &spec.set;
        let used: u64 = self.running.values().map(|running| running.rss_kb).sum();
        RenderHost {
            name: spec.address.to_string(),
            nimby_enabled: self.nimby_enabled,
            nimby_locked: self.nimby_locked,
            facility: set.facility.clone(),
            num_procs: 1,
            cores_per_proc: centicores(spec),
            total_swap: 8 << 20,
            total_mem: set.memory_kb as i64,
            total_mcp: 200 << 20,
            free_swap: 8 << 20,
            free_mem: set.memory_kb.saturating_sub(used) as i64,
            free_mcp: 150 << 20,
            load: 0,
            boot_time: (wall.epoch_ms / 1000) as i32,
            tags: set.tags.clone(),
            state: self.hardware.into(),
            attributes: HashMap::from([
                ("SP_OS".to_owned(), set.os.clone()),
                ("hyperthreadingMultiplier".to_owned(), "1".to_owned()),
            ]),
            num_gpus: set.gpus as i32,
            free_gpu_mem: set.gpu_memory_kb as i64,
            total_gpu_mem: set.gpu_memory_kb as i64,
        }
    }

    #[allow(deprecated, reason = "the deprecated map is left empty, and the struct has no other way to be whole")]
    fn core_detail(&self, spec: &HostSpec, now: Instant) -> CoreDetail {
        let (total, booked) = (centicores(spec), self.booked(now));
        CoreDetail {
            total_cores: total,
            idle_cores: (total - booked - self.locked).max(0),
            locked_cores: self.locked,
            booked_cores: booked,
            reserved_cores: HashMap::new(),
        }
    }
}

/// The wall clock, by way of the monotonic one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wall {
    pub started: Instant,
    pub epoch_ms: i64,
}

impl Wall {
    /// Milliseconds of the epoch.
    pub fn at(self, at: Instant) -> i64 {
        self.epoch_ms + at.saturating_duration_since(self.started).as_millis() as i64
    }
}

/// The key of a frame in the agent's table: plain text in Python; in Rust a UUID, and everything else the all-zero one.
pub(super) fn frame_key(manner: Manner, id: &str) -> String {
    match manner {
        Manner::Python => id.to_owned(),
        Manner::Rust => Uuid::parse_str(id).unwrap_or_default().to_string(),
    }
}

/// What a launch is echoed as.
pub(super) fn echo(frame: RunFrame) -> RunningFrameInfo {
    RunningFrameInfo {
        resource_id: frame.resource_id,
        job_id: frame.job_id,
        job_name: frame.job_name,
        frame_id: frame.frame_id,
        frame_name: frame.frame_name,
        layer_id: frame.layer_id,
        num_cores: frame.num_cores,
        start_time: frame.start_time,
        attributes: frame.attributes,
        num_gpus: frame.num_gpus,
        ..RunningFrameInfo::default()
    }
}

/// A host's size, centicores.
pub(super) fn centicores(spec: &HostSpec) -> i32 {
    spec.set.cores.saturating_mul(100) as i32
}

fn has_bad_uid(frame: &RunFrame) -> bool {
    matches!(frame.uid_optional, Some(UidOptional::Uid(uid)) if uid <= 0)
}

fn refuse_if(condition: bool, refusal: Refusal) -> Result<(), Refusal> {
    if condition { Err(refusal) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::farm_sim::config::HostSet;
    use std::net::Ipv4Addr;
    use tonic::Code;

    fn spec() -> HostSpec {
        let set = HostSet { cores: 4, gpus: 1, ..HostSet::default() };
        HostSpec { address: Ipv4Addr::LOCALHOST, set: Arc::new(set) }
    }

    fn frame(change: impl FnOnce(&mut RunFrame)) -> RunFrame {
        let mut frame = RunFrame { frame_id: Uuid::from_u128(1).to_string(), num_cores: 200, ..RunFrame::default() };
        change(&mut frame);
        frame
    }

    /// Per case: what is done to the host and to the frame, and the code of either agent, `None` for accepted.
    type Case = (&'static str, fn(&mut HostState), fn(&mut RunFrame), Option<Code>, Option<Code>);

    #[test]
    fn launches_are_refused_as_each_agent_refuses_them() {
        let running = |state: &mut HostState| {
            let info = echo(frame(|_| {}));
            let since = state.next_report;
            let running =
                Running { run: RunId::default(), info, since, rss_kb: 0, ignore_nimby: false, pid_zero: false };
            state.running.insert(Uuid::from_u128(1).to_string(), running);
        };
        let nothing = |_: &mut HostState| {};
        let same = |_: &mut RunFrame| {};
        let invalid = Some(Code::InvalidArgument);
        let unknown = Some(Code::Unknown);
        let cases: [Case; 16] = [
            ("fits", nothing, same, None, None),
            ("runs already", running, same, unknown, invalid),
            ("uid 0", nothing, |f| f.uid_optional = Some(UidOptional::Uid(0)), unknown, invalid),
            ("no uid", nothing, |f| f.uid_optional = None, None, None),
            ("no cores", nothing, |f| f.num_cores = 0, unknown, invalid),
            ("negative cores", nothing, |f| f.num_cores = -100, unknown, invalid),
            ("a fraction", nothing, |f| f.num_cores = 150, None, invalid),
            (
                "a fraction, threadable",
                nothing,
                |f| {
                    f.num_cores = 150;
                    f.environment.insert("CUE_THREADABLE".to_owned(), "1".to_owned());
                },
                unknown,
                invalid,
            ),
            ("too many cores", nothing, |f| f.num_cores = 500, unknown, Some(Code::Aborted)),
            ("in repair", |s| s.hardware = HardwareState::Repair, same, unknown, Some(Code::FailedPrecondition)),
            ("NIMBY", |s| s.nimby_locked = true, same, unknown, Some(Code::Aborted)),
            ("NIMBY ignored", |s| s.nimby_locked = true, |f| f.ignore_nimby = true, None, None),
            ("locked cores", |s| s.locked = 300, same, unknown, None),
            ("waits for idle", |s| s.when_idle = Some(WhenIdle::Reboot), same, unknown, None),
            ("a GPU", nothing, |f| f.num_gpus = 1, None, Some(Code::Cancelled)),
            ("too many GPUs", nothing, |f| f.num_gpus = 2, unknown, Some(Code::Cancelled)),
        ];
        for (name, host, change, python, rust) in cases {
            for (manner, expected) in [(Manner::Python, python), (Manner::Rust, rust)] {
                let now = Instant::now();
                let mut state = HostState::new(now);
                host(&mut state);
                let answer = state.admit(manner, &spec(), &frame(change), now);
                assert_eq!(answer.err().map(|refusal| refusal.code(manner)), expected, "{name}, {manner:?}");
            }
        }
    }

    #[test]
    fn ids_that_are_no_uuids_collide_in_rust_only() {
        assert_ne!(frame_key(Manner::Python, "a"), frame_key(Manner::Python, "b"));
        assert_eq!(frame_key(Manner::Rust, "a"), frame_key(Manner::Rust, "b"));
        let id = Uuid::from_u128(7).to_string();
        assert_eq!(frame_key(Manner::Rust, &id.to_uppercase()), id);
    }

    #[test]
    fn a_crashed_call_holds_its_cores_for_a_minute() {
        let now = Instant::now();
        let mut state = HostState::new(now);
        let gpu = frame(|f| f.num_gpus = 1);
        assert_eq!(state.admit(Manner::Rust, &spec(), &gpu, now), Err(Refusal::Crash));
        assert_eq!(state.booked(now), 200);
        assert_eq!(state.booked(now + LEAK), 0);
    }

    #[test]
    fn locks_stay_between_nothing_and_the_whole_host() {
        let mut state = HostState::new(Instant::now());
        state.lock(&spec(), 300);
        state.lock(&spec(), 300);
        assert_eq!(state.locked, 400);
        state.lock(&spec(), i32::MIN);
        assert_eq!(state.locked, 0);
    }
}
