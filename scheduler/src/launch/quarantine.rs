//! Hosts that are left alone for a while, because their agent refused or didn't answer.
//!
//! Upstream chose its best host again and again, whether or not it answered, and each try held a slot for a minute. Here a
//! failure pauses the host; the next one, after the pause, pauses it for twice as long. A launch that succeeds ends it.
//! Pure: the clock is an argument.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::domain::id::HostId;
use cue_scheduler_core::launch::BootInstant;

/// How long hosts are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// After a first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Default for Pauses {
    /// Ten seconds, in which most agents send a report, and up to five minutes, after which Cuebot calls a host down.
    fn default() -> Self {
        Self { first: Duration::from_secs(10), longest: Duration::from_mins(5) }
    }
}

/// A host that is paused, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: Arc<str>,
    /// What its agent answered last, or that it didn't.
    pub why: String,
    /// How many pauses in a row.
    pub pauses: u32,
    /// How much longer.
    pub left: Duration,
}

/// Hosts with failures.
#[derive(Debug)]
pub struct Quarantine {
    pauses: Pauses,
    hosts: HashMap<HostId, Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    why: String,
    pauses: u32,
    /// Refusals in a row that were about frames.
    strikes: u32,
    until: BootInstant,
}

/// So many refusals in a row about frames are about the host.
const STRIKES: u32 = 3;

impl Quarantine {
    /// Without hosts.
    pub fn new(pauses: Pauses) -> Self {
        Self { pauses, hosts: HashMap::new() }
    }

    /// A launch or a question failed. While a pause lasts, further failures don't lengthen it: they belong to calls that
    /// were on their way together.
    pub fn fail(&mut self, host: &HostId, name: &Arc<str>, why: String, now: BootInstant) {
        // What was well for as long as the longest pause is as new.
        let longest = self.pauses.longest;
        self.hosts.retain(|_, entry| now < entry.until.plus(longest));
        let entry = self.hosts.entry(host.clone()).or_insert_with(|| Entry {
            name: name.clone(),
            why: String::new(),
            pauses: 0,
            strikes: 0,
            until: now,
        });
        entry.why = why;
        entry.strikes = 0;
        if now >= entry.until {
            let pause = self.pauses.first.saturating_mul(1 << entry.pauses.min(20)).min(longest);
            entry.pauses = entry.pauses.saturating_add(1);
            entry.until = now.plus(pause);
        }
    }

    /// A launch was refused as a bad request, which is about its frame, whichever host it is sent to; unless the host says it of
    /// one frame after the other.
    pub fn refuse(&mut self, host: &HostId, name: &Arc<str>, why: String, now: BootInstant) {
        let entry = self.hosts.entry(host.clone()).or_insert_with(|| Entry {
            name: name.clone(),
            why: String::new(),
            pauses: 0,
            strikes: 0,
            until: now,
        });
        entry.strikes += 1;
        if entry.strikes >= STRIKES {
            self.fail(host, name, why, now);
        }
    }

    /// A launch succeeded.
    pub fn forgive(&mut self, host: &HostId) {
        self.hosts.remove(host);
    }

    /// Why a host is paused; `None` when it may be used.
    pub fn why_paused(&self, host: &HostId, now: BootInstant) -> Option<&str> {
        self.hosts.get(host).filter(|entry| now < entry.until).map(|entry| entry.why.as_str())
    }

    /// All paused hosts, by name.
    pub fn paused(&self, now: BootInstant) -> Vec<Paused> {
        let mut paused: Vec<Paused> = self
            .hosts
            .iter()
            .filter(|(_, entry)| now < entry.until)
            .map(|(host, entry)| Paused {
                host: host.clone(),
                name: entry.name.clone(),
                why: entry.why.clone(),
                pauses: entry.pauses,
                left: entry.until.since(now),
            })
            .collect();
        paused.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.host.cmp(&b.host)));
        paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> BootInstant {
        BootInstant(Duration::from_secs(s))
    }

    fn fail(quarantine: &mut Quarantine, host: &str, now: BootInstant) {
        quarantine.fail(&HostId::from(host), &Arc::from(host), format!("failed at {}", now.0.as_secs()), now);
    }

    /// Lets a host fail whenever its pause ends, and gives the pauses in seconds.
    fn pauses_of(quarantine: &mut Quarantine, host: &str, failures: u32) -> Vec<u64> {
        let mut now = at(100);
        (0..failures)
            .map(|_| {
                fail(quarantine, host, now);
                let left = quarantine.paused(now)[0].left;
                now = now.plus(left);
                assert_eq!(quarantine.why_paused(&HostId::from(host), now), None, "the pause has ended");
                left.as_secs()
            })
            .collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut quarantine = Quarantine::new(Pauses::default());
        assert_eq!(pauses_of(&mut quarantine, "h", 7), [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn failures_during_a_pause_change_only_what_is_shown() {
        let mut quarantine = Quarantine::new(Pauses::default());
        fail(&mut quarantine, "h", at(100));
        fail(&mut quarantine, "h", at(109));
        assert_eq!(quarantine.why_paused(&HostId::from("h"), at(109)), Some("failed at 109"));
        assert_eq!(quarantine.why_paused(&HostId::from("h"), at(110)), None);
    }

    #[test]
    fn bad_requests_pause_a_host_that_says_so_of_one_after_the_other() {
        let mut quarantine = Quarantine::new(Pauses::default());
        let (host, name) = (HostId::from("h"), Arc::from("h"));
        for success in [true, false] {
            for _ in 0..2 {
                quarantine.refuse(&host, &name, "bad request".to_owned(), at(100));
                assert_eq!(quarantine.why_paused(&host, at(100)), None);
            }
            if success {
                quarantine.forgive(&host);
            }
        }
        quarantine.refuse(&host, &name, "bad request".to_owned(), at(100));
        assert_eq!(quarantine.why_paused(&host, at(100)), Some("bad request"));
    }

    #[test]
    fn a_success_or_a_long_quiet_ends_the_growth() {
        let mut quarantine = Quarantine::new(Pauses::default());
        pauses_of(&mut quarantine, "h", 3);
        quarantine.forgive(&HostId::from("h"));
        assert_eq!(pauses_of(&mut quarantine, "h", 2), [10, 20]);
        // The second pause ended at 130; 300 seconds later it is forgotten.
        fail(&mut quarantine, "h", at(430));
        assert_eq!(quarantine.paused(at(430))[0].left, Duration::from_secs(10));
    }

    #[test]
    fn paused_hosts_are_listed_by_name() {
        let mut quarantine = Quarantine::new(Pauses::default());
        for host in ["b", "a", "c"] {
            fail(&mut quarantine, host, at(100));
        }
        quarantine.forgive(&HostId::from("c"));
        let listed: Vec<_> = quarantine.paused(at(104)).into_iter().map(|p| (p.name, p.pauses, p.left)).collect();
        assert_eq!(listed, [("a".into(), 1, Duration::from_secs(6)), ("b".into(), 1, Duration::from_secs(6))]);
    }
}
