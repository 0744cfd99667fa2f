//! `run`: the operator itself, started and stopped in order.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cluster::caches::Scope;
use crate::cluster::watch::Limits;
use crate::controller::{self, Settings};
use crate::http;
use crate::leader::Claim;
use crate::logging::{self, LogFormat};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::reconcile::validate::Defaults;

/// How long an answer of the API server may take; watches last longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What `run` takes.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Look at this namespace only. Otherwise at all.
    #[arg(long, env = "WATCH_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Where metrics and probes are served.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub http_address: SocketAddr,
    /// Work without an election. For a single replica outside of a cluster.
    #[arg(long)]
    pub no_leader_election: bool,
    /// The namespace of the Lease. Otherwise the one that the operator runs in.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// How this replica is called in the Lease and in events. Otherwise a name that nobody else has.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
    /// Resources that are looked at at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub concurrency: u16,
    /// After this time everything is applied again, whatever is seen.
    #[arg(long, default_value = "6h", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub refresh: Duration,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// Which log lines are shown: a level, and after commas target=level.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

/// Works until it is told to stop. 0 for a stop in order, 1 when it can't go on: whoever started it starts it again.
pub async fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    logging::init(arguments.log_format, &arguments.log_level)?;
    let metrics = Arc::new(Metrics::new().context("metrics")?);
    let readiness = Readiness::default();
    let listener =
        http::bind(arguments.http_address).await.with_context(|| format!("listening on {}", arguments.http_address))?;
    let (stop, quit) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(signals(stop.clone())?);
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "serving metrics and probes");
    let server = tokio::spawn(http::serve(listener, Arc::clone(&metrics), readiness.clone(), quit.clone()));
    let result = elected(arguments, metrics, readiness, stop).await;
    quit.cancel();
    server.await.context("the HTTP listener")??;
    tracing::info!("stopped");
    result
}

/// Works while it is the one that works.
async fn elected(
    arguments: &Run,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let mut config = Config::infer().await.context("finding the cluster: no kubeconfig, and not in a pod")?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let own_namespace = config.default_namespace.clone();
    let client = Client::try_from(config.clone()).context("a client for the cluster")?;
    let identity = arguments.identity.clone().unwrap_or_else(identity);
    let settings = Settings {
        scope: Scope { namespace: arguments.namespace.clone() },
        concurrency: arguments.concurrency,
        refresh: arguments.refresh,
        defaults: Defaults::default(),
        instance: identity.clone(),
        limits: Limits::default(),
    };
    if arguments.no_leader_election {
        metrics.leads(true);
        controller::run(client, settings, metrics, readiness, stop).await;
        return Ok(ExitCode::SUCCESS);
    }
    let namespace = arguments.lease_namespace.clone().unwrap_or(own_namespace);
    readiness.set(Some(format!("the election in namespace {namespace}: not begun yet")));
    let Some(mut claim) = claim(&config, &namespace, &identity, &readiness, &stop).await else {
        return Ok(ExitCode::SUCCESS);
    };
    // Who waits for its turn is ready to take it.
    readiness.set(None);
    tracing::info!(identity, "waiting to be the one that works");
    let is_stopped = tokio::select! {
        biased;
        () = stop.cancelled() => true,
        won = claim.won() => { won?; false }
    };
    let mut code = ExitCode::SUCCESS;
    if !is_stopped {
        tracing::info!(identity, "this replica works now");
        metrics.leads(true);
        let working = stop.child_token();
        let work = controller::run(client, settings, Arc::clone(&metrics), readiness, working.clone());
        let mut work = std::pin::pin!(work);
        tokio::select! {
            () = &mut work => {}
            () = claim.lost() => {
                tracing::error!("another replica works now; this one ends");
                working.cancel();
                work.await;
                code = ExitCode::FAILURE;
            }
        }
        metrics.leads(false);
    }
    claim.release().await;
    Ok(code)
}

/// Takes part in the election as soon as the API server lets it; `None` when it is told to stop before.
async fn claim(
    config: &Config,
    namespace: &str,
    identity: &str,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Option<Claim> {
    const PAUSE: Duration = Duration::from_secs(2);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            claim = Claim::new(config.clone(), namespace, identity) => match claim {
                Ok(claim) => return Some(claim),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "no part in the election yet");
                    readiness.set(Some(format!("{error:#}")));
                }
            },
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn identity() -> String {
    format!("cue-scheduler-operator-{:08x}", rand::random::<u32>())
}

/// Told to stop, it stops; told again, it ends at once.
fn signals(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    Ok(async move {
        let mut code = 143;
        for is_last in [false, true] {
            tokio::select! {
                _ = terminate.recv() => code = 143,
                _ = interrupt.recv() => code = 130,
            }
            if !is_last {
                tracing::info!("told to stop");
                stop.cancel();
            }
        }
        std::process::exit(code);
    })
}
