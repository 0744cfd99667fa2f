//! A real Kubernetes, started for a test: its programs ([`binaries`]), a control plane ([`control_plane`]), a node on which pods
//! run ([`node`]), and a person before it with `kubectl` and Helm ([`Client`]).

pub mod binaries;
pub mod control_plane;
pub mod node;

mod client;
mod process;

use sha2::{Digest as _, Sha256};

pub use client::Client;
pub use process::{Leash, free_ports, leashed, tail, until};

/// SHA-256, in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect()
}
