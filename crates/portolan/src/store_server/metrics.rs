//! What a store server counts. The names are in `docs/reference/metrics.md`.

use std::sync::Arc;

use axum::http::StatusCode;
use http_server::ConnectionMetrics;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// All metrics of a store server. Cheap to clone; clones share the counters.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    registry: Arc<Registry>,
    requests: Family<[(&'static str, String); 1], Counter>,
    pub(crate) connections: ConnectionMetrics,
}

impl StoreMetrics {
    /// All metrics, at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("portolan_store_server");
        let connections = ConnectionMetrics::register(&mut registry);
        let requests = Family::default();
        registry.register("requests", "requests by status of the response", requests.clone());
        Self { registry: Arc::new(registry), requests, connections }
    }

    /// Counts a response.
    pub(crate) fn count(&self, status: StatusCode) {
        self.requests.get_or_create_owned(&[("status", status.as_str().to_owned())]).inc();
    }

    /// All of them as `OpenMetrics` text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
