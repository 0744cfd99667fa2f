//! Clusters and pools: under which tags work is looked for, and which hosts are planned together.
//!
//! A *cluster* is what the retired scheduler visited: one allocation tag of a show, or a chunk of its manual, hostname or
//! hardware tags. A *pool* is the hosts of one allocation in one facility: every host is in exactly one pool, and the
//! clusters that can use its hosts are worked on together, so that shows compete for the same hosts in one decision.
//! An allocation with very many hosts is cut into slices, each a pool of its own: see [`crate::slicing`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::id::{AllocId, FacilityId, ShowId};
use crate::domain::tag::{TagKind, parse_layer_tags};
use crate::slicing::{Slice, Slicing};

/// A tag that some host of an allocation carries.
#[derive(Clone, Debug)]
pub struct AllocTag {
    /// The facility.
    pub facility: FacilityId,
    /// The allocation.
    pub alloc: AllocId,
    /// Its name.
    pub alloc_name: Arc<str>,
    /// The tag.
    pub tag: Arc<str>,
    /// Its kind.
    pub kind: TagKind,
}

/// A managed show may use an allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Right {
    /// The show.
    pub show: ShowId,
    /// The allocation.
    pub alloc: AllocId,
}

/// How many tags go into one cluster.
#[derive(Clone, Copy, Debug)]
pub struct ChunkSizes {
    /// Manual and hardware tags: `queue.manual_tags_chunk_size`.
    pub manual: usize,
    /// Hostname tags: `queue.hostname_tags_chunk_size`.
    pub hostname: usize,
}

/// Tags of one kind under which a show's work is looked for in a facility.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cluster {
    /// The facility.
    pub facility: FacilityId,
    /// The show.
    pub show: ShowId,
    /// The kind of all its tags.
    pub kind: TagKind,
    /// The tags, sorted; exactly one for an allocation cluster.
    pub tags: Vec<Arc<str>>,
}

/// What tells a pool from all others, whoever may use it and whatever its hosts are called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId {
    /// The facility.
    pub facility: FacilityId,
    /// The allocation.
    pub alloc: AllocId,
    /// Which part of its hosts.
    pub slice: Slice,
}

/// The hosts of one allocation in one facility, or a slice of them: the unit of planning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The facility.
    pub facility: FacilityId,
    /// The allocation.
    pub alloc: AllocId,
    /// Which part of its hosts.
    pub slice: Slice,
    /// The allocation's name, and the slice if it isn't all, for people.
    pub name: Arc<str>,
    /// The managed shows that may use it.
    pub shows: BTreeSet<ShowId>,
    /// The tags that its hosts carry, ignored ones left out. Of several kinds, the first counts.
    pub tags: BTreeMap<Arc<str>, TagKind>,
}

impl Pool {
    /// What tells it from all others.
    pub fn id(&self) -> PoolId {
        PoolId { facility: self.facility.clone(), alloc: self.alloc.clone(), slice: self.slice }
    }

    /// The kind of tag by which a layer with these tags could reach the pool's hosts; `None` if it can't.
    pub fn kind_of(&self, tags: &[Arc<str>]) -> Option<TagKind> {
        tags.iter().filter_map(|tag| self.tags.get(tag)).min().copied()
    }
}

/// Cuts the clusters: one for each allocation tag of a show, and chunks of its sorted manual, hostname and hardware tags in
/// each facility. `ignored` tags are taken out first.
pub fn clusters(tags: &[AllocTag], rights: &[Right], ignored: &BTreeSet<String>, sizes: ChunkSizes) -> Vec<Cluster> {
    let mut shows_of: BTreeMap<&AllocId, BTreeSet<&ShowId>> = BTreeMap::new();
    for right in rights {
        shows_of.entry(&right.alloc).or_default().insert(&right.show);
    }
    let mut grouped: BTreeMap<(&FacilityId, &ShowId, TagKind), BTreeSet<Arc<str>>> = BTreeMap::new();
    for tag in tags.iter().filter(|tag| !ignored.contains(tag.tag.as_ref())) {
        for show in shows_of.get(&tag.alloc).into_iter().flatten() {
            grouped.entry((&tag.facility, show, tag.kind)).or_default().insert(tag.tag.clone());
        }
    }
    let mut clusters = Vec::new();
    for ((facility, show, kind), tags) in grouped {
        let size = match kind {
            TagKind::Alloc => 1,
            TagKind::Manual | TagKind::Hardware => sizes.manual.max(1),
            TagKind::Hostname => sizes.hostname.max(1),
        };
        let tags: Vec<Arc<str>> = tags.into_iter().collect();
        clusters.extend(tags.chunks(size).map(|chunk| Cluster {
            facility: facility.clone(),
            show: show.clone(),
            kind,
            tags: chunk.to_vec(),
        }));
    }
    clusters
}

/// The pools: allocations that have tagged hosts and a managed show that may use them, in slices where they are cut, in a
/// fixed order.
pub fn pools(tags: &[AllocTag], rights: &[Right], ignored: &BTreeSet<String>, slicing: &Slicing) -> Vec<Pool> {
    let mut pools: BTreeMap<(&FacilityId, &AllocId), Pool> = BTreeMap::new();
    for tag in tags {
        let pool = pools.entry((&tag.facility, &tag.alloc)).or_insert_with(|| Pool {
            facility: tag.facility.clone(),
            alloc: tag.alloc.clone(),
            slice: Slice::WHOLE,
            name: tag.alloc_name.clone(),
            shows: rights.iter().filter(|right| right.alloc == tag.alloc).map(|right| right.show.clone()).collect(),
            tags: BTreeMap::new(),
        });
        if !ignored.contains(tag.tag.as_ref()) {
            let kind = pool.tags.entry(tag.tag.clone()).or_insert(tag.kind);
            *kind = tag.kind.min(*kind);
        }
    }
    let usable = pools.into_values().filter(|pool| !pool.shows.is_empty() && !pool.tags.is_empty());
    usable.flat_map(|pool| in_slices(pool, slicing)).collect()
}

fn in_slices(pool: Pool, slicing: &Slicing) -> impl Iterator<Item = Pool> {
    slicing.of(&pool.alloc).map(move |slice| {
        let name = if slice == Slice::WHOLE { pool.name.clone() } else { format!("{} {slice}", pool.name).into() };
        Pool { slice, name, ..pool.clone() }
    })
}

/// Waiting work of one show under one tag list, as the awake scan found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingWork {
    /// The show.
    pub show: ShowId,
    /// The facility of the jobs.
    pub facility: FacilityId,
    /// The layers' tags.
    pub tags: Vec<Arc<str>>,
    /// Frames that could start now; 0 when all of it is delayed.
    pub frames: u64,
    /// How long until the earliest delayed layer may start.
    pub starts_in: Option<Duration>,
}

impl WaitingWork {
    /// From the columns; `tags` as stored in `layer.str_tags`.
    pub fn new(show: ShowId, facility: FacilityId, tags: &str, frames: u64, starts_in: Option<Duration>) -> Self {
        Self { show, facility, tags: parse_layer_tags(tags), frames, starts_in }
    }

    /// The kind of tag by which some host of the pool could run it, as far as facility, subscription and tags go.
    pub fn concerns(&self, pool: &Pool) -> Option<TagKind> {
        if self.facility == pool.facility && pool.shows.contains(&self.show) { pool.kind_of(&self.tags) } else { None }
    }

    /// Whether the cluster looks for it.
    pub fn in_cluster(&self, cluster: &Cluster) -> bool {
        self.facility == cluster.facility
            && self.show == cluster.show
            && self.tags.iter().any(|tag| cluster.tags.binary_search(tag).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(alloc: &str, tag: &str, kind: TagKind) -> AllocTag {
        AllocTag { facility: "f".into(), alloc: alloc.into(), alloc_name: alloc.into(), tag: tag.into(), kind }
    }

    fn right(show: &str, alloc: &str) -> Right {
        Right { show: show.into(), alloc: alloc.into() }
    }

    const SIZES: ChunkSizes = ChunkSizes { manual: 50, hostname: 50 };

    #[test]
    fn clusters_are_cut_as_the_retired_scheduler_cut_them() {
        let mut tags = vec![tag("a", "general", TagKind::Alloc), tag("b", "big", TagKind::Alloc)];
        tags.extend((0..120).map(|n| tag("a", &format!("m{n:03}"), TagKind::Manual)));
        tags.extend((0..130).map(|n| tag("b", &format!("h{n:03}"), TagKind::Hostname)));
        tags.extend((0..3).map(|n| tag("a", &format!("w{n}"), TagKind::Hardware)));
        let rights = [right("s", "a"), right("s", "b")];
        let count = |sizes| clusters(&tags, &rights, &BTreeSet::new(), sizes).len();
        assert_eq!(count(SIZES), 2 + 3 + 3 + 1);
        assert_eq!(count(ChunkSizes { manual: 100, hostname: 300 }), 2 + 2 + 1 + 1);
    }

    #[test]
    fn an_ignored_tag_is_in_no_cluster_and_in_no_pool() {
        let tags = [tag("a", "general", TagKind::Alloc), tag("a", "old", TagKind::Manual)];
        let ignored = BTreeSet::from(["old".to_owned()]);
        let rights = [right("s", "a")];
        assert!(clusters(&tags, &rights, &ignored, SIZES).iter().all(|cluster| cluster.kind == TagKind::Alloc));
        assert_eq!(
            pools(&tags, &rights, &ignored, &Slicing::default())[0].tags,
            BTreeMap::from([("general".into(), TagKind::Alloc)])
        );
    }

    #[test]
    fn an_allocation_without_a_managed_show_is_no_pool() {
        let tags = [tag("a", "general", TagKind::Alloc), tag("b", "general", TagKind::Alloc)];
        let pools = pools(&tags, &[right("s", "b")], &BTreeSet::new(), &Slicing::default());
        assert_eq!(pools.iter().map(|pool| pool.alloc.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_cut_allocation_is_several_pools_that_the_same_work_concerns() {
        let tags = [tag("a", "general", TagKind::Alloc), tag("b", "general", TagKind::Alloc)];
        let slicing = Slicing::default().cut(10, &[("a".into(), 15)].into(), |_, _| false);
        let pools = pools(&tags, &[right("s", "a"), right("s", "b")], &BTreeSet::new(), &slicing);
        let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_ref()).collect();
        assert_eq!(names, ["a 1/2", "a 2/2", "b"]);
        let work = WaitingWork::new("s".into(), "f".into(), "general", 1, None);
        assert!(pools.iter().all(|pool| work.concerns(pool).is_some()));
        let ids: BTreeSet<PoolId> = pools.iter().map(Pool::id).collect();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn work_concerns_a_pool_by_facility_show_and_any_common_tag() {
        let tags = [tag("a", "general", TagKind::Alloc), tag("a", "gpu", TagKind::Manual)];
        let pool = &pools(&tags, &[right("s", "a")], &BTreeSet::new(), &Slicing::default())[0];
        let concerns = |show: &str, facility: &str, tags: &str| {
            WaitingWork::new(show.into(), facility.into(), tags, 1, None).concerns(pool)
        };
        assert_eq!(concerns("s", "f", "util | gpu"), Some(TagKind::Manual));
        assert_eq!(concerns("s", "f", "gpu | general"), Some(TagKind::Alloc), "the first kind counts");
        assert_eq!(concerns("s", "f", "gen eral"), Some(TagKind::Alloc), "blanks inside tags are removed everywhere");
        assert_eq!(concerns("s", "f", "General"), None);
        assert_eq!(concerns("t", "f", "general"), None);
        assert_eq!(concerns("s", "g", "general"), None);
        assert_eq!(concerns("s", "f", ""), None);
    }
}
