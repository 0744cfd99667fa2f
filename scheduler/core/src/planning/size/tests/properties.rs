use proptest::prelude::*;

use super::*;

fn any_layer() -> impl Strategy<Value = Layer> {
    let min = prop::sample::select(vec![30, 100, 150, 200, 300, 800, 0, -100]);
    let max_cores = prop::option::of(prop::sample::select(vec![100, 200, 500]));
    (min, 0..900_i64, max_cores, any::<bool>(), any::<bool>()).prop_map(
        |(min, centi_gib, max_cores, threads, greedy)| {
            let mut layer = threadable(min, centi_gib);
            layer.cores_max = max_cores.map(Centicores);
            layer.threadable = threads;
            if greedy && centi_gib % 3 == 0 {
                layer = selfish(layer);
            }
            layer
        },
    )
}

fn any_state() -> impl Strategy<Value = HostState> {
    let mode = prop::sample::select(vec![Auto, All, Variable]);
    (mode, 1..40_i64, 1..140_i64, 0..41_i64, 0..141_i64).prop_map(|(mode, cores, gib, idle_cores, idle_gib)| {
        On(mode, cores, gib, idle_cores.min(cores), idle_gib.min(gib)).state()
    })
}

proptest! {
    /// Many frames in one step are the frames one by one.
    #[test]
    fn a_run_is_what_single_steps_would_give(
        layer in any_layer(),
        host in any_state(),
        room in prop_oneof![Just(NO_BOUND), 0..50_i64],
        frames in 1..60_u32,
    ) {
        let ask = Ask::of(&layer, &policy());
        let mut single = Vec::new();
        let (mut state, mut left) = (host, room);
        while single.len() < frames as usize
            && let Some(size) = ask.size_on(&state, left)
        {
            state.take(&size, 1);
            left = if left == NO_BOUND { left } else { left - size.cores.whole_cores() };
            single.push(size);
        }

        let mut runs = Vec::new();
        let (mut state, mut left) = (host, room);
        while runs.len() < frames as usize
            && let Some((size, n)) = ask.run_on(&state, left, frames - runs.len() as u32)
        {
            state.take(&size, n);
            let cores = size.cores.whole_cores() * i64::from(n);
            left = if left == NO_BOUND { left } else { left - cores };
            runs.extend(std::iter::repeat_n(size, n as usize));
        }
        prop_assert_eq!(runs, single);
    }

    /// The planner stops asking where the answer was no.
    #[test]
    fn what_does_not_fit_never_fits_with_less_idle_or_less_room(
        layer in any_layer(),
        host in any_state(),
        room in 0..50_i64,
        less_room in 0..50_i64,
        cores in 0..40_i64,
        gib in 0..140_i64,
    ) {
        let ask = Ask::of(&layer, &policy());
        let mut less = host;
        less.take(&amounts(cores, gib), 1);
        if ask.size_on(&less, room.min(less_room)).is_some() {
            prop_assert!(ask.size_on(&host, room).is_some());
        }
    }

    #[test]
    fn absurd_amounts_give_no_panic_and_no_size_beyond_what_is_there(
        min in any::<i64>(),
        max_cores in any::<Option<i64>>(),
        memory in any::<i64>(),
        gpus in any::<i64>(),
        total in any::<(i64, i64, i64, i64)>(),
        idle in any::<(i64, i64, i64, i64)>(),
        room in any::<i64>(),
        frames in 1..=u32::MAX,
    ) {
        let mut layer = threadable(0, 0);
        layer.cores = CoreRequest::from_column(min);
        layer.cores_max = max_cores.map(Centicores);
        layer.memory = Kb(memory);
        layer.gpus = Gpus(gpus);
        let of = |(cores, memory, gpus, gpu_memory)| Resources {
            cores: Centicores(cores),
            memory: Kb(memory),
            gpus: Gpus(gpus),
            gpu_memory: Kb(gpu_memory),
        };
        let mut farm = Farm::new();
        let mut host = farm.host("host", 0, 0).clone();
        (host.total, host.idle) = (of(total), of(idle));
        let mut state = HostState::of(&host);
        if let Some((size, frames)) = Ask::of(&layer, &policy()).run_on(&state, room, frames) {
            prop_assert!(frames > 0 && size.cores.0 > 0);
            state.take(&size, frames);
            prop_assert!(state.sound());
        }
    }
}
