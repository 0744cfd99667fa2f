//! Signals: SIGTERM and SIGINT stop, the second one at once; SIGUSR1 and SIGUSR2 change log levels.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logging::Levels;

/// Added to a signal's number for the exit code of a program that it ends, as shells do.
const ENDED_BY_SIGNAL: u8 = 128;
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// What ends a stop before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutShort {
    /// The time for it is over.
    TimeIsOver,
    /// A second signal; the exit code that it asks for.
    SecondSignal(u8),
}

/// The signals that stop.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on these signals no longer end the process by themselves.
    pub fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    /// Waits for the first signal or for `stop` by somebody else, sets `stop`, and gives the stop `limit`; answers when it is
    /// over, or at once at a second signal.
    pub async fn end(mut self, stop: &CancellationToken, limit: Duration) -> CutShort {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            (name, _) = self.next() => {
                tracing::info!("{name}: no new passes; what has begun lands, within {limit:?}");
                stop.cancel();
            }
        }
        tokio::select! {
            biased;
            (name, number) = self.next() => {
                tracing::warn!("{name} again: ending at once");
                CutShort::SecondSignal(ENDED_BY_SIGNAL + number)
            }
            () = tokio::time::sleep(limit) => {
                tracing::warn!("the stop is not done after {limit:?}; ending all the same");
                CutShort::TimeIsOver
            }
        }
    }

    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SIGTERM),
            _ = self.interrupt.recv() => ("SIGINT", SIGINT),
        }
    }
}

/// Changes log levels at SIGUSR1 and SIGUSR2, for ever.
pub fn switch_levels(levels: Levels) -> anyhow::Result<()> {
    let mut first = signal(SignalKind::user_defined1()).context("listening for SIGUSR1")?;
    let mut second = signal(SignalKind::user_defined2()).context("listening for SIGUSR2")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = first.recv() => levels.switch(false),
                _ = second.recv() => levels.switch(true),
            }
        }
    });
    Ok(())
}
