//! Rules of the house that the compiler can't keep: who may import what, and that every statement has its header and its use.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a folder with this ending, with their text.
fn files(folder: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// Lines of code that use a crate.
fn uses(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    text.lines().map(str::trim_start).any(|line| !line.starts_with("//") && line.contains(&path))
}

#[test]
fn only_the_store_knows_sqlx_and_only_launch_knows_tonic() {
    let source = root().join("scheduler/src");
    let sources = files(&source, "rs");
    assert!(sources.len() > 30, "the sources are not where this test looks");
    // The coordination session is none of the store's pools'.
    for (name, homes) in [("sqlx", &["store", "ownership/locks.rs"][..]), ("tonic", &["launch"])] {
        let users: Vec<&PathBuf> = sources.iter().filter(|(_, text)| uses(text, name)).map(|(path, _)| path).collect();
        for home in homes {
            assert!(users.iter().any(|path| path.starts_with(source.join(home))), "{name} is used nowhere in {home}");
        }
        let at_home = |path: &&&PathBuf| homes.iter().any(|home| path.starts_with(source.join(home)));
        let strangers: Vec<_> = users.iter().filter(|path| !at_home(path)).collect();
        assert!(strangers.is_empty(), "{name} is used outside {homes:?}: {strangers:?}");
    }
}

#[test]
fn the_core_waits_for_nothing() {
    let manifest = std::fs::read_to_string(root().join("scheduler/core/Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    for name in ["tokio", "sqlx", "tonic", "prost", "reqwest", "rand"] {
        assert!(!dependencies.lines().any(|line| line.starts_with(name)), "cue-scheduler-core depends on {name}");
    }
}

#[test]
fn every_statement_says_what_it_promises_and_is_used() {
    for home in ["store", "ownership"] {
        let home = root().join("scheduler/src").join(home);
        let queries = home.join("queries");
        let code: String = files(&home, "rs").into_iter().map(|(_, text)| text).collect();
        let statements = files(&queries, "sql");
        assert!(!statements.is_empty());
        for (path, text) in statements {
            let name = path.strip_prefix(&queries).unwrap().with_extension("");
            assert!(text.starts_with("-- "), "{} has no header", path.display());
            assert!(code.contains(&format!("sql!(\"{}\")", name.display())), "{} is used nowhere", path.display());
        }
    }
}

#[test]
fn every_reason_is_told_with_its_remedy() {
    let page = std::fs::read_to_string(root().join("docs/reference/reasons.md")).unwrap();
    for reason in cue_scheduler_core::reason::Reason::ALL {
        let label = format!("`{}`", reason.label());
        let section =
            page.split("\n### ").find(|section| section.lines().next().is_some_and(|title| title.contains(&label)));
        let section = section.unwrap_or_else(|| panic!("docs/reference/reasons.md has no section for {label}"));
        assert!(section.contains("*What to do:*"), "docs/reference/reasons.md says of {label} not what to do");
    }
}

#[test]
fn the_checklists_name_tests_and_scenarios_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/checklists.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")).collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in rows.into_iter().filter(|row| !row.starts_with("| ---")) {
        let shown_by = row.split('|').nth(3).unwrap();
        let mut named = 0;
        let mut file = (String::new(), String::new());
        for word in shown_by.split('`').skip(1).step_by(2) {
            if Path::new(word).extension().is_some_and(|ending| ending == "rs") {
                let places = [root().join("tests/tests").join(word), root().join(word)];
                let text = places.iter().find_map(|place| std::fs::read_to_string(place).ok());
                file = (word.to_owned(), text.unwrap_or_else(|| panic!("there is no {word}")));
                named += 1;
            } else if !word.starts_with("make ") && word.contains('_') && !word.starts_with("ts_") {
                assert!(file.1.contains(&format!("fn {word}(")), "{} has no test {word}", file.0);
            }
        }
        for word in shown_by.split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(|word| word.len() > 2) {
            let known = testbed::scenarios::ALL.iter().any(|scenario| scenario.name() == word);
            assert!(known, "there is no scenario {word}");
            named += 1;
        }
        assert!(named > 0, "nothing shows this: {row}");
    }
}

#[test]
fn every_key_of_the_configuration_is_read_by_somebody() {
    let code: String = files(&root().join("scheduler/src"), "rs").into_iter().map(|(_, text)| text).collect();
    let unread: Vec<&str> = cue_scheduler_config::keys()
        .iter()
        .map(|key| key.path.as_str())
        .filter(|path| {
            let name = match *path {
                // Made one value where they are read.
                path if path.contains(".host_booking_strategy.") => "host_booking_strategy",
                "queue.cluster_saturated_sleep" => "backlog_pace",
                path => path.rsplit('.').next().unwrap(),
            };
            !code.contains(&format!(".{name}"))
        })
        .collect();
    assert_eq!(unread, [""; 0], "without an effect, or without a place in the table of keys that have none");
}

/// Everything in the repository but what is built, fetched or git's own.
fn repository(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(".git") && !path.ends_with("target") {
            found.extend(repository(&path));
        } else if path.is_file() && !path.ends_with(".git") {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_file_names_a_folder_of_the_machine_that_it_was_written_on() {
    let files = repository(&root());
    assert!(files.len() > 200, "the repository is not where this test looks");
    // Put together here, so that this file doesn't hold them.
    let folders = ["home", "root", "Users"].map(|folder| format!("/{folder}/"));
    let mut wrong = Vec::new();
    for path in files {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        for (number, line) in text.lines().enumerate() {
            // An absolute path begins a word; a folder of this repository does not.
            let begins =
                |(at, _): (usize, &str)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-*}".contains(c));
            if folders.iter().any(|folder| line.match_indices(folder.as_str()).any(begins)) {
                wrong.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs only where systemd is.
#[test]
fn images_are_built_with_the_pinned_toolchain_and_share_the_layer_of_dependencies() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    // Up to the sources of one's own.
    let shared = ["scheduler", "operator"].map(|image| {
        let file = read(&format!("Dockerfile.{image}"));
        let (_, steps) = file.split_once("ARG BINARY_STAGE").unwrap();
        steps.split_once("# Sources may be older").unwrap().0.to_owned()
    });
    assert_eq!(shared[0], shared[1]);
    assert_eq!(shared[0].matches(&format!("FROM rust:{version}-")).count(), 2, "{}", shared[0]);
}

#[test]
fn the_unit_file_says_nothing_that_systemd_does_not_know() {
    let unit = std::fs::read_to_string(root().join("docs/operations/cue-scheduler.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("cue-scheduler.service");
    // The program has to be there.
    std::fs::write(&copy, unit.replace("/usr/local/bin/cue-scheduler", "/bin/sh")).unwrap();
    match std::process::Command::new("systemd-analyze").arg("verify").arg(&copy).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let ours: Vec<&str> = said.lines().filter(|line| line.contains("cue-scheduler")).collect();
            assert!(output.status.success() && ours.is_empty(), "{said}");
        }
        Err(error) => println!("not checked: systemd-analyze: {error}"),
    }
}

/// Settings of the unit that have to agree with the program.
#[test]
fn the_unit_file_gives_a_stop_the_time_that_it_may_take() {
    let unit = std::fs::read_to_string(root().join("docs/operations/cue-scheduler.service")).unwrap();
    let drain = cue_scheduler_config::Config::default().scheduler.drain_timeout;
    assert!(unit.contains(&format!("TimeoutStopSec={}s", drain.as_secs() + 10)));
    assert!(unit.contains(&format!("Environment={}=", cue_scheduler_config::FILE_VARIABLE)));
}
