//! What happens to a booking after its call: it is undone, in sets, or settled by questions.

use std::collections::HashSet;
use std::sync::Arc;

use cue_scheduler_core::domain::id::ProcId;
use cue_scheduler_core::launch::{Action, Event, Hold, Left, Settlement, State, step};
use tracing::{info, warn};

use super::clock;
use super::launcher::Shared;
use super::outcome::chain;

/// Follows the protocol for one booking in doubt, to its end.
pub(super) async fn settle(shared: Arc<Shared>, hold: Hold, mut state: State, mut action: Action) {
    loop {
        let event = match action {
            Action::Ask(at) => tokio::select! {
                biased;
                () = shared.hurry.cancelled() => Event::Stop,
                event = async { clock::sleep_until(at).await; ask(&shared, &hold).await } => event,
            },
            Action::CheckHeld => check_held(&shared, &hold).await,
            Action::Undo(at) => tokio::select! {
                biased;
                () = shared.hurry.cancelled() => Event::Stop,
                // The wait may be cut short, the transaction may not.
                () = clock::sleep_until(at) => undo(&shared, std::slice::from_ref(&hold)).await
                    .map_or(Event::DatabaseFailed, |undone| undone_or_not_held(&undone, &hold)),
            },
            Action::Send | Action::Nothing => break,
        };
        (state, action) = step(state, event, clock::now(), &shared.settings.timing);
    }
    if let State::Settled(settlement) = state {
        shared.settled(&hold, settlement);
    }
}

/// Undoes refused bookings in one transaction and gives those that were taken back. What the database fails to undo is
/// tried again in the background.
pub(super) async fn undo_refused(shared: &Arc<Shared>, refused: Vec<(Hold, State)>) -> HashSet<ProcId> {
    let holds: Vec<Hold> = refused.iter().map(|(hold, _)| hold.clone()).collect();
    let answer = undo(shared, &holds).await;
    let now = clock::now();
    for (hold, state) in refused {
        let event = answer.as_ref().map_or(Event::DatabaseFailed, |undone| undone_or_not_held(undone, &hold));
        match step(state, event, now, &shared.settings.timing) {
            (State::Settled(settlement), _) => shared.settled(&hold, settlement),
            (state, action) => {
                shared.settle_in_background(hold, state, action);
            }
        }
    }
    answer.unwrap_or_default()
}

async fn undo(shared: &Shared, holds: &[Hold]) -> Option<HashSet<ProcId>> {
    match shared.ledger.undo(holds).await {
        Ok(undone) => Some(undone.into_iter().collect()),
        Err(error) => {
            warn!(procs = holds.len(), "launches are not undone yet: {}", chain(&error));
            None
        }
    }
}

fn undone_or_not_held(undone: &HashSet<ProcId>, hold: &Hold) -> Event {
    if undone.contains(&hold.proc) { Event::Undone } else { Event::NotHeld }
}

async fn check_held(shared: &Shared, hold: &Hold) -> Event {
    match shared.ledger.still_held(std::slice::from_ref(hold)).await {
        Ok(still) if still.contains(&hold.proc) => Event::Held,
        Ok(_) => Event::NotHeld,
        Err(error) => {
            warn!(proc.id = %hold.proc, "proc {} is not looked up yet: {}", hold.proc, chain(&error));
            Event::DatabaseFailed
        }
    }
}

async fn ask(shared: &Shared, hold: &Hold) -> Event {
    // The semaphore is never closed.
    let _permit = shared.questions.acquire().await;
    let asked_at = clock::now();
    match shared.client.report(&hold.host_name).await {
        // An agent that reads ids as UUIDs echoes them in lower case.
        Ok(running) if running.iter().any(|id| id.eq_ignore_ascii_case(hold.proc.as_str())) => Event::Listed,
        Ok(_) => Event::NotListed { asked_at },
        Err(error) => {
            shared.fail(hold, chain(&error));
            Event::Silent
        }
    }
}

impl Shared {
    /// A booking is over; says so.
    pub(super) fn settled(&self, hold: &Hold, settlement: Settlement) {
        if settlement == Settlement::Left(Left::Stopped) {
            self.count_left_at_stop();
        }
        let label = settlement.label();
        if matches!(settlement, Settlement::Left(Left::Silent | Left::Database)) {
            warn!(
                proc.id = %hold.proc, frame.id = %hold.frame, host.name = %hold.host_name,
                "proc {} on {} is left to Cuebot: {label}", hold.proc, hold.host_name
            );
        } else {
            info!(
                proc.id = %hold.proc, frame.id = %hold.frame, host.name = %hold.host_name,
                "proc {} on {} is settled: {label}", hold.proc, hold.host_name
            );
        }
        self.observer.settled(hold, settlement);
    }
}
