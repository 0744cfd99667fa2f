//! Things that are due at a time, in one heap behind one task: what ten thousand hosts need instead of a timer each.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Puts things into a queue, from anywhere.
#[derive(Clone)]
pub(super) struct Due<T>(mpsc::UnboundedSender<(Instant, T)>);

impl<T> Due<T> {
    /// After the farm's end nobody waits for the thing, and it is dropped.
    pub fn at(&self, at: Instant, thing: T) {
        drop(self.0.send((at, thing)));
    }
}

/// Gives things back when they are due.
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    arriving: mpsc::UnboundedReceiver<(Instant, T)>,
    sequence: u64,
}

struct Entry<T> {
    at: Instant,
    /// Things due at one time leave in the order in which they came.
    sequence: u64,
    thing: T,
}

/// A queue and its entrance.
pub(super) fn queue<T>() -> (Due<T>, Queue<T>) {
    let (sender, arriving) = mpsc::unbounded_channel();
    (Due(sender), Queue { heap: BinaryHeap::new(), arriving, sequence: 0 })
}

impl<T> Queue<T> {
    /// The next thing with the time it was due at, once that time has come; `None` when nothing is left and nothing can come.
    /// May be dropped and called again: what has arrived stays.
    pub async fn next(&mut self) -> Option<(Instant, T)> {
        loop {
            let now = Instant::now();
            let first = self.heap.peek().map(|Reverse(entry)| entry.at);
            if first.is_some_and(|at| at <= now) {
                return self.heap.pop().map(|Reverse(entry)| (entry.at, entry.thing));
            }
            let arrived = match first {
                None => self.arriving.recv().await,
                Some(at) => tokio::select! {
                    arrived = self.arriving.recv() => arrived,
                    () = sleep_until(at) => continue,
                },
            };
            match arrived {
                Some((at, thing)) => {
                    self.heap.push(Reverse(Entry { at, sequence: self.sequence, thing }));
                    self.sequence += 1;
                }
                None if self.heap.is_empty() => return None,
                // Nothing can come any more, but what is there still has its time.
                None => {
                    if let Some(at) = first {
                        sleep_until(at).await;
                    }
                }
            }
        }
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.sequence)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn things_leave_by_their_time_and_then_by_their_arrival() {
        let (due, mut queue) = queue();
        let now = Instant::now();
        for (ms, name) in [(30, "late"), (10, "early"), (10, "early too"), (0, "now")] {
            due.at(now + Duration::from_millis(ms), name);
        }
        drop(due);
        let mut order = Vec::new();
        while let Some((at, name)) = queue.next().await {
            assert!(Instant::now() >= at);
            order.push(name);
        }
        // The first to arrive were not due yet, so "now" could not leave before it had arrived itself.
        assert_eq!(order, ["now", "early", "early too", "late"]);
    }
}
