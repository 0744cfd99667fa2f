//! A watch that does not wait for ever: a server that accepts and never answers is told as any other fault, and asked anew.
//!
//! A list is answered in seconds. A watch may rightly be silent, but the server was told to end it after a while; one that is
//! still open well after that is dead, and what happened since would never be known. A watch that broke begins with a list too:
//! only that tells that it works again, where nothing happens. And when the server answers again after it did not, all watches begin
//! anew at once: nobody knows which of them are alive.

use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch as latest;

use super::caches::Watching;

/// After this time the server ends a watch: what the client asks for.
const WATCH_TIME_SECONDS: u32 = 290;

/// How long the server may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Over a list. Longer than the longest pause before it is asked for again.
    pub list: Duration,
    /// Over a watch. Longer than the server keeps one open.
    pub watch: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { list: Duration::from_mins(1), watch: Duration::from_secs(u64::from(WATCH_TIME_SECONDS) + 30) }
    }
}

/// Follows objects for ever, with growing pauses after faults.
pub(super) fn watch<K>(
    api: kube::Api<K>,
    config: Config,
    watching: &Watching,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send + use<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let config = config.timeout(WATCH_TIME_SECONDS);
    let begin = move || watcher(api.clone(), config.clone()).default_backoff().boxed();
    renewed(begin, watching.limits, watching.renewals.subscribe())
}

/// Where a watch is.
struct State<B, S> {
    begin: B,
    events: S,
    is_complete: bool,
    limits: Limits,
    renewals: latest::Receiver<u64>,
}

impl<B: Fn() -> S, S> State<B, S> {
    fn renew(&mut self) {
        self.events = (self.begin)();
        self.is_complete = false;
    }
}

/// A watch that is begun anew whenever it breaks, has been silent for too long, or all are.
fn renewed<K, B, S>(
    begin: B,
    limits: Limits,
    renewals: latest::Receiver<u64>,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send
where
    K: Send,
    B: Fn() -> S + Send,
    S: Stream<Item = Result<Event<K>, Error>> + Send + Unpin,
{
    let state = State { events: begin(), begin, is_complete: false, limits, renewals };
    stream::unfold(state, async |mut state| {
        loop {
            let limit = if state.is_complete { state.limits.watch } else { state.limits.list };
            let event = tokio::select! {
                biased;
                () = told(&mut state.renewals) => {
                    state.renew();
                    continue;
                }
                event = tokio::time::timeout(limit, state.events.next()) => event,
            };
            let Ok(event) = event else {
                state.renew();
                let silent = format!("no answer within {} s", limit.as_secs());
                return Some((Err(Error::WatchFailed(kube::Error::Service(silent.into()))), state));
            };
            let event = event?;
            match &event {
                Ok(Event::InitDone) => state.is_complete = true,
                Ok(Event::Init) => state.is_complete = false,
                Err(_) if state.is_complete => state.renew(),
                // Lists that fail are asked for again by the watch itself, with its pauses.
                Ok(_) | Err(_) => {}
            }
            return Some((event, state));
        }
    })
}

/// Waits until all watches are to begin anew; for ever, when nobody can tell any more.
async fn told(renewals: &mut latest::Receiver<u64>) {
    if renewals.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
