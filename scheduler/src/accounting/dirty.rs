//! Rows of counters that somebody said may be wrong.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::notice::Released;

/// Beyond this everything is compared instead.
const MOST: usize = 2000;

/// Marks, until the reconcile loop takes them.
#[derive(Debug, Default)]
pub struct Dirty {
    /// Never held over an await.
    marks: Mutex<Marks>,
    marked: Notify,
}

/// What is marked.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Marks {
    /// Nothing.
    #[default]
    None,
    /// The counters that these procs counted in.
    Some(HashSet<Released>),
    /// Everything: messages may have been missed.
    All,
}

impl Dirty {
    /// Marks the counters of a released proc.
    pub fn mark(&self, released: Released) {
        self.change(|marks| match marks {
            Marks::None => *marks = Marks::Some(HashSet::from([released])),
            Marks::Some(some) => {
                some.insert(released);
                if some.len() > MOST {
                    *marks = Marks::All;
                }
            }
            Marks::All => {}
        });
    }

    /// Marks everything.
    pub fn mark_all(&self) {
        self.change(|marks| *marks = Marks::All);
    }

    fn change(&self, change: impl FnOnce(&mut Marks)) {
        change(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner));
        self.marked.notify_one();
    }

    /// Waits until something is marked.
    pub(super) async fn marked(&self) {
        self.marked.notified().await;
    }

    /// Takes the marks away.
    pub(super) fn take(&self) -> Marks {
        std::mem::take(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(n: usize) -> Released {
        let id = |kind: &str| format!("{kind}{n}");
        Released { show: id("s"), alloc: id("a"), folder: id("f"), job: id("j"), layer: id("l"), department: id("d") }
    }

    #[test]
    fn the_same_mark_twice_is_one_and_taking_takes_all() {
        let dirty = Dirty::default();
        dirty.mark(released(1));
        dirty.mark(released(1));
        assert_eq!(dirty.take(), Marks::Some(HashSet::from([released(1)])));
        assert_eq!(dirty.take(), Marks::None);
    }

    #[test]
    fn too_many_marks_are_as_good_as_all() {
        let dirty = Dirty::default();
        (0..=MOST).for_each(|n| dirty.mark(released(n)));
        assert_eq!(dirty.take(), Marks::All);
    }
}
