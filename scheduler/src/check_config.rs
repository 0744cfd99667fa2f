//! `check-config`: what holds, and where it comes from.
//!
//! The configuration goes to standard output in the form of a scheduler.yaml, each value with its origin in a comment, so that
//! it can be read by people, compared, and used as a file. Secrets are not shown. Warnings go to standard error after it.

use std::fmt::Write as _;
use std::io::Write as _;

use cue_scheduler_config::{Effective, Kind, Loaded, Place};

/// Lines are kept to this where they can be.
const WIDTH: usize = 80;

/// Where the comment begins, if the value leaves room.
const COMMENT_AT: usize = 44;

/// Prints the configuration, then the warnings.
pub fn run(loaded: &Loaded) {
    let mut out = std::io::stdout().lock();
    // Who closes its end has read enough.
    drop(out.write_all(text(loaded).as_bytes()).and_then(|()| out.flush()));
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
}

/// The configuration with its origins.
fn text(loaded: &Loaded) -> String {
    let mut text = match &loaded.file {
        Some(file) => format!("# file: {}\n", file.display()),
        None => "# no file\n".to_owned(),
    };
    let mut open: Vec<&str> = Vec::new();
    for effective in loaded.effective() {
        let mut sections: Vec<&str> = effective.key.path.split('.').collect();
        let name = sections.pop().unwrap_or_default();
        let same = open.iter().zip(&sections).take_while(|(open, section)| open == section).count();
        for (depth, section) in sections.iter().enumerate().skip(same) {
            let indent = "  ".repeat(depth);
            // A failure to write into a text is none.
            let _ = writeln!(text, "{indent}{section}:");
        }
        text += &line(&"  ".repeat(sections.len()), name, &effective);
        open = sections;
    }
    text
}

fn line(indent: &str, name: &str, effective: &Effective<'_>) -> String {
    let origin = match effective.origin {
        Place::File { path, line } => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            line.map_or_else(|| name.to_string(), |line| format!("{name}:{line}"))
        }
        Place::Environment(name) => name.clone(),
        Place::Defaults => "default".to_owned(),
        other => other.to_string(),
    };
    let entry = match &effective.value {
        Some(value) => format!("{indent}{name}: {value}"),
        // Not one that could be read back by mistake.
        None if effective.key.kind == Kind::Secret => format!("{indent}# {name}: (not shown)"),
        None => format!("{indent}{name}: ~"),
    };
    let beside = format!("{entry:COMMENT_AT$} # {origin}\n");
    if beside.chars().count() <= WIDTH + 1 { beside } else { format!("{indent}# {origin}\n{entry}\n") }
}

#[cfg(test)]
mod tests {
    use cue_scheduler_config::Config;

    use super::*;

    const FILE: &str = "
database: {db_pass: hunter2, db_host: postgres.example}
queue:
  worker_threads: 8
  selfish_services: [arnold, 'a service with a very long name', 'and another one, with a comma']
scheduler: {facility: spi}
";

    #[test]
    fn every_value_stands_with_its_origin_and_no_secret_does() {
        let text = text(&Config::from_text("/etc/cue-scheduler/scheduler.yaml", FILE).unwrap());
        for line in [
            "database:\n",
            "  db_host: postgres.example                  # scheduler.yaml:2\n",
            "  # db_pass: (not shown)                     # scheduler.yaml:2\n",
            "  worker_threads: 8                          # scheduler.yaml:4\n",
            "  monitor_interval: 5s                       # default\n",
            "  stream:\n    cluster_buffer_size: 3                   # default\n",
            "  # scheduler.yaml:5\n  selfish_services: [arnold, \"a service with",
            "  max_jobs_per_cluster_pass: ~               # default\n",
        ] {
            assert!(text.contains(line), "{line}is not in\n{text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        let long: Vec<&str> =
            text.lines().filter(|line| line.chars().count() > WIDTH && !line.contains("selfish")).collect();
        assert_eq!(long, [""; 0]);
    }

    #[test]
    fn what_is_printed_can_be_used_as_a_file() {
        let loaded = Config::from_text("scheduler.yaml", FILE).unwrap();
        let again = Config::from_text("again.yaml", &text(&loaded)).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(again.config.queue.selfish_services, loaded.config.queue.selfish_services);
        assert_eq!(again.config.scheduler, loaded.config.scheduler);
        assert_eq!(again.config.database.db_host, loaded.config.database.db_host);
    }
}
