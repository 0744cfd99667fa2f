//! Answers as machines read them. Amounts have their unit beside them: cores may be fractions, memory is in KiB.

use cue_scheduler_core::domain::amount::{Centicores, Frames, Gpus, Hosts, Kb};
use cue_scheduler_core::reason::{Bound, Full, Lack, Nearest, Obstacle, Short};
use serde_json::{Map, Value, json};

use crate::feed::Standstill;

use super::{Answer, Block, DryPass, Explanation, LayerExplanation, PoolAnswer, Unserved};

/// An amount with its unit.
trait Amount: Copy {
    const UNIT: &'static str;
    fn number(self) -> Value;
}

macro_rules! amounts {
    ($($type:ident in $unit:literal),+) => {$(
        impl Amount for $type {
            const UNIT: &'static str = $unit;
            fn number(self) -> Value {
                self.0.into()
            }
        }
    )+};
}

amounts!(Gpus in "gpus", Kb in "kib", Frames in "frames", Hosts in "hosts");

impl Amount for Centicores {
    const UNIT: &'static str = "cores";
    fn number(self) -> Value {
        (self.0 as f64 / 100.0).into()
    }
}

fn full<U: Amount>(full: &Full<U>) -> Value {
    json!({
        "unit": U::UNIT, "wanted": full.wanted.number(), "used": full.used.number(), "most": full.most.number(),
    })
}

fn short<U: Amount>(what: &str, short: &Short<U>) -> Value {
    json!({"what": what, "unit": U::UNIT, "wanted": short.wanted.number(), "had": short.had.number()})
}

fn nearest(nearest: Option<&Nearest>) -> Value {
    nearest.map_or(Value::Null, |Nearest { host, lack }| {
        let lacks = match lack {
            Lack::Cores(n) => short("cores", n),
            Lack::WholeHost(n) => short("whole_host", n),
            Lack::Memory(n) => short("memory", n),
            Lack::Gpus(n) => short("gpus", n),
            Lack::GpuMemory(n) => short("gpu_memory", n),
            Lack::BelowZero => json!({"what": "below_zero"}),
        };
        json!({"host": **host, "lacks": lacks})
    })
}

/// An obstacle: its reason, and its numbers under names that depend on it.
pub fn obstacle(obstacle: &Obstacle) -> Value {
    let mut answer = match obstacle {
        Obstacle::SubscriptionFrozen => json!({}),
        Obstacle::SubscriptionFull(n) | Obstacle::FolderCores(n) | Obstacle::JobCores(n) => json!({"cap": full(n)}),
        Obstacle::FolderGpus(n) | Obstacle::JobGpus(n) => json!({"cap": full(n)}),
        Obstacle::Limit { name, frames } => json!({"limit": **name, "cap": full(frames)}),
        Obstacle::HostLimit { name, hosts } => json!({"limit": **name, "cap": full(hosts)}),
        Obstacle::NoHostWithTag { hosts } | Obstacle::NoHostForUnthreaded { hosts } => json!({"hosts": hosts}),
        Obstacle::NoHostWithOs { hosts, os } => json!({"hosts": hosts, "os": **os}),
        Obstacle::NoHostLargeEnough { hosts, nearest: n } | Obstacle::HostsBusy { hosts, nearest: n } => {
            json!({"hosts": hosts, "nearest": nearest(n.as_ref())})
        }
        Obstacle::HostsQuarantined { hosts, host } => json!({"hosts": hosts, "host": **host}),
        Obstacle::PassBound(Bound::Frames(most)) => json!({"frames_per_pass": most}),
        Obstacle::PassBound(Bound::Hosts(most)) => json!({"hosts_per_pass": most}),
        Obstacle::PassBound(Bound::Jobs(most)) => json!({"jobs_per_pass": most}),
        Obstacle::Unbuildable { error } => json!({"error": **error}),
        Obstacle::Refused { cause } => json!({"cause": cause}),
    };
    if let Value::Object(fields) = &mut answer {
        fields.insert("reason".to_owned(), obstacle.reason().label().into());
    }
    answer
}

/// The answer to `explain --json`.
pub fn answer(answer: &Answer) -> Value {
    match answer {
        Answer::Job(explanation) => job(explanation),
        Answer::NoSuchJob { asked, near } => json!({"error": "no_such_job", "asked": asked, "near": near}),
        Answer::Several { asked, names } => json!({"error": "several_jobs", "asked": asked, "near": names}),
    }
}

fn job(job: &Explanation) -> Value {
    let blocks: Vec<Value> = job
        .blocks
        .iter()
        .map(|block| match block {
            Block::Standstill(standstill) => json!({"block": "standstill", "cause": standstill.label()}),
            Block::NotPending => json!({"block": "not_pending"}),
            Block::Paused => json!({"block": "paused"}),
            Block::ShowNotManaged => json!({"block": "show_not_managed"}),
            Block::ShowInactive => json!({"block": "show_inactive"}),
            Block::OtherFacility(scope) => json!({"block": "other_facility", "scope": scope}),
        })
        .collect();
    json!({
        "job": {
            "id": job.id, "name": job.name, "state": job.state, "show": job.show, "facility": job.facility,
            "folder": job.folder, "os": job.os, "priority": job.priority,
        },
        "blocks": blocks,
        "layers": job.layers.iter().map(layer).collect::<Vec<_>>(),
        "depends_left_out": job.depends_left_out,
    })
}

fn layer(layer: &LayerExplanation) -> Value {
    let frames = &layer.frames;
    let depends: Vec<Value> = layer
        .depends
        .iter()
        .map(|depend| {
            json!({"job": depend.job, "layer": depend.layer, "frame": depend.frame, "frames_left": depend.left})
        })
        .collect();
    let unserved = layer.unserved.as_ref().map(|unserved| {
        let (why, names) = match unserved {
            Unserved::NoTags => ("no_tags", &[][..]),
            Unserved::TagsIgnored => ("tags_ignored", &[][..]),
            Unserved::NoSubscription(names) => ("no_subscription", &names[..]),
            Unserved::OtherAllocations(names) => ("other_allocations", &names[..]),
            Unserved::OtherFacilities(names) => ("other_facilities", &names[..]),
            Unserved::UnknownTags(names) => ("unknown_tags", &names[..]),
        };
        json!({"why": why, "names": names})
    });
    json!({
        "id": layer.id,
        "name": layer.name,
        "tags": layer.tags.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        "frames": {
            "total": frames.total, "waiting": frames.waiting, "running": frames.running, "depend": frames.depend,
            "succeeded": frames.succeeded, "dead": frames.dead, "eaten": frames.eaten, "checkpoint": frames.checkpoint,
        },
        "start_after": layer.start.as_ref().map(|start| json!({"utc": start.at, "seconds": start.seconds})),
        "depends": depends,
        "unbuildable": layer.unbuildable.as_deref(),
        "unserved": unserved,
        "pools": layer.pools.iter().map(pool).collect::<Vec<_>>(),
    })
}

fn pool(pool: &PoolAnswer) -> Value {
    let away: Map<String, Value> = pool.away.iter().map(|(cause, hosts)| (cause.clone(), (*hosts).into())).collect();
    json!({
        "pool": pool.pool,
        "would_book": {"frames": pool.booked, "hosts": pool.hosts},
        "waiting": pool.waiting.as_ref().map(|(frames, why)| json!({"frames": frames, "why": obstacle(why)})),
        "hosts_away": away,
    })
}

/// The answer to `plan --json`.
pub fn dry_pass(answer: &DryPass) -> Value {
    let pools: Vec<Value> = answer
        .pools
        .iter()
        .map(|pool| {
            let booked = pool.booked.iter().map(|booking| {
                json!({
                    "show": *booking.show, "job": *booking.job, "layer": *booking.layer, "host": *booking.host,
                    "frames": booking.frames,
                    "each": {
                        "cores": booking.size.cores.number(), "memory_kib": booking.size.memory.number(),
                        "gpus": booking.size.gpus.number(), "gpu_memory_kib": booking.size.gpu_memory.number(),
                    },
                })
            });
            let waiting = pool.waiting.iter().map(|waiting| {
                json!({
                    "show": *waiting.show, "job": *waiting.job, "layer": *waiting.layer, "frames": waiting.frames,
                    "why": obstacle(&waiting.obstacle),
                })
            });
            json!({
                "pool": pool.pool, "hosts": pool.hosts, "layers": pool.layers,
                "would_book": booked.collect::<Vec<_>>(), "waiting": waiting.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({"standstill": answer.standstill.map(Standstill::label), "pools": pools})
}
