//! One bad row must not keep the others of its chunk from being booked.
//!
//! Guards hold back what can be foreseen. What can't, such as a count at the end of its column or a studio's own trigger that
//! objects, fails the whole transaction, and the same chunk would fail again in each pass. So a chunk that failed by what
//! some row holds is halved by its layers until the layer is found, and that layer is booked frame by frame. It costs a
//! few transactions once: what is found is reported, and left alone by the passes that follow.

use super::attempt::attempt;
use super::chunk::Chunk;
use super::refusal::Refusal;
use super::{Booked, BookingSettings, Rejected, book_whole};
use crate::engine::chain;
use crate::store::{Store, StoreError};

/// Frames of a layer that may fail, before any of it is booked, until the layer is given up.
const FAILURES_MAX: usize = 3;

/// Books a chunk, and without what is bad in it if that fails.
pub(super) async fn book(
    store: &Store,
    chunk: Chunk,
    settings: BookingSettings,
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
    settings: BookingSettings,
    booked: &mut Booked,
) -> Result<(), StoreError> {
    let Some(layer) = chunk.slots.first().map(|slot| slot.layer) else { return Ok(()) };
    let before = booked.bookings.len();
    let mut bad = Vec::new();
    let mut slots = chunk.slots.iter();
    for candidate in &chunk.layers[layer].candidates {
        if booked.bookings.len() == before && bad.len() == FAILURES_MAX {
            break;
        }
        let Some(slot) = slots.next() else { break };
        let mut one = Chunk { slots: vec![*slot], ..chunk.clone() };
        one.layers[layer].candidates = vec![candidate.clone()];
        // Tried once: what is refused or locked now is for the next pass.
        match attempt(store, &mut one, settings, booked).await {
            Ok(_) => {}
            Err(error) if error.is_about_data() || error.retryable().is_some() => {
                if error.is_about_data() {
                    tracing::warn!(
                        frame.id = %candidate.id, layer.id = %chunk.layers[layer].id,
                        "frame {} can't be booked because of what the database holds: {}", candidate.name, chain(&error)
                    );
                    bad.push(candidate.id.clone());
                    booked.refusals.add(Refusal::Rejected, 1);
                }
            }
            Err(error) => return Err(error),
        }
    }
    if booked.bookings.len() > before {
        booked.rejected.extend(bad.into_iter().map(Rejected::Frame));
    } else if !bad.is_empty() {
        booked.refusals.add(Refusal::Rejected, slots.len());
        booked.rejected.push(Rejected::Layer(chunk.layers[layer].id.clone()));
    }
    Ok(())
}
