//! Whether every frame that waits is told with a reason, layer by layer.
//!
//! Each replica tells of the pools that are its own, so a layer that several pools could run may be told by several replicas, and
//! sums over replicas prove nothing. Here each layer has to be told by one that knows all of its frames. Work that no pool could run
//! has no pool to tell of it; each replica tells it by show.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use sqlx::FromRow;

use super::judge::some;
use super::stage::Stage;

/// How long it may take until everybody has told: some passes and scans on a machine that is busy.
const WITHIN: Duration = Duration::from_secs(10);

/// The reason of work that no pool could run.
const WITHOUT_POOL: &str = "no_host_with_tag";

/// A layer with frames that could start.
#[derive(FromRow)]
struct Waiting {
    pk_layer: String,
    name: String,
    show: String,
    frames: i64,
}

/// What a replica, or all of them, tell.
#[derive(Default)]
struct Told {
    /// The most frames that one replica tells, by layer.
    layers: HashMap<String, i64>,
    /// The most frames that one replica tells of work that no pool could run, by show.
    without_pool: HashMap<String, i64>,
}

/// `/api/v1/status`, as far as it is read here.
#[derive(Deserialize)]
struct Status {
    waiting: StatusWaiting,
}

#[derive(Deserialize)]
struct StatusWaiting {
    layers: usize,
    by_reason: Vec<ByReason>,
    first_layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct ByReason {
    show: String,
    reason: String,
    frames: i64,
}

#[derive(Deserialize)]
struct Layer {
    show: String,
    #[serde(rename = "layer_id")]
    id: String,
    frames: i64,
    why: Why,
}

#[derive(Deserialize)]
struct Why {
    reason: String,
}

/// Demands that frames that could start and don't are told with a reason, and that nothing is told that doesn't wait.
pub(super) async fn demand(stage: &mut Stage) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let before = waiting(stage).await?;
        let mut told = Told::default();
        for scheduler in &stage.schedulers {
            let (code, body) = scheduler.get("/api/v1/status?layers=1000000").await?;
            ensure!(code == 200, "/api/v1/status: {code} {body}");
            told.add(serde_json::from_str(&body).context("reading /api/v1/status")?)?;
        }
        let after = waiting(stage).await?;
        let (untold, too_much) = (told.lacks(&before), told.has_too_much(&[&before, &after]));
        if (untold.is_empty() && too_much.is_empty()) || began.elapsed() > WITHIN {
            let frames: i64 = before.iter().map(|layer| layer.frames).sum();
            stage.demand(
                "every frame that waits is told with a reason by a replica that knows its layer",
                untold.is_empty(),
                format!("{frames} frames of {} layers wait; not told: {}", before.len(), some(&untold)),
            );
            stage.demand("no layer is told to wait that doesn't", too_much.is_empty(), some(&too_much));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn waiting(stage: &Stage) -> anyhow::Result<Vec<Waiting>> {
    let sql = include_str!("queries/could_start.sql");
    Ok(sqlx::query_as(sql).bind(stage.jobs()).fetch_all(&stage.harness.pool).await?)
}

impl Told {
    /// Takes in what one replica tells.
    fn add(
        &mut self,
        Status { waiting: StatusWaiting { layers, by_reason, first_layers } }: Status,
    ) -> anyhow::Result<()> {
        ensure!(first_layers.len() == layers, "{} of {layers} waiting layers are listed", first_layers.len());
        // The rows by reason hold both the listed layers and the work without a pool.
        let mut without_pool: HashMap<String, i64> = HashMap::new();
        for row in by_reason.into_iter().filter(|row| row.reason == WITHOUT_POOL) {
            *without_pool.entry(row.show).or_default() += row.frames;
        }
        for Layer { show, id, frames, why } in first_layers {
            if why.reason == WITHOUT_POOL {
                *without_pool.entry(show).or_default() -= frames;
            }
            let most = self.layers.entry(id).or_default();
            *most = frames.max(*most);
        }
        for (show, frames) in without_pool {
            let most = self.without_pool.entry(show).or_default();
            *most = frames.max(*most);
        }
        Ok(())
    }

    /// Layers of which fewer frames are told than wait, and shows of which more has no pool than is told.
    fn lacks(&self, waiting: &[Waiting]) -> Vec<String> {
        let mut untold = Vec::new();
        let mut unlisted: BTreeMap<&str, (i64, Vec<&str>)> = BTreeMap::new();
        for Waiting { pk_layer, name, show, frames } in waiting {
            match self.layers.get(pk_layer) {
                Some(told) if told >= frames => {}
                Some(told) => untold.push(format!("{told} of {frames} frames of {name}")),
                None => {
                    let (sum, names) = unlisted.entry(show).or_default();
                    *sum += frames;
                    names.push(name);
                }
            }
        }
        for (show, (frames, names)) in unlisted {
            let told = self.without_pool.get(show).copied().unwrap_or_default();
            if told < frames {
                untold.push(format!("{frames} frames of {} in no pool, where {told} are told", names.join(", ")));
            }
        }
        untold
    }

    /// Layers that are told although none of their frames could start at either look.
    fn has_too_much(&self, looks: &[&Vec<Waiting>]) -> Vec<String> {
        let waiting: HashSet<&str> = looks.iter().copied().flatten().map(|layer| layer.pk_layer.as_str()).collect();
        self.layers.keys().filter(|layer| !waiting.contains(layer.as_str())).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A replica that tells these layers of one show, and so many frames without a pool.
    fn replica(layers: &[(&str, i64, &str)], without_pool: i64) -> Status {
        let mut frames: BTreeMap<&str, i64> = BTreeMap::from([(WITHOUT_POOL, without_pool)]);
        for (_, count, reason) in layers {
            *frames.entry(reason).or_default() += count;
        }
        let rows: Vec<_> =
            frames.iter().map(|(reason, frames)| json!({"show": "s", "reason": reason, "frames": frames})).collect();
        let listed: Vec<_> = layers
            .iter()
            .map(|(id, frames, reason)| json!({"show": "s", "layer_id": id, "frames": frames, "why": {"reason": reason}}))
            .collect();
        let status = json!({"waiting": {"layers": layers.len(), "by_reason": rows, "first_layers": listed}});
        serde_json::from_value(status).unwrap()
    }

    fn told(replicas: Vec<Status>) -> Told {
        let mut told = Told::default();
        for status in replicas {
            told.add(status).unwrap();
        }
        told
    }

    fn waits(layers: &[(&str, i64)]) -> Vec<Waiting> {
        let waiting = |(id, frames): &(&str, i64)| Waiting {
            pk_layer: (*id).to_owned(),
            name: format!("job/{id}"),
            show: "s".to_owned(),
            frames: *frames,
        };
        layers.iter().map(waiting).collect()
    }

    #[test]
    fn a_layer_told_twice_makes_up_for_no_other() {
        let both = || vec![replica(&[("a", 5, "limit")], 0), replica(&[("a", 5, "limit")], 0)];
        assert_eq!(told(both()).lacks(&waits(&[("a", 5)])).len(), 0);
        assert_eq!(told(both()).lacks(&waits(&[("a", 5), ("b", 5)])).len(), 1);
        assert_eq!(told(both()).lacks(&waits(&[("a", 6)])).len(), 1, "two halves are no whole");
    }

    #[test]
    fn what_has_no_pool_is_told_by_show_and_once_though_every_replica_tells_it() {
        let replicas = || vec![replica(&[("a", 5, WITHOUT_POOL)], 7), replica(&[], 7)];
        assert_eq!(told(replicas()).lacks(&waits(&[("a", 5), ("x", 4), ("y", 3)])).len(), 0);
        assert_eq!(told(replicas()).lacks(&waits(&[("a", 5), ("x", 4), ("y", 4)])).len(), 1);
    }

    #[test]
    fn a_layer_that_waits_no_more_is_told_no_more() {
        let told = told(vec![replica(&[("a", 5, "limit"), ("b", 1, "limit")], 0)]);
        assert_eq!(told.has_too_much(&[&waits(&[("a", 5)]), &waits(&[("b", 1)])]).len(), 0);
        assert_eq!(told.has_too_much(&[&waits(&[("a", 5)]), &waits(&[])]), ["b"]);
    }
}
