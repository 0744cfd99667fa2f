//! The reference page of scheduler.yaml, which is made from the table of keys and never edited. `UPDATE_REFERENCE=1 cargo test
//! --package cue-scheduler-config --test reference` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

use std::fmt::Write as _;
use std::path::Path;

use cue_scheduler_config::{Key, Kind, idle_keys, keys};

const HEAD: &str = "\
# scheduler.yaml

<!-- Made from scheduler/config/src/model.rs by scheduler/config/tests/reference.rs; a test fails when it is old. -->

Values come from the defaults below, then the file, then variables of the environment, then the command line; what comes later
wins, and lists are replaced whole. The file is the one that `--config` names, else `OPENCUE_SCHEDULER_CONFIG`, else
`~/.local/share/scheduler.yaml`, else `~/.config/cue-scheduler/scheduler.yaml`. It is YAML or JSON.

Each key has a variable: `queue.worker_threads` is `OPENSCHEDULER_QUEUE__WORKER_THREADS`, in any letter case, with two
underscores or a dot between section and key. A list is separated by commas, or given one by one:
`OPENSCHEDULER_SCHEDULER__IGNORE_TAGS[0]`. `-f`, `--facility` sets `scheduler.facility`, and `-i`, `--ignore-tags` sets
`scheduler.ignore_tags`.

`cue-scheduler check-config` shows what holds and where each value comes from. A key that is not in this page is an error (a
warning with `--lenient-config`), as is a value of the wrong kind.
";

fn section_of(key: &Key) -> &str {
    key.path.rsplit_once('.').map_or("", |(section, _)| section)
}

fn entry(key: &Key) -> String {
    let mut text = format!("### `{}`\n\n{}\n\n", key.path, key.meaning);
    let mut kind = key.kind.to_string();
    if let Kind::OneOf(words) = key.kind {
        kind = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    let default = match &key.default {
        Some(default) => format!("`{default}`"),
        None if key.kind == Kind::Secret => "not shown".to_owned(),
        None => "unset".to_owned(),
    };
    writeln!(text, "- Type: {}: {kind}\n- Default: {default}", key.kind.name()).unwrap();
    writeln!(text, "- Variable: `OPENSCHEDULER_{}`", key.path.to_uppercase().replace('.', "__")).unwrap();
    for alias in &key.aliases {
        writeln!(text, "- Also read as: `{alias}`").unwrap();
    }
    text
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    let mut section = None;
    for key in keys() {
        if section != Some(section_of(key)) {
            section = Some(section_of(key));
            write!(text, "\n## {}\n", section_of(key)).unwrap();
        }
        write!(text, "\n{}", entry(key)).unwrap();
    }
    text += "\n## Keys without a meaning here\n\nThey were published for the retired scheduler. A file that has one loads, \
             with one warning at the start.\n\n| Key | Why |\n| --- | --- |\n";
    for idle in idle_keys() {
        writeln!(text, "| `{}` | {} |", idle.path, idle.why).unwrap();
    }
    text
}

#[test]
fn the_reference_page_is_as_new_as_the_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
    let page = page();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).find(|(written, new)| written != new);
    assert!(
        written == page,
        "docs/reference/configuration.md is old, first at {differs:?}; UPDATE_REFERENCE=1 cargo test --package \
         cue-scheduler-config --test reference writes it anew"
    );
}

#[test]
fn every_key_stands_in_the_page_with_its_meaning_default_and_variable() {
    let page = page();
    for key in keys() {
        assert!(page.contains(&format!("### `{}`\n\n{}", key.path, key.meaning)), "{}", key.path);
    }
    for words in [
        "- Also read as: `queue.host_candidate_attemps_per_layer`",
        "- Variable: `OPENSCHEDULER_QUEUE__STREAM__CLUSTER_BUFFER_SIZE`",
        "- Default: `2GiB`",
        "| `host_cache.checkout_timeout` |",
    ] {
        assert!(page.contains(words), "{words}");
    }
}
