//! Tags: the words by which layers find hosts. Exact and case-sensitive; no patterns.

use std::sync::Arc;

/// The kind of a host's tag, `host_tag.str_tag_type`. The order is the order in which a match is attributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagKind {
    /// From the allocation.
    Alloc,
    /// Set by a person.
    Manual,
    /// The host's own name.
    Hostname,
    /// Claimed by the agent.
    Hardware,
}

impl TagKind {
    /// All kinds, in order.
    pub const ALL: [Self; 4] = [Self::Alloc, Self::Manual, Self::Hostname, Self::Hardware];

    /// From the column, exact upper case; anything else is a tag that nobody schedules by.
    pub fn from_column(text: &str) -> Option<Self> {
        match text {
            "ALLOC" => Some(Self::Alloc),
            "MANUAL" => Some(Self::Manual),
            "HOSTNAME" => Some(Self::Hostname),
            "HARDWARE" => Some(Self::Hardware),
            _ => None,
        }
    }

    /// The `cluster_type` label of the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Alloc => "alloc",
            Self::Manual => "manual",
            Self::Hostname => "hostname",
            Self::Hardware => "hardware",
        }
    }
}

/// A tag of a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostTag {
    /// The tag.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: TagKind,
}

/// The tags of a layer, from `layer.str_tags`: blanks (U+0020) removed wherever they stand, then split at `|`, empty ones
/// dropped. One parser for the whole program, so that no two places can disagree.
pub fn parse_layer_tags(text: &str) -> Vec<Arc<str>> {
    let joined: String = text.chars().filter(|c| *c != ' ').collect();
    joined.split('|').filter(|tag| !tag.is_empty()).map(Arc::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        parse_layer_tags(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tags_are_what_stands_between_bars_without_blanks() {
        for (text, tags) in [
            ("", &[][..]),
            ("   ", &[]),
            ("||| |", &[]),
            ("general", &["general"]),
            (" gen eral | desktop|", &["general", "desktop"]),
            ("a|a", &["a", "a"]),
            ("'\"|;--", &["'\"", ";--"]),
            ("ünï🎬 | \u{a0}x", &["ünï🎬", "\u{a0}x"]),
            ("tab\there", &["tab\there"]),
        ] {
            assert_eq!(parsed(text), tags, "{text:?}");
        }
        let long = "t".repeat(10_240);
        assert_eq!(parsed(&long), [long]);
    }

    proptest! {
        #[test]
        fn any_text_gives_tags_that_read_back_as_themselves(text in "[ -~|üñ🎬\u{0}-\u{1f}]{0,300}") {
            let tags = parsed(&text);
            prop_assert!(tags.iter().all(|tag| !tag.is_empty() && !tag.contains([' ', '|'])));
            prop_assert_eq!(parsed(&tags.join(" | ")), tags);
        }
    }
}
