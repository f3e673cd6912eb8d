//! The admin address: metrics for Prometheus, health and readiness. Not for the public.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use http_server::{Malformed, Respond};
use hyper::body::Incoming;

use crate::{
    front::Front,
    response::{self, FrontResponse},
};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The pages of a front.
#[derive(Clone)]
pub(crate) struct Pages {
    front: Arc<Front>,
}

impl Pages {
    pub(crate) fn new(front: Arc<Front>) -> Self {
        Self { front }
    }

    fn page(&self, path: &str) -> FrontResponse {
        match path {
            "/metrics" => response::page(StatusCode::OK, METRICS, self.front.metrics_text()),
            "/healthz" => response::page(StatusCode::OK, TEXT, "ok\n".into()),
            "/readyz" if self.front.is_draining() => {
                response::page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".into())
            }
            "/readyz" => response::page(StatusCode::OK, TEXT, "ready\n".into()),
            _ => {
                let help = "there are /metrics, /healthz and /readyz\n";
                response::page(StatusCode::NOT_FOUND, TEXT, help.into())
            }
        }
    }
}

impl Respond for Pages {
    type Body = Full<Bytes>;
    type Future = Ready<FrontResponse>;

    fn respond(&self, request: Request<Incoming>) -> Ready<FrontResponse> {
        ready(self.page(request.uri().path()))
    }

    fn refuse(&self, _request: &Request<Incoming>, malformed: Malformed) -> FrontResponse {
        response::page(StatusCode::BAD_REQUEST, TEXT, format!("{malformed}\n"))
    }
}
