//! The types of values, and how each is read from a node of the tree.
//!
//! Reading is lenient in spelling and strict in meaning: `"4"`, `4` and `4.0` are one whole number, and no spelling
//! yields a value outside the key's bounds. Nothing here knows which key it reads; the reports are made where that is
//! known.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::kind::{DURATION_MAX, Kind};
use crate::tree::{Node, Value};

/// A value was not of its kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// A type that a key can have.
pub(crate) trait Setting: Sized {
    /// Whether nothing is a value.
    const OPTIONAL: bool = false;

    /// The value that the node spells, if it is of the kind.
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused>;

    /// How a file would spell the value; `None` for none, and for secrets.
    fn spell(&self) -> Option<String>;
}

/// A number of bytes. True bytes: `2GiB` is 2 × 2³⁰, `2GB` is 2 × 10⁹.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` gibibytes.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// In kibibytes, the unit of the database's memory columns, a fraction dropped.
    pub const fn kib(self) -> u64 {
        self.0 >> 10
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let exact = units.iter().find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift);
        match exact {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A text that is never printed: neither `Debug` nor any report shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// How many things may be under way at once; 0 in the file is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight(pub u32);

impl InFlight {
    /// As a number of permits, at least 1. No limit is more than any semaphore will ever be asked for, and less than
    /// the most that tokio's can hold.
    pub fn permits(self) -> usize {
        match self.0 {
            0 => u32::MAX as usize >> 4,
            n => n as usize,
        }
    }
}

impl Setting for bool {
    fn read(node: &Node, _: &Kind) -> Result<Self, Refused> {
        match &node.value {
            Value::Bool(flag) => Ok(*flag),
            Value::Integer(number) => Ok(*number != 0),
            Value::Float(number) => Ok(*number != 0.0),
            Value::Text(text) => match text.trim().to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(Refused),
            },
            _ => Err(Refused),
        }
    }

    fn spell(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A whole number within the kind's bounds, or an item of a list of them. A fraction is rounded, since the files of upstream
/// may have one.
fn whole(node: &Node, kind: &Kind) -> Result<u64, Refused> {
    let (Kind::Whole { min, max } | Kind::Wholes { min, max }) = kind else {
        return Err(Refused);
    };
    let number = match &node.value {
        Value::Integer(number) => *number,
        Value::Float(number) if number.is_finite() => number.round() as i128,
        Value::Text(text) => text.trim().parse().map_err(|_| Refused)?,
        _ => return Err(Refused),
    };
    u64::try_from(number).ok().filter(|number| (min..=max).contains(&number)).ok_or(Refused)
}

macro_rules! whole_numbers {
    ($($ty:ty),+) => {$(
        impl Setting for $ty {
            fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
                Self::try_from(whole(node, kind)?).map_err(|_| Refused)
            }

            fn spell(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+};
}

whole_numbers!(u16, u32, u64, usize);

impl Setting for InFlight {
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        u32::read(node, kind).map(Self)
    }

    fn spell(&self) -> Option<String> {
        self.0.spell()
    }
}

impl Setting for f64 {
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        let number = match &node.value {
            Value::Integer(number) => *number as f64,
            Value::Float(number) => *number,
            Value::Text(text) => text.trim().parse().map_err(|_| Refused)?,
            _ => return Err(Refused),
        };
        let allowed = number.is_finite() && (number > 0.0 || *kind != Kind::RealAboveZero);
        allowed.then_some(number).ok_or(Refused)
    }

    fn spell(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl Setting for Duration {
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        let (Kind::Duration { min }, Value::Text(text)) = (kind, &node.value) else {
            return Err(Refused);
        };
        let text = text.trim();
        // The library takes a bare 0; a number without a unit is refused whatever it is.
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(Refused);
        }
        let span = humantime::parse_duration(text).map_err(|_| Refused)?;
        (*min..=DURATION_MAX).contains(&span).then_some(span).ok_or(Refused)
    }

    fn spell(&self) -> Option<String> {
        Some(humantime::format_duration(*self).to_string())
    }
}

impl Setting for Bytes {
    fn read(node: &Node, _: &Kind) -> Result<Self, Refused> {
        /// An exbibyte: more than any host, and far from overflow in any unit.
        const MOST: u64 = 1 << 60;
        let bytes = match &node.value {
            Value::Integer(number) => u64::try_from(*number).map_err(|_| Refused)?,
            Value::Text(text) => {
                let text = text.trim();
                // A fraction of a byte is a unit that was forgotten.
                if text.contains('.') && text.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
                    return Err(Refused);
                }
                text.parse::<bytesize::ByteSize>().map_err(|_| Refused)?.as_u64()
            }
            _ => return Err(Refused),
        };
        (bytes <= MOST).then_some(Self(bytes)).ok_or(Refused)
    }

    fn spell(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A scalar as it was written: `12` is a fine name of a facility.
fn spelled(node: &Node) -> Result<&str, Refused> {
    match (&node.value, &node.spelling) {
        (Value::Text(text), _) => Ok(text),
        (Value::Bool(_) | Value::Integer(_) | Value::Float(_), Some(spelling)) => Ok(spelling),
        _ => Err(Refused),
    }
}

impl Setting for String {
    fn read(node: &Node, _: &Kind) -> Result<Self, Refused> {
        let text = spelled(node)?;
        (!text.trim().is_empty()).then(|| text.to_owned()).ok_or(Refused)
    }

    fn spell(&self) -> Option<String> {
        Some(plain_or_quoted(self))
    }
}

/// A text as a YAML file would spell it: plain where that can't be read as anything else, also inside a list.
fn plain_or_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./=-".contains(c);
    let read_otherwise = ["null", "~"].contains(&text.to_lowercase().as_str()) || text.starts_with(['-', '=']);
    if !text.is_empty() && text.chars().all(plain) && !read_otherwise {
        return text.to_owned();
    }
    // Every text of JSON is one of YAML.
    serde_json::Value::from(text).to_string()
}

impl Setting for PathBuf {
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        String::read(node, kind).map(Self::from)
    }

    fn spell(&self) -> Option<String> {
        // Paths come from texts.
        self.to_str().map(plain_or_quoted)
    }
}

impl Setting for Secret {
    fn read(node: &Node, _: &Kind) -> Result<Self, Refused> {
        spelled(node).map(Self::new)
    }

    fn spell(&self) -> Option<String> {
        None
    }
}

impl Setting for Vec<u32> {
    // As a list of texts.
    const OPTIONAL: bool = true;

    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        items(node, kind)
    }

    fn spell(&self) -> Option<String> {
        let items: Vec<String> = self.iter().map(u32::to_string).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

/// The items of a list; nothing is an empty one.
fn items<T: Setting>(node: &Node, kind: &Kind) -> Result<Vec<T>, Refused> {
    match &node.value {
        Value::Null => Ok(Vec::new()),
        Value::List(items) => items.iter().map(|item| T::read(item, kind)).collect(),
        _ => Err(Refused),
    }
}

impl Setting for Vec<String> {
    // A list whose items are all commented out is empty, not an error.
    const OPTIONAL: bool = true;

    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        items(node, kind)
    }

    fn spell(&self) -> Option<String> {
        let items: Vec<String> = self.iter().map(|item| plain_or_quoted(item)).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

impl<T: Setting> Setting for Option<T> {
    const OPTIONAL: bool = true;

    /// Nothing, and an empty text, are none: an environment variable can't be null.
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        match &node.value {
            Value::Null => Ok(None),
            Value::Text(text) if text.trim().is_empty() => Ok(None),
            _ => T::read(node, kind).map(Some),
        }
    }

    fn spell(&self) -> Option<String> {
        self.as_ref().and_then(T::spell)
    }
}

#[cfg(test)]
mod tests;
