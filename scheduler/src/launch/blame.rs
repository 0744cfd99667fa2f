//! Whose fault a refusal is: the host's, or the layer's.
//!
//! An agent that refuses is left alone for a while ([`super::quarantine`]). But a layer may be such that every agent refuses it:
//! its user can't be made, its log folder is nowhere. Such a layer would go from host to host, and each that it met would be
//! left alone: one bad job could take a farm out of service. So a layer that several hosts refuse in a row, while they or others
//! take the launches of other layers, is taken for the cause. Pure: the clock is an argument.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cue_scheduler_core::domain::id::{HostId, LayerId};
use cue_scheduler_core::launch::BootInstant;

/// So many hosts must have refused a layer.
const HOSTS: usize = 3;

/// What happened longer ago proves nothing.
const MEMORY: Duration = Duration::from_mins(5);

/// Layers that hosts refused, and when other launches went well.
#[derive(Debug, Default)]
pub struct Blame {
    suspects: HashMap<LayerId, Suspect>,
    /// The last two launches that went well, of different layers.
    well: [Option<(LayerId, BootInstant)>; 2],
}

#[derive(Debug)]
struct Suspect {
    hosts: HashSet<HostId>,
    last: BootInstant,
}

impl Blame {
    /// A host refused a launch of the layer. Answers the hosts that refused it, if the layer is to blame and not they.
    pub fn refused(&mut self, layer: &LayerId, host: &HostId, now: BootInstant) -> Option<HashSet<HostId>> {
        self.suspects.retain(|_, suspect| now < suspect.last.plus(MEMORY));
        let suspect =
            self.suspects.entry(layer.clone()).or_insert_with(|| Suspect { hosts: HashSet::new(), last: now });
        suspect.hosts.insert(host.clone());
        suspect.last = now;
        let others_go_well = self.well.iter().flatten().any(|(other, at)| other != layer && now < at.plus(MEMORY));
        if suspect.hosts.len() < HOSTS || !others_go_well {
            return None;
        }
        self.suspects.remove(layer).map(|suspect| suspect.hosts)
    }

    /// A host took a launch of the layer.
    pub fn launched(&mut self, layer: &LayerId, now: BootInstant) {
        self.suspects.remove(layer);
        if let [Some((last, at)), _] = &mut self.well
            && last == layer
        {
            *at = now;
            return;
        }
        self.well.swap(0, 1);
        self.well[0] = Some((layer.clone(), now));
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

    #[test]
    fn a_layer_that_several_hosts_refuse_is_to_blame_while_others_are_taken() {
        let mut blame = Blame::default();
        blame.launched(&"good".into(), at(100));
        assert_eq!(refuse(&mut blame, "bad", &["a", "a", "a", "b"], at(101)), None, "two hosts");
        assert_eq!(refuse(&mut blame, "bad", &["c"], at(101)), Some(3));
        assert_eq!(refuse(&mut blame, "bad", &["d"], at(102)), None, "it begins anew");
    }

    #[test]
    fn where_nothing_is_taken_the_hosts_are_to_blame() {
        let mut blame = Blame::default();
        assert_eq!(refuse(&mut blame, "any", &["a", "b", "c", "d"], at(100)), None);
        blame.launched(&"any".into(), at(101));
        assert_eq!(
            refuse(&mut blame, "any", &["a", "b", "c", "d"], at(101)),
            None,
            "its own success is no proof against it"
        );
        blame.launched(&"other".into(), at(102));
        assert_eq!(refuse(&mut blame, "any", &["e"], at(500)), None, "too long ago");
    }

    #[test]
    fn a_launch_that_goes_well_clears_the_layer() {
        let mut blame = Blame::default();
        blame.launched(&"good".into(), at(100));
        refuse(&mut blame, "fair", &["a", "b"], at(101));
        blame.launched(&"fair".into(), at(102));
        assert_eq!(refuse(&mut blame, "fair", &["c"], at(103)), None);
    }
}
