//! The admin address: metrics for Prometheus, health and readiness. Not for the public.

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header::CONTENT_TYPE};

use crate::Registry;

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page at `path`.
pub(crate) fn page(registry: &Registry, path: &str) -> Response {
    match path {
        "/metrics" => ([(CONTENT_TYPE, METRICS)], registry.metrics_text()).into_response(),
        // Once the storage is open there is nothing more to wait for.
        "/healthz" | "/readyz" => ([(CONTENT_TYPE, TEXT)], "ok\n").into_response(),
        _ => {
            let help = "there are /metrics, /healthz and /readyz\n";
            (StatusCode::NOT_FOUND, [(CONTENT_TYPE, TEXT)], help).into_response()
        }
    }
}

/// The response to a request that HTTP itself refuses.
pub(crate) fn refusal(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, TEXT)], format!("{why}\n")).into_response()
}
