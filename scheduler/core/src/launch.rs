//! stub
#![allow(missing_docs)]
use crate::domain::amount::*;
use crate::domain::id::*;
use crate::run_frame::RunFrame;
use std::sync::Arc;
#[derive(Clone, Copy, Debug)]
pub struct BootInstant(pub std::time::Duration);
#[derive(Clone, Debug)]
pub struct Booking {
    pub proc: ProcId,
    pub frame: FrameId,
    pub frame_version: i32,
    pub host: HostId,
    pub host_name: Arc<str>,
    pub size: Resources,
    pub run_frame: RunFrame,
    pub committed_at: BootInstant,
    pub show_name: Arc<str>,
}
