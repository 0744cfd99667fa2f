//! What loading has to say: one line each, with the place, the key, and what would be right.

use std::fmt;
use std::path::PathBuf;

/// Where a value, or a fault, stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, and the line in it where that is known, counted from 1.
    File {
        /// Its path, as it was opened.
        path: PathBuf,
        /// The line.
        line: Option<u64>,
    },
    /// A value that was handed over as such, by this name.
    Value(String),
    /// An environment variable of this name.
    Environment(String),
    /// An argument of the command line.
    CommandLine,
    /// Nowhere: what holds when nothing is set.
    Defaults,
}

impl Place {
    /// The same place at another line; only a file has lines.
    pub(crate) fn at(&self, line: Option<u64>) -> Self {
        match self {
            Self::File { path, .. } => Self::File { path: path.clone(), line },
            other => other.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::Value(name) => f.write_str(name),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Defaults => f.write_str("defaults"),
        }
    }
}

/// A fault or a warning. It never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands.
    pub place: Place,
    /// The key's path, where there is one, as it was written.
    pub key: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(place: Place, key: Option<&str>, message: impl Into<String>) -> Self {
        Self { place, key: key.map(str::to_owned), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match &self.key {
            Some(key) => format!("{}: `{key}`: {}", self.place, self.message),
            None => format!("{}: {}", self.place, self.message),
        };
        // Names come from outside; a line stays a line whatever they hold.
        for c in line.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Every fault of a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(Vec<Finding>);

impl ConfigErrors {
    /// The faults as an error, if there are any.
    pub(crate) fn of(faults: Vec<Finding>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }

    /// The faults, at least one.
    pub fn faults(&self) -> &[Finding] {
        &self.0
    }
}

fn lines(faults: &[Finding]) -> String {
    let lines: Vec<_> = faults.iter().map(Finding::to_string).collect();
    lines.join("\n")
}
