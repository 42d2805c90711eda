//! Makes figures, registers them, and remembers what was made, so that the documentation can be checked against it.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    CounterVec, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// Every name begins with this.
const PREFIX: &str = "weir_";

/// One figure, as the documentation lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The whole name, with its unit.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What it means.
    pub help: String,
}

/// A registry of our own, and what is in it.
#[derive(Default)]
pub(super) struct Register {
    registry: Registry,
    rows: Vec<Row>,
}

// Names and labels are constants of this program, each used once: what prometheus can object to is a fault of the
// program, which the first test that makes a `Metrics` shows.
const VALID: &str = "the names of metrics are valid and used once";

impl Register {
    pub(super) fn counter(&mut self, name: &str, help: &str) -> IntCounter {
        let counter = IntCounter::with_opts(opts(name, help)).expect(VALID);
        self.add("counter", counter)
    }

    pub(super) fn counters(&mut self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let family = IntCounterVec::new(opts(name, help), labels).expect(VALID);
        self.add("counter", family)
    }

    /// Counters of what is no whole number.
    pub(super) fn real_counters(&mut self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        let family = CounterVec::new(opts(name, help), labels).expect(VALID);
        self.add("counter", family)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> IntGauge {
        let gauge = IntGauge::with_opts(opts(name, help)).expect(VALID);
        self.add("gauge", gauge)
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let family = IntGaugeVec::new(opts(name, help), labels).expect(VALID);
        self.add("gauge", family)
    }

    /// Gauges of what is no whole number.
    pub(super) fn real_gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let family = GaugeVec::new(opts(name, help), labels).expect(VALID);
        self.add("gauge", family)
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        let histogram = Histogram::with_opts(opts).expect(VALID);
        self.add("histogram", histogram)
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        let family = HistogramVec::new(opts, labels).expect(VALID);
        self.add("histogram", family)
    }

    /// What every process tells of itself, under the names that Prometheus has for it, without the prefix.
    #[cfg(target_os = "linux")]
    pub(super) fn process(&mut self) {
        let collector = prometheus::process_collector::ProcessCollector::for_self();
        let kind = |name: &str| if name.ends_with("_total") { "counter" } else { "gauge" };
        self.rows.extend(collector.desc().into_iter().map(|desc| row(desc, kind(&desc.fq_name))));
        self.registry.register(Box::new(collector)).expect(VALID);
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn add<C: Collector + Clone + 'static>(&mut self, kind: &'static str, collector: C) -> C {
        self.rows.extend(collector.desc().into_iter().map(|desc| row(desc, kind)));
        self.registry.register(Box::new(collector.clone())).expect(VALID);
        collector
    }
}

fn row(desc: &Desc, kind: &'static str) -> Row {
    Row { name: desc.fq_name.clone(), kind, labels: desc.variable_labels.clone(), help: desc.help.clone() }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}{name}"), help)
}

/// Seconds, as all of our times are given to Prometheus.
pub fn observe(histogram: &Histogram, time: Duration) {
    histogram.observe(time.as_secs_f64());
}
