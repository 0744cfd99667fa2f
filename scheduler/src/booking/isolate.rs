//! One bad row must not keep the others of its chunk from being booked.
//!
//! Guards hold back what can be foreseen. What can't, such as a count at the end of its column or a studio's own trigger that
//! objects, fails the whole transaction, and the same chunk would fail again in each pass. So a chunk that failed by what
//! some row holds is halved by its layers until the layer is found, and that layer is booked frame by frame. It costs a
//! few transactions once: what is found is reported, and left alone by the passes that follow.

use cue_scheduler_core::domain::id::FrameId;
use cue_scheduler_core::landing::Truth;
use cue_scheduler_core::run_frame::FrameRef;

use super::attempt::attempt;
use super::chunk::Chunk;
use super::{Booked, BookingSettings, Rejected, book_whole};
use crate::engine::chain;
use crate::store::{Store, StoreError};

/// Frames of a layer that may fail, before any of it is booked, until the layer is given up.
const FAILURES_MAX: usize = 3;

/// Books a chunk, and without what is bad in it if that fails.
pub(super) async fn book(
    store: &Store,
    chunk: Chunk,
    settings: &BookingSettings,
    booked: &mut Booked,
) -> Result<(), StoreError> {
    let mut parts = vec![chunk];
    while let Some(mut part) = parts.pop() {
        match book_whole(store, &mut part, settings, booked).await {
            Err(error) if error.is_about_data() => match halves(&part) {
                Some((first, second)) => parts.extend([second, first]),
                None => frame_by_frame(store, part, settings, booked).await?,
            },
            result => result?,
        }
    }
    Ok(())
}

/// A chunk in two, by the layers that it has slots for; `None` when that is one.
fn halves(chunk: &Chunk) -> Option<(Chunk, Chunk)> {
    let mut layers: Vec<usize> = chunk.slots.iter().map(|slot| slot.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let middle = *layers.get(layers.len() / 2).filter(|_| layers.len() > 1)?;
    let (mut first, mut second) = (chunk.clone(), chunk.clone());
    first.slots.retain(|slot| slot.layer < middle);
    second.slots.retain(|slot| slot.layer >= middle);
    Some((first, second))
}

/// Books the frames of a chunk of one layer, each in a transaction of its own.
async fn frame_by_frame(
    store: &Store,
    chunk: Chunk,
    settings: &BookingSettings,
    booked: &mut Booked,
) -> Result<(), StoreError> {
    let Some(at) = chunk.slots.first().map(|slot| slot.layer) else { return Ok(()) };
    let layer = &chunk.layers[at].id;
    let before = booked.bookings.len();
    let mut bad: Vec<FrameId> = Vec::new();
    let mut slots = chunk.slots.iter();
    for candidate in &chunk.layers[at].candidates {
        let Some(slot) = slots.next() else { break };
        let mut one = Chunk { slots: vec![*slot], ..chunk.clone() };
        one.layers[at].candidates = vec![candidate.clone()];
        // Tried once: what is refused or locked now is for the next pass.
        match attempt(store, &mut one, settings, booked).await {
            Ok(_) => {}
            Err(error) if error.is_about_data() => {
                let why = chain(&error);
                let FrameRef { id, name, .. } = candidate;
                tracing::warn!(
                    frame.id = %id, layer.id = %layer,
                    "frame {name} can't be booked because of what the database holds: {why}"
                );
                booked.reject(layer, 1);
                if error.is_about_a_vanished_row() {
                    continue;
                }
                bad.push(id.clone());
                if booked.bookings.len() == before && bad.len() == FAILURES_MAX {
                    booked.reject(layer, slots.len());
                    booked.truths.push(Truth::LayerOut(layer.clone()));
                    booked.rejected.push(Rejected::Layer(layer.clone(), why.into()));
                    return Ok(());
                }
            }
            Err(error) if error.retryable().is_some() => booked.give_up(&one),
            Err(error) => return Err(error),
        }
    }
    booked.rejected.extend(bad.into_iter().map(Rejected::Frame));
    Ok(())
}
