//! Which resources have to be looked at. Each stands in it once, however much happens to it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::ObjectRef;

use super::guarded::Guarded;

/// A resource.
pub type ResourceRef = ObjectRef<Guarded>;

/// The resources that wait for a reconcile.
pub struct Queue {
    waiting: Mutex<HashSet<ResourceRef>>,
    // Unbounded, and yet no longer than there are resources: who waits already is not sent again.
    sender: UnboundedSender<ResourceRef>,
}

impl Queue {
    /// A queue, and what comes out of it.
    pub fn new() -> (Self, UnboundedReceiver<ResourceRef>) {
        let (sender, receiver) = unbounded();
        (Self { waiting: Mutex::default(), sender }, receiver)
    }

    /// Has a resource looked at.
    pub fn push(&self, resource: ResourceRef) {
        let is_new = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(resource.clone());
        if is_new {
            // Nobody listens any more when the program ends.
            let _ = self.sender.unbounded_send(resource);
        }
    }

    /// A look at the resource begins: what happens from now on needs another.
    pub fn begin(&self, resource: &ResourceRef) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(resource);
    }

    /// How many wait.
    pub fn depth(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes nothing more; what comes out of it ends.
    pub fn close(&self) {
        self.sender.close_channel();
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_already_waits_once_and_who_is_looked_at_may_wait_again() {
        let (queue, mut receiver) = Queue::new();
        let farm = ResourceRef::new("farm").within("opencue");
        queue.push(farm.clone());
        queue.push(farm.clone());
        assert_eq!(queue.depth(), 1);
        assert_eq!(receiver.next().await, Some(farm.clone()));
        queue.begin(&farm);
        assert_eq!(queue.depth(), 0);
        queue.push(farm.clone());
        assert_eq!(receiver.next().await, Some(farm));
        queue.close();
        assert_eq!(receiver.next().await, None);
    }
}
