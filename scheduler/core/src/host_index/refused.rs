//! What no host could take.
//!
//! In a busy pool most layers find no host, and many ask for much the same. Hosts only lose idle resources while a pass
//! goes on, so a layer that asks for at least as much in every dimension as one that found nothing on the same shelves
//! finds nothing either. Equal profiles are the plainest case of it.

use std::collections::HashMap;

use super::Shelves;
use crate::domain::request::ThreadMode;
use crate::planning::size::{Ask, NO_BOUND};

/// The least demands that found no host in this pass.
#[derive(Debug, Default)]
pub struct Refused {
    /// By shelves, and by whether a whole host is asked for: of those none is comparable with the others.
    demands: HashMap<(Shelves, bool), Vec<Demand>>,
}

/// Idle cores on a host of any mode, idle cores on a host of mode Variable, memory, GPUs, memory of GPUs.
type Demand = [i64; 5];

impl Refused {
    /// Whether it is known that no host can take such a frame, whatever caps allow.
    pub fn covers(&self, shelves: &Shelves, ask: &Ask) -> bool {
        // A look-up by reference would need a key type of its own; a clone of a few numbers is cheap beside a search.
        self.demands
            .get(&(shelves.clone(), ask.whole_host()))
            .is_some_and(|known| known.iter().any(|less| at_most(less, &demand(ask))))
    }

    /// Keeps in mind that no host can take such a frame, whatever caps allow.
    pub fn note(&mut self, shelves: &Shelves, ask: &Ask) {
        let new = demand(ask);
        let known = self.demands.entry((shelves.clone(), ask.whole_host())).or_default();
        known.retain(|more| !at_most(&new, more));
        known.push(new);
    }
}

fn demand(ask: &Ask) -> Demand {
    let from = |mode| ask.window(mode, NO_BOUND).map_or(NO_BOUND, |window| window.from);
    [from(ThreadMode::Auto), from(ThreadMode::Variable), ask.memory.0, ask.gpus.0, ask.gpu_memory.0]
}

fn at_most(one: &Demand, other: &Demand) -> bool {
    one.iter().zip(other).all(|(one, other)| one <= other)
}
