//! A bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    last_line: Mutex<Option<Instant>>,
}

impl Progress {
    pub(super) fn new(frames: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(frames as u64);
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} frames done, {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, last_line: Mutex::new(None) }
    }

    pub(super) fn say(&self, step: &str) {
        match &self.bar {
            Some(bar) => bar.println(step),
            None => eprintln!("{step}"),
        }
    }

    pub(super) fn show(&self, done: i64, running: i64, waiting: i64) {
        let counts = format!("{running} running, {waiting} waiting");
        if let Some(bar) = &self.bar {
            bar.set_position(done.unsigned_abs());
            bar.set_message(counts);
        } else if let Ok(mut last) = self.last_line.lock()
            && last.is_none_or(|last| last.elapsed() > LINE_EVERY)
        {
            *last = Some(Instant::now());
            eprintln!("{done} done, {counts}");
        }
    }
}
