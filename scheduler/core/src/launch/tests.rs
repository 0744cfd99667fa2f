//! Each rule of the protocol, one by one.

use super::*;

const TIMING: Timing = Timing {
    fence: Duration::from_secs(5),
    quiet: Duration::from_secs(2),
    apart: Duration::from_secs(2),
    pause: Duration::from_secs(2),
    patience: Duration::from_mins(1),
};

fn at(ms: u64) -> BootInstant {
    BootInstant(Duration::from_millis(1_000_000 + ms))
}

/// Lets a booking that was committed at 0 go through events at given times, and gives its last state and action.
fn after(events: &[(u64, Event)]) -> (State, Action) {
    let mut now = (State::committed(at(0)), Action::Nothing);
    for (ms, event) in events {
        now = step(now.0, *event, at(*ms), &TIMING);
    }
    now
}

fn not_listed(asked_ms: u64) -> Event {
    Event::NotListed {
        asked_at: at(asked_ms),
    }
}

const LEFT_SILENT: State = State::Settled(Settlement::Left(Left::Silent));

#[test]
fn a_young_booking_is_sent_and_confirmed() {
    assert_eq!(
        after(&[(5000, Event::Due)]),
        (State::Launching, Action::Send)
    );
    assert_eq!(
        after(&[(10, Event::Due), (20, Event::Accepted)]),
        (State::Confirmed, Action::Nothing)
    );
}

#[test]
fn a_booking_past_the_fence_is_not_sent_and_is_in_doubt() {
    let (state, action) = after(&[(5001, Event::Due)]);
    assert!(matches!(state, State::Unknown(_)));
    assert_eq!(action, Action::Ask(at(5001)));
}

#[test]
fn what_was_not_sent_or_was_refused_is_undone_at_once() {
    for events in [
        &[(10, Event::NotSent)][..],
        &[(10, Event::Due), (20, Event::NotSent)],
        &[(10, Event::Due), (20, Event::Refused)],
    ] {
        let (state, action) = after(events);
        assert!(matches!(state, State::Undoing { .. }), "{state:?}");
        assert_eq!(action, Action::Undo(at(events[events.len() - 1].0)));
        let settled = step(state, Event::Undone, at(30), &TIMING);
        assert_eq!(
            settled,
            (State::Settled(Settlement::Undone), Action::Nothing)
        );
    }
}

#[test]
fn a_call_without_an_answer_is_followed_by_a_question_and_never_by_a_call() {
    let doubt = [(10, Event::Due), (40, Event::NoAnswer)];
    assert_eq!(after(&doubt).1, Action::Ask(at(2040)));
    let again = step(after(&doubt).0, Event::Due, at(50), &TIMING);
    assert_eq!(again, (after(&doubt).0, Action::Nothing));
}

#[test]
fn a_listed_proc_is_adopted_whenever_that_is_heard() {
    let (state, _) = after(&[(10, Event::Due), (40, Event::NoAnswer), (50, Event::Listed)]);
    assert_eq!(state, State::Settled(Settlement::Adopted));
    let (state, _) = after(&[
        (9000, Event::Due),
        (9100, not_listed(9000)),
        (9200, Event::Accepted),
    ]);
    assert_eq!(state, State::Settled(Settlement::Adopted));
}

#[test]
fn two_answers_apart_and_the_database_undo() {
    let mut events = vec![
        (10, Event::Due),
        (40, Event::NoAnswer),
        (2100, not_listed(2040)),
    ];
    assert_eq!(
        after(&events).1,
        Action::Ask(at(4100)),
        "apart counts from the answer"
    );
    events.push((4110, not_listed(4100)));
    assert_eq!(after(&events).1, Action::CheckHeld);
    let (state, action) = step(after(&events).0, Event::Held, at(4120), &TIMING);
    assert!(matches!(state, State::Undoing { .. }));
    assert_eq!(action, Action::Undo(at(4120)));
    let (state, _) = step(after(&events).0, Event::NotHeld, at(4120), &TIMING);
    assert_eq!(state, State::Settled(Settlement::Left(Left::NotHeld)));
}

#[test]
fn answers_too_early_or_too_close_dont_count() {
    let doubt = [(10, Event::Due), (40, Event::NoAnswer)];
    let early = [&doubt[..], &[(2050, not_listed(2039))]].concat();
    assert_eq!(after(&early), (after(&doubt).0, Action::Ask(at(2040))));
    let close = [
        &doubt[..],
        &[(2100, not_listed(2040)), (4101, not_listed(4099))],
    ]
    .concat();
    assert_eq!(after(&close).1, Action::Ask(at(4100)));
}

#[test]
fn a_silence_makes_the_answer_before_it_worthless() {
    let events = [
        (10, Event::Due),
        (40, Event::NoAnswer),
        (2100, not_listed(2040)),
        (4100, Event::Silent),
        (6200, not_listed(6100)),
    ];
    assert_eq!(after(&events).1, Action::Ask(at(8200)));
}

#[test]
fn a_silent_agent_is_asked_with_growing_pauses_until_patience_ends() {
    let mut state = after(&[(10, Event::Due), (40, Event::NoAnswer)]).0;
    let mut now = 2040;
    let mut pauses = Vec::new();
    loop {
        let (next, action) = step(state, Event::Silent, at(now), &TIMING);
        state = next;
        let Action::Ask(next) = action else { break };
        pauses.push(next.since(at(now)).as_secs());
        now += next.since(at(now)).as_millis() as u64;
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32]);
    assert_eq!(state, LEFT_SILENT);
}

#[test]
fn a_failing_database_is_tried_again_and_then_left() {
    let refused = [
        (10, Event::Due),
        (20, Event::Refused),
        (30, Event::DatabaseFailed),
    ];
    assert_eq!(after(&refused).1, Action::Undo(at(2030)));
    let late = [&refused[..], &[(60_020, Event::DatabaseFailed)]].concat();
    assert_eq!(
        after(&late).0,
        State::Settled(Settlement::Left(Left::Database))
    );
}

#[test]
fn the_end_of_the_process_leaves_a_doubt_and_not_a_call() {
    let doubt = [(10, Event::Due), (40, Event::NoAnswer), (50, Event::Stop)];
    assert_eq!(
        after(&doubt).0,
        State::Settled(Settlement::Left(Left::Stopped))
    );
    assert_eq!(
        after(&[(10, Event::Due), (20, Event::Stop)]),
        (State::Launching, Action::Nothing)
    );
}

#[test]
fn nothing_happens_to_what_is_over() {
    let over = [
        State::Confirmed,
        State::Settled(Settlement::Undone),
        State::Settled(Settlement::Adopted),
        LEFT_SILENT,
    ];
    let events = [
        Event::Due,
        Event::NotSent,
        Event::Accepted,
        Event::Refused,
        Event::NoAnswer,
        Event::Listed,
        not_listed(9000),
        Event::Silent,
        Event::Held,
        Event::NotHeld,
        Event::Undone,
        Event::DatabaseFailed,
        Event::Stop,
    ];
    for state in over {
        assert!(state.is_final());
        for event in events {
            assert_eq!(
                step(state, event, at(9100), &TIMING),
                (state, Action::Nothing),
                "{event:?}"
            );
        }
    }
}
