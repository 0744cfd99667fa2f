//! One replica works, the others wait: a Lease says who.
//!
//! Two that both believe themselves the one, for as long as a lease lasts, are wasteful and not wrong: all that they write is
//! applied to what the API server has, and they compute the same.

use std::time::Duration;

use anyhow::Context as _;
use kube::{Client, Config};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

/// The Lease's name.
pub const LEASE: &str = "cue-scheduler-operator";

/// Seconds after which a leader that does not renew is none any more.
const DURATION: u64 = 15;
/// Seconds before that at which it renews.
const GRACE: u64 = 5;

/// How long an answer about the Lease may take. Shorter than a lease, so that one call that is lost does not lose it.
const CALL_LIMIT: Duration = Duration::from_secs(4);

/// The claim of this replica.
pub struct Claim {
    state: Receiver<bool>,
    task: JoinHandle<kube_lease_manager::Result<LeaseManager>>,
}

impl Claim {
    /// Begins to try.
    pub async fn new(mut config: Config, namespace: &str, identity: &str) -> anyhow::Result<Self> {
        config.read_timeout = Some(CALL_LIMIT);
        let client = Client::try_from(config).context("a client for the Lease")?;
        let manager = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .build()
            .await
            .with_context(|| format!("the Lease {LEASE} in namespace {namespace}"))?;
        let (state, task) = manager.watch().await;
        Ok(Self { state, task })
    }

    /// Waits until this replica is the one.
    pub async fn won(&mut self) -> anyhow::Result<()> {
        self.state.wait_for(|leads| *leads).await.map(drop).context("the election has ended")
    }

    /// Waits until it is no longer.
    pub async fn lost(&mut self) {
        // An election that has ended is lost too.
        let _ = self.state.wait_for(|leads| !leads).await;
    }

    /// Gives the place to the next.
    pub async fn release(self) {
        drop(self.state);
        match self.task.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "the lease could not be given back; it runs out by itself");
            }
            Err(error) => tracing::warn!(error = %error, "the election ended"),
        }
    }
}
