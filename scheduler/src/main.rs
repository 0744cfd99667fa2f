//! The program: reads the command line and the configuration, does what is asked, and chooses the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use cue_scheduler::app;
use cue_scheduler::cli::{Arguments, Command};
use cue_scheduler::explain::command::{self, Question, Reply};
use cue_scheduler_config::{Config, Loaded, LogFormat};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
            loaded.warnings.iter().for_each(|warning| eprintln!("{warning}"));
            ExitCode::SUCCESS
        }
        Some(Command::Explain { job, json }) => ask(&loaded, &Question::Job(job), json),
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
    let logging = &loaded.config.logging;
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(logging.level.directives()));
    match logging.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
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
    match runtime.block_on(app::run(loaded)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
