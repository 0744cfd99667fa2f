//! `/api/v1/status`: the scheduler in one JSON document, for people and programs that ask what it does and what waits. Its shape is
//! in `docs/reference/api.md`. Lists have a bound and say how much they leave out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::Readiness;
use crate::explain::json::obstacle;
use crate::feed::Standstill;
use crate::launch::Launcher;
use crate::sight::{Count, LastPass, LayerView, PoolView, Sight};

/// Waiting layers that are listed.
const LAYERS: usize = 100;

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
}

impl Status {
    /// Before anything is started. `facility` is the name of the only facility that is booked in, if there is one.
    pub fn new(
        facility: Option<String>,
        ignored_tags: BTreeSet<String>,
        readiness: Readiness,
        sight: Arc<Sight>,
    ) -> Self {
        Self { facility, ignored_tags, readiness, sight, launcher: OnceLock::new() }
    }

    /// Who knows of hosts that are left alone; `None` in dry-run mode. The first one stays.
    pub fn launches_by(&self, launcher: Option<Arc<Launcher>>) {
        self.launcher.get_or_init(|| launcher);
    }

    /// As it is now.
    pub fn json(&self) -> Value {
        let missing = self.readiness.missing();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "now": time(SystemTime::now()),
            "facility": self.facility,
            "ignored_tags": self.ignored_tags,
            "ready": missing.is_none(),
            "waits_for": missing,
            "standstill": self.sight.standstill().map(Standstill::label),
            "dry_run": matches!(self.launcher.get(), Some(None)),
            "pools": self.sight.pools().iter().map(pool).collect::<Vec<_>>(),
            "waiting": self.waiting(),
            "quarantined": self.quarantined(),
        })
    }

    fn waiting(&self) -> Value {
        let by_reason = self.sight.waiting();
        let (mut frames, mut rows) = (0, Vec::with_capacity(by_reason.len()));
        for ((show, reason), Count { frames: of_these, layers }) in by_reason {
            frames += of_these;
            rows.push(json!({"show": *show, "reason": reason.label(), "frames": of_these, "layers": layers}));
        }
        let (layers, total) = self.sight.layers(LAYERS);
        json!({
            "frames": frames,
            "layers": total,
            "by_reason": rows,
            "first_layers": layers.iter().map(layer).collect::<Vec<_>>(),
        })
    }

    fn quarantined(&self) -> Value {
        let paused = self.launcher.get().and_then(Option::as_ref).map_or_else(Vec::new, |launcher| launcher.paused());
        let now = SystemTime::now();
        let hosts = paused.iter().take(HOSTS).map(|host| {
            json!({
                "host": *host.name, "why": host.why, "pauses": host.pauses, "until": time(now + host.left),
            })
        });
        json!({"hosts": paused.len(), "first_hosts": hosts.collect::<Vec<_>>()})
    }
}

fn pool(pool: &PoolView) -> Value {
    let reasons: Map<String, Value> = pool
        .waiting
        .iter()
        .map(|(reason, count)| (reason.label().to_owned(), json!({"frames": count.frames, "layers": count.layers})))
        .collect();
    json!({
        "pool": *pool.name,
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
