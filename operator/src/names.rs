//! Names of objects, from names that may be anything.
//!
//! A facility's name is free text in OpenCue, and the name of an object is a DNS label. `<resource>-<facility>` is what people
//! expect, and what they get wherever it is one. Otherwise it is `<resource>-<slug>-<hash>`: readable, and different for
//! different facilities. Two pairs can still meet (`a-b` with `c`, and `a` with `b-c`): who comes second is refused when its
//! objects are to be applied.

use sha2::{Digest as _, Sha256};

/// The longest name that Services, and labels, may have.
const LABEL_MAX: usize = 63;

/// The names of a facility's objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FacilityName {
    /// What tells the facility from others of the resource: a label's value, and a part of names.
    pub slug: String,
    /// The name of its objects.
    pub object: String,
}

impl FacilityName {
    /// The names for a facility of a resource.
    pub fn of(resource: &str, facility: &str) -> Self {
        let whole = format!("{resource}-{facility}");
        if is_dns_label(&whole) && is_dns_label(facility) {
            return Self { slug: facility.to_owned(), object: whole };
        }
        let hash = short_hash(facility.as_bytes(), 8);
        let room = LABEL_MAX.saturating_sub(resource.len() + hash.len() + 2);
        let words: String = readable(facility).chars().take(room).collect();
        let words = words.trim_end_matches('-');
        let slug = if words.is_empty() { hash } else { format!("{words}-{hash}") };
        Self { object: format!("{resource}-{slug}"), slug }
    }
}

/// Whether it can name a Service, apart from its first letter: at most 63 small letters, digits and dashes, none of these
/// at an end.
fn is_dns_label(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LABEL_MAX
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The letters and digits of a text in lower case, with single dashes for everything between them.
fn readable(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// The first digits of a SHA-256, in hexadecimal.
pub fn short_hash(bytes: &[u8], digits: usize) -> String {
    let digest = Sha256::digest(bytes);
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.take(digits).filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_that_is_a_dns_label_stays_as_it_is() {
        for facility in ["spi", "lax-2", "0", "a"] {
            let name = FacilityName::of("farm", facility);
            assert_eq!((name.slug.as_str(), name.object), (facility, format!("farm-{facility}")));
        }
    }

    #[test]
    fn every_other_name_becomes_one_and_different_ones_stay_different() {
        let long = "x".repeat(36);
        let facilities = ["SPI", "spi ", "sp i", "sp_i", "Zürich", "東京", "-", "-a", "a-", "a--b!", "$(HOME)", &long];
        let mut seen = BTreeSet::new();
        for facility in facilities {
            for resource in ["f", &"r".repeat(40)] {
                let name = FacilityName::of(resource, facility);
                assert!(is_dns_label(&name.object) && is_dns_label(&name.slug), "{name:?}");
                assert!(name.object.ends_with(&name.slug), "{name:?}");
                assert!(seen.insert(name.object.clone()), "{name:?}");
            }
        }
        assert_eq!(
            FacilityName::of("farm", "Los Angeles").object,
            format!("farm-los-angeles-{}", short_hash(b"Los Angeles", 8))
        );
    }

    #[test]
    fn the_longest_names_have_63_letters() {
        let name = FacilityName::of(&"r".repeat(40), &"f".repeat(36));
        assert_eq!(name.object.len(), 63);
    }
}
