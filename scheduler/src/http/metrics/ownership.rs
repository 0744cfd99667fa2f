//! Who is there, who works on what, and how that changes.

use prometheus::{Counter, CounterVec, Error, Gauge};

use super::Metrics;
use super::families;
use super::register::Maker;
use crate::ownership::{self, HandOver, Standing, View};

pub(super) struct OwnershipMetrics {
    coordination: Gauge,
    members: Gauge,
    strangers: Gauge,
    pools: Gauge,
    owned: Gauge,
    hand_overs: CounterVec,
    ended: Counter,
    left_behind: Counter,
}

impl OwnershipMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, Error> {
        Ok(Self {
            coordination: make.gauge(&families::COORDINATION)?,
            members: make.gauge(&families::MEMBERS)?,
            strangers: make.gauge(&families::STRANGERS)?,
            pools: make.gauge(&families::POOLS)?,
            owned: make.gauge(&families::POOLS_OWNED)?,
            hand_overs: make.counters(&families::HAND_OVERS)?,
            ended: make.counter(&families::MEMBERS_ENDED)?,
            left_behind: make.counter(&families::LEFT_BEHIND)?,
        })
    }
}

impl ownership::Observer for Metrics {
    fn handed_over(&self, how: HandOver, pools: usize) {
        self.ownership.hand_overs.with_label_values(&[how.label()]).inc_by(pools as f64);
    }

    fn ended(&self, _member: &str) {
        self.ownership.ended.inc();
    }

    fn left_behind(&self, procs: usize) {
        self.ownership.left_behind.inc_by(procs as f64);
    }

    fn looked(&self, view: &View) {
        let of = &self.ownership;
        of.coordination.set(f64::from(u8::from(view.standing == Standing::Member)));
        of.members.set(view.seen.members.len() as f64);
        of.strangers.set(view.seen.strangers.len() as f64);
        of.pools.set(view.pools.len() as f64);
        of.owned.set(view.owned as f64);
    }
}
