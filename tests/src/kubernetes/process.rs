//! Programs that run beside, and waiting for what they come to.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// A program that ends with this value; and with this process, however that ends.
#[derive(Debug)]
pub struct Leash(Child);

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Runs a program on a leash: it is killed when the pipe to its shell closes. What it prints is in a file.
pub fn leashed(command: &Command, log: &Path) -> anyhow::Result<Leash> {
    // A signal to the whole group ends this process, and must not end the shell before that.
    const LEASH: &str = "trap '' INT TERM; \"$@\" </dev/null & read -r _; kill -9 $!; wait";
    let out = std::fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
    let set = command.get_envs().filter_map(|(key, value)| Some((key, value?)));
    let child = Command::new("sh")
        .args(["-c", LEASH, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(set.collect::<Vec<(&OsStr, &OsStr)>>())
        .stdin(Stdio::piped())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    Ok(Leash(child))
}

/// Waits for something, and says what there is if it does not come.
pub fn until(limit: Duration, holds: impl Fn() -> bool, what: impl Fn() -> String) -> anyhow::Result<()> {
    let started = Instant::now();
    while !holds() {
        ensure!(started.elapsed() < limit, "not within {} s: {}", limit.as_secs(), what());
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// So many different ports of loopback that are free now.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
