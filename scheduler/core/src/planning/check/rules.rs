//! What a layer may do on a host, stated once more and as plainly as possible.

use crate::domain::amount::Resources;
use crate::domain::request::{CoreRequest, ThreadMode};
use crate::snapshot::{Host, Job, Layer};

/// What a layer demands of one host, in whole cores.
pub struct Demand {
    /// Must be idle before a frame.
    pub idle: i64,
    /// The least that a frame takes.
    pub least: i64,
    /// The most that a frame takes.
    pub most: i64,
    /// All cores must be idle.
    pub entirely: bool,
}

/// What a host has idle, as far as it is in its total.
pub fn credible_idle(host: &Host) -> Resources {
    let (idle, total) = (&host.idle, &host.total);
    Resources {
        cores: idle.cores.min(total.cores),
        memory: idle.memory.min(total.memory),
        gpus: idle.gpus.min(total.gpus),
        gpu_memory: idle.gpu_memory.min(total.gpu_memory),
    }
}

pub fn less(idle: &Resources, size: &Resources, times: u32) -> Resources {
    let mut left = *idle;
    let n = i64::from(times);
    left.cores.0 = left.cores.0.saturating_sub(size.cores.0.saturating_mul(n));
    left.memory.0 = left.memory.0.saturating_sub(size.memory.0.saturating_mul(n));
    left.gpus.0 = left.gpus.0.saturating_sub(size.gpus.0.saturating_mul(n));
    left.gpu_memory.0 = left.gpu_memory.0.saturating_sub(size.gpu_memory.0.saturating_mul(n));
    left
}

pub fn shares_tag(layer: &Layer, host: &Host) -> bool {
    layer.tags.iter().any(|wanted| host.tags.iter().any(|tag| tag.name == *wanted))
}

pub fn runs_os(job: &Job, host: &Host) -> bool {
    let wanted = job.os.as_deref().unwrap_or("");
    wanted.is_empty() || host.os.split(',').any(|name| name.trim() == wanted)
}

/// Why a layer may not run on a host, whatever is idle.
pub fn barred(job: &Job, layer: &Layer, host: &Host) -> Option<&'static str> {
    if !shares_tag(layer, host) {
        Some("no tag in common")
    } else if !runs_os(job, host) {
        Some("another operating system")
    } else if host.thread_mode == ThreadMode::All && !layer.threadable {
        Some("thread mode All, and a frame that is not threadable")
    } else {
        None
    }
}

/// Whole cores, a fraction counted as one, at least one.
pub fn whole(centicores: i64) -> i64 {
    centicores.saturating_add(99).div_euclid(100).max(1)
}

pub fn most_cores(layer: &Layer) -> i64 {
    layer.cores_max.filter(|max| max.0 > 0).map_or(i64::MAX, |max| whole(max.0))
}

/// The least whole cores that a frame could take on some host.
pub fn least_anywhere(layer: &Layer) -> i64 {
    match (layer.cores, layer.threadable) {
        (CoreRequest::Exactly(min), true) => whole(min.0).min(most_cores(layer)),
        _ => 1,
    }
}

pub fn demand(layer: &Layer, host: &Host) -> Demand {
    let most = most_cores(layer);
    match (layer.cores, layer.threadable) {
        (CoreRequest::Exactly(min), false) => Demand { idle: whole(min.0), least: 1, most: 1, entirely: false },
        (_, false) => Demand { idle: 1, least: 1, most: 1, entirely: false },
        (CoreRequest::Exactly(min), true) => {
            let min = whole(min.0);
            let two = if host.thread_mode == ThreadMode::Variable { 2 } else { 1 };
            let least = min.max(two).min(most);
            Demand { idle: min.max(least), least, most, entirely: false }
        }
        (CoreRequest::WholeHost | CoreRequest::AllBut(_), true) => {
            let spared = match layer.cores {
                CoreRequest::AllBut(spared) => spared.0.div_euclid(100).max(0),
                _ => 0,
            };
            let total = host.total.cores.0.div_euclid(100);
            let size = (total - spared).min(most);
            Demand { idle: total, least: size, most: size, entirely: true }
        }
    }
}

fn amounts_fit(layer: &Layer, idle: &Resources) -> bool {
    [(layer.memory.0, idle.memory.0), (layer.gpus.0, idle.gpus.0), (layer.gpu_memory.0, idle.gpu_memory.0)]
        .into_iter()
        .all(|(wanted, idle)| wanted >= 0 && wanted <= idle)
}

pub fn wrong_size(layer: &Layer, host: &Host, size: &Resources) -> Option<&'static str> {
    let demand = demand(layer, host);
    let cores = size.cores.0.div_euclid(100);
    if size.cores.0 <= 0 || size.cores.0.rem_euclid(100) != 0 {
        Some("cores must be whole and more than none")
    } else if cores < demand.least {
        Some("fewer cores than the layer's least on this host")
    } else if cores > demand.most {
        Some("more cores than the layer's most on this host")
    } else if size.memory != layer.memory || size.memory.0 < 0 {
        Some("memory must be what the layer asks for")
    } else if size.gpus != layer.gpus || size.gpu_memory != layer.gpu_memory || size.gpus.0 < 0 || size.gpu_memory.0 < 0
    {
        Some("GPUs and their memory must be what the layer asks for")
    } else {
        None
    }
}

/// Whether a host that has this much idle could take a frame, whatever caps allow.
pub fn could_take(layer: &Layer, host: &Host, idle: &Resources) -> bool {
    let demand = demand(layer, host);
    amounts_fit(layer, idle)
        && demand.least > 0
        && idle.cores.0.div_euclid(100) >= demand.idle
        && (!demand.entirely || idle.cores == host.total.cores)
}
