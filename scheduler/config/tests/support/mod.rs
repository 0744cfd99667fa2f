//! A place to load from, and the texts of what loading said.
#![allow(dead_code, reason = "each test program uses its part")]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use cue_scheduler_config::{Config, Loaded, Sources};

/// A directory with one file, to load from.
pub struct Farm {
    pub directory: tempfile::TempDir,
    pub sources: Sources,
}

impl Farm {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), sources: Sources::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn file(mut self, yaml: &str) -> Self {
        let path = self.write("scheduler.yaml", yaml);
        self.sources.file = Some(path);
        self
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn home(mut self) -> Self {
        self.sources.home = Some(self.directory.path().to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.sources.environment.push((name.to_owned(), value.into()));
        self
    }

    pub fn load(&self) -> Loaded {
        match Config::load(&self.sources) {
            Ok(loaded) => loaded,
            Err(errors) => panic!("{errors}"),
        }
    }

    /// The report, with the directory taken out of it.
    pub fn faults(&self) -> String {
        let report = Config::load(&self.sources).expect_err("a fault was expected").to_string();
        report.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

/// The report on a document.
pub fn faults(yaml: &str) -> String {
    Config::from_text("f.yaml", yaml).expect_err(yaml).to_string()
}

pub fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}
