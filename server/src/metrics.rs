//! Numbers for Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    steps: Family<StageLabels, Histogram>,
    waiting: Gauge,
    running: Gauge,
    pub(crate) batches: Histogram,
    pub(crate) images: Counter,
    pub(crate) panics: Counter,
    pub(crate) unsaved: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    stage: String,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Bounds in seconds of a step.
const SECONDS: [f64; 12] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("unclip");
        let requests = Family::default();
        registry.register("requests", "Requests by route and status", requests.clone());
        let steps = Family::new_with_constructor(seconds as fn() -> Histogram);
        registry.register("step_seconds", "Seconds of a step of a stage", steps.clone());
        let (waiting, running) = (Gauge::<i64>::default(), Gauge::<i64>::default());
        registry.register("queue_length", "Requests that wait", waiting.clone());
        registry.register("running", "Requests that are worked on", running.clone());
        let batches = Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]);
        registry.register("batch_images", "Pictures that are drawn at once", batches.clone());
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter: Counter<u64, AtomicU64> = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let images = counter(&mut registry, "images", "Pictures that were drawn");
        let panics = counter(&mut registry, "worker_panics", "Failures of the worker");
        let unsaved = counter(
            &mut registry,
            "unsaved_images",
            "Pictures that the gallery's folder did not take",
        );
        Self { registry, requests, steps, waiting, running, batches, images, panics, unsaved }
    }

    pub(crate) fn count_request(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }

    pub(crate) fn observe_step(&self, stage: &str, seconds: f64) {
        self.steps.get_or_create(&StageLabels { stage: stage.to_owned() }).observe(seconds);
    }

    /// All of them in OpenMetrics' text format.
    pub(crate) fn text(&self, (waiting, running): (usize, usize)) -> String {
        self.waiting.set(waiting as i64);
        self.running.set(running as i64);
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            let _ = write!(text, "# EOF");
        }
        text
    }
}
