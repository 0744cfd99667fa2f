//! Amounts of a farm description, written with their unit so that nobody has to remember the column's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Cores, held in hundredths as the database holds them.
///
/// In YAML a plain number is cores (`4`, `0.5`); a text gives hundredths by name (`150 centicores`, `-1 centicores`), which is
/// the way to write the database's sentinels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cores(i64);

impl Cores {
    /// `n` whole cores.
    pub const fn whole(n: i64) -> Self {
        Self(n.saturating_mul(100))
    }

    /// `n` hundredths of a core.
    pub const fn centicores(n: i64) -> Self {
        Self(n)
    }

    /// In hundredths, as every `int_cores*` column wants them.
    pub const fn to_centicores(self) -> i64 {
        self.0
    }
}

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an amount of cores; write 4, 0.5 or `150 centicores`");
        let text = text.trim();
        if let Some(number) = text.strip_suffix("centicores") {
            return number.trim().parse().map(Self).map_err(|_| wrong());
        }
        let number: f64 = text.parse().map_err(|_| wrong())?;
        let hundredths = (number * 100.0).round();
        if !number.is_finite() || (hundredths - number * 100.0).abs() > 1e-6 || hundredths.abs() > 9e15 {
            return Err(wrong());
        }
        Ok(Self(hundredths as i64))
    }
}

impl Serialize for Cores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 100 == 0 {
            serializer.serialize_i64(self.0 / 100)
        } else {
            serializer.collect_str(&format_args!("{} centicores", self.0))
        }
    }
}

impl<'de> Deserialize<'de> for Cores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Scalar::deserialize(deserializer)?.to_string().parse().map_err(de::Error::custom)
    }
}

/// Memory in kibibytes, as the database holds it. In YAML always a text with its unit: `512 MiB`, `4GiB`, `100 KiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(i64);

impl Memory {
    /// `n` kibibytes.
    pub const fn kib(n: i64) -> Self {
        Self(n)
    }

    /// `n` gibibytes.
    pub const fn gib(n: i64) -> Self {
        Self(n.saturating_mul(1024 * 1024))
    }

    /// In kibibytes, as every `int_mem*` and `int_gpu_mem*` column wants them.
    pub const fn to_kib(self) -> i64 {
        self.0
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an amount of memory; write `512 MiB`, `4 GiB` or `1 KiB`");
        for (unit, kib) in [("KiB", 1), ("MiB", 1024), ("GiB", 1024 * 1024)] {
            if let Some(number) = text.trim().strip_suffix(unit) {
                let number: i64 = number.trim().parse().map_err(|_| wrong())?;
                return number.checked_mul(kib).map(Self).ok_or_else(wrong);
            }
        }
        Err(wrong())
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB", self.0)
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Scalar::deserialize(deserializer)?.to_string().parse().map_err(de::Error::custom)
    }
}

/// What YAML may have where an amount is wanted.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Whole(i64),
    Fraction(f64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Fraction(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read_in_cores_or_in_named_hundredths() {
        for (text, centicores) in
            [("4", 400), ("0.5", 50), ("1.25", 125), ("-1", -100), ("-1 centicores", -1), ("150 centicores", 150)]
        {
            assert_eq!(text.parse(), Ok(Cores::centicores(centicores)), "{text}");
        }
        for text in ["", "four", "0.001", "1 core", "NaN"] {
            assert!(text.parse::<Cores>().is_err(), "{text}");
        }
    }

    #[test]
    fn memory_needs_its_unit() {
        for (text, kib) in [("1 KiB", 1), ("2MiB", 2048), ("3 GiB", 3 * 1024 * 1024)] {
            assert_eq!(text.parse(), Ok(Memory::kib(kib)), "{text}");
        }
        for text in ["4096", "4 GB", "1.5 GiB", "99999999999999 GiB"] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
    }
}
