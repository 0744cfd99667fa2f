//! Obstacles as a person would say them.

use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb};
use cue_scheduler_core::reason::{Bound, Full, Lack, Nearest, Obstacle};

/// What an obstacle's names belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub show: &'a str,
    /// The allocation whose hosts the pool is.
    pub pool: &'a str,
    /// The job's folder, where it is known.
    pub folder: Option<&'a str>,
    /// The tags of the layer, where they are known.
    pub tags: &'a [std::sync::Arc<str>],
}

/// The obstacle in a clause that can follow "because".
pub(super) fn clause(obstacle: &Obstacle, context: &Context) -> String {
    let Context { show, pool, .. } = context;
    let folder = context.folder.map_or_else(|| "the job's folder".to_owned(), |name| format!("folder {name}"));
    match obstacle {
        Obstacle::SubscriptionFrozen => {
            format!("show {show} may use no cores of allocation {pool}: the burst of its subscription is 0")
        }
        Obstacle::SubscriptionFull(full) => {
            format!("the subscription of show {show} to allocation {pool} is full: {}", booked(full, cores))
        }
        Obstacle::FolderCores(full) => capped(&folder, "cores", full.most.0, &booked(full, cores)),
        Obstacle::FolderGpus(full) => capped(&folder, "GPUs", full.most.0, &booked(full, gpus)),
        Obstacle::JobCores(full) => capped("the job", "cores", full.most.0, &booked(full, cores)),
        Obstacle::JobGpus(full) => capped("the job", "GPUs", full.most.0, &booked(full, gpus)),
        Obstacle::Limit { name, frames } => {
            format!("limit {name} is full: {} of {} frames run under it", frames.used.0, frames.most.0)
        }
        Obstacle::HostLimit { name, hosts } => {
            format!("limit {name} is full: {} of {} hosts run frames under it", hosts.used.0, hosts.most.0)
        }
        Obstacle::NoHostWithTag { hosts: 0 } => format!("allocation {pool} has no host that may be booked"),
        Obstacle::NoHostWithTag { hosts } => {
            format!(
                "of the {} of allocation {pool} that may be booked none has {}",
                count(*hosts, "host"),
                tagged(context)
            )
        }
        Obstacle::NoHostWithOs { hosts, os } => {
            format!("of the {} of allocation {pool} with its tags none runs {os}", count(*hosts, "host"))
        }
        Obstacle::NoHostForUnthreaded { hosts } => format!(
            "thread mode All gives every core of a host to one frame, the layer is not threadable, and allocation {pool} has \
             no other host for it ({})",
            count(*hosts, "host")
        ),
        Obstacle::NoHostLargeEnough { hosts, nearest } => format!(
            "of the {} of allocation {pool} that it may use none is large enough, even when idle{}",
            count(*hosts, "host"),
            came_nearest(nearest.as_ref(), "")
        ),
        Obstacle::HostsBusy { hosts, nearest } => format!(
            "the {} of allocation {pool} that it may use {} busy{}",
            count(*hosts, "host"),
            if *hosts == 1 { "is" } else { "are" },
            came_nearest(nearest.as_ref(), ": no core is idle")
        ),
        Obstacle::HostsQuarantined { hosts, host } => format!(
            "{} of allocation {pool} that could take it {} left alone for a while, since the agent failed: {host}{}",
            count(*hosts, "host"),
            if *hosts == 1 { "is" } else { "are" },
            if *hosts == 1 { "" } else { " and others" }
        ),
        Obstacle::PassBound(Bound::Frames(most)) => format!(
            "a pass takes no more than {most} frames of a layer (queue.dispatch_frames_per_layer_limit); the next follows \
             at once"
        ),
        Obstacle::PassBound(Bound::Hosts(most)) => format!(
            "a pass fills no more than {most} hosts for a layer (queue.host_candidate_attempts_per_layer); the next follows \
             at once"
        ),
        Obstacle::PassBound(Bound::Jobs(most)) => format!(
            "a pass serves no more than {most} jobs of a show (queue.max_jobs_per_cluster_pass); the next follows at once"
        ),
        Obstacle::Unbuildable { error } => format!("they can't be launched as the layer is written: {error}"),
        Obstacle::Refused { cause } => {
            format!("the database refused to book them ({cause}); they are tried again in the next pass")
        }
    }
}

fn capped(whose: &str, what: &str, most: i64, booked: &str) -> String {
    if most <= 0 {
        format!("{whose} may use no {what}: its maximum is 0 or less")
    } else {
        format!("{whose} has reached its maximum of {what}: {booked}")
    }
}

fn booked<U: Copy>(full: &Full<U>, amount: fn(U, bool) -> String) -> String {
    let (used, most, wanted) = (amount(full.used, false), amount(full.most, true), amount(full.wanted, false));
    format!("{used} of {most} booked, {wanted} wanted")
}

fn came_nearest(nearest: Option<&Nearest>, otherwise: &str) -> String {
    let Some(Nearest { host, lack }) = nearest else { return otherwise.to_owned() };
    let has = match lack {
        Lack::Cores(short) => {
            format!("with {} of the {} wanted", cores(short.had, false), cores(short.wanted, true))
        }
        Lack::WholeHost(short) => {
            format!(
                "with {} of its {} idle, and it is wanted whole",
                cores(short.had, false),
                cores(short.wanted, true)
            )
        }
        Lack::Memory(short) => format!("with {} of the {} of memory wanted", memory(short.had), memory(short.wanted)),
        Lack::Gpus(short) => format!("with {} of the {} wanted", gpus(short.had, false), gpus(short.wanted, true)),
        Lack::GpuMemory(short) => {
            format!("with {} of the {} of GPU memory wanted", memory(short.had), memory(short.wanted))
        }
        Lack::BelowZero => return ": a negative amount is asked for, which no host can grant".to_owned(),
    };
    format!(": {host} comes nearest, {has}")
}

fn tagged(context: &Context) -> String {
    match context.tags {
        [] => "one of its tags".to_owned(),
        [tag] => format!("the tag {tag}"),
        tags => format!("one of the tags {}", tags.join(", ")),
    }
}

fn cores(cores: Centicores, unit: bool) -> String {
    let number = match (cores.0 / 100, cores.0 % 100) {
        (whole, 0) => whole.to_string(),
        _ => format!("{:.2}", cores.0 as f64 / 100.0),
    };
    named(&number, cores.0 == 100, unit.then_some("core"))
}

fn gpus(gpus: Gpus, unit: bool) -> String {
    named(&gpus.0.to_string(), gpus.0 == 1, unit.then_some("GPU"))
}

fn named(number: &str, one: bool, unit: Option<&str>) -> String {
    match unit {
        None => number.to_owned(),
        Some(unit) => format!("{number} {unit}{}", if one { "" } else { "s" }),
    }
}

/// `1 host`, `2 hosts`.
pub(super) fn count(n: impl Into<i64>, unit: &str) -> String {
    let n = n.into();
    named(&n.to_string(), n == 1, Some(unit))
}

/// Memory in the largest unit in which it has a number before the point; exact where a rounded figure would hide the
/// difference that matters.
pub(super) fn memory(memory: Kb) -> String {
    match memory.0 {
        kb if kb.abs() >= 1 << 20 => trimmed(kb as f64 / f64::from(1 << 20), "GiB"),
        kb if kb.abs() >= 1 << 10 => trimmed(kb as f64 / 1024.0, "MiB"),
        kb => format!("{kb} KiB"),
    }
}

fn trimmed(number: f64, unit: &str) -> String {
    let text = format!("{number:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use cue_scheduler_core::domain::amount::{Frames, Hosts};
    use cue_scheduler_core::reason::Short;

    use super::*;

    const GIB: i64 = 1 << 20;

    #[test]
    fn obstacles_are_said_in_the_words_of_the_field() {
        let full =
            |wanted, used, most| Full { wanted: Centicores(wanted), used: Centicores(used), most: Centicores(most) };
        let busy = |lack| Obstacle::HostsBusy { hosts: 3, nearest: Some(Nearest { host: "h7".into(), lack }) };
        for (obstacle, words) in [
            (
                Obstacle::SubscriptionFull(full(400, 12000, 12000)),
                "the subscription of show alpha to allocation local.farm is full: 120 of 120 cores booked, 4 wanted",
            ),
            (Obstacle::JobCores(full(100, 0, 0)), "the job may use no cores: its maximum is 0 or less"),
            (
                Obstacle::JobCores(full(100, 50, 100)),
                "the job has reached its maximum of cores: 0.50 of 1 core booked, 1 wanted",
            ),
            (
                Obstacle::FolderGpus(Full { wanted: Gpus(1), used: Gpus(2), most: Gpus(2) }),
                "folder shots has reached its maximum of GPUs: 2 of 2 GPUs booked, 1 wanted",
            ),
            (
                Obstacle::Limit {
                    name: "nuke".into(),
                    frames: Full { wanted: Frames(1), used: Frames(5), most: Frames(3) },
                },
                "limit nuke is full: 5 of 3 frames run under it",
            ),
            (
                Obstacle::HostLimit {
                    name: "arnold".into(),
                    hosts: Full { wanted: Hosts(1), used: Hosts(3), most: Hosts(3) },
                },
                "limit arnold is full: 3 of 3 hosts run frames under it",
            ),
            (
                Obstacle::NoHostWithTag { hosts: 12 },
                "of the 12 hosts of allocation local.farm that may be booked none has the tag fx",
            ),
            (
                Obstacle::NoHostWithOs { hosts: 1, os: "rocky9".into() },
                "of the 1 host of allocation local.farm with its tags none runs rocky9",
            ),
            (
                busy(Lack::Cores(Short { wanted: Centicores(400), had: Centicores(100) })),
                "the 3 hosts of allocation local.farm that it may use are busy: h7 comes nearest, with 1 of the 4 cores \
                 wanted",
            ),
            (
                busy(Lack::Memory(Short { wanted: Kb(8 * GIB), had: Kb(GIB / 2) })),
                "the 3 hosts of allocation local.farm that it may use are busy: h7 comes nearest, with 512 MiB of the 8 GiB \
                 of memory wanted",
            ),
            (
                Obstacle::HostsBusy { hosts: 1, nearest: None },
                "the 1 host of allocation local.farm that it may use is busy: no core is idle",
            ),
        ] {
            let tags = ["fx".into()];
            let context = Context { show: "alpha", pool: "local.farm", folder: Some("shots"), tags: &tags };
            assert_eq!(clause(&obstacle, &context), words);
        }
    }
}
