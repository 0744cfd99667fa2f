//! How hosts misbehave, and which ones.
//!
//! A fault is a state of a host, not an event: it holds until another one is set. What matters to a scheduler is whether a launch
//! took effect although no answer came, so every fault says so.

use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::Deserialize;
use tonic::Code;

/// What happens to a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchFault {
    /// The agent answers with this code, and nothing runs.
    Refuse(Code),
    /// No answer ever comes. `runs`: whether the frame does.
    Hang {
        /// Whether the frame runs.
        runs: bool,
    },
    /// The answer comes after the delay.
    Late {
        /// The delay.
        delay: Duration,
        /// When the frame starts. With `AtAnswer` it starts even if the client has long gone away.
        starts: Starts,
    },
    /// The connection is reset instead of an answer. `runs`: whether the frame does.
    Drop {
        /// Whether the frame runs.
        runs: bool,
    },
}

/// When a late launch takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// Before the delay.
    AtOnce,
    /// After it.
    AtAnswer,
}

/// How a host behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// As it should.
    #[default]
    Healthy,
    /// Launches go wrong, everything else works.
    Launch(LaunchFault),
    /// Connections are taken, and no call is answered or has an effect. Frames run on, and reports are sent.
    Silent,
    /// Nothing gets through, in either direction. Frames run on; the host comes back with them.
    Partitioned,
    /// The machine is off: its frames end with it, unreported. It comes back without them, with a boot report.
    Dead,
}

impl Fault {
    /// Whether the host can be reached.
    pub(super) fn is_reachable(self) -> bool {
        !matches!(self, Self::Partitioned | Self::Dead)
    }
}

/// `refuse aborted`, `hang`, `hang-run`, `late 3s`, `late-start 3s`, `drop`, `drop-run`; the hosts' ones are `healthy`, `silent`,
/// `partitioned`, `dead`.
impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text.trim() {
            "healthy" => Self::Healthy,
            "silent" => Self::Silent,
            "partitioned" => Self::Partitioned,
            "dead" => Self::Dead,
            other => Self::Launch(other.parse()?),
        })
    }
}

impl FromStr for LaunchFault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut words = text.split_whitespace();
        let kind = words.next().context("a fault is missing")?;
        let argument = words.next();
        ensure!(words.next().is_none(), "`{text}`: one word too many after the fault");
        let delay = || {
            let text = argument.with_context(|| format!("`{kind}` needs a duration, for instance `{kind} 3s`"))?;
            humantime::parse_duration(text).with_context(|| format!("`{text}` is no duration such as 300ms or 5s"))
        };
        let plain = |fault| match argument {
            None => Ok(fault),
            Some(word) => Err(anyhow!("`{kind}` stands alone, `{word}` is too much")),
        };
        match kind {
            "refuse" => {
                let code = argument.context("`refuse` needs a code, for instance `refuse aborted`")?;
                Ok(Self::Refuse(code_of(code)?))
            }
            "hang" => plain(Self::Hang { runs: false }),
            "hang-run" => plain(Self::Hang { runs: true }),
            "drop" => plain(Self::Drop { runs: false }),
            "drop-run" => plain(Self::Drop { runs: true }),
            "late" => Ok(Self::Late { delay: delay()?, starts: Starts::AtOnce }),
            "late-start" => Ok(Self::Late { delay: delay()?, starts: Starts::AtAnswer }),
            other => bail!(
                "`{other}` is no fault: there are healthy, silent, partitioned, dead, refuse CODE, hang, hang-run, late TIME, \
                 late-start TIME, drop, drop-run"
            ),
        }
    }
}

impl<'de> Deserialize<'de> for LaunchFault {
    fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = String::deserialize(source)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("{error:#}")))
    }
}

fn code_of(text: &str) -> anyhow::Result<Code> {
    let wanted = text.to_ascii_lowercase().replace(['-', '_'], "");
    (1..=16)
        .map(Code::from_i32)
        .find(|code| format!("{code:?}").to_ascii_lowercase() == wanted)
        .with_context(|| format!("`{text}` is no gRPC code such as unknown, aborted or failed_precondition"))
}

/// Some hosts of a farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// All of them.
    All,
    /// Those with an address from the first to the last, both included.
    Range(Ipv4Addr, Ipv4Addr),
}

impl Hosts {
    /// Whether the host is meant.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        match self {
            Self::All => true,
            Self::Range(first, last) => (first..=last).contains(&address),
        }
    }
}

impl From<Ipv4Addr> for Hosts {
    fn from(address: Ipv4Addr) -> Self {
        Self::Range(address, address)
    }
}

/// `all`, `127.1.0.1`, `127.1.0.1-127.1.0.9` or `127.1.0.1+9`: the first and how many.
impl FromStr for Hosts {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let address = |text: &str| text.parse::<Ipv4Addr>().with_context(|| format!("`{text}` is no address"));
        if text == "all" {
            Ok(Self::All)
        } else if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (address(first)?, address(last)?);
            ensure!(first <= last, "`{text}` holds no host: the first address is above the last");
            Ok(Self::Range(first, last))
        } else if let Some((first, count)) = text.split_once('+') {
            let first = address(first)?;
            let count: u32 = count.parse().with_context(|| format!("`{count}` is no number of hosts"))?;
            let more = count.checked_sub(1).with_context(|| format!("`{text}` holds no host"))?;
            let last =
                u32::from(first).checked_add(more).with_context(|| format!("`{text}` goes past the last address"))?;
            Ok(Self::Range(first, Ipv4Addr::from(last)))
        } else {
            Ok(address(text)?.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_words() {
        let late = |starts| Fault::Launch(LaunchFault::Late { delay: Duration::from_secs(3), starts });
        let cases = [
            ("healthy", Fault::Healthy),
            (" dead ", Fault::Dead),
            ("partitioned", Fault::Partitioned),
            ("silent", Fault::Silent),
            ("refuse failed_precondition", Fault::Launch(LaunchFault::Refuse(Code::FailedPrecondition))),
            ("refuse UNKNOWN", Fault::Launch(LaunchFault::Refuse(Code::Unknown))),
            ("hang", Fault::Launch(LaunchFault::Hang { runs: false })),
            ("drop-run", Fault::Launch(LaunchFault::Drop { runs: true })),
            ("late 3s", late(Starts::AtOnce)),
            ("late-start 3s", late(Starts::AtAnswer)),
        ];
        for (text, fault) in cases {
            assert_eq!(text.parse::<Fault>().unwrap(), fault, "{text}");
        }
        for text in ["", "sick", "refuse", "refuse ok", "refuse nonsense", "late", "late soon", "hang 3s", "late 3s 4s"]
        {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_named_one_by_one_by_range_or_by_number() {
        let at = |last| Ipv4Addr::new(127, 1, 0, last);
        let cases = [
            ("all", Hosts::All),
            ("127.1.0.3", Hosts::Range(at(3), at(3))),
            ("127.1.0.3-127.1.0.9", Hosts::Range(at(3), at(9))),
            ("127.1.0.3+2", Hosts::Range(at(3), at(4))),
        ];
        for (text, hosts) in cases {
            assert_eq!(text.parse::<Hosts>().unwrap(), hosts, "{text}");
        }
        for text in ["", "some", "127.1.0.3-127.1.0.1", "127.1.0.3+0", "127.1.0.3+x", "255.255.255.255+2"] {
            assert!(text.parse::<Hosts>().is_err(), "{text}");
        }
        assert!(Hosts::Range(at(3), at(9)).contains(at(9)) && !Hosts::Range(at(3), at(9)).contains(at(10)));
    }
}
