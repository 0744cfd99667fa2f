//! Listens to what Cuebot announces, where it does: passes wake at once, and counters are compared without waiting for their turn.
//!
//! Nothing rests on it. A message is a mark; what is true is read anew. Messages that were lost while the connection was
//! away are made up for by marking everything.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Observer;
use super::dirty::Dirty;
use super::notice::{CAPS, Notice, RELEASES};
use crate::engine::chain;
use crate::feed::Wake;
use crate::store::{Store, StoreError};

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_secs(5);

/// Listens until `stop`.
pub async fn listen(store: Store, wake: &Wake, dirty: &Dirty, observer: &dyn Observer, stop: CancellationToken) {
    loop {
        let ended = stop.run_until_cancelled(hear(&store, wake, dirty, observer)).await;
        let error = match ended {
            Some(Ok(())) => return tracing::info!("Cuebot's announcements are not heard: a pooler passes none on"),
            Some(Err(error)) => error,
            None => return,
        };
        tracing::warn!("Cuebot's announcements are not heard, next try in {PAUSE:?}: {}", chain(&error));
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Hears messages until the connection can't be had; not at all where there are none to hear.
async fn hear(store: &Store, wake: &Wake, dirty: &Dirty, observer: &dyn Observer) -> Result<(), StoreError> {
    let Some(mut notifications) = store.listen(&[RELEASES, CAPS]).await? else { return Ok(()) };
    tracing::info!("listening to Cuebot's announcements");
    loop {
        let Some((channel, payload)) = notifications.next().await? else {
            dirty.mark_all();
            wake.all();
            continue;
        };
        match Notice::parse(&channel, &payload) {
            Ok(notice) => {
                observer.noticed(notice.label());
                match notice {
                    Notice::Released(released) => {
                        wake.alloc(released.alloc.as_str().into());
                        dirty.mark(released);
                    }
                    Notice::CapChanged => wake.all(),
                }
            }
            Err(error) => {
                observer.noticed("malformed");
                tracing::warn!("a message on {channel} makes no sense and is not read: {error}");
            }
        }
    }
}
