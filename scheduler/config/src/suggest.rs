//! Which known key somebody may have meant.

use crate::key::{idle_keys, keys};

/// The key nearest to an unknown path: one of the same name in another section, else the one with the fewest edits;
/// `None` when nothing is near enough to be what was meant.
pub(crate) fn nearest(path: &str) -> Option<String> {
    let leaf = leaf_of(path);
    if let Some(key) = keys().iter().find(|key| leaf_of(&key.path) == leaf) {
        return Some(key.path.clone());
    }
    let sections = keys().iter().filter_map(|key| key.path.rsplit_once('.'));
    let candidates = keys()
        .iter()
        .map(|key| key.path.as_str())
        .chain(idle_keys().iter().map(|key| key.path))
        .chain(sections.map(|(section, _)| section));
    candidates
        .map(|candidate| {
            let name = leaf_of(candidate);
            // A name cut short or carried on (`db_password`) is as near as a swap and a half.
            let begins = name.len().min(leaf.len()) >= 4 && (name.starts_with(leaf) || leaf.starts_with(name));
            let edits = if begins { 2 } else { distance(name, leaf) };
            // In another section, the whole path counts, or the name and the move.
            let same_section = candidate.strip_suffix(name) == path.strip_suffix(leaf);
            (distance(candidate, path).min(edits + usize::from(!same_section)), candidate)
        })
        .filter(|(edits, candidate)| *edits <= (leaf_of(candidate).chars().count() / 3).max(2))
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

fn leaf_of(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, leaf)| leaf)
}

/// The number of edits (a letter added, left out, changed, or two neighbours swapped) between two words, in letters.
/// Words beyond 100 letters are cut, since no key is that long.
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(100).collect();
    let b: Vec<char> = b.chars().take(100).collect();
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut edits = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                edits = edits.min(before_last[j - 2] + 1);
            }
            row.push(edits);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_with_swaps() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("ca", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        for (written, meant) in [
            ("queue.worker_thread", Some("queue.worker_threads")),
            ("queue.wroker_threads", Some("queue.worker_threads")),
            ("worker_threads", Some("queue.worker_threads")),
            ("queue.grpc_port", Some("rqd.grpc_port")),
            ("queue.grpc_prt", Some("rqd.grpc_port")),
            ("databse", Some("database")),
            ("databse.db_host", Some("database.db_host")),
            ("database.db_password", Some("database.db_pass")),
            ("database.db_pas", Some("database.db_pass")),
            ("hostcache", Some("host_cache")),
            ("queue.stream.job_buffer", Some("queue.stream.job_buffer_size")),
            ("entirely.different", None),
        ] {
            assert_eq!(nearest(written).as_deref(), meant, "{written}");
        }
    }
}
