//! Whether the operator can work, and if not, what it waits for. That it lives is another question.

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
    /// What it waits for; `None` when it can work.
    pub fn set(&self, missing: Option<String>) {
        self.0.send_if_modified(|now| {
            let differs = *now != missing;
            *now = missing;
            differs
        });
    }

    /// What it waits for.
    pub fn missing(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}
