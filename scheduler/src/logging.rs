//! The log: where it goes, and how its levels change while the program runs.
//!
//! Lines go to standard output, and beside it to a file where one is wanted. The file is written by a thread of its own, so that
//! a slow disk holds up nobody; what it has not written yet is written when [`Logs`] is dropped. SIGUSR1 and SIGUSR2 change
//! the levels (see [`Levels`]), so the filter stands where it can be replaced.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use cue_scheduler_config::{LogFilter, LogFormat, Logging};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_rolling_file::{RollingConditionBase, RollingFileAppenderBase};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// Size at which the file is put aside, and how many are kept: what was published for the retired scheduler.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FILES_KEPT: usize = 7;

/// Lines that may wait for the disk. At debug level a busy scheduler writes some thousand a second, so this is a disk that
/// stands still for several seconds; what comes then is lost to the file, and not to standard output.
const FILE_LINES_WAITING_MAX: usize = 32_768;

/// Libraries whose debug lines tell nothing of scheduling, and there are thousands a second of them.
const CHATTER: &str = "h2=info,hyper_util=info,tower=info";

type Filter = reload::Handle<EnvFilter, Registry>;

/// The log of this process. Dropped, it writes out what waits for the file.
pub struct Logs {
    levels: Levels,
    _file: Option<WorkerGuard>,
}

impl Logs {
    /// Sets up the log of the whole process; to be called once.
    pub fn start(logging: &Logging) -> anyhow::Result<Self> {
        let (filter, handle) = reload::Layer::new(EnvFilter::new(logging.level.directives()));
        let (file, guard) = match logging.file_appender.then(|| open(&logging.path)).transpose()? {
            Some((file, guard)) => (Some(file), Some(guard)),
            None => (None, None),
        };
        // Colours are for terminals.
        let colours = std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal();
        let mut layers: Vec<Box<dyn Layer<_> + Send + Sync>> = Vec::new();
        let lines = || tracing_subscriber::fmt::layer();
        match logging.format {
            LogFormat::Text => {
                layers.push(lines().with_ansi(colours).boxed());
                layers.extend(file.map(|file| lines().with_ansi(false).with_writer(file).boxed()));
            }
            LogFormat::Json => {
                layers.push(lines().json().boxed());
                layers.extend(file.map(|file| lines().json().with_writer(file).boxed()));
            }
        }
        // The filter stands before them and not among them: one of several may not say no for the others.
        tracing_subscriber::registry().with(filter).with(layers).try_init().context("setting up the log")?;
        let state = Arc::new(Mutex::new(State { filter: handle, configured: logging.level.clone(), changed: false }));
        Ok(Self { levels: Levels(state), _file: guard })
    }

    /// For who changes the levels.
    pub fn levels(&self) -> Levels {
        self.levels.clone()
    }
}

/// The file, opened, and written by a thread of its own.
fn open(path: &Path) -> anyhow::Result<(NonBlocking, WorkerGuard)> {
    let what = || format!("logging.path: the file {} can't be opened", path.display());
    let condition = RollingConditionBase::new().max_size(FILE_BYTES_MAX);
    let file = RollingFileAppenderBase::new(path, condition, FILES_KEPT).with_context(what)?;
    let thread = NonBlockingBuilder::default().buffered_lines_limit(FILE_LINES_WAITING_MAX).thread_name("log-file");
    Ok(thread.finish(file))
}

/// The levels, while the program runs.
///
/// A signal shows more: SIGUSR1 everything of this program, SIGUSR2 also every statement that the database is asked. Where
/// everything is configured to be shown, it shows less: `info`. The next signal, whichever, gives the configured filter back.
#[derive(Clone)]
pub struct Levels(Arc<Mutex<State>>);

struct State {
    filter: Filter,
    configured: LogFilter,
    changed: bool,
}

impl Levels {
    /// What a signal asks for; `statements` is SIGUSR2.
    pub fn switch(&self, statements: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = if state.changed { None } else { Some(switched(&state.configured, statements)) };
        let directives = next.clone().unwrap_or_else(|| state.configured.directives().to_owned());
        // It fails only when the log is gone, and then nobody hears of it.
        if state.filter.reload(EnvFilter::new(&directives)).is_ok() {
            state.changed = next.is_some();
            let which = if state.changed { "changed to" } else { "as configured again:" };
            tracing::info!("log levels {which} {directives}");
        }
    }
}

/// The filter that a signal sets while the configured one holds.
fn switched(configured: &LogFilter, statements: bool) -> String {
    let shows_all = configured.directives().split(',').any(|directive| ["debug", "trace"].contains(&directive));
    match (shows_all, statements) {
        (true, _) => "info".to_owned(),
        (false, false) => format!("debug,sqlx=info,{CHATTER}"),
        (false, true) => format!("debug,sqlx=debug,{CHATTER}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_signal_shows_more_or_where_all_is_shown_less() {
        for (configured, usr1, usr2) in [
            ("info,sqlx=warn", "debug,sqlx=info", "debug,sqlx=debug"),
            ("error", "debug,sqlx=info", "debug,sqlx=debug"),
            ("off", "debug,sqlx=info", "debug,sqlx=debug"),
            ("info,cue_scheduler::booking=debug", "debug,sqlx=info", "debug,sqlx=debug"),
            ("debug", "info", "info"),
            ("sqlx=warn,trace", "info", "info"),
        ] {
            let configured = LogFilter::parse(configured).unwrap();
            assert!(switched(&configured, false).starts_with(usr1), "{configured:?}");
            assert!(switched(&configured, true).starts_with(usr2), "{configured:?}");
        }
    }

    #[test]
    fn the_file_is_put_aside_when_it_is_large_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scheduler.log");
        std::fs::write(&path, "from a run before\n").unwrap();
        let (mut file, guard) = open(&path).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        // The last line is written when the guard goes.
        // Fewer than may wait, or some would be lost.
        for _ in 0..10_500 {
            file.write_all(line.as_bytes()).unwrap();
        }
        drop(guard);
        let size = |name: String| std::fs::metadata(folder.path().join(name)).map(|file| file.len());
        for kept in 1..=FILES_KEPT {
            let size = size(format!("scheduler.log.{kept}")).unwrap();
            assert!((FILE_BYTES_MAX..FILE_BYTES_MAX + 1000).contains(&size), "{kept}: {size}");
        }
        assert!(size(format!("scheduler.log.{}", FILES_KEPT + 1)).is_err());
        // The first file had a line more of its own before it was full.
        assert!(size("scheduler.log".to_owned()).unwrap() < FILE_BYTES_MAX);
    }

    #[test]
    fn a_file_that_can_not_be_opened_names_key_and_path() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path()).err().unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("logging.path") && text.contains(&folder.path().display().to_string()), "{text}");
    }
}
