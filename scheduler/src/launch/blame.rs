//! Whose fault a refusal is: the host's, or the layer's.
//!
//! An agent that refuses is left alone for a while ([`super::quarantine`]). But a layer may be such that every agent refuses it:
//! its user can't be made, its log folder is nowhere. Such a layer would go from host to host, and each that it met would be
//! left alone: one bad job could take a farm out of service. So a layer that several hosts refuse in a row which take the
//! launches of other layers is taken for the cause. A host that has taken nothing else is no witness: it may refuse all.
//! Pure: the clock is an argument.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cue_scheduler_core::domain::id::{HostId, LayerId};
use cue_scheduler_core::launch::BootInstant;

/// So many hosts that take others must have refused a layer.
const HOSTS: usize = 3;

/// What happened longer ago proves nothing.
const MEMORY: Duration = Duration::from_mins(5);

/// Layers that hosts refused, and what hosts took.
#[derive(Debug, Default)]
pub struct Blame {
    suspects: HashMap<LayerId, Suspect>,
    /// By host: the last two launches that it took, of different layers.
    taken: HashMap<HostId, [Option<(LayerId, BootInstant)>; 2]>,
}

#[derive(Debug)]
struct Suspect {
    hosts: HashSet<HostId>,
    last: BootInstant,
}

impl Blame {
    /// A host refused a launch of the layer. Answers the hosts that refused it, if the layer is to blame and not they.
    pub fn refused(&mut self, layer: &LayerId, host: &HostId, now: BootInstant) -> Option<HashSet<HostId>> {
        let recent = |at: &BootInstant| now < at.plus(MEMORY);
        self.suspects.retain(|_, suspect| recent(&suspect.last));
        self.taken.retain(|_, taken| taken.iter().flatten().any(|(_, at)| recent(at)));
        let mut taken = self.taken.get(host).into_iter().flatten().flatten();
        if !taken.any(|(other, at)| other != layer && recent(at)) {
            return None;
        }
        let suspect =
            self.suspects.entry(layer.clone()).or_insert_with(|| Suspect { hosts: HashSet::new(), last: now });
        suspect.hosts.insert(host.clone());
        suspect.last = now;
        if suspect.hosts.len() < HOSTS {
            return None;
        }
        self.suspects.remove(layer).map(|suspect| suspect.hosts)
    }

    /// A host took a launch of the layer.
    pub fn launched(&mut self, layer: &LayerId, host: &HostId, now: BootInstant) {
        self.suspects.remove(layer);
        let taken = self.taken.entry(host.clone()).or_default();
        if let [Some((last, at)), _] = taken
            && last == layer
        {
            *at = now;
            return;
        }
        taken.swap(0, 1);
        taken[0] = Some((layer.clone(), now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> BootInstant {
        BootInstant(Duration::from_secs(s))
    }

    fn refuse(blame: &mut Blame, layer: &str, hosts: &[&str], now: BootInstant) -> Option<usize> {
        hosts
            .iter()
            .filter_map(|host| blame.refused(&layer.into(), &HostId::from(*host), now))
            .map(|hosts| hosts.len())
            .last()
    }

    fn take(blame: &mut Blame, layer: &str, hosts: &[&str], now: BootInstant) {
        for host in hosts {
            blame.launched(&layer.into(), &HostId::from(*host), now);
        }
    }

    #[test]
    fn a_layer_that_several_hosts_refuse_is_to_blame_where_they_take_others() {
        let mut blame = Blame::default();
        take(&mut blame, "good", &["a", "b", "c", "d"], at(100));
        assert_eq!(refuse(&mut blame, "bad", &["a", "a", "a", "b"], at(101)), None, "two hosts");
        assert_eq!(refuse(&mut blame, "bad", &["c"], at(101)), Some(3));
        assert_eq!(refuse(&mut blame, "bad", &["d"], at(102)), None, "it begins anew");
    }

    #[test]
    fn hosts_that_took_nothing_else_are_to_blame_themselves() {
        let mut blame = Blame::default();
        take(&mut blame, "good", &["x", "y", "z"], at(100));
        assert_eq!(refuse(&mut blame, "any", &["a", "b", "c", "d"], at(100)), None, "others take others");
        take(&mut blame, "any", &["a", "b", "c", "d"], at(101));
        assert_eq!(refuse(&mut blame, "any", &["a", "b", "c", "d"], at(101)), None, "it is the one they took");
        assert_eq!(refuse(&mut blame, "any", &["x", "y", "z"], at(500)), None, "too long ago");
    }

    #[test]
    fn a_launch_that_goes_well_clears_the_layer() {
        let mut blame = Blame::default();
        take(&mut blame, "good", &["a", "b", "c"], at(100));
        refuse(&mut blame, "fair", &["a", "b"], at(101));
        take(&mut blame, "fair", &["x"], at(102));
        assert_eq!(refuse(&mut blame, "fair", &["c"], at(103)), None);
    }

    #[test]
    fn what_hosts_took_is_forgotten_in_time() {
        let mut blame = Blame::default();
        take(&mut blame, "good", &["a"], at(100));
        take(&mut blame, "good", &["b"], at(300));
        refuse(&mut blame, "any", &["x"], at(500));
        assert_eq!(blame.taken.len(), 1);
    }
}
