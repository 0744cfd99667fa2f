//! The program: reads the command line and the configuration, does what is asked, and chooses the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use cue_scheduler::app::{self, End};
use cue_scheduler::check_config;
use cue_scheduler::cli::{Arguments, Command};
use cue_scheduler::explain::command::{self, Question, Reply};
use cue_scheduler::logging::Logs;
use cue_scheduler::signals::CutShort;
use cue_scheduler_config::{Config, Loaded};

/// The time for a stop was over before all that was under way had landed.
const STOP_CUT_SHORT: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are errors that go to standard output.
            let code = if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            // Nobody is left to tell that it can't be written.
            drop(error.print());
            return code;
        }
    };
    let command = arguments.command.clone();
    let loaded = match Config::load(&arguments.sources()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::FAILURE;
        }
    };
    match command {
        None => book(loaded),
        Some(Command::CheckConfig) => {
            check_config::run(&loaded);
            ExitCode::SUCCESS
        }
        Some(Command::Explain { job, json }) => ask(&loaded, &Question::Job(job), json),
        Some(Command::Members { json }) => ask(&loaded, &Question::Members, json),
        Some(Command::Plan { json }) => ask(&loaded, &Question::Plan, json),
    }
}

/// Answers a question from the database.
fn ask(loaded: &Loaded, question: &Question, json: bool) -> ExitCode {
    loaded.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(command::answer(&loaded.config, question, json)));
    match answer {
        Ok(Reply { text, found }) => {
            // Who reads it may have seen enough and closed the pipe.
            let _ = std::io::stdout().write_all(text.as_bytes());
            if found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The scheduler itself.
fn book(loaded: Loaded) -> ExitCode {
    // Kept to the end, which writes out what the log file has not got yet.
    let logs = match Logs::start(&loaded.config.logging) {
        Ok(logs) => logs,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(loaded.config.queue.worker_threads)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the threads can't be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let end = runtime.block_on(app::run(loaded, logs.levels()));
    // What is left was cut off, and is not waited for.
    runtime.shutdown_background();
    match end {
        Ok(End::InOrder) => ExitCode::SUCCESS,
        Ok(End::CutShort(CutShort::TimeIsOver)) => ExitCode::from(STOP_CUT_SHORT),
        Ok(End::CutShort(CutShort::SecondSignal(code))) => ExitCode::from(code),
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
