//! Labels with the names of shows, kept to the shows that are managed.
//!
//! Shows come and go, and a label that stays for each that ever was would grow without bound. So each reload of the clusters
//! gives the shows that are managed now: new ones are shown with 0, and the series of the others end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{CounterVec, Error};

use super::families;
use super::register::Maker;

pub(super) struct PerShow {
    jobs_processed: CounterVec,
    frames_dispatched: CounterVec,
    /// The names that have a series.
    names: Mutex<BTreeSet<Arc<str>>>,
}

impl PerShow {
    pub(super) fn new(make: &Maker) -> Result<Self, Error> {
        Ok(Self {
            jobs_processed: make.counters(&families::JOBS_PROCESSED)?,
            frames_dispatched: make.counters(&families::FRAMES_DISPATCHED)?,
            names: Mutex::default(),
        })
    }

    /// The names that have series.
    pub(super) fn names(&self) -> BTreeSet<Arc<str>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn jobs_processed(&self, show: &Arc<str>, jobs: usize) {
        self.count(&self.jobs_processed, show, jobs);
    }

    pub(super) fn frames_dispatched(&self, show: &Arc<str>, frames: usize) {
        self.count(&self.frames_dispatched, show, frames);
    }

    /// The shows that are managed from now on.
    pub(super) fn are(&self, shows: &BTreeSet<Arc<str>>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for family in [&self.jobs_processed, &self.frames_dispatched] {
            for gone in names.difference(shows) {
                // A family in which it was never counted has no series of it.
                let _ = family.remove_label_values(&[gone.as_ref()]);
            }
            for show in shows {
                family.with_label_values(&[show.as_ref()]);
            }
        }
        names.clone_from(shows);
    }

    /// A pass that began before a show was given away may end after it; the next reload ends the series again.
    fn count(&self, family: &CounterVec, show: &Arc<str>, by: usize) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(show.clone());
        family.with_label_values(&[show.as_ref()]).inc_by(by as f64);
    }
}
