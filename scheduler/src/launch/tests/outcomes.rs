//! What a call's result is taken for, over real connections.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use cue_scheduler_proto::rqd::{RqdStaticLaunchFrameRequest, RunFrame};
use http_body::Frame;
use tonic::Code;
use tonic::codegen::http;
use tonic::transport::Endpoint;

use super::super::client::{AgentClient, ClientSettings};
use super::super::connection::{Dial, Witness, dial};
use super::super::outcome::{self, Outcome};
use super::agent::{Agent, Behaviour, Raw, free_port, start, start_raw};
use super::run_frame;

/// The third number of this file's addresses, so that no other test listens there.
const NET: u8 = 11;

fn client(port: u16, call_timeout: Duration) -> AgentClient {
    let settings = ClientSettings { port, call_timeout, ..ClientSettings::default() };
    AgentClient::new(settings, Duration::from_secs(2))
}

const PATIENT: Duration = Duration::from_secs(30);

async fn launch_at(address: &str, port: u16, call_timeout: Duration) -> Outcome {
    client(port, call_timeout).launch(&address.into(), &run_frame("p"), || true).await.unwrap()
}

async fn launch_on(behaviour: Behaviour, number: u8) -> (Outcome, Agent) {
    let port = free_port();
    let agent = start(NET, number, port, behaviour).await;
    (launch_at(&agent.address, port, PATIENT).await, agent)
}

async fn launch_raw(number: u8, raw: Raw) -> Outcome {
    let port = free_port();
    let (address, _server) = start_raw(NET, number, port, raw).await;
    launch_at(&address, port, PATIENT).await
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

#[tokio::test]
async fn an_agent_that_accepts_got_every_field() {
    let (outcome, agent) = launch_on(Behaviour::Accept, 1).await;
    assert_eq!(outcome, Outcome::Launched);
    let launches = agent.state.launches.lock().unwrap();
    let sent = &launches[0];
    assert_eq!(
        (sent.resource_id.as_str(), sent.frame_id.as_str(), sent.frame_name.as_str()),
        ("p", "frame-id", "0001-layer")
    );
    assert_eq!((sent.job_id.as_str(), sent.job_name.as_str(), sent.layer_id.as_str()), ("job-id", "job", "layer-id"));
    assert_eq!((sent.command.as_str(), sent.user_name.as_str(), sent.log_dir.as_str()), ("true", "user", "/logs"));
    assert_eq!((sent.show.as_str(), sent.shot.as_str(), sent.os.as_str()), ("show", "shot", "rocky9"));
    assert_eq!((sent.num_cores, sent.num_gpus, sent.start_time), (200, 1, 1_700_000_000_123));
    assert_eq!((sent.soft_memory_limit, sent.hard_memory_limit), (160, 200));
    assert_eq!((sent.pid, sent.gid, sent.ignore_nimby), (i32::MAX, 0, false));
    assert_eq!(sent.loki_url, "http://loki");
    assert_eq!(sent.environment.get("NAME").map(String::as_str), Some("value"));
    assert_eq!(sent.uid_optional, Some(cue_scheduler_proto::rqd::run_frame::UidOptional::Uid(1000)));
}

#[tokio::test]
async fn a_status_that_the_agent_sent_is_a_refusal_unless_its_machinery_sends_it_too() {
    let table = [
        (Code::Unknown, Some("unknown")),
        (Code::InvalidArgument, Some("invalid_argument")),
        (Code::FailedPrecondition, Some("failed_precondition")),
        (Code::Aborted, Some("aborted")),
        (Code::Internal, Some("internal")),
        (Code::Unimplemented, Some("unimplemented")),
        (Code::ResourceExhausted, Some("resource_exhausted")),
        (Code::Cancelled, None),
        (Code::DeadlineExceeded, None),
        (Code::Unavailable, None),
    ];
    for (code, refused) in table {
        let (outcome, _agent) = launch_on(Behaviour::Refuse(code), 2).await;
        match refused {
            Some(code) => assert_eq!(outcome, Outcome::RefusedForCertain { code, message: "no".into() }),
            None => assert!(is_unknown(&outcome), "{code}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn what_cant_be_connected_was_not_sent() {
    let port = free_port();
    for address in ["127.0.11.3", "::1", "no such host", "", "host.invalid"] {
        let outcome = launch_at(address, port, PATIENT).await;
        assert!(matches!(outcome, Outcome::NotSent { .. }), "{address}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_host_that_takes_no_connection_in_time_was_not_sent_to() {
    // The queue of a listener that accepts nobody fills; after that connections get no answer.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let bound: std::net::SocketAddr = "127.0.11.4:0".parse().unwrap();
    socket.bind(&bound.into()).unwrap();
    socket.listen(0).unwrap();
    let at = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(at)).await
    {
        queued.push(stream);
    }
    let settings =
        ClientSettings { port: at.port(), connect_timeout: Duration::from_millis(200), ..ClientSettings::default() };
    let client = AgentClient::new(settings, Duration::from_secs(2));
    let outcome = client.launch(&"127.0.11.4".into(), &run_frame("p"), || true).await;
    let Some(Outcome::NotSent { message }) = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("within 200ms"), "{message}");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_send_leaves_it_unknown() {
    for behaviour in [Behaviour::RunAndBreak, Behaviour::Break, Behaviour::Panic] {
        let (outcome, agent) = launch_on(behaviour, 5).await;
        assert!(is_unknown(&outcome), "{behaviour:?}: {outcome:?}");
        assert_eq!(agent.state.launches.lock().unwrap().len(), 1, "never sent twice");
    }
}

#[tokio::test]
async fn no_answer_in_time_leaves_it_unknown() {
    let port = free_port();
    let agent = start(NET, 6, port, Behaviour::Hang).await;
    let outcome = launch_at(&agent.address, port, Duration::from_millis(300)).await;
    assert_eq!(outcome, Outcome::Unknown { message: "no answer within 300ms".into() });
}

#[tokio::test]
async fn tonics_own_time_out_looks_like_a_cancellation_and_is_unknown() {
    let port = free_port();
    let agent = start(NET, 7, port, Behaviour::Hang).await;
    let endpoint = Endpoint::from_shared(format!("http://{}:{port}", agent.address)).unwrap();
    let channel = endpoint.timeout(Duration::from_millis(100)).connect().await.unwrap();
    let (witness, sent) = Witness::new(channel);
    let request = RqdStaticLaunchFrameRequest { run_frame: Some(RunFrame::default()) };
    let status = RqdInterfaceClient::new(witness).launch_frame(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    assert!(status.source().is_some());
    assert_eq!(sent.code(), None);
    assert!(is_unknown(&outcome::of(Err(status), &sent)));
}

#[tokio::test]
async fn an_answer_without_the_agents_status_is_unknown_although_it_looks_like_the_agents() {
    // What a proxy says.
    let of_proxy = Raw(|| http::Response::builder().status(503).body(tonic::body::Body::empty()).unwrap());
    // A stream that ends early.
    let cut_off = Raw(|| {
        let answer = http::Response::builder().header("content-type", "application/grpc");
        answer.body(tonic::body::Body::empty()).unwrap()
    });
    // The agent says yes, and forgets the message.
    let without_message = Raw(|| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let answer = http::Response::builder().header("content-type", "application/grpc");
        answer.body(tonic::body::Body::new(Trailers(Some(trailers)))).unwrap()
    });
    for (number, raw) in [(8, of_proxy), (9, cut_off), (10, without_message)] {
        let outcome = launch_raw(number, raw).await;
        assert!(is_unknown(&outcome), "{number}: {outcome:?}");
    }
}

/// A body of trailers only.
struct Trailers(Option<http::HeaderMap>);

impl http_body::Body for Trailers {
    type Data = tonic::codegen::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

#[tokio::test]
async fn a_refusal_in_the_trailers_counts_like_one_in_the_headers() {
    let raw = Raw(|| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("2"));
        trailers.insert("grpc-message", http::HeaderValue::from_static("Exception calling application"));
        let answer = http::Response::builder().header("content-type", "application/grpc");
        answer.body(tonic::body::Body::new(Trailers(Some(trailers)))).unwrap()
    });
    let outcome = launch_raw(12, raw).await;
    let refused = Outcome::RefusedForCertain { code: "unknown", message: "Exception calling application".into() };
    assert_eq!(outcome, refused);
}

#[tokio::test]
async fn a_lost_connection_is_not_made_again_behind_our_back() {
    let port = free_port();
    let agent = start(NET, 13, port, Behaviour::Accept).await;
    let how = Dial { port, connect_timeout: PATIENT, user_timeout: Duration::from_secs(2) };
    let channel = dial(&agent.address, how).await.unwrap();
    agent.state.cut.notify_one();
    // Until the client has noticed, a call fails on the wire; from then on it is not sent at all.
    loop {
        let (witness, sent) = Witness::new(channel.clone());
        let request = RqdStaticLaunchFrameRequest { run_frame: Some(RunFrame::default()) };
        let result = RqdInterfaceClient::new(witness).launch_frame(request).await.map(drop);
        match outcome::of(result, &sent) {
            Outcome::NotSent { .. } => break,
            Outcome::Unknown { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(agent.state.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call_and_dropped_after_a_failure() {
    let port = free_port();
    let agent = start(NET, 14, port, Behaviour::Accept).await;
    let other = start(NET, 15, port, Behaviour::Break).await;
    let client = client(port, PATIENT);
    for proc in ["p1", "p2", "p3"] {
        let outcome = client.launch(&agent.address.as_str().into(), &run_frame(proc), || true).await;
        assert_eq!(outcome, Some(Outcome::Launched));
    }
    assert_eq!(agent.state.connections.load(Ordering::SeqCst), 1);
    client.launch(&other.address.as_str().into(), &run_frame("p4"), || true).await;
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn the_fence_is_asked_after_the_connection_stands_and_nothing_passes_it() {
    let port = free_port();
    let agent = start(NET, 16, port, Behaviour::Accept).await;
    let client = client(port, PATIENT);
    let outcome = client.launch(&agent.address.as_str().into(), &run_frame("p"), || false).await;
    assert_eq!(outcome, None);
    assert_eq!(client.connections(), 1);
    assert!(agent.state.launches.lock().unwrap().is_empty());
}
