//! The admin address: metrics for Prometheus, health and readiness. Not for the public.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
};

use http::{Request, StatusCode};
use hyper::service::Service;

use crate::{
    front::Front,
    response::{self, Answer},
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

    fn page(&self, path: &str) -> Answer {
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

impl<B> Service<Request<B>> for Pages {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        ready(Ok(self.page(request.uri().path())))
    }
}
