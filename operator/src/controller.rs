//! The controller: watches, the queue, and reconciles from it, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::controller::{self, Action};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::cluster::caches::{Scope, Watching};
use crate::cluster::guarded::Guarded;
use crate::cluster::queue::ResourceRef;
use crate::cluster::references::References;
use crate::cluster::watch::Limits;
use crate::cluster::{Caches, Queue, extensions};
use crate::crd::MonitoringStatus;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::reconcile::error::Error;
use crate::reconcile::events::Events;
use crate::reconcile::status::Written;
use crate::reconcile::validate::Defaults;
use crate::reconcile::{Context, gone, ledger::Ledger, reconcile};

/// Changes that come together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How often counts and readiness are brought up to date.
const PULSE: Duration = Duration::from_millis(500);

/// What a controller is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it looks.
    pub scope: Scope,
    /// Resources that are looked at at once.
    pub concurrency: u16,
    /// The age at which everything is applied again.
    pub refresh: Duration,
    /// What holds where a resource says nothing.
    pub defaults: Defaults,
    /// How this replica is called in events.
    pub instance: String,
    /// How long the server may be silent.
    pub limits: Limits,
}

/// Works until `stop`; what has begun is carried through.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let (queue, waiting) = Queue::new();
    let (queue, ledger) = (Arc::new(queue), Arc::new(Ledger::default()));
    // Watches go on while reconciles end that have begun.
    let watching = Watching {
        client: client.clone(),
        scope: settings.scope.clone(),
        queue: Arc::clone(&queue),
        ledger: Arc::clone(&ledger),
        limits: settings.limits,
        renewals: watch::Sender::new(0),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let (told, silence) = watch::channel(None);
    let (found, known) = watch::channel(MonitoringStatus::default());
    let context = Arc::new(Context {
        client: client.clone(),
        defaults: settings.defaults,
        caches: Caches::start(&watching),
        references: References::default(),
        watching: watching.clone(),
        extensions: known,
        ledger,
        statuses: Written::default(),
        events: Events::new(client, settings.instance),
        metrics,
        refresh: settings.refresh,
    });
    watching.tasks.spawn(until(watching.stop.clone(), look_for_extensions(Arc::clone(&context), found, told)));
    watching.tasks.spawn(until(watching.stop.clone(), pulse(Arc::clone(&context), readiness, silence)));
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = context.caches.complete() => work(&context, waiting, settings.concurrency, stop).await,
    }
    watching.stop.cancel();
    watching.tasks.close();
    watching.tasks.wait().await;
}

async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = task => {}
    }
}

/// Reconciles what comes out of the queue. The end of the queue is the end: what has begun by then is carried through.
async fn work(
    context: &Arc<Context>,
    waiting: impl futures::Stream<Item = ResourceRef> + Send + 'static,
    concurrency: u16,
    stop: CancellationToken,
) {
    let backoff = Arc::new(Backoff::default());
    let queue = Arc::clone(&context.watching.queue);
    let ending = async move {
        stop.cancelled().await;
        queue.close();
    };
    let failed = Arc::clone(&backoff);
    let results = controller::applier(
        |resource, context| Box::pin(reconcile(resource, context)),
        move |resource: Arc<Guarded>, error: &Error, context: Arc<Context>| {
            context.metrics.failed(error.label());
            Action::requeue(failed.failed(&ResourceRef::from_obj(&*resource)))
        },
        Arc::clone(context),
        context.caches.resources.clone(),
        waiting.map(Ok::<_, std::convert::Infallible>),
        controller::Config::default().debounce(DEBOUNCE).concurrency(concurrency),
    );
    let results = results.for_each(|result| {
        match result {
            Ok((resource, _)) => {
                let known = ResourceRef::new(&resource.name).within(resource.namespace.as_deref().unwrap_or_default());
                backoff.worked(&known);
            }
            Err(controller::Error::ReconcilerFailed(error, resource)) => {
                tracing::warn!(resource = %resource.name, error = %error.said(), "a reconcile failed and is tried again");
            }
            // It went away between the event and the look.
            Err(controller::Error::ObjectNotFound(resource)) => {
                let resource = ResourceRef::new(&resource.name).within(&resource.namespace.unwrap_or_default());
                context.watching.queue.begin(&resource);
                gone(&resource, context);
            }
            Err(error) => tracing::warn!(error = %error, "the queue failed"),
        }
        futures::future::ready(())
    });
    tokio::join!(results, ending);
}

/// Asks again and again which extensions there are, and has every resource looked at when that changes. Tells when nobody answers.
async fn look_for_extensions(
    context: Arc<Context>,
    found: watch::Sender<MonitoringStatus>,
    silence: watch::Sender<Option<String>>,
) {
    let mut ticks = tokio::time::interval(extensions::PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let before = *found.borrow();
        let (now, trouble) = extensions::discover(&context.client, before).await;
        silence.send_if_modified(|known| {
            if let Some(trouble) = trouble.as_ref().filter(|_| known.is_none()) {
                tracing::warn!(error = %trouble, "the API server does not answer");
            }
            if known.is_some() && trouble.is_none() {
                tracing::info!("the API server answers again");
                context.watching.renewals.send_modify(|number| *number += 1);
            }
            let differs = *known != trouble;
            *known = trouble;
            differs
        });
        if now == before {
            continue;
        }
        tracing::info!(?now, "extensions of the cluster");
        found.send_replace(now);
        for (kind, is_there) in extensions::kinds(now) {
            context.caches.extension(&context.watching, kind, is_there);
        }
        for resource in context.caches.resources.state() {
            context.watching.queue.push(ResourceRef::from_obj(&*resource));
        }
    }
}

/// Counts, and whether the watches work.
async fn pulse(context: Arc<Context>, readiness: Readiness, silence: watch::Receiver<Option<String>>) {
    let mut ticks = tokio::time::interval(PULSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        readiness.set(context.caches.trouble().or_else(|| silence.borrow().clone()));
        let resources = context.caches.resources.state();
        context.metrics.count(resources.len(), context.caches.count(), context.watching.queue.depth());
        context.statuses.retain(|uid| resources.iter().any(|resource| resource.uid().as_deref() == Some(uid)));
    }
}
