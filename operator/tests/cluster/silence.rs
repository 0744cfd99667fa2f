//! An API server that accepts and never answers: a wire between the operator and the real one, that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;

use crate::operator::{Operator, Place};

/// Passes everything on to an address; while it is silent, it takes everything and passes nothing on. What was silent once
/// never speaks again.
struct Wire {
    port: u16,
    is_silent: Arc<AtomicBool>,
}

impl Wire {
    fn to(address: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_silent = Arc::new(AtomicBool::new(false));
        let (address, silent) = (address.to_owned(), Arc::clone(&is_silent));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let far = TcpStream::connect(&address).unwrap();
                let near = near.unwrap();
                let is_dead = Arc::new(AtomicBool::new(false));
                pass(near.try_clone().unwrap(), far.try_clone().unwrap(), &silent, &is_dead);
                pass(far, near, &silent, &is_dead);
            }
        });
        Self { port, is_silent }
    }

    fn fall_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_silent: &Arc<AtomicBool>, is_dead: &Arc<AtomicBool>) {
    let (is_silent, is_dead) = (Arc::clone(is_silent), Arc::clone(is_dead));
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if is_silent.load(Ordering::Relaxed) {
                is_dead.store(true, Ordering::Relaxed);
            }
            if !is_dead.load(Ordering::Relaxed) && to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        if !is_dead.load(Ordering::Relaxed) {
            let _ = to.shutdown(std::net::Shutdown::Both);
        }
    });
}

#[test]
fn a_server_that_falls_silent_is_told_and_got_over() {
    let place = Place::new("silence");
    let user = place.plane.operator("silence");
    let wire = Wire::to(place.plane.address());
    let user = place.plane.user_through(wire.port, &user);
    let start = || Operator::start(&user, &["--namespace=silence", "--lease-namespace=silence"]);
    wire.fall_silent(true);
    let mut operator = start();
    place.wait("it says what it waits for", || {
        let (code, text) = operator.page("/readyz");
        code == 503 && text.contains("the Lease")
    });
    assert_eq!(operator.page("/healthz").0, 200);
    wire.fall_silent(false);
    place.put("farm", &json!({}));
    place.wait_ready("farm");

    // Under way.
    let silent = Instant::now();
    wire.fall_silent(true);
    place.put("farm", &json!({ "facilities": [{ "name": "spi", "replicas": 3 }] }));
    place.wait("it says that nobody answers", || {
        let (code, text) = operator.page("/readyz");
        code == 503 && text.contains("asking the API server")
    });
    println!("silence was told after {:.0} s", silent.elapsed().as_secs_f64());
    assert!(operator.is_running());
    wire.fall_silent(false);
    let spoken = Instant::now();
    place.wait("it works again", || operator.page("/readyz").0 == 200);
    println!("ready {:.0} s after the server spoke again", spoken.elapsed().as_secs_f64());
    place.wait("what happened meanwhile is done", || place.get("deployment/farm-spi")["spec"]["replicas"] == 3);
    println!("what happened meanwhile was done after {:.0} s", spoken.elapsed().as_secs_f64());
}
