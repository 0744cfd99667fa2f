//! What a family of metrics is: its name, its type, its labels, and what it means.

use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::reason::Reason;

use crate::booking::Refusal;
use crate::feed::Standstill;
use crate::ownership::HandOver;
use crate::store::StoreError;
use crate::store::accounting::CounterTable;

/// A family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// As it is scraped.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it is told apart by.
    pub labels: &'static [Label],
    /// Whether the retired scheduler had it.
    pub origin: Origin,
    /// What it counts, in one sentence without a full stop; the help text of a scrape.
    pub help: &'static str,
    /// What a reader of the reference wants to know besides, or nothing.
    pub more: &'static str,
}

/// A family's type.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations, in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// Where a name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The retired scheduler.
    Retired,
    /// This one.
    Ours,
    /// Custom among all programs that Prometheus watches.
    Custom,
}

/// A label, and from which set its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A show's name: only shows that are managed, as of the last reload of the clusters.
    Show,
    /// The kind of a tag.
    ClusterType,
    /// What became of a layer that looked for hosts.
    Checkout,
    /// How a pass ended.
    PassEnd,
    /// A counter with a cap.
    Table,
    /// A table of counters.
    CounterTable,
    /// What Cuebot announced.
    Notice,
    /// What forbids booking altogether.
    Standstill,
    /// Why frames wait.
    Reason,
    /// Why the booking transaction refused.
    Refusal,
    /// Which error let a transaction be repeated.
    Sqlstate,
    /// What became of a launch.
    Launch,
    /// A part of a pass.
    Step,
    /// How pools changed hands.
    HandOver,
}

impl Label {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Show => "show_name",
            Self::ClusterType => "cluster_type",
            Self::Checkout | Self::Launch => "outcome",
            Self::PassEnd | Self::Reason => "reason",
            Self::Table | Self::CounterTable => "table",
            Self::Refusal | Self::Standstill => "cause",
            Self::Sqlstate => "sqlstate",
            Self::Step => "step",
            Self::Notice => "kind",
            Self::HandOver => "how",
        }
    }

    /// All values it can have; `None` for shows, which come and go.
    pub fn values(self) -> Option<Vec<&'static str>> {
        Some(match self {
            Self::Show => return None,
            Self::ClusterType => TagKind::ALL.map(TagKind::label).to_vec(),
            Self::Checkout => vec!["booked", "no_progress", "no_match", "dispatch_error"],
            Self::PassEnd => vec!["booked", "saturated", "no_jobs", "query_error"],
            Self::Table => vec!["subscription", "folder", "job", "folder_gpus", "job_gpus"],
            Self::CounterTable => CounterTable::ALL.map(CounterTable::name).to_vec(),
            Self::Notice => vec!["release", "cap", "malformed"],
            Self::Standstill => Standstill::ALL.map(Standstill::label).to_vec(),
            Self::Reason => Reason::ALL.map(Reason::label).to_vec(),
            Self::Refusal => Refusal::ALL.map(Refusal::label).to_vec(),
            Self::Sqlstate => StoreError::RETRYABLE.to_vec(),
            Self::Launch => vec!["launched", "refused", "not_sent", "unknown", "fenced", "adopted", "undone", "left"],
            Self::Step => vec!["read", "plan", "book"],
            Self::HandOver => HandOver::ALL.map(HandOver::label).to_vec(),
        })
    }
}
