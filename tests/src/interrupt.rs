//! Ctrl-C, for programs that have started others: they stop those in order before they end.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

/// Cancelled by Ctrl-C.
pub fn on_interrupt() -> CancellationToken {
    let interrupted = CancellationToken::new();
    let token = interrupted.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            token.cancel();
        }
    });
    interrupted
}

/// Says that all is stopped, and how to end: as a shell reports the end by SIGINT.
pub fn interrupted() -> ExitCode {
    eprintln!("interrupted; everything that was started is stopped");
    ExitCode::from(130)
}
