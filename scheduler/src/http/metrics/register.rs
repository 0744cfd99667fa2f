//! Making metrics from the table, and showing them with 0 from the start.

use prometheus::core::Collector;
use prometheus::{Counter, CounterVec, Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry};

use super::family::{Family, Kind, Label};

/// Makes metrics and registers them.
pub(super) struct Maker<'r>(pub(super) &'r Registry);

impl Maker<'_> {
    pub(super) fn counter(&self, family: &Family) -> Result<Counter, Error> {
        self.register(Counter::with_opts(options(family))?)
    }

    pub(super) fn counters(&self, family: &Family) -> Result<CounterVec, Error> {
        let made = self.register(CounterVec::new(options(family), &label_names(family))?)?;
        for_each_closed(family, |values| drop(made.with_label_values(values)));
        Ok(made)
    }

    pub(super) fn gauge(&self, family: &Family) -> Result<Gauge, Error> {
        self.register(Gauge::with_opts(options(family))?)
    }

    pub(super) fn gauges(&self, family: &Family) -> Result<GaugeVec, Error> {
        let made = self.register(GaugeVec::new(options(family), &label_names(family))?)?;
        for_each_closed(family, |values| drop(made.with_label_values(values)));
        Ok(made)
    }

    pub(super) fn histogram(&self, family: &Family) -> Result<Histogram, Error> {
        self.register(Histogram::with_opts(with_buckets(family))?)
    }

    pub(super) fn histograms(&self, family: &Family) -> Result<HistogramVec, Error> {
        let made = self.register(HistogramVec::new(with_buckets(family), &label_names(family))?)?;
        for_each_closed(family, |values| drop(made.with_label_values(values)));
        Ok(made)
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

fn options(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn with_buckets(family: &Family) -> HistogramOpts {
    let buckets = match family.kind {
        Kind::Histogram(buckets) => buckets.to_vec(),
        Kind::Counter | Kind::Gauge => Vec::new(),
    };
    HistogramOpts::new(family.name, family.help).buckets(buckets)
}

fn label_names(family: &Family) -> Vec<&'static str> {
    family.labels.iter().map(|label| label.name()).collect()
}

/// Every combination of values, unless one of the labels has no closed set.
fn for_each_closed(family: &Family, show: impl Fn(&[&str])) {
    let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
    for values in family.labels.iter().map(|label: &Label| label.values()) {
        let Some(values) = values else { return };
        combinations = combinations
            .into_iter()
            .flat_map(|before| values.iter().map(move |value| [before.as_slice(), &[*value]].concat()))
            .collect();
    }
    for values in &combinations {
        show(values);
    }
}
