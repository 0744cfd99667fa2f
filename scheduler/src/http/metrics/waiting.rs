//! The gauge of frames that wait, by show and reason. It is computed when it is scraped, and says of each layer one thing, however
//! many pools could run it (see [`Sight`]).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use cue_scheduler_core::reason::Reason;
use prometheus::{Error, GaugeVec};

use super::families;
use super::register::Maker;
use crate::sight::Sight;

pub(super) struct WaitingFrames {
    gauge: GaugeVec,
    /// One scrape at a time sets it.
    setting: Mutex<()>,
}

impl WaitingFrames {
    pub(super) fn new(make: &Maker) -> Result<Self, Error> {
        Ok(Self { gauge: make.gauges(&families::WAITING_FRAMES)?, setting: Mutex::default() })
    }

    /// Sets it for a scrape: every reason of each show that is managed or has waiting work, and no other show.
    pub(super) fn refresh(&self, sight: &Sight, managed: BTreeSet<Arc<str>>) {
        let _alone = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = sight.waiting();
        let mut shows = managed;
        shows.extend(waiting.keys().map(|(show, _)| show.clone()));
        self.gauge.reset();
        for show in shows {
            for reason in Reason::ALL {
                let frames = waiting.get(&(show.clone(), reason)).map_or(0, |count| count.frames);
                self.gauge.with_label_values(&[show.as_ref(), reason.label()]).set(frames as f64);
            }
        }
    }
}
