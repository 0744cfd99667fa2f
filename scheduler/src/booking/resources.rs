//! Steps 6 and 7: hosts and counters under their locks. What they refuse, the healing of counters, what is taken.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cue_scheduler_core::domain::amount::{Centicores, Gpus, Kb, Resources};
use cue_scheduler_core::domain::cap::{Budget, Cap};
use cue_scheduler_core::domain::id::JobId;
use cue_scheduler_core::landing::Truth;

use super::chunk::{Chunk, ChunkHost, Slot};
use super::refusal::{Found, Refusal};
use crate::store::StoreError;
use crate::store::booking::{ApplyColumns, BookingTx, CounterColumns, ResourceRow, kind};

/// What something holds or needs: centicores and GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Need {
    cores: i64,
    gpus: i64,
}

impl Need {
    fn add(&mut self, size: &Resources) {
        self.cores = self.cores.saturating_add(size.cores.0);
        self.gpus = self.gpus.saturating_add(size.gpus.0);
    }

    fn of<'s>(slots: impl IntoIterator<Item = &'s Slot>) -> Self {
        let mut need = Self::default();
        slots.into_iter().for_each(|slot| need.add(&slot.size));
        need
    }
}

/// A counter with its caps.
#[derive(Clone, Copy, Debug)]
struct Counter {
    cores: Budget,
    gpus: Budget,
}

impl Counter {
    fn of_row(row: &ResourceRow, cap: impl Fn(i64) -> Cap) -> Self {
        Self { cores: Budget { cap: cap(row.b), used: row.a }, gpus: Budget { cap: cap(row.d), used: row.c } }
    }

    fn allows(&self, need: Need) -> bool {
        self.cores.allows(need.cores) && self.gpus.allows(need.gpus)
    }

    /// Takes the true sum, which contains `need` already, in place of a counter that was too high.
    fn set_true(&mut self, sum: Need, need: Need) -> bool {
        let (cores, gpus) = (sum.cores.saturating_sub(need.cores), sum.gpus.saturating_sub(need.gpus));
        let changed = cores != self.cores.used || gpus != self.gpus.used;
        (self.cores.used, self.gpus.used) = (cores, gpus);
        changed
    }
}

struct HeldHost {
    alloc: String,
    open: bool,
    idle: Resources,
}

struct HeldJob {
    folder: String,
    department: String,
    counter: Counter,
}

/// The rows that the transaction holds for `slots`.
pub(super) struct Held<'c> {
    chunk: &'c Chunk,
    slots: &'c [Slot],
    hosts: HashMap<String, HeldHost>,
    subscriptions: BTreeMap<String, Counter>,
    jobs: BTreeMap<String, HeldJob>,
    folders: BTreeMap<String, Counter>,
    departments: HashSet<String>,
    job_need: BTreeMap<&'c str, Need>,
    folder_need: BTreeMap<String, Need>,
    subscription_need: BTreeMap<String, Need>,
}

impl<'c> Held<'c> {
    /// Step 6: locks hosts and counters.
    pub(super) async fn lock(tx: &mut BookingTx, chunk: &'c Chunk, slots: &'c [Slot]) -> Result<Self, StoreError> {
        let hosts = distinct(slots.iter().map(|slot| chunk.hosts[slot.host].id.as_str()));
        let layers = distinct(slots.iter().map(|slot| chunk.layers[slot.layer].id.as_str()));
        let jobs = distinct(slots.iter().map(|slot| chunk.layers[slot.layer].job.as_str()));
        let rows = tx.lock_resources(&hosts, chunk.show.as_str(), &layers, &jobs).await?;
        let mut held = Self {
            chunk,
            slots,
            hosts: HashMap::new(),
            subscriptions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            folders: BTreeMap::new(),
            departments: HashSet::new(),
            job_need: BTreeMap::new(),
            folder_need: BTreeMap::new(),
            subscription_need: BTreeMap::new(),
        };
        for row in rows {
            held.take_row(row);
        }
        for slot in slots {
            let job = chunk.layers[slot.layer].job.as_str();
            held.job_need.entry(job).or_default().add(&slot.size);
            if let Some(job) = held.jobs.get(job) {
                held.folder_need.entry(job.folder.clone()).or_default().add(&slot.size);
            }
            if let Some(alloc) = held.alloc_of(slot) {
                held.subscription_need.entry(alloc.to_owned()).or_default().add(&slot.size);
            }
        }
        Ok(held)
    }

    fn take_row(&mut self, row: ResourceRow) {
        match row.kind {
            kind::HOST => {
                let idle =
                    Resources { cores: Centicores(row.a), memory: Kb(row.b), gpus: Gpus(row.c), gpu_memory: Kb(row.d) };
                let alloc = row.other.unwrap_or_default();
                self.hosts.insert(row.key, HeldHost { alloc, open: row.open, idle });
            }
            kind::SUBSCRIPTION => {
                let cores = Budget { cap: Cap::of_subscription(row.b), used: row.a };
                // A subscription counts GPUs and has no cap for them.
                let gpus = Budget { cap: Cap::Unlimited, used: row.c };
                self.subscriptions.insert(row.key, Counter { cores, gpus });
            }
            kind::JOB => {
                let counter = Counter::of_row(&row, Cap::of_job);
                let (folder, department) = (row.other.unwrap_or_default(), row.third.unwrap_or_default());
                self.jobs.insert(row.key, HeldJob { folder, department, counter });
            }
            kind::FOLDER => {
                let counter = Counter::of_row(&row, Cap::of_folder);
                self.folders.insert(row.key, counter);
            }
            _ => {
                self.departments.insert(row.key);
            }
        }
    }

    fn alloc_of(&self, slot: &Slot) -> Option<&str> {
        self.hosts.get(self.chunk.hosts[slot.host].id.as_str()).map(|host| host.alloc.as_str())
    }

    fn folder_of(&self, slot: &Slot) -> Option<&str> {
        self.jobs.get(self.chunk.layers[slot.layer].job.as_str()).map(|job| job.folder.as_str())
    }

    /// Looks at the procs, in statements of their own after the locks, wherever a counter refuses: the sum holds this
    /// transaction's procs already. Answers how many counters were wrong.
    pub(super) async fn heal(&mut self, tx: &mut BookingTx) -> Result<u32, StoreError> {
        let mut healed = 0;
        for (alloc, counter) in &mut self.subscriptions {
            let need = self.subscription_need.get(alloc).copied().unwrap_or_default();
            if !counter.allows(need) {
                let rows = tx.booked_by_subscription(self.chunk.show.as_str(), alloc).await?;
                let sum = rows.first().map_or(need, |row| Need { cores: row.cores, gpus: row.gpus });
                healed += u32::from(counter.set_true(sum, need));
            }
        }
        let refusing: Vec<&str> = self
            .jobs
            .iter()
            .filter(|(id, job)| !job.counter.allows(need_of(&self.job_need, id)))
            .map(|(id, _)| id.as_str())
            .collect();
        if !refusing.is_empty() {
            for row in tx.booked_by_jobs(&refusing).await? {
                let need = need_of(&self.job_need, &row.key);
                if let Some(job) = self.jobs.get_mut(&row.key) {
                    healed += u32::from(job.counter.set_true(Need { cores: row.cores, gpus: row.gpus }, need));
                }
            }
        }
        let refusing: Vec<&str> = self
            .folders
            .iter()
            .filter(|(id, folder)| !folder.allows(self.folder_need.get(*id).copied().unwrap_or_default()))
            .map(|(id, _)| id.as_str())
            .collect();
        if !refusing.is_empty() {
            for row in tx.booked_by_folders(&refusing).await? {
                let need = self.folder_need.get(&row.key).copied().unwrap_or_default();
                if let Some(folder) = self.folders.get_mut(&row.key) {
                    healed += u32::from(folder.set_true(Need { cores: row.cores, gpus: row.gpus }, need));
                }
            }
        }
        Ok(healed)
    }

    /// What of the slots is left after every guard has had its say; the same slots if nothing is refused.
    pub(super) fn admitted(&self, found: &mut Found) -> Vec<Slot> {
        let mut slots = self.slots.to_vec();
        let mut refusing = Vec::new();
        for (at, host) in self.chunk.hosts.iter().enumerate() {
            let on_host = |slot: &Slot| slot.host == at;
            let (cause, removed) = match self.bookable(host) {
                Some(held) => (Refusal::HostFull, trim(&mut slots, on_host, |mine| sum(mine).fits(&held.idle))),
                None => (Refusal::HostNotOpen, trim(&mut slots, on_host, |_| false)),
            };
            note(cause, removed, Guard::Host(host), &mut refusing, found);
        }
        let right = self.subscriptions.get(self.chunk.alloc.as_str());
        let cause = if right.is_some() { Refusal::Subscription } else { Refusal::NoSubscription };
        let within = |mine: &[Slot]| right.is_some_and(|right| right.cores.allows(Need::of(mine).cores));
        let removed = trim(&mut slots, |_| true, within);
        note(cause, removed, Guard::Subscription, &mut refusing, found);
        // Without its rows no cap of a job could be held.
        let gone: BTreeSet<&JobId> =
            slots.iter().filter(|slot| !self.has_caps(slot)).map(|slot| self.job(slot)).collect();
        found.refusals.add(Refusal::JobNotPending, trim(&mut slots, |slot| !self.has_caps(slot), |_| false));
        found.truths.extend(gone.into_iter().cloned().map(Truth::JobOut));
        for (id, job) in &self.jobs {
            let of_job = |slot: &Slot| self.chunk.layers[slot.layer].job.as_str() == id;
            let removed = trim(&mut slots, of_job, |mine| job.counter.cores.allows(Need::of(mine).cores));
            note(Refusal::JobCores, removed, Guard::Job(id), &mut refusing, found);
            let removed = trim(&mut slots, of_job, |mine| job.counter.gpus.allows(Need::of(mine).gpus));
            note(Refusal::JobGpus, removed, Guard::Job(id), &mut refusing, found);
        }
        for (id, folder) in &self.folders {
            let in_folder = |slot: &Slot| self.folder_of(slot) == Some(id);
            let removed = trim(&mut slots, in_folder, |mine| folder.cores.allows(Need::of(mine).cores));
            note(Refusal::FolderCores, removed, Guard::Folder(id), &mut refusing, found);
            let removed = trim(&mut slots, in_folder, |mine| folder.gpus.allows(Need::of(mine).gpus));
            note(Refusal::FolderGpus, removed, Guard::Folder(id), &mut refusing, found);
        }
        found.truths.extend(refusing.into_iter().map(|guard| self.truth(guard, &slots)));
        slots
    }

    fn job(&self, slot: &Slot) -> &'c JobId {
        &self.chunk.layers[slot.layer].job
    }

    /// Whether the rows with the caps of its job and folder are there.
    fn has_caps(&self, slot: &Slot) -> bool {
        self.folder_of(slot).is_some_and(|folder| self.folders.contains_key(folder))
    }

    /// The host under its lock, if it may be booked and is still in the pool.
    fn bookable(&self, host: &ChunkHost) -> Option<&HeldHost> {
        let held = self.hosts.get(host.id.as_str())?;
        (held.open && held.alloc == self.chunk.alloc.as_str()).then_some(held)
    }

    /// The values of a guard that refused, as they will be when `admitted` is booked.
    fn truth(&self, guard: Guard, admitted: &[Slot]) -> Truth {
        let taken = |matches: &dyn Fn(&Slot) -> bool| admitted.iter().filter(|slot| matches(slot)).copied().collect();
        let after = |counter: &Counter, taken: Vec<Slot>| {
            let Need { cores, gpus } = Need::of(&taken);
            let grown = |budget: Budget, n| Budget { used: budget.used.saturating_add(n), ..budget };
            (grown(counter.cores, cores), grown(counter.gpus, gpus))
        };
        match guard {
            Guard::Host(host) => {
                let on_host = |slot: &Slot| self.chunk.hosts[slot.host].id == host.id;
                let taken: Vec<Slot> = taken(&on_host);
                match self.bookable(host) {
                    Some(held) => Truth::HostIdle { host: host.id.clone(), idle: held.idle - sum(&taken) },
                    None => Truth::HostOut(host.id.clone()),
                }
            }
            Guard::Subscription => {
                let none = Budget { cap: Cap::AtMost(0), used: 0 };
                let counter = self.subscriptions.get(self.chunk.alloc.as_str());
                let cores = counter.map_or(none, |counter| after(counter, taken(&|_| true)).0);
                Truth::Subscription { show: self.chunk.show.clone(), cores }
            }
            Guard::Job(id) => {
                let of_job = |slot: &Slot| self.chunk.layers[slot.layer].job.as_str() == id;
                let (cores, gpus) = after(&self.jobs[id].counter, taken(&of_job));
                Truth::Job { job: id.into(), cores, gpus }
            }
            Guard::Folder(id) => {
                let in_folder = |slot: &Slot| self.folder_of(slot) == Some(id);
                let (cores, gpus) = after(&self.folders[id], taken(&in_folder));
                let jobs = self.jobs.iter().filter(|(_, job)| job.folder == id).map(|(id, _)| JobId::from(id.as_str()));
                Truth::Folder { folder: id.into(), jobs: jobs.collect(), cores, gpus }
            }
        }
    }

    /// Step 7: what to take from the hosts, and the counters' new values or additions.
    pub(super) fn taken(&self) -> ApplyColumns<'_> {
        let mut columns = ApplyColumns::default();
        let mut by_host: BTreeMap<&str, Resources> = BTreeMap::new();
        let mut by_layer: BTreeMap<&str, Need> = BTreeMap::new();
        let mut by_department: BTreeMap<&str, Need> = BTreeMap::new();
        for slot in self.slots {
            let layer = &self.chunk.layers[slot.layer];
            let host = by_host.entry(self.chunk.hosts[slot.host].id.as_str()).or_default();
            *host = plus(*host, slot.size);
            by_layer.entry(layer.id.as_str()).or_default().add(&slot.size);
            if let Some(job) = self.jobs.get(layer.job.as_str()) {
                by_department.entry(&job.department).or_default().add(&slot.size);
            }
        }
        for (host, size) in by_host {
            columns.host.push(host);
            columns.host_cores.push(size.cores.0);
            columns.host_memory.push(size.memory.0);
            columns.host_gpus.push(size.gpus.0);
            columns.host_gpu_memory.push(size.gpu_memory.0);
        }
        for (layer, need) in by_layer {
            columns.layers.push(layer, need.cores, need.gpus);
        }
        for (department, need) in by_department {
            if self.departments.contains(department) {
                columns.points.push(department, need.cores, need.gpus);
            }
        }
        for (alloc, counter) in &self.subscriptions {
            let need = self.subscription_need.get(alloc).copied().unwrap_or_default();
            push_new(&mut columns.subscriptions, alloc, counter, need);
        }
        for (id, job) in &self.jobs {
            push_new(&mut columns.jobs, id, &job.counter, need_of(&self.job_need, id));
        }
        for (id, folder) in &self.folders {
            push_new(&mut columns.folders, id, folder, self.folder_need.get(id).copied().unwrap_or_default());
        }
        columns
    }
}

/// A row that can refuse.
#[derive(Clone, Copy)]
enum Guard<'h> {
    Host(&'h ChunkHost),
    Subscription,
    Job(&'h str),
    Folder(&'h str),
}

fn note<'h>(cause: Refusal, removed: usize, guard: Guard<'h>, refusing: &mut Vec<Guard<'h>>, found: &mut Found) {
    if removed > 0 {
        found.refusals.add(cause, removed);
        refusing.push(guard);
    }
}

/// Removes the last of the slots for which `matches` holds, until `fits` finds the rest of them little enough; answers how
/// many.
fn trim(slots: &mut Vec<Slot>, matches: impl Fn(&Slot) -> bool, fits: impl Fn(&[Slot]) -> bool) -> usize {
    let mut mine: Vec<Slot> = slots.iter().filter(|slot| matches(slot)).copied().collect();
    let before = mine.len();
    while !mine.is_empty() && !fits(&mine) {
        mine.pop();
    }
    let removed = before - mine.len();
    if removed > 0 {
        let mut keep = mine.len();
        slots.retain(|slot| {
            if !matches(slot) {
                return true;
            }
            let kept = keep > 0;
            keep = keep.saturating_sub(1);
            kept
        });
    }
    removed
}

fn push_new<'c>(columns: &mut CounterColumns<'c>, key: &'c str, counter: &Counter, need: Need) {
    let new = |used: i64, need: i64| used.saturating_add(need);
    columns.push(key, new(counter.cores.used, need.cores), new(counter.gpus.used, need.gpus));
}

fn need_of(needs: &BTreeMap<&str, Need>, key: &str) -> Need {
    needs.get(key).copied().unwrap_or_default()
}

fn plus(a: Resources, b: Resources) -> Resources {
    Resources {
        cores: a.cores + b.cores,
        memory: a.memory + b.memory,
        gpus: a.gpus + b.gpus,
        gpu_memory: a.gpu_memory + b.gpu_memory,
    }
}

fn sum(slots: &[Slot]) -> Resources {
    slots.iter().fold(Resources::default(), |total, slot| plus(total, slot.size))
}

/// The distinct texts, sorted.
pub(super) fn distinct<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut texts: Vec<&str> = texts.collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(layer: usize, cores: i64) -> Slot {
        let size = Resources { cores: Centicores::cores(cores), ..Resources::default() };
        Slot { layer, host: 0, size }
    }

    #[test]
    fn trimming_removes_the_least_important_of_the_matching_slots_only() {
        let mut slots = vec![slot(0, 2), slot(1, 2), slot(0, 4), slot(1, 1), slot(0, 1)];
        let removed = trim(&mut slots, |slot| slot.layer == 0, |mine| sum(mine).cores <= Centicores::cores(6));
        assert_eq!(removed, 1);
        assert_eq!(slots, [slot(0, 2), slot(1, 2), slot(0, 4), slot(1, 1)]);
    }

    #[test]
    fn trimming_to_nothing_leaves_the_others() {
        let mut slots = vec![slot(0, 2), slot(1, 2), slot(0, 4)];
        assert_eq!(trim(&mut slots, |slot| slot.layer == 0, |_| false), 2);
        assert_eq!(slots, [slot(1, 2)]);
    }

    #[test]
    fn a_true_sum_replaces_a_counter_that_was_too_high() {
        let cap = Cap::AtMost(1000);
        let mut counter = Counter { cores: Budget { cap, used: 950 }, gpus: Budget { cap: Cap::Unlimited, used: 0 } };
        let need = Need { cores: 100, gpus: 0 };
        assert!(!counter.allows(need));
        assert!(counter.set_true(Need { cores: 300, gpus: 0 }, need));
        assert_eq!(counter.cores.used, 200);
        assert!(counter.allows(need));
    }
}
