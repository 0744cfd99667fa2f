//! `cue-scheduler-operator`: see [`cue_scheduler_operator::cli`].

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use cue_scheduler_operator::cli;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed terminal is no reason to fail.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    match cli::run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cue-scheduler-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
