//! What a value may look like: one description per key, used by the reader, by the reports and by the reference pages.

use std::fmt;
use std::time::Duration;

/// The longest duration of any key. Far above every use, and far below what would overflow a clock.
pub(crate) const DURATION_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// The form of a key's value, with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// A text that is not empty.
    Text,
    /// A text that is never shown.
    Secret,
    /// The path of a file.
    Path,
    /// A list of texts.
    Texts,
    /// A boolean.
    Flag,
    /// A time span, at least this long.
    Duration {
        /// The shortest that is allowed.
        min: Duration,
    },
    /// A number of bytes.
    Bytes,
    /// A whole number within bounds, both allowed.
    Whole {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A list of whole numbers within bounds, both allowed.
    Wholes {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A finite number.
    Real,
    /// A finite number above zero.
    RealAboveZero,
    /// One of these words, in any letter case.
    OneOf(&'static [&'static str]),
    /// A filter of log lines.
    LogFilter,
}

impl Kind {
    pub(crate) const fn whole(min: u64, max: u64) -> Self {
        Self::Whole { min, max }
    }

    /// Whether a value has items.
    pub(crate) const fn is_list(&self) -> bool {
        matches!(self, Self::Texts | Self::Wholes { .. })
    }

    pub(crate) const fn millis(min: u64) -> Self {
        Self::Duration { min: Duration::from_millis(min) }
    }

    /// The kind in one word, for tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "secret text",
            Self::Path => "path",
            Self::Texts => "list of texts",
            Self::Flag => "boolean",
            Self::Duration { .. } => "duration",
            Self::Bytes => "byte size",
            Self::Whole { .. } => "whole number",
            Self::Wholes { .. } => "list of whole numbers",
            Self::Real | Self::RealAboveZero => "number",
            Self::OneOf(_) => "word",
            Self::LogFilter => "log filter",
        }
    }

    /// A value of this kind, for a key that has no default to show.
    pub fn example(&self) -> String {
        match self {
            Self::Text | Self::Secret => "a-name".to_owned(),
            Self::Path => "/etc/cue-scheduler/a-file".to_owned(),
            Self::Texts => "[one, two]".to_owned(),
            Self::Flag => "true".to_owned(),
            Self::Duration { .. } => "5s".to_owned(),
            Self::Bytes => "2GiB".to_owned(),
            Self::Whole { min, max } => 20.clamp(*min, *max).to_string(),
            Self::Wholes { min, max } => format!("[{min}, {max}]"),
            Self::Real | Self::RealAboveZero => "1.5".to_owned(),
            Self::OneOf(words) => words.first().copied().unwrap_or_default().to_owned(),
            Self::LogFilter => "info,sqlx=warn".to_owned(),
        }
    }
}

/// What is allowed, in words that follow "allowed is".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text that is not empty"),
            Self::Secret => f.write_str("a text"),
            Self::Path => f.write_str("the path of a file"),
            Self::Texts => f.write_str("a list of texts"),
            Self::Flag => f.write_str("true or false (also yes, no, on, off, 1, 0)"),
            Self::Duration { min } => {
                f.write_str("a duration with its unit (ms, s, m, h or d)")?;
                if !min.is_zero() {
                    write!(f, " of at least {}", humantime::format_duration(*min))?;
                }
                Ok(())
            }
            Self::Bytes => f.write_str("a number of bytes, or a number with a unit (MB, MiB, GB or GiB)"),
            Self::Whole { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Wholes { min, max } => write!(f, "a list of whole numbers from {min} to {max}"),
            Self::Real => f.write_str("a number"),
            Self::RealAboveZero => f.write_str("a number above 0"),
            Self::OneOf(words) => f.write_str(&words.join(" or ")),
            Self::LogFilter => f.write_str("error, warn, info, debug, trace or off, and after commas target=level"),
        }
    }
}
