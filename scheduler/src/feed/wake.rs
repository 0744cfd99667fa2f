//! A word to the loop that hosts may have room: whose pools should not wait for their pace.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use cue_scheduler_core::domain::id::AllocId;
use tokio::sync::Notify;

/// Shared by who hears of changes and the loop.
#[derive(Debug, Default)]
pub struct Wake {
    /// Never held over an await.
    wanted: Mutex<Wanted>,
    said: Notify,
}

/// Which pools are to be woken.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of these allocations.
    Of(BTreeSet<AllocId>),
    /// All.
    All,
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Of(BTreeSet::new())
    }
}

impl Wake {
    /// Something of this allocation was freed.
    pub fn alloc(&self, alloc: AllocId) {
        if let Wanted::Of(allocs) = &mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) {
            allocs.insert(alloc);
        }
        self.said.notify_one();
    }

    /// Anything may have changed.
    pub fn all(&self) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Wanted::All;
        self.said.notify_one();
    }

    /// Waits for a word, and takes it.
    pub async fn said(&self) -> Wanted {
        self.said.notified().await;
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
