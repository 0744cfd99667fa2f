#![allow(clippy::too_many_lines, reason = "a table is as long as it has cases")]

use super::*;

/// Centicores, as Cuebot and the upstream scheduler would reserve them; `None` for a refusal.
type Theirs = Option<i64>;

/// What, layer, host, upstream, Cuebot, ours in whole cores.
type Case = (&'static str, Layer, &'static On, Theirs, Theirs, Option<i64>);

#[test]
#[rustfmt::skip]
fn sizes_follow_cuebot_except_for_whole_cores() {
    let cases: Vec<Case> = vec![
        ("1, 8 GiB", threadable(100, 800), &A, Some(200), Some(200), Some(2)),
        ("1, 6 GiB is rounded", threadable(100, 600), &A, Some(100), Some(200), Some(2)),
        ("4, 2 GiB", threadable(400, 200), &A, Some(400), Some(400), Some(4)),
        ("40 GiB, at most 4", max(threadable(100, 4000), 400), &A, Some(400), Some(400), Some(4)),
        ("one thread", single(threadable(400, 100)), &A, Some(100), Some(100), Some(1)),
        ("150", threadable(150, 100), &A, Some(100), Some(150), Some(2)),
        ("50", threadable(50, 100), &A, Some(3200), Some(50), Some(1)),
        ("whole host", threadable(0, 100), &A, Some(3200), Some(3200), Some(32)),
        ("all but 2", threadable(-200, 100), &A, Some(3000), Some(3000), Some(30)),
        ("all but 40 of 32", threadable(-4000, 100), &A, None, None, None),
        ("half used, 8 GiB", threadable(100, 800), &B, Some(200), Some(400), Some(4)),
        ("1.5 GiB would be left", threadable(100, 6250), &B, Some(1600), Some(1600), Some(16)),
        ("1.9 GiB would be left", threadable(100, 6210), &B, Some(1600), Some(1600), Some(16)),
        ("half used, whole host", threadable(0, 100), &B, None, None, None),
        ("half used, all but 16", threadable(-1600, 100), &B, Some(1600), None, None),
        ("13 by memory, 4 idle", threadable(100, 1600), &C, None, Some(400), Some(4)),
        ("variable, small", threadable(100, 10), &D, Some(200), Some(200), Some(2)),
        ("variable, selfish", selfish(threadable(100, 10)), &D, Some(200), Some(600), Some(6)),
        ("variable, at most 1", max(threadable(100, 10), 100), &D, Some(200), Some(100), Some(1)),
        ("variable, 1 idle", threadable(100, 10), &On(Variable, 8, 32, 1, 24), None, None, None),
        ("variable, 3", threadable(300, 10), &D, Some(300), Some(300), Some(3)),
        ("all mode", threadable(100, 10), &E, Some(600), Some(600), Some(6)),
        ("all mode, at most 2", max(threadable(100, 10), 200), &E, Some(200), Some(200), Some(2)),
        ("all mode, whole host", threadable(0, 10), &E, Some(600), None, None),
    ];
    for (what, layer, host, upstream, cuebot, wanted) in cases {
        assert_eq!(ours(&layer, host, NO_BOUND), wanted, "{what}");
        // Where ours is neither's, it is Cuebot's rounded up.
        let rounded = cuebot.map(|cores| Centicores(cores).round_up().whole_cores());
        assert_eq!(
            wanted, rounded,
            "{what}: upstream {upstream:?}, Cuebot {cuebot:?}"
        );
    }
}

#[test]
#[rustfmt::skip]
fn a_size_beyond_the_minimum_shrinks_to_the_room_and_never_below_the_minimum() {
    for (what, layer, host, room, wanted) in [
        ("all mode", threadable(100, 10), &E_IDLE, 16, Some(16)),
        ("all mode, more room than idle", threadable(100, 10), &E, 100, Some(6)),
        ("balanced", threadable(100, 4000), &A, 3, Some(3)),
        ("balanced, minimum in the way", threadable(400, 4000), &A, 3, None),
        ("selfish", selfish(threadable(100, 10)), &A, 1, Some(1)),
        ("stranded", threadable(100, 6250), &B, 5, Some(5)),
        ("variable does not shrink to one", threadable(100, 10), &D, 1, None),
        ("whole host", threadable(0, 100), &A, 31, None),
        ("whole host, fits", threadable(0, 100), &A, 32, Some(32)),
        ("all but 2", threadable(-200, 100), &A, 29, None),
        ("all but 2, fits", threadable(-200, 100), &A, 30, Some(30)),
        ("whole host with a maximum", max(threadable(0, 100), 400), &A, 4, Some(4)),
        ("one thread", single(threadable(400, 100)), &A, 1, Some(1)),
        ("no room", single(threadable(100, 100)), &A, 0, None),
    ] {
        assert_eq!(ours(&layer, host, room), wanted, "{what}");
    }
}

#[test]
#[rustfmt::skip]
fn sizes_of_upstreams_own_cases() {
    let idle = |mode, cores, gib| On(mode, cores, gib, cores, gib);
    for (what, layer, host, room, wanted) in [
        ("4 of 8", threadable(400, 1), idle(Auto, 8, 32), NO_BOUND, Some(4)),
        ("0 of 8", threadable(0, 1), idle(Auto, 8, 32), NO_BOUND, Some(8)),
        ("-2 of 8", threadable(-200, 1), idle(Auto, 8, 32), NO_BOUND, Some(6)),
        ("one thread, 3", single(threadable(300, 1)), idle(Auto, 8, 32), NO_BOUND, Some(1)),
        ("one thread, 10", single(threadable(1000, 1)), idle(Auto, 16, 32), NO_BOUND, Some(1)),
        // Upstream sizes it to 10 and refuses it later; the idle cores are part of our question.
        ("10 with 2 idle", threadable(1000, 1), On(Auto, 16, 32, 2, 32), NO_BOUND, None),
        ("all, 16 left of the job", threadable(100, 1), idle(All, 32, 128), 16, Some(16)),
        ("all, 100 left, 6 idle", threadable(100, 1), On(All, 32, 128, 6, 24), 100, Some(6)),
        ("8/16 GiB, 4 GiB", threadable(100, 400), idle(Auto, 8, 16), NO_BOUND, Some(2)),
        ("4/8 GiB, 5 GiB", threadable(100, 500), idle(Auto, 4, 8), NO_BOUND, Some(3)),
        // 2 GiB are left, which the configured limit takes for stranded; upstream's own test says 3.
        ("4/8 GiB, 6 GiB", threadable(100, 600), idle(Auto, 4, 8), NO_BOUND, Some(4)),
        ("8/32 GiB, 2 GiB, 4", threadable(400, 200), idle(Auto, 8, 32), NO_BOUND, Some(4)),
        ("8 GiB, at most 2", max(threadable(100, 800), 200), idle(Auto, 8, 16), NO_BOUND, Some(2)),
        ("variable, 3, at most 3", max(threadable(300, 1600), 300), idle(Variable, 8, 32), NO_BOUND, Some(3)),
        ("0 with none idle", threadable(0, 1), On(Auto, 8, 32, 0, 32), NO_BOUND, None),
        ("0 of nothing", threadable(0, 1), idle(Auto, 0, 32), NO_BOUND, None),
    ] {
        assert_eq!(ours(&layer, &host, room), wanted, "{what}");
    }
}

#[test]
#[rustfmt::skip]
fn centicores_round_up_and_the_maximum_has_the_last_word() {
    for (what, layer, wanted) in [
        ("150 to 150 is two cores", max(threadable(150, 1), 150), Some(2)),
        ("a maximum of half a core is one core", max(threadable(100, 4000), 50), Some(1)),
        ("a maximum below the minimum", max(threadable(400, 1), 200), Some(2)),
        ("a maximum of 0 is none", max(threadable(400, 4000), 0), Some(10)),
        ("a negative maximum is none", max(threadable(400, 4000), -100), Some(10)),
        ("all but a core and a half is rounded up", threadable(-150, 1), Some(31)),
    ] {
        assert_eq!(ours(&layer, &A, NO_BOUND), wanted, "{what}");
    }
}

#[test]
#[rustfmt::skip]
fn a_single_threaded_frame_takes_one_core_of_a_host_with_its_minimum_idle() {
    let layer = single(threadable(400, 1));
    assert_eq!(ours(&layer, &On(Auto, 8, 32, 4, 32), NO_BOUND), Some(1));
    assert_eq!(ours(&layer, &On(Auto, 8, 32, 3, 32), NO_BOUND), None);
    let whole = single(threadable(0, 1));
    assert_eq!(ours(&whole, &On(Auto, 8, 32, 1, 32), NO_BOUND), Some(1));
}

#[test]
#[rustfmt::skip]
fn memory_and_gpus_must_be_idle_and_negative_requests_fit_nowhere() {
    let mut host = A.state();
    host.total.gpus = Gpus(2);
    host.idle.gpus = Gpus(1);
    host.idle.gpu_memory = Kb(8);
    let with = |memory: i64, gpus: i64, gpu_memory: i64| {
        let mut layer = threadable(100, 0);
        layer.memory = Kb(memory);
        layer.gpus = Gpus(gpus);
        layer.gpu_memory = Kb(gpu_memory);
        Ask::of(&layer, &policy())
            .size_on(&host, NO_BOUND)
            .is_some()
    };
    let all = 128 * GIB;
    for (memory, gpus, gpu_memory, fits) in [
        (all, 1, 8, true),
        (all + 1, 1, 8, false),
        (all, 2, 8, false),
        (all, 1, 9, false),
        (0, 0, 0, true),
        (-1, 0, 0, false),
        (0, -1, 0, false),
        (0, 0, -1, false),
    ] {
        assert_eq!(
            with(memory, gpus, gpu_memory),
            fits,
            "{memory} {gpus} {gpu_memory}"
        );
    }
}
