//! What a server remembers of a request.

use axum::body::Body;
use http::{HeaderMap, Method, Request};

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// The method.
    pub method: Method,
    /// The path and, behind a `?`, the query, as sent.
    pub path_and_query: String,
    /// The headers.
    pub headers: HeaderMap,
}

impl RecordedRequest {
    pub(crate) fn of(request: &Request<Body>) -> Self {
        Self {
            method: request.method().clone(),
            path_and_query: request.uri().to_string(),
            headers: request.headers().clone(),
        }
    }
}
