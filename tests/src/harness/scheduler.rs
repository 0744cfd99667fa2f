//! A real `cue-scheduler` process, as a user would start it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cue_scheduler::store::{Password, Target};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};

use crate::postgres::free_port;

/// How long a scheduler may take to be ready.
const READY_MAX: Duration = Duration::from_secs(30);

/// How long a scheduler may take to stop.
const STOP_MAX: Duration = Duration::from_secs(40);

/// Runs a program until it ends, or until the standard input of this shell is closed: then the program gets a SIGTERM, and
/// after half a minute a SIGKILL. So it never outlives who started it.
const KEEP: &str = r#"
    exec 3<&0
    pid=$1; shift
    "$@" </dev/null 3<&- & child=$!
    echo $child >"$pid"
    (cat <&3 >/dev/null; kill -TERM $child 2>/dev/null; sleep 30; kill -KILL $child 2>/dev/null) & watch=$!
    wait $child; status=$?
    kill $watch 2>/dev/null
    exit $status"#;

/// A running scheduler.
pub struct Scheduler {
    keeper: Child,
    /// Closing it tells the keeper to end the scheduler. Not left in `keeper`: waiting for that would close it.
    hold: Option<ChildStdin>,
    metrics_port: u16,
    log: PathBuf,
    /// Has the number of the process in it.
    pid: PathBuf,
}

impl Scheduler {
    /// Starts one with this database and these agents; its files are in `folder` under `name`. More settings are variables of
    /// its environment, such as `OPENSCHEDULER_RQD__CALL_TIMEOUT`.
    pub fn start(
        name: &str,
        target: &Target,
        rqd_port: u16,
        variables: &[(&str, &str)],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let metrics_port = free_port()?;
        let mut yaml = String::new();
        let Target { host, port, database, user, password, .. } = target;
        let password = match password {
            Password::Text(text) => format!("db_pass: '{text}'"),
            Password::File(path) => format!("db_pass_file: '{}'", path.display()),
        };
        writeln!(
            yaml,
            "database: {{db_host: '{host}', db_port: {port}, db_name: '{database}', db_user: '{user}', {password}}}"
        )?;
        writeln!(yaml, "rqd: {{grpc_port: {rqd_port}}}")?;
        writeln!(yaml, "queue: {{metrics_port: {metrics_port}}}")?;
        let file = folder.join(format!("{name}.yaml"));
        std::fs::write(&file, yaml).with_context(|| format!("writing {}", file.display()))?;
        let arguments = ["--config", &file.display().to_string()];
        Self::start_with(&arguments, variables, metrics_port, folder.join(format!("{name}.log")))
    }

    /// Starts one with these arguments and variables.
    pub fn start_with(
        arguments: &[&str],
        variables: &[(&str, &str)],
        metrics_port: u16,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let out = std::fs::File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let pid = log.with_extension("pid");
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", KEEP, "sh"])
            .arg(&pid)
            .arg(program("cue-scheduler")?)
            .args(arguments)
            // Colours are for terminals.
            .env("NO_COLOR", "1")
            .envs(variables.iter().copied())
            // Ctrl-C is for who started it, who then stops it in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("starting cue-scheduler")?;
        Ok(Self { hold: keeper.stdin.take(), keeper, metrics_port, log, pid })
    }

    /// Waits until it says that it can work.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let began = tokio::time::Instant::now();
        loop {
            if self.get("/readyz").await.is_ok_and(|answer| answer.0 == 200) {
                return Ok(());
            }
            if let Some(status) = self.keeper.try_wait()? {
                bail!("cue-scheduler ended with {status}; its log:\n{}", self.log());
            }
            ensure!(
                began.elapsed() < READY_MAX,
                "cue-scheduler is not ready after {READY_MAX:?}; its log:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Status and body of a page.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        page(([127, 0, 0, 1], self.metrics_port).into(), path).await
    }

    /// The sum over all labels of a metric.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        self.metric_with(name, "").await
    }

    /// The sum over those labels of a metric that hold this text, such as `reason="limit"`.
    pub async fn metric_with(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let (_, text) = self.get("/metrics").await?;
        let values = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| {
                (rest.starts_with('{') || rest.starts_with(' ')) && (label.is_empty() || rest.contains(label))
            })
        });
        Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// The value of one series, written as in a scrape: `name{label="value"}`.
    pub async fn series(&self, series: &str) -> anyhow::Result<Option<f64>> {
        let (_, text) = self.get("/metrics").await?;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        Ok(value)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until there is a process that takes signals.
    pub async fn begun(&self) -> anyhow::Result<()> {
        let began = tokio::time::Instant::now();
        while std::fs::read_to_string(&self.pid).map_or(true, |pid| !pid.ends_with('\n')) {
            ensure!(began.elapsed() < READY_MAX, "cue-scheduler has not begun after {READY_MAX:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Sends it a signal; it must have begun.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.process()?, signal)?)
    }

    /// The number of its process; it must have begun.
    pub fn process(&self) -> anyhow::Result<Pid> {
        let pid = std::fs::read_to_string(&self.pid).context("reading the number of the process")?;
        Pid::from_raw(pid.trim().parse()?).context("a process has no number 0")
    }

    /// Waits for its end without telling it to; the exit code.
    pub async fn wait(&mut self) -> anyhow::Result<i32> {
        let status =
            tokio::time::timeout(STOP_MAX, self.keeper.wait()).await.context("cue-scheduler does not end")??;
        Ok(status.code().unwrap_or(-1))
    }

    /// Sends SIGTERM and waits for its end; the exit code.
    pub async fn stop(mut self) -> anyhow::Result<i32> {
        drop(self.hold.take());
        self.wait().await
    }
}

/// Status and body of a page of a server.
pub async fn page(server: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(server).await?;
    // Of HTTP 1.0, which knows no answers in pieces.
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP answer")?;
    Ok((status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())))
}

/// A program of this workspace, beside the one that runs.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut folder = own.parent().context("this program lies nowhere")?;
    // Tests lie one folder deeper.
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    let program = folder.join(name);
    ensure!(program.is_file(), "{} is not built; run `cargo build --workspace --bins` first", program.display());
    Ok(program)
}
