//! What listens where an agent should may be anything: it says nonsense, hangs up in the middle, or never stops talking. Each call
//! ends in its time with an outcome that has a name, and the client goes on.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::super::client::{AgentClient, ClientSettings};
use super::super::outcome::Outcome;
use super::agent::free_port;
use super::run_frame;

/// The third number of this file's addresses, so that no other test listens there.
const NET: u8 = 13;

/// What follows the words.
#[derive(Clone, Copy)]
enum Then {
    HangUp,
    Wait,
    /// The words again and again.
    GoOn,
}

/// Listens, and says the same to everybody.
async fn speaker(number: u8, port: u16, words: Vec<u8>, then: Then) -> (String, AbortOnDropHandle<()>) {
    let address = format!("127.0.{NET}.{number}");
    let listener = TcpListener::bind((address.as_str(), port)).await.unwrap();
    let speaking = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let words = words.clone();
            open.push(AbortOnDropHandle::new(tokio::spawn(async move {
                while stream.write_all(&words).await.is_ok() && matches!(then, Then::GoOn) {}
                if matches!(then, Then::Wait) {
                    std::future::pending::<()>().await;
                }
            })));
        }
    });
    (address, AbortOnDropHandle::new(speaking))
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn whatever_listens_there_a_call_ends_in_its_time_and_is_never_taken_for_a_launch() {
    let settings = frame(4, 0, 0, &[]);
    let status_200 = frame(1, 4, 1, &[0x88]);
    let table: Vec<(&str, Vec<u8>, Then)> = vec![
        ("nothing", vec![], Then::HangUp),
        ("silence", vec![], Then::Wait),
        ("another protocol", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), Then::Wait),
        ("HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), Then::HangUp),
        ("zeros without end", vec![0; 65_536], Then::GoOn),
        (
            "noise without end",
            (0..65_536_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
            Then::GoOn,
        ),
        ("settings, then nothing", settings.clone(), Then::HangUp),
        ("settings, then silence", settings.clone(), Then::Wait),
        ("settings without end", settings.clone(), Then::GoOn),
        ("half a header", [&settings[..], &status_200[..7]].concat(), Then::HangUp),
        ("an answer that stops", [&settings[..], &status_200].concat(), Then::HangUp),
        ("half a message", [&settings[..], &status_200, &frame(0, 0, 1, &[0, 0, 0, 0, 9, 1])].concat(), Then::HangUp),
        (
            "a message of 4 GiB",
            [&settings[..], &status_200, &frame(0, 0, 1, &[0, 255, 255, 255, 255])].concat(),
            Then::Wait,
        ),
        ("a frame of 16 MiB", [&settings[..], &[255, 255, 255, 0, 0, 0, 0, 0, 1]].concat(), Then::Wait),
        ("headers that mean nothing", [&settings[..], &frame(1, 4, 1, &[0xff; 64])].concat(), Then::Wait),
        ("an answer to another call", [&settings[..], &frame(1, 5, 77, &[0x88])].concat(), Then::Wait),
        ("go away", [&settings[..], &frame(7, 0, 0, &[0; 8])].concat(), Then::HangUp),
    ];
    let port = free_port();
    let call_timeout = Duration::from_millis(500);
    let client = AgentClient::new(
        ClientSettings { port, call_timeout, connect_timeout: call_timeout, ..ClientSettings::default() },
        Duration::from_secs(2),
    );
    for (number, (what, words, then)) in (1..).zip(table) {
        let (address, _speaking) = speaker(number, port, words, then).await;
        let began = Instant::now();
        let outcome = client.launch(&address.as_str().into(), &run_frame("p"), || true).await;
        let named = matches!(outcome, Some(Outcome::Unknown { .. } | Outcome::NotSent { .. }));
        assert!(named, "{what}: {outcome:?}");
        assert!(client.report(&address.as_str().into()).await.is_err(), "{what}: nobody reported");
        assert!(began.elapsed() < Duration::from_secs(20), "{what} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_name_that_is_no_address_was_not_sent_to() {
    let settings = ClientSettings { connect_timeout: Duration::from_secs(2), ..ClientSettings::default() };
    let client = AgentClient::new(settings, Duration::from_secs(2));
    for name in [
        "",
        " ",
        "no-such-host.invalid",
        "http://127.0.0.1",
        "127.0.0.1:80",
        "[::1",
        "::1%nowhere",
        "a@b",
        "a/b",
        "a?b#c",
        "%00",
        "\u{0}",
        "ünï🎬",
        "..",
        "-",
        "0x7f.1.2.3.4",
        &"x".repeat(10_240),
        "line\nbreak",
        "'\"\\",
    ] {
        let outcome = client.launch(&name.into(), &run_frame("p"), || true).await;
        assert!(matches!(outcome, Some(Outcome::NotSent { .. })), "{name:?}: {outcome:?}");
    }
}
