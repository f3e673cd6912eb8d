//! The admin address of a server: metrics for Prometheus, health and readiness. Not for the public.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{ConnectionMetrics, Malformed, Respond, ResponseOrFuture, Server, ServerSettings};

/// How long responses of the admin address may go on. It ends after its product, and its responses are short.
const DRAIN: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// An admin address that is served.
#[derive(Debug)]
pub struct Admin {
    pages: AdminPages,
    end: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Admin {
    /// Serves `/metrics`, `/healthz` and `/readyz` on `listener`. `metrics` yields the metrics as `OpenMetrics` text. It
    /// needs a tokio runtime.
    pub fn start(
        listener: TcpListener,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let settings = ServerSettings::admin(DRAIN);
        let server =
            Server { listener, tls: None, settings, metrics: ConnectionMetrics::default() };
        let pages = AdminPages { metrics: Arc::new(metrics), draining: Arc::default() };
        let (end, ends) = oneshot::channel::<()>();
        let served = pages.clone();
        let server = async move { server.run(|_connection| served.clone(), ends.map(drop)).await };
        Self { pages, end, server: tokio::spawn(server) }
    }

    /// From now on `/readyz` responds that the product is about to end.
    pub fn drain(&self) {
        self.pages.draining.store(true, Ordering::Relaxed);
    }

    /// Ends the server, after the responses under way.
    pub async fn end(self) {
        drop(self.end);
        // Nothing else can end it, so that there is no failure to report.
        let _ = self.server.await;
    }
}

/// The pages of an admin address.
#[derive(Clone)]
struct AdminPages {
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    draining: Arc<AtomicBool>,
}

impl AdminPages {
    fn page(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/metrics" => page(StatusCode::OK, METRICS, (self.metrics)()),
            "/healthz" => page(StatusCode::OK, TEXT, "ok\n".into()),
            "/readyz" if self.draining.load(Ordering::Relaxed) => {
                page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".into())
            }
            "/readyz" => page(StatusCode::OK, TEXT, "ready\n".into()),
            _ => {
                let help = "there are /metrics, /healthz and /readyz\n";
                page(StatusCode::NOT_FOUND, TEXT, help.into())
            }
        }
    }
}

impl fmt::Debug for AdminPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminPages").field("draining", &self.draining).finish_non_exhaustive()
    }
}

impl Respond for AdminPages {
    type Body = Full<Bytes>;

    fn respond(&self, request: Request<Incoming>) -> ResponseOrFuture<Full<Bytes>> {
        ResponseOrFuture::Response(self.page(request.uri().path()))
    }

    fn refuse(&self, _request: &Request<Incoming>, malformed: Malformed) -> Response<Full<Bytes>> {
        page(StatusCode::BAD_REQUEST, TEXT, format!("{malformed}\n"))
    }
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
