//! May this layer run on that host at all?
//!
//! Questions whose answer does not change while a pass goes on: tags, operating system, thread mode. What is idle is
//! the business of [`super::size`], since how much a frame needs depends on the host. Everything is compared exactly:
//! upstream's regular expressions and whole-text comparisons made hosts unreachable that a person would have called a
//! match, or the other way round.

use std::sync::Arc;

use crate::domain::request::ThreadMode;
use crate::domain::tag::{HostTag, TagKind};

/// Whether layer and host have a tag in common. A layer without tags meets no host.
pub fn tags_meet(layer: &[Arc<str>], host: &[HostTag]) -> bool {
    matched_by(layer, host).is_some()
}

/// The kind of the tag by which a layer reaches a host: of several, the first in the order of [`TagKind`]. It is the
/// `cluster_type` under which a placement is counted.
pub fn matched_by(layer: &[Arc<str>], host: &[HostTag]) -> Option<TagKind> {
    host.iter().filter(|tag| layer.contains(&tag.name)).map(|tag| tag.kind).min()
}

/// Whether a host with these operating systems (one name, or several separated by commas) runs what a job asks for.
/// No name, or an empty one, asks for nothing.
pub fn os_accepted(job: Option<&str>, host: &str) -> bool {
    match job {
        None | Some("") => true,
        Some(wanted) => host.split(',').any(|name| name.trim() == wanted),
    }
}

/// Whether a host in this thread mode takes such a frame: mode [`ThreadMode::All`] gives every idle core to one frame,
/// so that it takes only frames which can use more than one.
pub fn mode_accepted(threadable: bool, mode: ThreadMode) -> bool {
    threadable || mode != ThreadMode::All
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn host_tag(name: &str, kind: TagKind) -> HostTag {
        HostTag { name: name.into(), kind }
    }

    #[test]
    fn one_common_tag_is_enough_and_case_matters() {
        let host = [host_tag("general", TagKind::Alloc), host_tag("host7", TagKind::Hostname)];
        for (layer, meets) in [
            (&["general"][..], true),
            (&["desktop", "host7"], true),
            (&["General"], false),
            (&["gener"], false),
            (&["mygeneral"], false),
            (&["general "], false),
            (&[], false),
        ] {
            assert_eq!(tags_meet(&tags(layer), &host), meets, "{layer:?}");
        }
    }

    #[test]
    fn a_match_by_several_tags_is_counted_under_the_first_kind() {
        let host = [
            host_tag("rhel9", TagKind::Hardware),
            host_tag("host7", TagKind::Hostname),
            host_tag("fx", TagKind::Manual),
            host_tag("fx", TagKind::Alloc),
        ];
        assert_eq!(matched_by(&tags(&["rhel9", "host7"]), &host), Some(TagKind::Hostname));
        assert_eq!(matched_by(&tags(&["fx"]), &host), Some(TagKind::Alloc));
        assert_eq!(matched_by(&tags(&["lighting"]), &host), None);
    }

    #[test]
    fn a_job_without_an_os_runs_anywhere_and_a_list_matches_by_each_name() {
        for (job, host, accepted) in [
            (None, "anything", true),
            (None, "", true),
            (Some(""), "linux", true),
            (Some("linux"), "linux", true),
            (Some("linux"), "linux,windows", true),
            (Some("windows"), "linux, windows ", true),
            (Some("Linux"), "linux", false),
            (Some("lin"), "linux", false),
            (Some("linux,windows"), "linux,windows", false),
            (Some("linux"), "", false),
        ] {
            assert_eq!(os_accepted(job, host), accepted, "{job:?} on {host:?}");
        }
    }

    #[test]
    fn only_threadable_frames_go_to_hosts_that_give_all_cores() {
        for (threadable, mode, accepted) in [
            (true, ThreadMode::Auto, true),
            (true, ThreadMode::All, true),
            (true, ThreadMode::Variable, true),
            (false, ThreadMode::Auto, true),
            (false, ThreadMode::All, false),
            (false, ThreadMode::Variable, true),
        ] {
            assert_eq!(mode_accepted(threadable, mode), accepted);
        }
    }
}
