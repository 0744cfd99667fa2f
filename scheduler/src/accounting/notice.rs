//! What Cuebot's messages say has changed. They are taken for marks and never for amounts: they may be lost, come late, and round
//! cores down.

use serde::Deserialize;

/// The channel on which Cuebot announces releases of managed shows' procs, in the generation that leaves their counters alone.
pub const RELEASES: &str = "acct_release";

/// The channel on which the same Cuebot announces that a user changed a cap.
pub const CAPS: &str = "acct_limit_change";

/// Something has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A proc is gone: its host has room, and counters may stand too high.
    Released(Released),
    /// A cap is another.
    CapChanged,
}

/// Whose proc was released; ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[allow(missing_docs, reason = "named as the tables")]
pub struct Released {
    pub show: String,
    pub alloc: String,
    pub folder: String,
    pub job: String,
    pub layer: String,
    #[serde(rename = "dept")]
    pub department: String,
}

impl Notice {
    /// Reads a message. Fields that are not known are not looked at.
    pub fn parse(channel: &str, payload: &str) -> Result<Self, serde_json::Error> {
        if channel == RELEASES { serde_json::from_str(payload).map(Self::Released) } else { Ok(Self::CapChanged) }
    }

    /// A label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Released(_) => "release",
            Self::CapChanged => "cap",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_whose_proc_it_was_and_its_amounts_are_not_looked_at() {
        let payload =
            r#"{"show":"s","alloc":"a","folder":"f","job":"j","layer":"l","dept":"d","cores":-1,"gpus":0,"new":[1]}"#;
        let [show, alloc, folder, job, layer, department] = ["s", "a", "f", "j", "l", "d"].map(str::to_owned);
        let released = Released { show, alloc, folder, job, layer, department };
        assert_eq!(Notice::parse(RELEASES, payload).unwrap(), Notice::Released(released));
    }

    #[test]
    fn a_message_that_makes_no_sense_is_an_error() {
        for payload in ["", "{}", "null", "[]", r#"{"show":7}"#, "\u{0}", r#"{"show":"s","alloc":"a"}"#] {
            assert!(Notice::parse(RELEASES, payload).is_err(), "{payload}");
        }
    }

    #[test]
    fn that_a_cap_was_changed_is_known_whatever_the_message_says() {
        assert_eq!(Notice::parse(CAPS, "gibberish").unwrap(), Notice::CapChanged);
    }
}
