//! `/api/v1/status`: the scheduler in one JSON document, for people and programs that ask what it does and what waits. Its shape is
//! in `docs/reference/api.md`. Lists have a bound and say how much they leave out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::Readiness;
use crate::explain::json::obstacle;
use crate::feed::Standstill;
use crate::launch::Launcher;
use crate::launch::quarantine::Paused;
use crate::ownership::{Standing, Table, View};
use crate::sight::{Count, LastPass, LayerView, PoolView, Sight};

/// Waiting layers that are listed unless more or fewer are asked for.
pub const LAYERS: usize = 100;

/// Hosts left alone that are listed.
const HOSTS: usize = 200;

/// Who knows what.
pub struct Status {
    facility: Option<String>,
    ignored_tags: BTreeSet<String>,
    readiness: Readiness,
    sight: Arc<Sight>,
    /// Set when the database is there; empty in dry-run mode.
    launcher: OnceLock<Option<Arc<Launcher>>>,
    /// Set when the database is there.
    table: OnceLock<Arc<Table>>,
}

impl Status {
    /// Before anything is started. `facility` is the name of the only facility that is booked in, if there is one.
    pub fn new(
        facility: Option<String>,
        ignored_tags: BTreeSet<String>,
        readiness: Readiness,
        sight: Arc<Sight>,
    ) -> Self {
        Self { facility, ignored_tags, readiness, sight, launcher: OnceLock::new(), table: OnceLock::new() }
    }

    /// Who knows of hosts that are left alone; `None` in dry-run mode. The first one stays.
    pub fn launches_by(&self, launcher: Option<Arc<Launcher>>) {
        self.launcher.get_or_init(|| launcher);
    }

    /// Who knows which pools are ours. The first one stays.
    pub fn shares_by(&self, table: Arc<Table>) {
        self.table.get_or_init(|| table);
    }

    /// As it is now, with at most so many of the waiting layers.
    pub fn json(&self, layers_most: usize) -> Value {
        let missing = self.readiness.missing();
        let view = self.table.get().map(|table| table.view());
        let owners: BTreeMap<&str, &str> = view.iter().flat_map(View::owners).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "now": time(SystemTime::now()),
            "facility": self.facility,
            "ignored_tags": self.ignored_tags,
            "ready": missing.is_none(),
            "waits_for": missing,
            "standstill": self.sight.standstill().map(Standstill::label),
            "dry_run": matches!(self.launcher.get(), Some(None)),
            "pools": self.sight.pools().iter().map(|seen| pool(seen, owners.get(seen.name.as_ref()))).collect::<Vec<_>>(),
            "coordination": view.as_ref().map(coordination),
            "waiting": self.waiting(layers_most),
            "quarantined": self.quarantined(),
        })
    }

    fn waiting(&self, layers_most: usize) -> Value {
        let by_reason = self.sight.waiting();
        let (mut frames, mut rows) = (0, Vec::with_capacity(by_reason.len()));
        for ((show, reason), Count { frames: of_these, layers }) in by_reason {
            frames += of_these;
            rows.push(json!({"show": *show, "reason": reason.label(), "frames": of_these, "layers": layers}));
        }
        let (layers, total) = self.sight.layers(layers_most);
        json!({
            "frames": frames,
            "layers": total,
            "by_reason": rows,
            "first_layers": layers.iter().map(layer).collect::<Vec<_>>(),
        })
    }

    /// Hosts that are left alone now.
    pub fn paused(&self) -> Vec<Paused> {
        self.launcher.get().and_then(Option::as_ref).map_or_else(Vec::new, |launcher| launcher.paused())
    }

    fn quarantined(&self) -> Value {
        let paused = self.paused();
        let now = SystemTime::now();
        let hosts = paused.iter().take(HOSTS).map(|host| {
            json!({
                "host": *host.name, "why": host.why, "pauses": host.pauses, "until": time(now + host.left),
            })
        });
        json!({"hosts": paused.len(), "first_hosts": hosts.collect::<Vec<_>>()})
    }
}

fn coordination(view: &View) -> Value {
    let (state, why) = match &view.standing {
        Standing::Away(why) => ("away", Some(why)),
        Standing::Member => ("member", None),
        Standing::Alone(why) => ("alone", Some(why)),
    };
    let members = view.seen.members.values().map(|member| {
        let pools = view.owners().filter(|(_, owner)| *owner == member.id.as_ref()).count();
        let silent = view.seen.idle.get(&member.id).map(Duration::as_secs_f64);
        json!({"member": *member.id, "facility": member.facility.as_deref(), "pools": pools, "silent_seconds": silent})
    });
    json!({
        "me": *view.me,
        "state": state,
        "why": why,
        "members": members.collect::<Vec<_>>(),
        "members_of_other_roles": view.seen.strangers.len(),
        "pools": view.pools.len(),
        "pools_owned": view.owned,
    })
}

fn pool(pool: &PoolView, owner: Option<&&str>) -> Value {
    let reasons: Map<String, Value> = pool
        .waiting
        .iter()
        .map(|(reason, count)| (reason.label().to_owned(), json!({"frames": count.frames, "layers": count.layers})))
        .collect();
    json!({
        "pool": *pool.name,
        "owner": owner,
        "awake": pool.awake,
        "last_pass": pool.last.as_ref().map(last_pass),
        "waiting": reasons,
    })
}

fn last_pass(pass: &LastPass) -> Value {
    let [read, plan, book] = pass.took.map(|took| took.as_secs_f64());
    let booked: BTreeMap<&str, usize> = pass.booked.iter().map(|(show, frames)| (show.as_ref(), *frames)).collect();
    let refused: BTreeMap<&str, u32> = pass.refusals.iter().map(|(cause, frames)| (cause.label(), frames)).collect();
    json!({
        "ended": time(pass.ended),
        "seconds": {"read": read, "plan": plan, "book": book},
        "hosts": pass.hosts,
        "layers": pass.layers,
        "booked": booked,
        "refused": refused,
        "failed": pass.failed,
    })
}

fn layer(LayerView { pool, left }: &LayerView) -> Value {
    json!({
        "show": *left.show, "job": *left.job, "layer": *left.layer_name, "layer_id": left.layer.as_str(),
        "priority": left.priority, "pool": **pool, "frames": left.frames, "why": obstacle(&left.obstacle),
    })
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}
