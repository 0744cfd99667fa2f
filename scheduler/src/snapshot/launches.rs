//! What the `RunFrames` of placed layers are built from, and which layers can't be launched as they are written.
//!
//! A layer whose command line, range or user can't make a `RunFrame` is never booked. It is reported once and left alone for
//! `queue.job_back_off_duration`, or until what it is built from changes. One that the database can't book, because of what
//! some row holds, is left alone for as long.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cue_scheduler_core::domain::amount::Kb;
use cue_scheduler_core::domain::id::LayerId;
use cue_scheduler_core::run_frame::{EnvRows, LaunchSource, LaunchTemplate};

use crate::engine::chain;
use crate::store::work::{EnvironmentRow, LaunchSourceRow};
use crate::store::{Store, StoreError};

/// How often a layer that is left alone is looked at: what it is built from may be large.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Layers that are left alone.
pub struct Launches {
    back_off: Duration,
    left_alone: HashMap<LayerId, LeftAlone>,
}

struct LeftAlone {
    /// What it was built from; `None` when something else is wrong with it.
    source: Option<u64>,
    until: Instant,
    looked_at: Instant,
    error: Arc<str>,
}

impl Launches {
    /// Nothing is left alone yet. `back_off`: `queue.job_back_off_duration`.
    pub fn new(back_off: Duration) -> Self {
        Self { back_off, left_alone: HashMap::new() }
    }

    /// Whether the layer is left alone now.
    pub fn is_left_alone(&self, layer: &LayerId) -> bool {
        self.left_alone.contains_key(layer)
    }

    /// Forgets layers whose time is over.
    pub fn clean_up(&mut self) {
        self.left_alone.retain(|_, left| left.until > Instant::now());
    }

    /// What is wrong with a layer that is left alone.
    pub fn why_left_alone(&self, layer: &LayerId) -> Option<Arc<str>> {
        self.left_alone.get(layer).map(|left| left.error.clone())
    }

    /// Looks again at the layers that are left alone, of which some may have changed.
    pub async fn look_again(&mut self, store: &Store) -> Result<(), StoreError> {
        self.read(&[], store).await.map(drop)
    }

    /// Reads the templates of `placed` layers. Those that can't be built are left alone from now on and missing in the
    /// answer; those left alone before are looked at again.
    pub async fn read(
        &mut self,
        placed: &[LayerId],
        store: &Store,
    ) -> Result<HashMap<LayerId, Arc<LaunchTemplate>>, StoreError> {
        self.clean_up();
        let now = Instant::now();
        let due = self.left_alone.iter_mut().filter(|(_, left)| now.duration_since(left.looked_at) >= LOOK_AGAIN);
        let looked_at = due.map(|(layer, left)| {
            left.looked_at = now;
            layer
        });
        let layers: Vec<&str> = placed.iter().chain(looked_at).map(LayerId::as_str).collect();
        if layers.is_empty() {
            return Ok(HashMap::new());
        }
        let sources = store.launch_sources(&layers).await?;
        let mut environments: HashMap<String, (EnvRows, EnvRows)> = HashMap::new();
        for EnvironmentRow { pk_layer, of_layer, str_key, str_value } in store.environments(&layers).await? {
            let (job, layer) = environments.entry(pk_layer).or_default();
            if of_layer { layer } else { job }.push((str_key, str_value));
        }
        let mut templates = HashMap::with_capacity(placed.len());
        for row in sources {
            let layer = LayerId::from(row.pk_layer.as_str());
            let name = format!("{}.{}", row.job_name, row.layer_name);
            let (job_env, layer_env) = environments.remove(&row.pk_layer).unwrap_or_default();
            let fingerprint = fingerprint(&row, &job_env, &layer_env);
            if let Some(left) = self.left_alone.get(&layer) {
                if left.source.is_none_or(|source| source == fingerprint) {
                    continue;
                }
                self.left_alone.remove(&layer);
            }
            match LaunchTemplate::parse(source(row, job_env, layer_env)) {
                Ok(template) => {
                    templates.insert(layer, Arc::new(template));
                }
                Err(error) => {
                    tracing::warn!(layer.id = %layer, "layer {name} can't be launched and is left alone until it changes: {}", chain(&error));
                    self.leave_alone(layer, Some(fingerprint), shortened(&chain(&error)));
                }
            }
        }
        Ok(templates)
    }

    /// How long layers are left alone.
    pub fn back_off(&self) -> Duration {
        self.back_off
    }

    /// Leaves a layer alone of which the database can't book a frame, and why.
    pub fn reject(&mut self, layer: LayerId, error: &str) {
        self.leave_alone(layer, None, shortened(error));
    }

    fn leave_alone(&mut self, layer: LayerId, source: Option<u64>, error: Arc<str>) {
        let now = Instant::now();
        // A back-off beyond what a clock can hold is as good as a day.
        let until = now.checked_add(self.back_off).unwrap_or(now + Duration::from_hours(24));
        self.left_alone.insert(layer, LeftAlone { source, until, looked_at: now, error });
    }
}

/// An error may repeat what a layer holds, which may be anything; this much of it is enough to know it by.
fn shortened(error: &str) -> Arc<str> {
    error.chars().take(400).collect::<String>().into()
}

fn fingerprint(row: &LaunchSourceRow, job_env: &EnvRows, layer_env: &EnvRows) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&row.str_cmd, &row.str_range, row.int_chunk_size, &row.layer_name, &row.job_name, row.int_uid).hash(&mut hasher);
    (&row.str_user, &row.str_log_dir, job_env, layer_env).hash(&mut hasher);
    hasher.finish()
}

fn source(row: LaunchSourceRow, job_env: EnvRows, layer_env: EnvRows) -> LaunchSource {
    LaunchSource {
        job: row.pk_job.into(),
        job_name: row.job_name,
        show: row.str_show,
        shot: row.str_shot,
        user: row.str_user,
        uid: row.int_uid,
        log_dir: row.str_log_dir,
        loki_url: row.str_loki_url,
        layer: row.pk_layer.into(),
        layer_name: row.layer_name,
        command: row.str_cmd,
        range: row.str_range,
        chunk_size: row.int_chunk_size,
        threadable: row.b_threadable,
        memory: Kb(row.int_mem_min),
        job_env,
        layer_env,
    }
}
