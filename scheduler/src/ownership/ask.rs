//! Who is there and who owns what, asked from outside: nothing is taken, and the asker is no member.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler_core::assignment::Member;
use cue_scheduler_core::cluster::{AllocTag, Pool, PoolId, Right, pools};
use cue_scheduler_core::domain::id::{AllocId, FacilityId};
use cue_scheduler_core::slicing::{Slice, Slicing};
use serde_json::{Value, json};

use super::STALE;
use super::key::LockKey;
use super::locks::look_once;
use super::members::{Seen, member, see};
use crate::store::Store;
use crate::store::feed::TagRow;

/// Columns of a terminal.
const WIDTH: usize = 80;

/// What is looked at.
pub struct Inquiry {
    /// The database.
    pub store: Store,
    /// Only this facility's pools, or all.
    pub facility: Option<FacilityId>,
    /// Tags that make no pool: `scheduler.ignore_tags`.
    pub ignored_tags: BTreeSet<String>,
    /// Most hosts that a pool should have: `scheduler.pool_hosts_max`.
    pub hosts_max: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Owners {
    seen: Seen,
    /// By name, with the owner.
    pools: Vec<(Arc<str>, Option<Arc<str>>)>,
}

impl Inquiry {
    /// Looks.
    pub async fn ask(&self) -> anyhow::Result<Owners> {
        let (role, held) = look_once(&self.store).await?;
        let seen = see(&held, STALE);
        let pools = self.pools(role, &seen).await?;
        let owner = |pool: &Pool| seen.holders.get(&LockKey::of_pool(role, &pool.id())).cloned();
        let pools = pools.iter().map(|pool| (pool.name.clone(), owner(pool))).collect();
        Ok(Owners { seen, pools })
    }

    /// The pools, cut as somebody works on them, or as somebody would.
    async fn pools(&self, role: i64, seen: &Seen) -> anyhow::Result<Vec<Pool>> {
        let facility = self.facility.as_ref();
        let tags: Vec<AllocTag> = self.store.tags(facility).await?.into_iter().filter_map(TagRow::known).collect();
        let rights = self.store.subscriptions(facility).await?;
        let rights: Vec<Right> = rights.into_iter().map(|row| Right { show: row.show, alloc: row.alloc }).collect();
        let places = self.store.places(facility).await?;
        let hosts = places.iter().map(|place| (place.alloc.clone(), u64::try_from(place.hosts).unwrap_or(0))).collect();
        let facilities: BTreeMap<_, &FacilityId> = places.iter().map(|place| (&place.alloc, &place.facility)).collect();
        let in_use = |alloc: &AllocId, of: u16| {
            let Some(facility) = facilities.get(alloc) else { return false };
            (0..of).any(|at| {
                let pool = PoolId { facility: (*facility).clone(), alloc: alloc.clone(), slice: Slice { of, at } };
                seen.holders.contains_key(&LockKey::of_pool(role, &pool))
            })
        };
        let slicing = Slicing::default().cut(self.hosts_max, &hosts, in_use);
        Ok(pools(&tags, &rights, &self.ignored_tags, &slicing))
    }
}

impl Owners {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let members = self.members();
        // Writing to a text can't fail.
        let _ = writeln!(
            text,
            "{} of {} pools are owned, by {} replicas.",
            self.pools.iter().filter(|(_, owner)| owner.is_some()).count(),
            self.pools.len(),
            members.len()
        );
        if !self.seen.strangers.is_empty() {
            let _ = writeln!(text, "{} replicas use another database role; see there.", self.seen.strangers.len());
        }
        if !members.is_empty() {
            let _ = writeln!(text, "\n{:<8}  {:<40}  {:>5}  HEARD OF", "REPLICA", "FACILITY", "POOLS");
            for (member, silent, pools) in members {
                let heard = if self.seen.stale.contains(&member.id) { ", hangs" } else { "" };
                let facility = shortened(member.facility.as_deref().unwrap_or("*"), 40);
                let _ = writeln!(
                    text,
                    "{:<8}  {facility:<40}  {pools:>5}  {:.1} s ago{heard}",
                    short(&member.id),
                    silent.as_secs_f64()
                );
            }
        }
        if !self.pools.is_empty() {
            let _ = writeln!(text, "\n{:<8}  POOL", "OWNER");
            for (pool, owner) in &self.pools {
                let owner = owner.as_deref().map_or("nobody", short);
                let _ = writeln!(text, "{owner:<8}  {}", shortened(pool, WIDTH - 10));
            }
        }
        text
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let members = self.members().into_iter().map(|(member, silent, pools)| {
            json!({
                "member": *member.id, "facility": member.facility.as_deref(), "pools": pools,
                "silent_seconds": silent.as_secs_f64(), "hangs": self.seen.stale.contains(&member.id),
            })
        });
        let pools = self.pools.iter().map(|(pool, owner)| json!({"pool": **pool, "owner": owner.as_deref()}));
        json!({
            "members": members.collect::<Vec<_>>(),
            "members_of_other_roles": self.seen.strangers.len(),
            "pools": pools.collect::<Vec<_>>(),
        })
    }

    /// Members, those that hang too, with how long ago each was heard of and how many of the pools it owns.
    fn members(&self) -> Vec<(Member, Duration, usize)> {
        let all = self.seen.idle.iter().filter_map(|(name, silent)| Some((member(name)?, *silent)));
        let owned = |id: &Arc<str>| self.pools.iter().filter(|(_, owner)| owner.as_ref() == Some(id)).count();
        all.map(|(member, silent)| (member.clone(), silent, owned(&member.id))).collect()
    }
}

/// What tells a member from its like.
fn short(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, id)| id)
}

/// At most so many columns, and nothing that moves the cursor.
fn shortened(text: &str, columns: usize) -> String {
    let mut shown: Vec<char> = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if shown.len() > columns {
        shown.truncate(columns - 1);
        shown.push('…');
    }
    shown.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::members::{HeldLock, member_name};
    use super::*;

    #[test]
    fn a_page_fits_the_terminal_and_says_who_owns_what_and_who_hangs() {
        let long = "f".repeat(90);
        let [one, two] = [member_name(Some(&long), 1), member_name(None, 2)];
        let pool = LockKey { class: 0x4353_8001, key: 9 };
        let lock = |name: &str, key, idle| HeldLock {
            pid: 1,
            name: name.to_owned(),
            own_role: true,
            own_session: false,
            idle: Some(idle),
            key,
        };
        let seen = see(
            &[
                lock(&one, LockKey::of_member(&one), 0.25),
                lock(&two, LockKey::of_member(&two), 99.0),
                lock(&one, pool, 0.25),
            ],
            STALE,
        );
        let pools = vec![("p".repeat(100).into(), Some(one.as_str().into())), ("\u{1b}[2J".into(), None)];
        let owners = Owners { seen, pools };
        let text = owners.text();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.starts_with("1 of 2 pools are owned, by 2 replicas.\n"), "{text}");
        assert!(text.contains("99.0 s ago, hangs") && text.contains("nobody    ?[2J"), "{text}");
        assert!(text.contains("\n00000001  ppp"), "{text}");
        let json = owners.json();
        assert_eq!((&json["members"][1]["pools"], &json["pools"][0]["owner"]), (&json!(1), &json!(one)));
    }
}
