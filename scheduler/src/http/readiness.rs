//! Whether the scheduler can work, and if not, what it waits for. Liveness is another question: a process that waits for its
//! database lives, and must not be restarted for it.

use tokio::sync::watch;

/// Shared by who knows and who tells.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<Option<String>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::Sender::new(Some("not started yet".to_owned())))
    }
}

impl Readiness {
    /// It can work.
    pub fn ready(&self) {
        self.0.send_if_modified(|missing| missing.take().is_some());
    }

    /// It waits for something.
    pub fn waits_for(&self, what: impl Into<String>) {
        let what = what.into();
        self.0.send_if_modified(|missing| missing.replace(what.clone()).as_ref() != Some(&what));
    }

    /// What it waits for, `None` when it can work.
    pub fn missing(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}
