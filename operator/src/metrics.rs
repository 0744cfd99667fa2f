//! What the operator counts of itself.

use std::time::Instant;

use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::desired::Kind;

/// All metrics.
pub struct Metrics {
    registry: Registry,
    reconciles: HistogramVec,
    errors: IntCounterVec,
    applies: IntCounterVec,
    resources: IntGauge,
    objects: IntGauge,
    depth: IntGauge,
    in_flight: IntGauge,
    leader: IntGauge,
}

impl Metrics {
    /// All metrics, at nought.
    pub fn new() -> Result<Self, prometheus::Error> {
        const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
        let name = |name: &str| format!("cue_scheduler_operator_{name}");
        let reconciles = HistogramVec::new(
            HistogramOpts::new(name("reconcile_duration_seconds"), "Time of a look at a resource, by how it ended.")
                .buckets(BUCKETS.to_vec()),
            &["result"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(name("reconcile_errors_total"), "Looks at a resource that failed, by reason; each is repeated."),
            &["reason"],
        )?;
        let applies =
            IntCounterVec::new(Opts::new(name("applies_total"), "Objects that were applied, by kind."), &["kind"])?;
        let gauge = |called: &str, help: &str| IntGauge::new(name(called), help);
        let metrics = Self {
            registry: Registry::new(),
            reconciles,
            errors,
            applies,
            resources: gauge("managed_resources", "SchedulerDeployments there are.")?,
            objects: gauge("managed_objects", "Objects of theirs there are.")?,
            depth: gauge("workqueue_depth", "Resources that wait to be looked at.")?,
            in_flight: gauge("workqueue_in_flight", "Resources that are being looked at.")?,
            leader: gauge("leader", "Whether this replica is the one that works.")?,
        };
        metrics.registry.register(Box::new(metrics.reconciles.clone()))?;
        metrics.registry.register(Box::new(metrics.errors.clone()))?;
        metrics.registry.register(Box::new(metrics.applies.clone()))?;
        for gauge in [&metrics.resources, &metrics.objects, &metrics.depth, &metrics.in_flight, &metrics.leader] {
            metrics.registry.register(Box::new(gauge.clone()))?;
        }
        Ok(metrics)
    }

    /// Begins to time a look at a resource.
    pub fn reconcile(&self) -> Timer<'_> {
        self.in_flight.inc();
        Timer { metrics: self, started: Instant::now() }
    }

    /// A look at a resource failed.
    pub fn failed(&self, reason: &'static str) {
        self.errors.with_label_values(&[reason]).inc();
    }

    /// An object was applied.
    pub fn applied(&self, kind: Kind) {
        self.applies.with_label_values(&[kind.name()]).inc();
    }

    /// Whether this replica works.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// What there is.
    pub fn count(&self, resources: usize, objects: usize, waiting: usize) {
        self.resources.set(resources as i64);
        self.objects.set(objects as i64);
        self.depth.set(waiting as i64);
    }

    /// All of it, as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(error = %error, "metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Times a look at a resource.
pub struct Timer<'m> {
    metrics: &'m Metrics,
    started: Instant,
}

impl Timer<'_> {
    /// How it ended.
    pub fn done(&self, result: &'static str) {
        self.metrics.reconciles.with_label_values(&[result]).observe(self.started.elapsed().as_secs_f64());
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}
