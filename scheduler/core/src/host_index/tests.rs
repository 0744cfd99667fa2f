use proptest::prelude::*;

use super::*;
use crate::domain::amount::{Gpus, Kb};
use crate::planning::epvm::{Epvm, Points};
use crate::planning::score;
use crate::planning::size::NO_BOUND;
use crate::snapshot::{Layer, LayerIx, Snapshot};
use crate::test_farm::{Farm, GIB, any_farm, policy, tag, weights};

/// The best host by looking at all of them.
fn scan(snapshot: &Snapshot, states: &[HostState], layer: &Layer, room: i64, saturation: Saturation) -> Option<HostIx> {
    let ask = Ask::of(layer, &policy());
    let os = snapshot[layer.job].os.as_deref();
    let by_rank = by_id(&snapshot.hosts);
    by_rank
        .iter()
        .enumerate()
        .filter(|(_, at)| {
            let host = &snapshot[**at];
            gate::tags_meet(&layer.tags, &host.tags)
                && gate::os_accepted(os, &host.os)
                && gate::mode_accepted(layer.threadable, host.thread_mode)
                && states[at.0 as usize].sound()
                && ask.size_on(&states[at.0 as usize], room).is_some()
        })
        .map(|(rank, at)| {
            let (host, state) = (&snapshot[*at], &states[at.0 as usize]);
            let with_gpus = host.total.gpus.0 > 0 || host.total.gpu_memory.0 > 0;
            let score = Score {
                wastes_gpus: with_gpus && layer.gpus.0 <= 0 && layer.gpu_memory.0 <= 0,
                cores: saturation.core_key(state.idle_cores()),
                memory: saturation.memory_key(state.idle().memory),
                host: rank as u32,
            };
            (score, *at)
        })
        .min()
        .map(|(_, at)| at)
}

proptest! {
    /// Compared anew after each of a sequence of bookings, so that moving hosts about is part of the question.
    #[test]
    fn the_best_host_is_the_one_that_a_scan_of_all_would_find(
        snapshot in any_farm(),
        cores in any::<bool>(),
        memory in any::<bool>(),
        rooms in prop::collection::vec(prop_oneof![Just(NO_BOUND), 0..20_i64], 14),
    ) {
        let saturation = Saturation { cores, memory };
        let mut index = HostIndex::new(&snapshot.hosts, &snapshot.layers, saturation);
        let mut states: Vec<_> = snapshot.hosts.iter().map(HostState::of).collect();
        for (at, room) in (0..snapshot.layers.len()).zip(rooms.into_iter().cycle()) {
            let layer = &snapshot[LayerIx(at as u32)];
            let ask = Ask::of(layer, &policy());
            let os = snapshot[layer.job].os.as_deref();
            let found = index
                .shelves(&layer.tags, os, &ask)
                .ok()
                .and_then(|shelves| index.best(&mut Search::new(&shelves, &ask), room));
            prop_assert_eq!(found, scan(&snapshot, &states, layer, room, saturation));
            if let Some(host) = found {
                let mut state = index.state(host);
                if let Some(size) = ask.size_on(&state, room) {
                    state.take(&size, 1);
                }
                index.put(host, state);
                states[host.0 as usize] = state;
            }
        }
    }
}

/// The cheapest host by looking at all of them.
fn scan_points(snapshot: &Snapshot, states: &[HostState], layer: &Layer, allowed: Allowed) -> Option<(HostIx, Points)> {
    let ask = Ask::of(layer, &policy());
    let os = snapshot[layer.job].os.as_deref();
    let scored = by_id(&snapshot.hosts).into_iter().enumerate().filter_map(|(rank, at)| {
        let (host, state) = (&snapshot[at], &states[at.0 as usize]);
        let may = gate::tags_meet(&layer.tags, &host.tags)
            && gate::os_accepted(os, &host.os)
            && gate::mode_accepted(layer.threadable, host.thread_mode)
            && state.sound();
        let size = ask.size_on(state, allowed.cores).filter(|_| may)?;
        let frames = (allowed.cores / size.cores.whole_cores()).min(allowed.frames.into());
        let points = weights().points(state.idle(), &size, frames);
        Some((points, state.idle_cores(), state.idle().memory, rank, at))
    });
    scored.min().map(|(points, .., at)| (at, points))
}

proptest! {
    #[test]
    fn with_as_many_candidates_as_hosts_the_cheapest_is_the_one_that_a_scan_of_all_would_find(
        snapshot in any_farm(),
        rooms in prop::collection::vec((prop_oneof![Just(NO_BOUND), 0..20_i64], 1..9_u32), 14),
    ) {
        let epvm = Epvm { max_candidates: snapshot.hosts.len() as u32, weights: weights() };
        let saturation = score::Strategy::Epvm(epvm.clone()).saturation();
        let mut index = HostIndex::new(&snapshot.hosts, &snapshot.layers, saturation);
        let mut states: Vec<_> = snapshot.hosts.iter().map(HostState::of).collect();
        for (at, (cores, frames)) in (0..snapshot.layers.len()).zip(rooms.into_iter().cycle()) {
            let layer = &snapshot[LayerIx(at as u32)];
            let ask = Ask::of(layer, &policy());
            let allowed = Allowed { cores, frames };
            let os = snapshot[layer.job].os.as_deref();
            let shelves = index.shelves(&layer.tags, os, &ask).ok();
            let found = shelves.and_then(|shelves| index.cheapest(&shelves, &ask, allowed, &epvm));
            prop_assert_eq!(found, scan_points(&snapshot, &states, layer, allowed));
            if let Some((host, _)) = found {
                let mut state = index.state(host);
                if let Some(size) = ask.size_on(&state, cores) {
                    state.take(&size, 1);
                }
                index.put(host, state);
                states[host.0 as usize] = state;
            }
        }
    }
}

/// Idle cores and memory of the published example of the saturation strategy.
fn example() -> Farm {
    let mut farm = Farm::new();
    for (name, cores, gib) in [("h1", 4, 64), ("h2", 4, 32), ("h3", 8, 256), ("h4", 8, 24), ("h5", 16, 64)] {
        farm.host(name, cores, gib);
    }
    farm
}

fn first(farm: &Farm, cores: bool, memory: bool) -> String {
    let layer = &farm.0.layers[0];
    let ask = Ask::of(layer, &policy());
    let index = HostIndex::new(&farm.0.hosts, &farm.0.layers, Saturation { cores, memory });
    let shelves = index.shelves(&layer.tags, None, &ask).unwrap();
    let best = index.best(&mut Search::new(&shelves, &ask), NO_BOUND).unwrap();
    farm.0[best].id.to_string()
}

#[test]
fn the_core_direction_dominates_and_memory_decides_among_equals() {
    for (cores, gib, wanted) in [(4, 16, ["h1", "h2", "h5", "h5"]), (5, 20, ["h3", "h4", "h5", "h5"])] {
        let mut farm = example();
        let job = farm.job("job", 50);
        farm.layer(job, "layer", cores, gib, 1);
        let found = [(true, false), (true, true), (false, false), (false, true)]
            .map(|(core, memory)| first(&farm, core, memory));
        assert_eq!(found, wanted);
    }
}

#[test]
fn equal_hosts_are_taken_in_the_order_of_their_ids() {
    for memory in [true, false] {
        let mut farm = Farm::new();
        for name in ["b", "c", "a"] {
            farm.host(name, 4, 16);
        }
        let job = farm.job("job", 50);
        farm.layer(job, "layer", 1, 1, 1);
        assert_eq!(first(&farm, true, memory), "a");
    }
}

#[test]
fn hosts_with_gpus_are_kept_for_layers_that_need_them_while_there_are_others() {
    let mut farm = Farm::new();
    let gpu = farm.host("a-tight-gpu", 2, 16);
    gpu.total.gpus = Gpus(1);
    gpu.total.gpu_memory = Kb(8 * GIB);
    gpu.idle = gpu.total;
    farm.host("b-plain", 16, 64);
    let job = farm.job("job", 50);
    farm.layer(job, "layer", 1, 1, 1);
    assert_eq!(first(&farm, true, false), "b-plain");

    farm.0.layers[0].gpus = Gpus(1);
    assert_eq!(first(&farm, true, false), "a-tight-gpu");

    farm.0.layers[0].gpus = Gpus(0);
    farm.0.hosts[1].tags = vec![tag("elsewhere")];
    assert_eq!(first(&farm, true, false), "a-tight-gpu");
}

#[test]
fn ids_that_share_their_first_bytes_are_still_in_order() {
    let mut farm = Farm::new();
    let names = ["0123456789abcdef-b", "0123456789abcdef-a", "0123456789abcdef", "0", "", "\u{e9}"];
    for name in names {
        farm.host(name, 1, 1);
    }
    let order: Vec<_> = by_id(&farm.0.hosts).into_iter().map(|at| names[at.0 as usize]).collect();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(order, sorted);
}

#[test]
fn a_demand_covers_those_that_ask_for_at_least_as_much_and_no_others() {
    let mut farm = Farm::new();
    farm.host("host", 4, 16);
    let job = farm.job("job", 50);
    let mut ask = |cores: i64, gib: i64| Ask::of(farm.layer(job, "layer", cores, gib, 1), &policy());
    let (noted, less, more, whole) = (ask(4, 8), ask(4, 7), ask(5, 8), ask(0, 64));
    let index = HostIndex::new(&farm.0.hosts, &farm.0.layers, Saturation { cores: true, memory: false });
    let shelves = index.shelves(&["general"], None, &noted).unwrap();

    let mut refused = Refused::default();
    refused.note(&shelves, &noted);
    assert!(refused.covers(&shelves, &noted));
    assert!(refused.covers(&shelves, &more));
    assert!(!refused.covers(&shelves, &less));
    assert!(!refused.covers(&shelves, &whole), "whole hosts are another question");

    refused.note(&shelves, &less);
    assert!(refused.covers(&shelves, &less) && refused.covers(&shelves, &noted));
}
