//! What a server records of a request: its head, and the numbers of bytes in both directions. Not the bytes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;

/// A request as it came in. Its copies count on with it.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// The method.
    pub method: Method,
    /// The path and, behind a `?`, the query, as sent.
    pub path_and_query: String,
    /// The headers.
    pub headers: HeaderMap,
    body_bytes: Arc<AtomicU64>,
    sent_bytes: Arc<AtomicU64>,
}

impl RecordedRequest {
    /// How many bytes of its body the handler was given so far, or a fault that reads in its place.
    /// Complete only once the response has come.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// How many bytes of the response's body, as faults leave it, were handed to the connection so far;
    /// of a connection that is cut, not all of them may arrive. Complete only once the response has come.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn of(request: &Request<Body>) -> Self {
        Self {
            method: request.method().clone(),
            path_and_query: request.uri().to_string(),
            headers: request.headers().clone(),
            body_bytes: Arc::default(),
            sent_bytes: Arc::default(),
        }
    }

    pub(crate) fn count_body(&self, request: Request<Body>) -> Request<Body> {
        request.map(|body| counted(body, &self.body_bytes))
    }

    pub(crate) fn count_sent(&self, response: Response<Body>) -> Response<Body> {
        response.map(|body| counted(body, &self.sent_bytes))
    }
}

/// The same body, whose bytes are counted as they are read.
fn counted(body: Body, bytes: &Arc<AtomicU64>) -> Body {
    let bytes = Arc::clone(bytes);
    Body::new(body.inspect_frame(move |frame| {
        let read = frame.data_ref().map_or(0, |data| data.len() as u64);
        bytes.fetch_add(read, Ordering::Relaxed);
    }))
}
