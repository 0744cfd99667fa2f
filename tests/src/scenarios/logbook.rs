//! What was done to a farm, line by line, so that a person can follow a run, and the last word on each thing that was edited.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

/// The lines so far.
pub struct Logbook {
    began: Instant,
    text: String,
    file: PathBuf,
}

impl Logbook {
    /// An empty one; the file is written at [`Self::save`].
    pub fn new(folder: &Path) -> Self {
        Self { began: Instant::now(), text: String::new(), file: folder.join("logbook.txt") }
    }

    /// Notes what was done now.
    pub fn note(&mut self, what: &str) {
        // Writing to a text can't fail.
        let _ = writeln!(self.text, "{:8.3} {what}", self.began.elapsed().as_secs_f64());
    }

    /// Writes the file.
    pub fn save(&self) -> anyhow::Result<()> {
        std::fs::write(&self.file, &self.text).with_context(|| format!("writing {}", self.file.display()))
    }
}
