//! Every link in the repository's Markdown leads somewhere: to a file or folder that is there, and to a heading of it. Addresses of
//! others are not asked: whether they answer today says nothing about this repository.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All pages below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_ours = !path.ends_with("target") && !path.file_name().unwrap().to_string_lossy().starts_with('.');
        if path.is_dir() && is_ours {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

/// The lines of a page that are prose: not inside a fence.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Where the links of a page lead. What stands in `code` is no link.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(page) {
        let without_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        let ends = without_code.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(ends.map(str::to_owned));
    }
    found
}

/// The anchors of a page, as they are made of headings: small letters, no punctuation, blanks as hyphens, a number where a heading
/// comes again.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in
        prose(page).filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))
    {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        let anchor: String = kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
        let again = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(again).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

#[test]
fn anchors_are_made_of_headings() {
    let page = "# A `key`, and more\n## Twice\n## Twice\n```\n# no heading\n```\n### CueSchedulerDown\n";
    let wanted = ["a-key-and-more", "twice", "twice-1", "cueschedulerdown"].map(str::to_owned);
    assert_eq!(anchors(page), BTreeSet::from(wanted));
    assert_eq!(links("[a](b.md#c) `[no](link)` [d `e`](#f)\n```\n[no](link)\n```"), ["b.md#c", "#f"]);
}

#[test]
fn no_link_is_dead() {
    let pages = pages(&root());
    assert!(pages.len() > 25, "the pages are not where this test looks: {pages:?}");
    let mut dead = Vec::new();
    let mut followed = 0;
    for path in pages {
        let page = std::fs::read_to_string(&path).unwrap();
        for link in links(&page).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            followed += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let is_there =
                target.exists() && target.canonicalize().unwrap().starts_with(root().canonicalize().unwrap());
            let has_anchor = || anchors(&std::fs::read_to_string(&target).unwrap_or_default()).contains(anchor);
            if !is_there || !anchor.is_empty() && !has_anchor() {
                dead.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(followed > 80, "{followed} links");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
