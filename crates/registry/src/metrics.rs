//! The metrics of a registry. The names are in `docs/reference/metrics.md`.

use std::time::Duration;

use http::StatusCode;
use http_server::ConnectionMetrics;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper ends of the buckets for the duration of a request, in seconds.
const DURATIONS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

/// All metrics of a registry.
#[derive(Debug)]
pub(crate) struct RegistryMetrics {
    registry: Registry,
    requests: Family<[(&'static str, String); 2], Counter>,
    durations: Family<[(&'static str, &'static str); 1], Histogram>,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    in_flight: Gauge,
    uploads: Gauge,
    pub(crate) connections: ConnectionMetrics,
}

impl RegistryMetrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("portolan_registry");
        let connections = ConnectionMetrics::register(&mut registry);
        let mut metrics = Self {
            registry,
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            in_flight: Gauge::default(),
            uploads: Gauge::default(),
            connections,
        };
        let registry = &mut metrics.registry;
        registry.register(
            "requests",
            "requests, by operation and status",
            metrics.requests.clone(),
        );
        let (name, help) =
            ("request_duration", "time from the head of a request to the head of its response");
        registry.register_with_unit(name, help, Unit::Seconds, metrics.durations.clone());
        for (name, help, counter) in [
            ("received", "bytes of request bodies", &metrics.received_bytes),
            ("sent", "bytes of response bodies", &metrics.sent_bytes),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        }
        for (name, help, gauge) in [
            (
                "requests_in_flight",
                "requests in flight, until the last byte of the response",
                &metrics.in_flight,
            ),
            ("uploads", "uploads in progress, including open sessions", &metrics.uploads),
        ] {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }

    pub(crate) fn record(&self, operation: &'static str, status: StatusCode, after: Duration) {
        let labels = [("operation", operation.to_owned()), ("status", status.as_str().to_owned())];
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&[("operation", operation)]).observe(after.as_secs_f64());
    }

    /// All metrics as text, with the present values of these two gauges.
    pub(crate) fn text(&self, uploads: usize, in_flight: usize) -> String {
        for (gauge, now) in [(&self.uploads, uploads), (&self.in_flight, in_flight)] {
            gauge.set(i64::try_from(now).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
