//! `queue.host_booking_strategy`: two forms with keys of their own, read flat and then made one choice.

use crate::key::section;
use crate::kind::Kind;
use crate::tree::Node;
use crate::values::{Refused, Setting};

/// How the paths of these keys begin.
pub(crate) const STRATEGY: &str = "queue.host_booking_strategy.";

section! {
    /// How the host for a frame is chosen, as the file says it. [`HostBookingStrategy::choice`] is what it means.
    HostBookingStrategy {
        /// The form: `saturation` fills hosts up one after another, `epvm` scores each candidate by what would be left
        /// over. Without it, the keys that are given tell.
        form as "type": Option<StrategyType> = None, Kind::OneOf(&["saturation", "epvm"]);
        /// Only `saturation`: prefer the host with the fewest idle cores that fit, else the one with the most.
        core_saturation: Option<bool> = None, Kind::Flag;
        /// Only `saturation`: among equal cores, prefer the host with the least idle memory, else the one with the most.
        memory_saturation: Option<bool> = None, Kind::Flag;
        /// Only `epvm`, and needed there: how many hosts are scored each time a layer looks for one. They are taken evenly from
        /// all numbers of idle cores.
        max_candidates: Option<u32> = None, Kind::whole(1, 1_000_000);
        in /// Only `epvm`: weights of the score.
        weights: Weights;
    }
}

section! {
    /// Weights of the `epvm` score. The score counts frame-sized pieces of each resource that would be left over when the
    /// layer has filled the host; the lowest wins.
    Weights {
        /// Only `epvm`: weight of left-over cores.
        cores: f64 = 1.0, Kind::Real;
        /// Only `epvm`: weight of left-over memory.
        mem: f64 = 1.0, Kind::Real;
        /// Only `epvm`: weight of left-over GPUs, for layers that ask for GPUs or their memory.
        gpus: f64 = 2.0, Kind::Real;
        /// Only `epvm`: weight of left-over GPU memory, for layers that ask for GPUs or their memory.
        gpu_mem: f64 = 1.0, Kind::Real;
        /// Only `epvm`: penalty for each idle GPU of the host, for layers that ask for neither GPUs nor their memory.
        gpu_count_reservation: f64 = 2.0, Kind::Real;
        /// Only `epvm`: penalty for each idle gigabyte (10⁹ bytes) of GPU memory of the host, for layers that ask for neither GPUs nor their memory.
        gpu_mem_reservation: f64 = 2.0, Kind::Real;
    }
}

/// The name of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyType {
    /// Fill hosts up.
    Saturation,
    /// Score candidates.
    Epvm,
}

impl Setting for StrategyType {
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        match String::read(node, kind)?.trim().to_lowercase().as_str() {
            "saturation" => Ok(Self::Saturation),
            "epvm" => Ok(Self::Epvm),
            _ => Err(Refused),
        }
    }

    fn spell(&self) -> Option<String> {
        let word = match self {
            Self::Saturation => "saturation",
            Self::Epvm => "epvm",
        };
        Some(word.to_owned())
    }
}

/// The strategy that holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// Hosts in the order of their idle resources.
    Saturation {
        /// Fewest idle cores first, else most.
        cores: bool,
        /// Among equal cores least idle memory first, else most.
        memory: bool,
    },
    /// Hosts in the order of a score.
    Epvm {
        /// How many hosts are scored for a layer, at least 1.
        max_candidates: u32,
        /// The weights of the score.
        weights: Weights,
    },
}

impl HostBookingStrategy {
    /// What the keys mean together. Loading has checked that they fit.
    pub fn choice(&self) -> Strategy {
        match self.form_meant() {
            StrategyType::Saturation => Strategy::Saturation {
                cores: self.core_saturation.unwrap_or(true),
                memory: self.memory_saturation.unwrap_or(false),
            },
            StrategyType::Epvm => {
                Strategy::Epvm { max_candidates: self.max_candidates.unwrap_or(1), weights: self.weights.clone() }
            }
        }
    }

    /// Whether the form that holds has this key.
    pub(crate) fn takes(&self, key: &str) -> bool {
        match self.form_meant() {
            _ if key == "type" => true,
            StrategyType::Saturation => key.ends_with("_saturation"),
            StrategyType::Epvm => !key.ends_with("_saturation"),
        }
    }

    fn form_meant(&self) -> StrategyType {
        let epvm = self.max_candidates.is_some() || self.weights != Weights::default();
        match self.form {
            Some(form) => form,
            None if epvm => StrategyType::Epvm,
            None => StrategyType::Saturation,
        }
    }

    /// The first key that does not fit the form, and what is wrong with it. `given` tells which weights are set.
    pub(crate) fn misfit(&self, given: impl Fn(&str) -> bool) -> Option<(&'static str, String)> {
        const WEIGHTS: [&str; 6] = [
            "weights.cores",
            "weights.mem",
            "weights.gpus",
            "weights.gpu_mem",
            "weights.gpu_count_reservation",
            "weights.gpu_mem_reservation",
        ];
        let foreign = match self.form_meant() {
            StrategyType::Saturation if self.max_candidates.is_some() => Some("max_candidates"),
            StrategyType::Saturation => WEIGHTS.into_iter().find(|key| given(key)),
            StrategyType::Epvm if self.core_saturation.is_some() => Some("core_saturation"),
            StrategyType::Epvm if self.memory_saturation.is_some() => Some("memory_saturation"),
            StrategyType::Epvm if self.max_candidates.is_none() => {
                let message = "the form `epvm` needs it: how many hosts are scored, for example 20";
                return Some(("max_candidates", message.to_owned()));
            }
            StrategyType::Epvm => None,
        };
        let form = self.form_meant().spell().unwrap_or_default();
        foreign.map(|key| (key, format!("the form `{form}` has no such key")))
    }
}
