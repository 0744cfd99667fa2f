//! The queue between the end of a frame and the release of its proc.
//!
//! Cuebot answers the agent once the frame has stopped and does the rest later, in other threads. That gap is where a scheduler
//! sees procs without frames, so the stand-in has it too, and can be told to make it wider.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::completion::Aftermath;
use super::{Cuebot, completion, release};

/// As many as a farm of tens of thousands of frames ends in a few seconds. When it is full reports wait for their answer.
const QUEUE_LENGTH: usize = 50_000;

/// Something to be done after a report was answered.
#[derive(Debug)]
pub(super) enum Work {
    /// A run ended: see to dependencies, the job and the proc.
    Ended(Aftermath),
    /// A proc without a run: release it.
    Release(release::LoadedProc),
}

/// The way in, and the number of things not yet done.
pub(super) struct Queue {
    sender: mpsc::Sender<Work>,
    pending: watch::Sender<usize>,
}

impl Queue {
    pub fn new() -> (Self, mpsc::Receiver<Work>) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        (Self { sender, pending: watch::Sender::new(0) }, receiver)
    }

    pub async fn push(&self, work: Work) {
        self.pending.send_modify(|pending| *pending += 1);
        if self.sender.send(work).await.is_err() {
            // Only after the workers have ended, when nobody takes work any more.
            self.done();
        }
    }

    pub async fn settled(&self) {
        // The sender lives in `self`, so waiting can't fail.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }

    fn done(&self) {
        self.pending.send_modify(|pending| *pending -= 1);
    }
}

/// The workers, each a future to be spawned.
pub(super) fn workers(
    cuebot: &Arc<Cuebot>,
    receiver: mpsc::Receiver<Work>,
    stop: &CancellationToken,
) -> Vec<impl Future<Output = ()> + use<>> {
    let receiver = Arc::new(Mutex::new(receiver));
    (0..cuebot.config.release_workers.max(1)).map(|_| work(cuebot.clone(), receiver.clone(), stop.clone())).collect()
}

async fn work(cuebot: Arc<Cuebot>, receiver: Arc<Mutex<mpsc::Receiver<Work>>>, stop: CancellationToken) {
    loop {
        let next = async { receiver.lock().await.recv().await };
        let work = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            work = next => work,
        };
        let Some(work) = work else { return };
        let done = match work {
            Work::Ended(aftermath) => completion::see_to(&cuebot, aftermath).await,
            Work::Release(proc) => release::release(&cuebot, &proc).await.map(|_| ()),
        };
        if let Err(error) = done {
            cuebot.counts.failures.one();
            tracing::error!(%error, "a piece of work after a completion was given up: {error}");
        }
        cuebot.work.done();
    }
}
