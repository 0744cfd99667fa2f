//! What the model shows: random worlds keep the invariant, and each wait of the protocol is needed for it.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Lets a world go its way: each number picks one of the moves that are possible then.
fn live(
    timing: Timing,
    choices: impl IntoIterator<Item = u16>,
) -> Result<Seen, (Breach, Vec<(u64, Move)>)> {
    let mut world = World::new(timing);
    let mut story = Vec::new();
    for choice in choices {
        let moves = world.moves();
        let what = moves[usize::from(choice) % moves.len()];
        story.push((world.now, what));
        if let Err(breach) = world.happen(what) {
            return Err((breach, story));
        }
    }
    Ok(world.seen)
}

/// Choices from a seed, by a linear congruential generator.
fn choices(seed: u64) -> impl Iterator<Item = u16> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u16
    })
}

const WORLDS: u64 = 6_000;

/// The first of many worlds in which the invariant is broken.
fn first_breach(timing: Timing, worlds: u64) -> Option<Breach> {
    (0..worlds).find_map(|seed| {
        live(timing, choices(seed).take(400))
            .err()
            .map(|(breach, _)| breach)
    })
}

proptest! {
    #[test]
    fn runs_never_overlap_and_never_start_after_a_completion(choices in prop::collection::vec(any::<u16>(), 20..300)) {
        if let Err((breach, story)) = live(Timing::default(), choices) {
            prop_assert!(false, "{breach:?} after\n{story:#?}");
        }
    }
}

#[test]
fn many_worlds_keep_the_invariant_and_go_through_every_outcome() {
    let mut all = Seen::default();
    for seed in 0..WORLDS {
        let seen = live(Timing::default(), choices(seed).take(150)).unwrap();
        all.starts += seen.starts;
        all.fenced += seen.fenced;
        all.confirmed += seen.confirmed;
        all.undone += seen.undone;
        all.adopted += seen.adopted;
        all.left_silent += seen.left_silent;
        all.left_not_held += seen.left_not_held;
        all.swept += seen.swept;
        all.taken_over += seen.taken_over;
        all.completed += seen.completed;
    }
    let Seen {
        starts,
        fenced,
        confirmed,
        undone,
        adopted,
        left_silent,
        left_not_held,
        swept,
        taken_over,
        completed,
    } = all;
    for count in [
        starts,
        fenced,
        confirmed,
        undone,
        adopted,
        left_silent,
        left_not_held,
        swept,
        taken_over,
        completed,
    ] {
        assert!(count > 30, "an outcome hardly occurs: {all:?}");
    }
}

#[test]
fn random_worlds_find_the_breach_that_a_wide_fence_allows() {
    let timing = Timing {
        fence: Duration::from_hours(1),
        ..Timing::default()
    };
    assert!(first_breach(timing, WORLDS).is_some());
}

/// Tells a world a story. A move that the protocol doesn't allow then is left out; a wait always is possible.
fn tell(timing: Timing, story: &[Move]) -> Result<(), Breach> {
    let mut world = World::new(timing);
    for what in story {
        if matches!(what, Move::Wait(_)) || world.moves().contains(what) {
            world.happen(*what)?;
        }
    }
    Ok(())
}

const fn care(replica: usize, act: Act) -> Move {
    Move::Care {
        replica,
        care: 0,
        act,
    }
}

/// The first replica books on the first host and sends.
const SENT: [Move; 2] = [
    Move::Book {
        replica: 0,
        host: 0,
    },
    care(0, Act::Turn),
];

const QUESTION: [Move; 3] = [
    care(0, Act::Ask),
    care(0, Act::Reply),
    care(0, Act::HearReply),
];

const UNDO: [Move; 2] = [care(0, Act::CheckHeld), care(0, Act::Undo)];

/// The second replica books on the second host, and the frame starts there.
const RUN_ELSEWHERE: [Move; 4] = [
    Move::Book {
        replica: 1,
        host: 1,
    },
    care(1, Act::Turn),
    Move::Deliver { request: 0 },
    Move::Work {
        host: 1,
        message: 0,
        refuse: false,
    },
];

const NO_ANSWER: Move = care(0, Act::NoAnswer);
const DELIVER: Move = Move::Deliver { request: 0 };
const START: Move = Move::Work {
    host: 0,
    message: 0,
    refuse: false,
};

/// The story breaks the invariant with the weakened timing, and only with it.
fn check_needed(weakened: Timing, story: &[&[Move]]) {
    let story = story.concat();
    assert_eq!(tell(Timing::default(), &story), Ok(()));
    assert_eq!(
        tell(weakened, &story),
        Err(Breach::Overlap {
            started: 0,
            beside: 1
        })
    );
}

#[test]
fn without_the_fence_a_replica_that_wakes_up_starts_a_second_run() {
    check_needed(
        Timing {
            fence: Duration::from_hours(1),
            ..Timing::default()
        },
        &[
            &[
                SENT[0],
                Move::StopReplica(0),
                Move::Wait(SWEEP),
                Move::Sweep,
            ],
            &RUN_ELSEWHERE,
            &[Move::WakeReplica(0), SENT[1], DELIVER, START],
        ],
    );
}

#[test]
fn without_the_quiet_a_request_on_its_way_starts_a_second_run() {
    check_needed(
        Timing {
            quiet: Duration::ZERO,
            ..Timing::default()
        },
        &[
            &SENT,
            &[NO_ANSWER],
            &QUESTION,
            &[Move::Wait(1500), DELIVER, Move::Wait(1000)],
            &QUESTION,
            &UNDO,
            &RUN_ELSEWHERE,
            &[START],
        ],
    );
}

#[test]
fn without_the_wait_between_answers_a_request_not_yet_worked_on_starts_a_second_run() {
    check_needed(
        Timing {
            apart: Duration::ZERO,
            ..Timing::default()
        },
        &[
            &SENT,
            &[NO_ANSWER, Move::Wait(1900), DELIVER, Move::Wait(100)],
            &QUESTION,
            &QUESTION,
            &UNDO,
            &RUN_ELSEWHERE,
            &[START],
        ],
    );
}
