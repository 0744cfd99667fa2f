//! The command line: as the retired scheduler's and its guide's, which differed, and what is new here: `--config`,
//! `--lenient-config`, and commands that ask instead of booking.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use cue_scheduler_config::{Overrides, Sources};

/// Books OpenCue's frames onto render hosts.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "cue-scheduler", version, about)]
pub struct Arguments {
    /// What to do instead of booking.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Configuration file; otherwise the one that `OPENCUE_SCHEDULER_CONFIG` names, or ~/.local/share/scheduler.yaml, or
    /// ~/.config/cue-scheduler/scheduler.yaml.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Book in this facility only (its exact name).
    #[arg(short, long, global = true, value_name = "NAME")]
    pub facility: Option<String>,

    /// Tags by which nothing is booked: repeated, several values, or separated by commas.
    #[arg(short, long, global = true, alias = "ignore_tags", value_name = "TAG", value_delimiter = ',', num_args = 1..)]
    pub ignore_tags: Option<Vec<String>>,

    /// Take unknown keys of the configuration for warnings instead of errors.
    #[arg(long, global = true)]
    pub lenient_config: bool,
}

/// What the program can do beside booking.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Read the configuration, say whether it is sound, and end: 0 if it is, 1 if not.
    CheckConfig,
    /// Say why a job's frames wait, or that they would be booked now; from the database alone, nothing is written. Ends with
    /// 0 if the job was found, with 1 if not or if the database can't be asked.
    Explain {
        /// The job: its name, a beginning of its name that no other job has, or its id.
        job: String,
        /// For machines: docs/reference/api.md describes it.
        #[arg(long)]
        json: bool,
    },
    /// Say which replicas are there and who works on which pools, from the database; nothing is written.
    Members {
        /// For machines: docs/reference/api.md describes it.
        #[arg(long)]
        json: bool,
    },
    /// Say what a pass over all pools would book, and why the rest waits; nothing is written.
    Plan {
        /// For machines: docs/reference/api.md describes it.
        #[arg(long)]
        json: bool,
    },
}

impl Arguments {
    /// Where the configuration comes from: the arguments over this process's environment.
    pub fn sources(self) -> Sources {
        Sources {
            file: self.config,
            overrides: Overrides { facility: self.facility, ignore_tags: self.ignore_tags },
            lenient: self.lenient_config,
            ..Sources::of_process()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Arguments {
        Arguments::try_parse_from(["cue-scheduler"].iter().chain(arguments)).unwrap()
    }

    #[test]
    fn tags_to_ignore_are_taken_in_every_published_form() {
        for form in [
            &["--ignore_tags=old,deprecated"][..],
            &["--ignore-tags", "old", "deprecated"],
            &["-i", "old", "-i", "deprecated"],
            &["--ignore-tags=old", "--ignore_tags", "deprecated"],
        ] {
            assert_eq!(parse(form).ignore_tags.unwrap(), ["old", "deprecated"], "{form:?}");
        }
        assert_eq!(parse(&[]).ignore_tags, None);
    }

    #[test]
    fn the_facility_has_a_short_and_a_long_form() {
        assert_eq!(parse(&["-f", "spi"]).facility.as_deref(), Some("spi"));
        assert_eq!(parse(&["--facility=spi"]).facility.as_deref(), Some("spi"));
    }
}
