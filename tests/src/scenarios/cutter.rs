//! A way to the database on which commits break.
//!
//! It stands between a scheduler and PostgreSQL, passes everything on, and looks for the one message that ends a transaction. Every
//! so many of them it closes both sides, in turn before the message is passed on, when nothing was committed, and after the server
//! has answered, when everything was and nobody hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The simple query `COMMIT` of PostgreSQL's protocol: type, length with itself, text, zero. A client waits for its answer before
/// it sends more, so it ends what is sent at once.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// A running way. Dropping it closes it.
pub struct Cutter {
    port: u16,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    server: String,
    every: usize,
    relents: AtomicBool,
    commits: AtomicUsize,
    unsent: AtomicUsize,
    unanswered: AtomicUsize,
}

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Unsent,
    Unanswered,
}

impl Cutter {
    /// Listens on loopback, and cuts one commit of `every`.
    pub async fn start(host: &str, port: u16, every: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for a scheduler")?;
        let own = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            server: format!("{host}:{port}"),
            every,
            relents: AtomicBool::new(false),
            commits: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        let (way_shared, way_stop) = (shared.clone(), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = pass_on(way_shared.clone(), client);
                tokio::spawn(way_stop.clone().run_until_cancelled_owned(way));
            }
        }));
        Ok(Self { port: own, shared, _stop: stop.drop_guard() })
    }

    /// Where a scheduler has to go.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Commits cut so far: before the server had them, and before its answer was passed on.
    pub fn cuts(&self) -> (usize, usize) {
        (self.shared.unsent.load(Ordering::Relaxed), self.shared.unanswered.load(Ordering::Relaxed))
    }

    /// Cuts no more.
    pub fn relent(&self) {
        self.shared.relents.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn fate(&self) -> Fate {
        if self.relents.load(Ordering::Relaxed) {
            return Fate::Passes;
        }
        let commit = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        match commit % (2 * self.every) {
            0 => Fate::Unanswered,
            at if at == self.every => Fate::Unsent,
            _ => Fate::Passes,
        }
    }
}

/// Passes everything on in both directions until one side ends, or a commit is cut. Either way both ends are closed.
async fn pass_on(shared: Arc<Shared>, mut client: TcpStream) {
    let Ok(mut server) = TcpStream::connect(&shared.server).await else { return };
    let (mut from_client, mut from_server) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(read @ 1..) = read else { return };
                let sent = &from_client[..read];
                let fate = if sent.ends_with(COMMIT) { shared.fate() } else { Fate::Passes };
                if fate == Fate::Unsent {
                    shared.unsent.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                if server.write_all(sent).await.is_err() {
                    return;
                }
                if fate == Fate::Unanswered {
                    // It has committed when it answers.
                    let answered = server.read(&mut from_server).await;
                    shared.unanswered.fetch_add(usize::from(answered.is_ok()), Ordering::Relaxed);
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&from_server[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fate::{Passes, Unanswered, Unsent};
    use super::*;

    #[test]
    fn every_so_many_commits_one_is_cut_in_turn_before_and_after() {
        let shared = Shared {
            server: String::new(),
            every: 2,
            relents: AtomicBool::new(false),
            commits: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
        };
        let fates: Vec<Fate> = (0..6).map(|_| shared.fate()).collect();
        assert_eq!(fates, [Passes, Unsent, Passes, Unanswered, Passes, Unsent]);
        shared.relents.store(true, Ordering::Relaxed);
        assert_eq!((0..9).map(|_| shared.fate()).filter(|fate| *fate != Passes).count(), 0);
    }
}
