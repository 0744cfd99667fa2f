//! A TCP proxy before PostgreSQL that makes connections break or lag.
//!
//! It passes everything on, and looks for the one message that ends a transaction. When told so, it closes both sides at every so many
//! of them, in turn before the message is passed on, when nothing was committed, and after the server has answered, when everything
//! was and nobody hears of it. Answers can be made late, and those to commits be kept back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The simple query `COMMIT` of PostgreSQL's protocol: type, length with itself, text, zero. A client waits for its answer before
/// it sends more, so it ends what is sent at once.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// A running proxy. Dropping it closes it.
pub struct PgProxy {
    port: u16,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    server: String,
    /// One commit of so many is cut; 0: none.
    every: AtomicUsize,
    /// How late answers are, milliseconds.
    late_ms: AtomicU64,
    /// Whether the answers to commits are kept back.
    holds: AtomicBool,
    held: AtomicUsize,
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

impl PgProxy {
    /// Listens on loopback, and passes everything on to this server until told otherwise.
    pub async fn start(host: &str, port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening before PostgreSQL")?;
        let own = listener.local_addr()?.port();
        let shared = Arc::new(Shared::new(format!("{host}:{port}")));
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

    /// Where clients have to go; always loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on cuts one commit of so many; 0 for none.
    pub fn cut_commits(&self, every: usize) {
        self.shared.every.store(every, Ordering::Relaxed);
    }

    /// From now on answers are so late, to the millisecond.
    pub fn delay_answers(&self, by: Duration) {
        self.shared.late_ms.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// From now on the server's answers to commits are kept back for good, or no longer. A connection whose answer was kept back is of no
    /// use any more.
    pub fn hold_commits(&self, hold: bool) {
        self.shared.holds.store(hold, Ordering::Relaxed);
    }

    /// Commits so far that the server has answered and nobody has heard of, since the answer was kept back.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::Relaxed)
    }

    /// Commits cut so far: before the server had them, and before its answer was passed on.
    pub fn cuts(&self) -> (usize, usize) {
        (self.shared.unsent.load(Ordering::Relaxed), self.shared.unanswered.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn new(server: String) -> Self {
        Self {
            server,
            every: AtomicUsize::new(0),
            late_ms: AtomicU64::new(0),
            holds: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            commits: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
        }
    }

    fn fate(&self) -> Fate {
        let every = self.every.load(Ordering::Relaxed);
        if every == 0 {
            return Fate::Passes;
        }
        let commit = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        match commit % (2 * every) {
            0 => Fate::Unanswered,
            at if at == every => Fate::Unsent,
            _ => Fate::Passes,
        }
    }

    async fn lag(&self) {
        match self.late_ms.load(Ordering::Relaxed) {
            0 => {}
            late => tokio::time::sleep(Duration::from_millis(late)).await,
        }
    }
}

/// Passes everything on in both directions until one side ends, or a commit is cut. Either way both ends are closed.
async fn pass_on(shared: Arc<Shared>, mut client: TcpStream) {
    let Ok(mut server) = TcpStream::connect(&shared.server).await else { return };
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let (mut from_client, mut from_server) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(read @ 1..) = read else { return };
                let sent = &from_client[..read];
                let commits = sent.ends_with(COMMIT);
                let fate = if commits { shared.fate() } else { Fate::Passes };
                if fate == Fate::Unsent {
                    shared.unsent.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                if server.write_all(sent).await.is_err() {
                    return;
                }
                if commits && shared.holds.load(Ordering::Relaxed) {
                    let answered = server.read(&mut from_server).await;
                    shared.held.fetch_add(usize::from(answered.is_ok()), Ordering::Relaxed);
                    // Until the client gives up, or is killed.
                    let _ = client.read(&mut from_client).await;
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
                shared.lag().await;
                if client.write_all(&from_server[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::Fate::{Passes, Unanswered, Unsent};
    use super::*;

    #[test]
    fn every_so_many_commits_one_is_cut_in_turn_before_and_after() {
        let shared = Shared::new(String::new());
        assert_eq!((0..9).map(|_| shared.fate()).filter(|fate| *fate != Passes).count(), 0, "nothing was asked for");
        shared.every.store(2, Ordering::Relaxed);
        let fates: Vec<Fate> = (0..6).map(|_| shared.fate()).collect();
        assert_eq!(fates, [Passes, Unsent, Passes, Unanswered, Passes, Unsent]);
    }

    #[tokio::test]
    async fn answers_come_late_and_whole_and_cut_commits_never_come() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = PgProxy::start("127.0.0.1", server.local_addr().unwrap().port()).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 64];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..read]).await.unwrap();
                    }
                });
            }
        });
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        let late = Duration::from_millis(150);
        proxy.delay_answers(late);
        let began = Instant::now();
        client.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).await.unwrap();
        assert!(answer == *b"hello" && began.elapsed() >= late, "{:?}", began.elapsed());
        proxy.delay_answers(Duration::ZERO);
        proxy.hold_commits(true);
        let mut held = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        held.write_all(COMMIT).await.unwrap();
        while proxy.held() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        proxy.hold_commits(false);
        proxy.cut_commits(1);
        client.write_all(COMMIT).await.unwrap();
        assert_eq!(client.read(&mut answer).await.unwrap_or(0), 0, "the connection is closed");
        assert_eq!(proxy.cuts(), (1, 0));
    }
}
