//! What is to go wrong, and when: a pure function of a seed.
//!
//! Each fault strikes one thing (a replica, the way of one replica to the database, the database, some hosts, Cuebot) for a while.
//! Two faults of one thing never overlap, since the second would undo the first; faults of different things do, by chance.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt as _, SeedableRng as _};
use tonic::Code;

use super::farm::{ALLOCATIONS, HOSTS_STRUCK_MAX, host};
use crate::farm_sim::{Fault as HostFault, Hosts, LaunchFault, Starts};
use crate::postgres::Shutdown;
use crate::scenarios::Length;

/// Replicas that are there from the start.
pub const REPLICAS: usize = 3;

/// Places for replicas that join and leave.
pub const GUESTS: usize = 2;

/// Between two faults of one thing: a process has to be there before it can be killed.
pub(super) const APART: Duration = Duration::from_millis(700);

/// Longer than the 8 s after which a silent member is ended, at two looks in a row. Shorter than what the launch protocol's residual gap
/// needs: the take-over age (5 s and the time-out of a call and 5 s) and two questions, 2 s apart.
const LONG_STOP: [Duration; 2] = [Duration::from_millis(10_300), Duration::from_millis(11_500)];

/// Everything that goes wrong in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Of everything that is drawn.
    pub seed: u64,
    /// In the order of their beginnings.
    pub faults: Vec<Planned>,
}

/// A fault at its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Since the start of the schedule.
    pub at: Duration,
    /// Until it is healed.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

/// Something that goes wrong. Replicas are numbered from 0, guests follow the others.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// `kill -9`, and a new process when it is healed.
    Kill(usize),
    /// The same at a moment when it has committed a booking and does not know it yet, so that nothing was launched; if there is such a
    /// moment soon.
    KillAtCommit(usize),
    /// SIGSTOP, and SIGCONT when it is healed.
    Stop(usize),
    /// SIGTERM, and a new process when it is healed.
    Terminate(usize),
    /// A guest comes, and leaves by SIGTERM.
    Join(usize),
    /// PostgreSQL goes, and is started again.
    Restart(Shutdown),
    /// All sessions of all replicas are ended, once.
    EndSessions,
    /// PostgreSQL's answers to a replica are late.
    Delay(usize, Duration),
    /// Of a replica's commits one of so many breaks, by turns before and after the server has it.
    CutCommits(usize, usize),
    /// The first so many hosts of an allocation misbehave.
    Hosts(usize, u32, HostFault),
    /// Cuebot's process dies with all it had in hand, and is started again.
    CuebotDies,
    /// Cuebot refuses all reports.
    CuebotRefuses,
}

/// What a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Replica(usize),
    Way(usize),
    Database,
    Sessions,
    Hosts(usize),
    Cuebot,
}

/// What faults have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Replica,
    Database,
    Hosts,
    Cuebot,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn of(seed: u64, length: Length) -> Self {
        let (window, wanted) = match length {
            Length::Short => (Duration::from_secs(10), 9),
            Length::Full => (Duration::from_mins(3), 120),
        };
        let mut draw = StdRng::seed_from_u64(seed ^ 0x0c0f_fee0_c4a0_5000);
        let mut faults: Vec<Planned> = Vec::new();
        // One of each kind, then whatever comes; what finds no room is drawn anew.
        let families = [Family::Replica, Family::Database, Family::Hosts, Family::Cuebot, Family::Replica];
        for n in 0..wanted {
            let family = families.get(n).copied();
            for _ in 0..50 {
                let fault = family.unwrap_or_else(|| any_family(&mut draw)).draw(&mut draw);
                let lasts = fault.draw_duration(&mut draw);
                // A long stop may outlast the window, or it would never find room in a short one.
                let latest = window.saturating_sub(lasts).max(Duration::from_secs(2));
                let at = millis(&mut draw, Duration::ZERO, latest);
                if faults.iter().all(|other| other.leaves_room(&fault, at, lasts)) {
                    faults.push(Planned { at, lasts, fault });
                    break;
                }
            }
        }
        faults.sort_by_key(|planned| planned.at);
        Self { seed, faults }
    }

    /// Nothing goes wrong.
    pub fn calm(seed: u64) -> Self {
        Self { seed, faults: Vec::new() }
    }

    /// The faults of each thing, in the order of their beginnings.
    pub fn by_thing(&self) -> Vec<Vec<&Planned>> {
        let mut things: Vec<(Thing, Vec<&Planned>)> = Vec::new();
        for planned in &self.faults {
            let thing = planned.fault.thing();
            match things.iter_mut().find(|(known, _)| *known == thing) {
                Some((_, faults)) => faults.push(planned),
                None => things.push((thing, vec![planned])),
            }
        }
        things.into_iter().map(|(_, faults)| faults).collect()
    }

    /// When the last fault is healed.
    pub fn ends(&self) -> Duration {
        self.faults.iter().map(|planned| planned.at + planned.lasts).max().unwrap_or_default()
    }
}

impl Planned {
    fn leaves_room(&self, fault: &Fault, at: Duration, lasts: Duration) -> bool {
        self.fault.thing() != fault.thing() || at >= self.at + self.lasts + APART || self.at >= at + lasts + APART
    }
}

fn any_family(draw: &mut impl Rng) -> Family {
    match draw.random_range(0..10) {
        0..4 => Family::Replica,
        4..6 => Family::Database,
        6..9 => Family::Hosts,
        _ => Family::Cuebot,
    }
}

impl Family {
    fn draw(self, draw: &mut impl Rng) -> Fault {
        let replica = draw.random_range(0..REPLICAS);
        match self {
            Self::Replica => match draw.random_range(0..10) {
                0..2 => Fault::Kill(replica),
                2..4 => Fault::KillAtCommit(replica),
                4..6 => Fault::Stop(replica),
                6..8 => Fault::Terminate(replica),
                _ => Fault::Join(REPLICAS + draw.random_range(0..GUESTS)),
            },
            Self::Database => match draw.random_range(0..8) {
                0 => Fault::Restart(Shutdown::Immediate),
                1 => Fault::Restart(Shutdown::Fast),
                2..4 => Fault::EndSessions,
                4..6 => Fault::Delay(replica, millis(draw, Duration::from_millis(20), Duration::from_millis(300))),
                _ => Fault::CutCommits(replica, draw.random_range(1..=3)),
            },
            Self::Hosts => {
                let allocation = draw.random_range(0..ALLOCATIONS);
                Fault::Hosts(allocation, draw.random_range(1..=HOSTS_STRUCK_MAX), host_fault(draw))
            }
            Self::Cuebot if draw.random_bool(0.6) => Fault::CuebotDies,
            Self::Cuebot => Fault::CuebotRefuses,
        }
    }
}

fn host_fault(draw: &mut impl Rng) -> HostFault {
    let runs = draw.random_bool(0.7);
    match draw.random_range(0..10) {
        0 => HostFault::Launch(LaunchFault::Refuse(Code::Unknown)),
        1 => HostFault::Launch(LaunchFault::Refuse(Code::Unavailable)),
        2 => HostFault::Launch(LaunchFault::Hang { runs }),
        3 => HostFault::Launch(LaunchFault::Drop { runs }),
        4..6 => HostFault::Launch(LaunchFault::Late {
            // What has reached a host is worked on before a question that arrives 2 s later; the protocol leans on it.
            delay: millis(draw, Duration::from_millis(200), Duration::from_secs(1)),
            starts: if runs { Starts::AtAnswer } else { Starts::AtOnce },
        }),
        6 => HostFault::Silent,
        7 => HostFault::Partitioned,
        _ => HostFault::Dead,
    }
}

fn millis(draw: &mut impl Rng, from: Duration, to: Duration) -> Duration {
    Duration::from_millis(draw.random_range(from.as_millis() as u64..=to.as_millis() as u64))
}

impl Fault {
    fn thing(&self) -> Thing {
        match self {
            Self::Kill(at) | Self::KillAtCommit(at) | Self::Stop(at) | Self::Terminate(at) | Self::Join(at) => {
                Thing::Replica(*at)
            }
            Self::Delay(at, _) | Self::CutCommits(at, _) => Thing::Way(*at),
            Self::Restart(_) => Thing::Database,
            Self::EndSessions => Thing::Sessions,
            Self::Hosts(at, ..) => Thing::Hosts(*at),
            Self::CuebotDies | Self::CuebotRefuses => Thing::Cuebot,
        }
    }

    fn draw_duration(&self, draw: &mut impl Rng) -> Duration {
        let (from, to) = match self {
            Self::EndSessions => return Duration::ZERO,
            Self::Stop(_) if draw.random_bool(0.3) => return millis(draw, LONG_STOP[0], LONG_STOP[1]),
            Self::Stop(_) => (500, 6000),
            // Of this the time until the moment comes is a part.
            Self::KillAtCommit(_) => (2000, 4000),
            Self::Kill(_) | Self::Terminate(_) => (200, 3000),
            Self::Join(_) => (2000, 6000),
            Self::Restart(_) => (100, 2000),
            Self::CuebotDies | Self::CuebotRefuses => (500, 2500),
            Self::Delay(..) | Self::CutCommits(..) | Self::Hosts(..) => (1500, 5000),
        };
        millis(draw, Duration::from_millis(from), Duration::from_millis(to))
    }

    /// A name for counting.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill -9",
            Self::KillAtCommit(_) => "kill -9 at a commit",
            Self::Stop(_) => "SIGSTOP",
            Self::Terminate(_) => "SIGTERM",
            Self::Join(_) => "join",
            Self::Restart(Shutdown::Immediate) => "immediate restart of PostgreSQL",
            Self::Restart(Shutdown::Fast) => "fast restart of PostgreSQL",
            Self::EndSessions => "sessions ended",
            Self::Delay(..) => "answers delayed",
            Self::CutCommits(..) => "commits cut",
            Self::Hosts(_, _, HostFault::Launch(LaunchFault::Refuse(_))) => "agents refuse",
            Self::Hosts(_, _, HostFault::Launch(LaunchFault::Hang { .. })) => "agents hang",
            Self::Hosts(_, _, HostFault::Launch(LaunchFault::Drop { .. })) => "agents drop answers",
            Self::Hosts(_, _, HostFault::Launch(LaunchFault::Late { .. })) => "agents answer late",
            Self::Hosts(_, _, HostFault::Silent) => "agents silent",
            Self::Hosts(_, _, HostFault::Partitioned) => "hosts cut off, back with frames",
            Self::Hosts(_, _, HostFault::Dead) => "hosts die, back without frames",
            Self::Hosts(_, _, HostFault::Healthy) => "hosts well",
            Self::CuebotDies => "Cuebot dies",
            Self::CuebotRefuses => "Cuebot refuses",
        }
    }
}

/// The hosts that a fault of an allocation strikes.
pub fn struck(allocation: usize, count: u32) -> Hosts {
    let last = count.saturating_sub(1);
    Hosts::Range(host(allocation, 0), host(allocation, last))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(at) => write!(f, "kill -9 of replica {at}"),
            Self::KillAtCommit(at) => write!(f, "kill -9 of replica {at} at a commit"),
            Self::Stop(at) => write!(f, "SIGSTOP of replica {at}"),
            Self::Terminate(at) => write!(f, "SIGTERM of replica {at}"),
            Self::Join(at) => write!(f, "replica {at} joins"),
            Self::Restart(Shutdown::Immediate) => f.write_str("PostgreSQL dies"),
            Self::Restart(Shutdown::Fast) => f.write_str("PostgreSQL is stopped"),
            Self::EndSessions => f.write_str("all sessions of replicas are ended"),
            Self::Delay(at, by) => write!(f, "answers to replica {at} are {by:?} late"),
            Self::CutCommits(at, every) => write!(f, "one of {every} commits of replica {at} is cut"),
            Self::Hosts(allocation, count, fault) => {
                let (first, last): (Ipv4Addr, Ipv4Addr) = (host(*allocation, 0), host(*allocation, count - 1));
                write!(f, "hosts {first} to {last}: {fault:?}")
            }
            Self::CuebotDies => f.write_str("Cuebot dies"),
            Self::CuebotRefuses => f.write_str("Cuebot refuses reports"),
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, lasts, fault } = self;
        write!(f, "{:7.3} s for {:6.3} s  {fault}", at.as_secs_f64(), lasts.as_secs_f64())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().try_for_each(|planned| writeln!(f, "  {planned}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_says_all_and_another_says_something_else() {
        for length in [Length::Short, Length::Full] {
            assert_eq!(Schedule::of(7, length), Schedule::of(7, length));
            assert_ne!(Schedule::of(7, length).faults, Schedule::of(8, length).faults);
        }
    }

    #[test]
    fn no_two_faults_of_one_thing_overlap_and_faults_of_different_things_do() {
        let mut overlapping = 0;
        for seed in 0..200 {
            let Schedule { faults, .. } = Schedule::of(seed, Length::Short);
            for (n, first) in faults.iter().enumerate() {
                for second in &faults[n + 1..] {
                    assert!(first.at <= second.at, "they are in order");
                    let overlap = second.at < first.at + first.lasts;
                    overlapping += usize::from(overlap);
                    let same = first.fault.thing() == second.fault.thing();
                    assert!(!(overlap && same), "seed {seed}: {first} and {second}");
                }
            }
        }
        assert!(overlapping > 1000, "{overlapping} in 200 seeds");
    }

    #[test]
    fn every_kind_comes_soon_each_family_in_every_seed_and_nothing_late() {
        let mut labels = BTreeSet::new();
        for seed in 0..100 {
            let schedule = Schedule::of(seed, Length::Short);
            assert!(schedule.ends() < Duration::from_secs(14), "{schedule}");
            let things: Vec<Thing> = schedule.faults.iter().map(|planned| planned.fault.thing()).collect();
            assert!(things.iter().any(|thing| matches!(thing, Thing::Replica(_))), "{schedule}");
            assert!(things.iter().any(|thing| matches!(thing, Thing::Hosts(_))), "{schedule}");
            assert!(things.contains(&Thing::Cuebot), "{schedule}");
            let database = |thing: &Thing| matches!(thing, Thing::Database | Thing::Sessions | Thing::Way(_));
            assert!(things.iter().any(database), "{schedule}");
            labels.extend(schedule.faults.iter().map(|planned| planned.fault.label()));
        }
        assert_eq!(labels.len(), 19, "{labels:?}");
        let stops: Vec<Duration> = (0..100)
            .flat_map(|seed| Schedule::of(seed, Length::Short).faults)
            .filter(|planned| matches!(planned.fault, Fault::Stop(_)))
            .map(|planned| planned.lasts)
            .collect();
        let stale = Duration::from_secs(8);
        assert!(stops.iter().any(|lasts| *lasts > stale) && stops.iter().any(|lasts| *lasts < stale), "{stops:?}");
    }

    #[test]
    fn a_person_can_read_it() {
        let fault = Fault::Hosts(1, 2, HostFault::Dead);
        let planned = Planned { at: Duration::from_millis(1500), lasts: Duration::from_secs(3), fault };
        let text = Schedule { seed: 1, faults: vec![planned] }.to_string();
        assert_eq!(text, "    1.500 s for  3.000 s  hosts 127.1.0.4 to 127.1.0.5: Dead\n");
    }
}
