//! Waiting work: rows to a snapshot, limits, and the truth behind counters that refuse.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb};
use cue_scheduler_core::domain::cap::{Budget, Cap};
use cue_scheduler_core::domain::id::{AllocId, HostId, LayerId};
use cue_scheduler_core::domain::request::CoreRequest;
use cue_scheduler_core::domain::tag::parse_layer_tags;
use cue_scheduler_core::snapshot::{
    Counted, Folder, FolderIx, Given, Job, JobIx, Layer, Limit, LimitIx, Snapshot, Subscription, SubscriptionIx,
};

use crate::store::work::{Holder, LayerRow, LimitRow};
use crate::store::{Store, StoreError};

/// How long a sum of procs is believed while the counter beside it stays the same: in some generations of Cuebot releases
/// don't lower the counter.
const SUM_MAX_AGE: Duration = Duration::from_secs(1);

/// Makes the snapshot's work from the rows of a pool with this allocation; jobs, folders and subscriptions once each.
pub(super) fn assemble(rows: Vec<LayerRow>, alloc: &AllocId) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut subscriptions: HashMap<String, SubscriptionIx> = HashMap::new();
    let mut folders: HashMap<String, FolderIx> = HashMap::new();
    let mut jobs: HashMap<String, JobIx> = HashMap::new();
    for row in rows {
        let subscription = if let Some(at) = subscriptions.get(&row.pk_show) {
            *at
        } else {
            let at = SubscriptionIx(snapshot.subscriptions.len() as u32);
            snapshot.subscriptions.push(Subscription {
                show: row.pk_show.as_str().into(),
                show_name: row.show_name.as_str().into(),
                alloc: alloc.clone(),
                cores: Budget { cap: Cap::of_subscription(row.int_burst), used: row.subscription_cores.into() },
            });
            subscriptions.insert(row.pk_show.clone(), at);
            at
        };
        let folder = if let Some(at) = folders.get(&row.pk_folder) {
            *at
        } else {
            let at = FolderIx(snapshot.folders.len() as u32);
            snapshot.folders.push(Folder {
                id: row.pk_folder.as_str().into(),
                cores: Budget { cap: Cap::of_folder(row.folder_max_cores.into()), used: row.folder_cores.into() },
                gpus: Budget { cap: Cap::of_folder(row.folder_max_gpus.into()), used: row.folder_gpus.into() },
            });
            folders.insert(row.pk_folder.clone(), at);
            at
        };
        let job = if let Some(at) = jobs.get(&row.pk_job) {
            *at
        } else {
            let at = JobIx(snapshot.jobs.len() as u32);
            snapshot.jobs.push(Job {
                id: row.pk_job.as_str().into(),
                name: row.job_name.as_str().into(),
                subscription,
                folder,
                priority: row.int_priority,
                // A cast that ends at the ends of the type: infinity is the last of all.
                started: row.job_started as i64,
                os: row.str_os.as_deref().filter(|os| !os.is_empty()).map(Into::into),
                cores: Budget { cap: Cap::of_job(row.job_max_cores.into()), used: row.job_cores },
                gpus: Budget { cap: Cap::of_job(row.job_max_gpus.into()), used: row.job_gpus.into() },
            });
            jobs.insert(row.pk_job.clone(), at);
            at
        };
        snapshot.layers.push(layer(row, job));
    }
    snapshot
}

fn layer(row: LayerRow, job: JobIx) -> Layer {
    Layer {
        id: row.pk_layer.into(),
        name: row.layer_name.into(),
        job,
        dispatch_order: row.int_dispatch_order,
        cores: CoreRequest::from_column(row.int_cores_min),
        cores_max: (row.int_cores_max > 0).then(|| Centicores(row.int_cores_max.into())),
        threadable: row.b_threadable,
        memory: Kb(row.int_mem_min),
        gpus: Gpus(row.int_gpus_min),
        gpu_memory: Kb(row.int_gpu_mem_min),
        tags: parse_layer_tags(&row.str_tags),
        services: row.str_services.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect(),
        limits: Vec::new(),
        waiting: u32::try_from(row.int_waiting_count).unwrap_or(u32::MAX),
        given: Given::default(),
    }
}

/// Reads the limits of the snapshot's layers and puts them in.
pub(super) async fn attach_limits(snapshot: &mut Snapshot, store: &Store) -> Result<(), StoreError> {
    let layers: Vec<&str> = snapshot.layers.iter().map(|layer| layer.id.as_str()).collect();
    let rows = store.limits(&layers).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let at_of: HashMap<LayerId, usize> =
        snapshot.layers.iter().enumerate().map(|(at, layer)| (layer.id.clone(), at)).collect();
    let mut limits: HashMap<String, LimitIx> = HashMap::new();
    for LimitRow { pk_layer, pk_limit_record, limit_name, max_value, running, b_host_limit } in rows {
        let at = *limits.entry(pk_limit_record).or_insert_with_key(|id| {
            let running = Budget { cap: Cap::of_limit(max_value), used: running };
            let counted = if b_host_limit { Counted::Hosts(BTreeSet::new()) } else { Counted::Frames };
            snapshot.limits.push(Limit { id: id.as_str().into(), name: limit_name.into(), running, counted });
            LimitIx(snapshot.limits.len() as u32 - 1)
        });
        if let Some(layer) = at_of.get(&LayerId::from(pk_layer)) {
            snapshot.layers[*layer].limits.push(at);
        }
    }
    attach_seats(&mut snapshot.limits, store).await
}

/// Reads which hosts run frames under limits that count hosts.
async fn attach_seats(limits: &mut [Limit], store: &Store) -> Result<(), StoreError> {
    let counting = limits.iter().filter(|limit| limit.counted != Counted::Frames);
    let counting: Vec<&str> = counting.map(|limit| limit.id.as_str()).collect();
    if counting.is_empty() {
        return Ok(());
    }
    let mut seats: HashMap<String, BTreeSet<HostId>> = HashMap::new();
    for (limit, host) in store.hosts_under_limits(&counting).await? {
        seats.entry(limit).or_default().insert(host.into());
    }
    for limit in limits.iter_mut() {
        if let Counted::Hosts(holders) = &mut limit.counted {
            *holders = seats.remove(limit.id.as_str()).unwrap_or_default();
            limit.running.used = holders.len() as i64;
        }
    }
    Ok(())
}

/// What the procs of holders were found to hold whose counter refused waiting work.
#[derive(Default)]
pub(super) struct TrueSums {
    jobs: Sums,
    folders: Sums,
    subscriptions: Sums,
}

type Sums = HashMap<String, Seen>;

#[derive(Clone, Copy)]
struct Seen {
    /// The counters beside which the sums were read.
    counters: Amounts,
    sums: Amounts,
    at: Instant,
}

/// Centicores and GPUs.
type Amounts = (i64, i64);

impl TrueSums {
    /// Replaces counters that refuse waiting work by what the procs really hold.
    pub(super) async fn correct(
        &mut self,
        snapshot: &mut Snapshot,
        alloc: &AllocId,
        store: &Store,
    ) -> Result<(), StoreError> {
        let refusing = Refusing::of(snapshot);
        look(&mut self.jobs, refusing.jobs, Holder::Job, alloc, store).await?;
        look(&mut self.folders, refusing.folders, Holder::Folder, alloc, store).await?;
        look(&mut self.subscriptions, refusing.subscriptions, Holder::Subscription, alloc, store).await?;
        for job in &mut snapshot.jobs {
            correct(&self.jobs, job.id.as_str(), &mut job.cores, Some(&mut job.gpus));
        }
        for folder in &mut snapshot.folders {
            correct(&self.folders, folder.id.as_str(), &mut folder.cores, Some(&mut folder.gpus));
        }
        for right in &mut snapshot.subscriptions {
            correct(&self.subscriptions, right.show.as_str(), &mut right.cores, None);
        }
        Ok(())
    }
}

/// Sums the procs of the refusing holders, unless that was done a moment ago beside the same counters.
async fn look(
    sums: &mut Sums,
    refusing: HashMap<&str, Amounts>,
    holder: Holder,
    alloc: &AllocId,
    store: &Store,
) -> Result<(), StoreError> {
    sums.retain(|key, seen| {
        seen.at.elapsed() < SUM_MAX_AGE && refusing.get(key.as_str()).is_some_and(|now| *now == seen.counters)
    });
    let unknown: Vec<&str> = refusing.keys().copied().filter(|key| !sums.contains_key(*key)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let at = Instant::now();
    // A holder without any proc has no row in the answer.
    let rows = store.booked(holder, &unknown, alloc).await?;
    for key in unknown {
        sums.insert(key.to_owned(), Seen { counters: refusing[key], sums: (0, 0), at });
    }
    for row in rows {
        if let Some(seen) = sums.get_mut(&row.key) {
            seen.sums = (row.cores, row.gpus);
        }
    }
    Ok(())
}

fn correct(sums: &Sums, key: &str, cores: &mut Budget, gpus: Option<&mut Budget>) {
    if let Some(seen) = sums.get(key) {
        cores.used = seen.sums.0;
        if let Some(gpus) = gpus {
            gpus.used = seen.sums.1;
        }
    }
}

/// The holders whose counters refuse the least that some waiting layer can ask for, with their counters.
#[derive(Default)]
struct Refusing<'s> {
    jobs: HashMap<&'s str, Amounts>,
    folders: HashMap<&'s str, Amounts>,
    subscriptions: HashMap<&'s str, Amounts>,
}

impl<'s> Refusing<'s> {
    fn of(snapshot: &'s Snapshot) -> Self {
        let mut refusing = Self::default();
        for layer in &snapshot.layers {
            let cores = match layer.cores {
                CoreRequest::Exactly(cores) if layer.threadable => cores.round_up().0,
                _ => Centicores::CORE.0,
            };
            let job = &snapshot[layer.job];
            let folder = &snapshot[job.folder];
            let right = &snapshot[job.subscription];
            if !job.cores.allows(cores) || !job.gpus.allows(layer.gpus.0) {
                refusing.jobs.insert(job.id.as_str(), (job.cores.used, job.gpus.used));
            }
            if !folder.cores.allows(cores) || !folder.gpus.allows(layer.gpus.0) {
                refusing.folders.insert(folder.id.as_str(), (folder.cores.used, folder.gpus.used));
            }
            if !right.cores.allows(cores) {
                refusing.subscriptions.insert(right.show.as_str(), (right.cores.used, 0));
            }
        }
        refusing
    }
}
