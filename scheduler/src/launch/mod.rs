//! stub
#![allow(missing_docs)]
use cue_scheduler_core::launch::*;
pub mod clock {
    pub fn boottime() -> cue_scheduler_core::launch::BootInstant {
        cue_scheduler_core::launch::BootInstant(std::time::Duration::ZERO)
    }
}
#[derive(Debug, Default)]
pub struct LaunchReport;
#[derive(Clone)]
pub struct Launcher;
impl Launcher {
    pub async fn launch(&self, _b: Vec<Booking>) -> LaunchReport {
        LaunchReport
    }
}
