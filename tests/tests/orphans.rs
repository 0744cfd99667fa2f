//! What the harness starts ends with the process that started it, even when that process is killed and can do nothing about it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use testbed::postgres::Server;
use testbed::rqd_agent::{Agent, AgentConfig};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// Longer than anything takes here on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// What a child prints, followed by the address of what it has started.
const LISTENS: &str = "listens at ";

/// Runs one of the ignored tests of this file as a process, kills it when it has started its server, and waits until that is
/// gone.
async fn ends_with(child: &str) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", child])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let gone = async {
        let address: SocketAddr = loop {
            let line = lines.next_line().await.unwrap().expect("the child ended before its server listened");
            // The name of the test stands before it.
            if let Some((_, address)) = line.split_once(LISTENS) {
                break address.parse().unwrap();
            }
        };
        TcpStream::connect(address).await.unwrap();
        process.kill().await.unwrap();
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
}

#[tokio::test]
async fn a_database_server_ends_with_its_killed_parent() {
    ends_with("child_with_a_database_server").await;
}

#[tokio::test]
async fn a_render_agent_ends_with_its_killed_parent() {
    ends_with("child_with_a_render_agent").await;
}

#[tokio::test]
#[ignore = "run as a process of its own by the tests above, which kill it"]
async fn child_with_a_database_server() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    println!("{LISTENS}127.0.0.1:{}", database.target(1).port);
    std::future::pending::<()>().await;
}

#[tokio::test]
#[ignore = "run as a process of its own by the tests above, which kill it"]
async fn child_with_a_render_agent() {
    // Someone who never answers: the agent starts all the same.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = Agent::start(AgentConfig::reporting_to(listener.local_addr().unwrap())).await.unwrap();
    println!("{LISTENS}{}", agent.address());
    std::future::pending::<()>().await;
}
