//! Tells whether a farm's database is right, knowing nothing of who wrote it.
//!
//! After any run the procs are the truth: what hosts have idle, what the five counters say, which frames are RUNNING and what
//! the caps allow all follow from them. This module counts everything anew from the rows and lists every place that disagrees.
//! It shares no code with the scheduler, so a fault in a shared understanding can't hide, and it reads one snapshot, so that it
//! may be asked in the middle of a run: procs and counters change together, hence in every snapshot they agree.
//!
//! Two things are not always agreed. Where Cuebot leaves the counters of managed shows alone at a release, they stand too high
//! until somebody sets them right ([`Audit::is_clean_but_for_high_counters`]); and a proc that was given up as lost is deleted
//! a moment before its frame is cleared.
//!
//! [`Sampler`] looks at caps and hosts during a run, since a cap that was passed for a second leaves no trace at the end.

mod deadlocks;
mod sampler;

use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, PgPool};

pub use deadlocks::{DeadlockLog, Deadlocks};
pub use sampler::{CapRecord, CapRecords, Sampler, StartOver};

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Counters of subscription, layer, job, folder and point that are not the sum of their procs.
    pub counters: Vec<Difference>,
    /// Hosts whose idle amounts are not what their procs leave, or are negative.
    pub hosts: Vec<Difference>,
    /// RUNNING frames without a proc, procs on frames that don't run, frames with two procs.
    pub running: Vec<Difference>,
    /// Counts of `layer_stat` and `job_stat` that are not those of the frames.
    pub counts: Vec<Difference>,
    /// Caps below their use.
    pub over_caps: Vec<CapUse>,
}

/// One figure that should be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Difference {
    /// Table and dimension, such as `job_resource cores`.
    pub what: String,
    /// Primary key of the row that is wrong, or of what it stands for.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// What the row says, in the unit of its column.
    pub found: i64,
    /// What it should say.
    pub expected: i64,
}

/// How much of a cap is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct CapUse {
    /// `subscription burst`, `job max cores`, `job max gpus`, `folder max cores`, `folder max gpus`, `limit`.
    pub cap: String,
    /// Primary key of what is capped.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// Centicores, GPUs, running frames or hosts that run them.
    pub used: i64,
    /// The cap, in the same unit; nothing below zero.
    pub allowed: i64,
}

/// Counts everything anew in one snapshot.
pub async fn audit(pool: &PgPool) -> Result<Audit, sqlx::Error> {
    let mut snapshot = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let audit = Audit {
        counters: differences(&mut snapshot, include_str!("queries/counters.sql")).await?,
        hosts: differences(&mut snapshot, include_str!("queries/hosts.sql")).await?,
        running: differences(&mut snapshot, include_str!("queries/running.sql")).await?,
        counts: differences(&mut snapshot, include_str!("queries/counts.sql")).await?,
        over_caps: caps(&mut snapshot).await?.into_iter().map(|cap| cap.used).filter(CapUse::is_passed).collect(),
    };
    snapshot.commit().await?;
    Ok(audit)
}

async fn differences(connection: &mut PgConnection, query: &'static str) -> Result<Vec<Difference>, sqlx::Error> {
    sqlx::query_as(query).fetch_all(connection).await
}

/// A cap at an instant, in use or not.
#[derive(Clone, Debug, FromRow)]
struct Cap {
    #[sqlx(flatten)]
    used: CapUse,
    /// What is under it: `proc.pk_proc`.
    procs: Vec<String>,
    /// By what each of them, in the same order, takes a place; empty where it is the proc itself.
    places: Vec<String>,
    /// Changes when the cap counts another set of things.
    counted: String,
}

async fn caps(connection: &mut PgConnection) -> Result<Vec<Cap>, sqlx::Error> {
    sqlx::query_as(include_str!("queries/caps.sql")).fetch_all(connection).await
}

impl Cap {
    /// The procs, each with that by which it takes a place.
    fn taken(&self) -> impl Iterator<Item = (&String, &String)> {
        self.procs.iter().enumerate().map(|(at, proc)| (proc, self.places.get(at).unwrap_or(proc)))
    }
}

impl CapUse {
    /// More is in use than allowed.
    pub fn is_passed(&self) -> bool {
        self.used > self.allowed
    }
}

impl Audit {
    /// Nothing is wrong at all.
    pub fn is_clean(&self) -> bool {
        self.counters.is_empty() && self.is_clean_but_for_counters()
    }

    /// Nothing is wrong but counters that are higher than their sums: the state to expect where Cuebot doesn't decrement the
    /// counters of managed shows. Such counters can only refuse work, never let too much in.
    pub fn is_clean_but_for_high_counters(&self) -> bool {
        self.counters.iter().all(|counter| counter.found > counter.expected) && self.is_clean_but_for_counters()
    }

    fn is_clean_but_for_counters(&self) -> bool {
        self.hosts.is_empty() && self.running.is_empty() && self.counts.is_empty() && self.over_caps.is_empty()
    }

    fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.counters.iter().chain(&self.hosts).chain(&self.running).chain(&self.counts)
    }
}

/// How many lines a person is shown; the whole list is for machines.
const LINES_SHOWN: usize = 40;

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("nothing is wrong");
        }
        let lines: Vec<String> =
            self.differences().map(Difference::to_string).chain(self.over_caps.iter().map(CapUse::to_string)).collect();
        write!(f, "{} things are wrong", lines.len())?;
        for line in lines.iter().take(LINES_SHOWN) {
            write!(f, "\n  {line}")?;
        }
        if lines.len() > LINES_SHOWN {
            write!(f, "\n  and {} more", lines.len() - LINES_SHOWN)?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, id, name, found, expected } = self;
        write!(f, "{what} of {name} ({id}): {found}, should be {expected}")
    }
}

impl fmt::Display for CapUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cap, id, name, used, allowed } = self;
        write!(f, "{cap} of {name} ({id}): {used} in use, {allowed} allowed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(found: i64) -> Difference {
        Difference {
            what: "job_resource cores".to_owned(),
            id: "1".to_owned(),
            name: "comp".to_owned(),
            found,
            expected: 100,
        }
    }

    #[test]
    fn only_counters_that_are_too_high_are_forgiven() {
        let high = Audit { counters: vec![difference(200)], ..Audit::default() };
        assert!(high.is_clean_but_for_high_counters() && !high.is_clean());
        let low = Audit { counters: vec![difference(0)], ..Audit::default() };
        assert!(!low.is_clean_but_for_high_counters());
        let host = Audit { hosts: vec![difference(200)], ..high };
        assert!(!host.is_clean_but_for_high_counters());
    }

    #[test]
    fn a_person_is_told_place_and_both_figures_and_not_flooded() {
        let audit = Audit { counters: vec![difference(200); 50], ..Audit::default() };
        let text = audit.to_string();
        assert!(
            text.starts_with("50 things are wrong\n  job_resource cores of comp (1): 200, should be 100\n"),
            "{text}"
        );
        assert!(text.ends_with("and 10 more"), "{text}");
        assert_eq!(Audit::default().to_string(), "nothing is wrong");
    }
}
