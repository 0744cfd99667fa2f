//! How a connection finds its host, and how a host hangs up.
//!
//! All hosts share a port, and the local address of an accepted connection is the host that was called; unless each has a port. A
//! connection carries a [`Cut`]: pulling it makes the next read or write fail, and because the socket lingers for no time, the client
//! sees a reset.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use futures::task::AtomicWaker;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Index of a host in the farm.
pub(super) type HostIndex = usize;

/// Ends a connection from the inside.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pulled: AtomicBool,
    waker: AtomicWaker,
}

impl Cut {
    pub fn pull(&self) {
        self.pulled.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// The waker is kept before the flag is read, so that a pull in between is not missed.
    fn check(&self, cx: &mut Context<'_>) -> io::Result<()> {
        self.waker.register(cx.waker());
        if self.pulled.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the host hung up"));
        }
        Ok(())
    }
}

/// Whom a call is for: put beside each request.
#[derive(Clone, Debug)]
pub(super) struct Callee {
    pub host: HostIndex,
    pub cut: Arc<Cut>,
}

/// A connection to one host.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    callee: Callee,
}

impl Connection {
    /// Takes a connection for a host.
    pub fn new(stream: TcpStream, host: HostIndex) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        reset_at_close(&stream)?;
        Ok(Self { stream, callee: Callee { host, cut: Arc::new(Cut::default()) } })
    }

    pub fn callee(&self) -> &Callee {
        &self.callee
    }
}

impl Connected for Connection {
    type ConnectInfo = Callee;

    fn connect_info(&self) -> Callee {
        self.callee.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.callee.cut.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.callee.cut.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Without it, a close would be an orderly end, and a client might take that for an answer cut short by intent.
pub(super) fn reset_at_close(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Listens at an address; port 0 for a free one. Another process may listen at a more specific address of the same port.
pub(super) fn listen(address: Ipv4Addr, port: u16) -> anyhow::Result<TcpListener> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from(SocketAddrV4::new(address, port)).into())?;
        socket.listen(4096)?;
        TcpListener::from_std(socket.into())
    };
    open().with_context(|| {
        format!("can't listen at {address}:{port}; is the port taken, and is the address a local one?")
    })
}

/// Whom a listener hears for.
#[derive(Clone, Debug)]
pub(super) enum Hears {
    /// The host that was called.
    Called(Arc<HashMap<Ipv4Addr, HostIndex>>),
    /// This one.
    For(HostIndex),
}

impl Hears {
    fn host(&self, stream: &TcpStream) -> Option<HostIndex> {
        match (self, stream.local_addr()) {
            (Self::For(host), _) => Some(*host),
            (Self::Called(by_address), Ok(SocketAddr::V4(local))) => by_address.get(local.ip()).copied(),
            _ => None,
        }
    }
}

/// Takes connections until told to stop, and hands each to `taken`.
pub(super) async fn accept(
    listener: TcpListener,
    hears: Hears,
    taken: mpsc::Sender<Connection>,
    is_open: impl Fn(HostIndex) -> bool,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: some have to be closed first, which no event tells.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        match hears.host(&stream) {
            Some(host) if is_open(host) => match Connection::new(stream, host) {
                Ok(connection) => {
                    if taken.send(connection).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "a connection ended before it began"),
            },
            // Dead, or an address without a host: reset.
            _ => drop(reset_at_close(&stream)),
        }
    }
}
