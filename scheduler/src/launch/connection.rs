//! One connection to an agent, and what was seen on it.
//!
//! tonic hides two things that the launch protocol must know. Its channels connect again by themselves when a connection is
//! lost, so that a call may be sent long after it was made: here the connector works once, and a call on a lost connection
//! fails with [`Spent`], which proves that nothing was sent. And it makes statuses of its own that look like the agent's: so
//! [`Witness`] notes which `grpc-status` really came over the wire.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use thiserror::Error;
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError, http};
use tonic::transport::{Channel, Endpoint};

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub(super) port: u16,
    pub(super) connect_timeout: Duration,
    /// What is not acknowledged in this time never will be delivered.
    pub(super) user_timeout: Duration,
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug, Error)]
pub(super) enum DialError {
    #[error("\"{0}\" is not a host name; a name or address that resolves would be right")]
    Name(String),
    #[error("no connection to {0} within {1:?}")]
    Slow(String, Duration),
    #[error("no connection to {0}")]
    Failed(String, #[source] tonic::transport::Error),
}

/// The connection that a channel was made with is gone, and it gets no other. Nothing was sent.
#[derive(Debug, Error)]
#[error("the connection was lost before the call")]
pub(super) struct Spent;

/// Connects to the agent of a host.
pub(super) async fn dial(host: &str, dial: Dial) -> Result<Channel, DialError> {
    let name = || DialError::Name(host.to_owned());
    // An IPv6 address must stand in brackets in a URI, and only there.
    let authority = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let endpoint = Endpoint::from_shared(format!("http://{authority}:{}", dial.port))
        .map_err(|_| name())?
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    let once = Once { to: Some((host.to_owned(), dial.port)), user_timeout: dial.user_timeout };
    tokio::time::timeout(dial.connect_timeout, endpoint.connect_with_connector(once))
        .await
        .map_err(|_| DialError::Slow(host.to_owned(), dial.connect_timeout))?
        .map_err(|error| DialError::Failed(host.to_owned(), error))
}

/// A connector that works once.
struct Once {
    to: Option<(String, u16)>,
    user_timeout: Duration,
}

impl Service<http::Uri> for Once {
    type Response = TokioIo<TcpStream>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let to = self.to.take();
        let user_timeout = self.user_timeout;
        Box::pin(async move {
            let (host, port) = to.ok_or(Spent)?;
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            prepare(&stream, user_timeout)?;
            Ok(TokioIo::new(stream))
        })
    }
}

fn prepare(stream: &TcpStream, user_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout))
}

/// A channel for one call that notes the status which the agent sent.
pub(super) struct Witness {
    channel: Channel,
    sent: Sent,
}

/// The `grpc-status` that was on the wire.
#[derive(Clone, Debug)]
pub(super) struct Sent(Arc<AtomicI32>);

const NOTHING: i32 = -1;

impl Sent {
    /// `None` when none was seen.
    pub(super) fn code(&self) -> Option<i32> {
        Some(self.0.load(Ordering::Acquire)).filter(|code| *code != NOTHING)
    }

    fn look(&self, headers: &http::HeaderMap) {
        let code = headers.get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(code) = code {
            self.0.store(code, Ordering::Release);
        }
    }
}

impl Witness {
    pub(super) fn new(channel: Channel) -> (Self, Sent) {
        let sent = Sent(Arc::new(AtomicI32::new(NOTHING)));
        (Self { channel, sent: sent.clone() }, sent)
    }
}

impl Service<http::Request<Body>> for Witness {
    type Response = http::Response<WitnessBody>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.channel.call(request);
        let sent = self.sent.clone();
        Box::pin(async move {
            let answer = answer.await?;
            // A status without a message may stand in the headers already.
            sent.look(answer.headers());
            Ok(answer.map(|body| WitnessBody { body, sent }))
        })
    }
}

/// The body of an answer, whose trailers are looked at.
pub(super) struct WitnessBody {
    body: Body,
    sent: Sent,
}

impl HttpBody for WitnessBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.sent.look(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_gives_up_what_is_not_acknowledged_in_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&stream, Duration::from_secs(2)).unwrap();
        let timeout = SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(Duration::from_secs(2)));
        assert!(stream.nodelay().unwrap());
    }
}
