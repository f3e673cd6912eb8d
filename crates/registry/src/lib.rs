//! A small OCI registry for development, tests and staging: push, pull, mount, list and delete, kept
//! in memory or in a directory.
//!
//! It knows no users, no TLS and no referrers. What it answers: `docs/registry.md`.
//!
//! A request's way: `route` says what is asked, one function of `manifests`, `blobs`, `uploads`
//! or `listing` answers it from `storage`, and `refusal` turns what is refused into an answer.
//!
//! Source: distribution-spec 1.1.

mod blobs;
mod body;
pub mod limits;
mod listing;
mod manifests;
mod refusal;
mod route;
mod storage;
mod uploads;

use std::{future::Future, io, sync::Arc};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header::RANGE};
use tokio::{net::TcpListener, sync::oneshot};

pub use crate::storage::{Storage, StorageError};
use crate::{body::Incoming, refusal::Refusal, route::Route, uploads::Uploads};

/// A registry. Cheap to clone; the clones are one registry.
#[derive(Clone, Debug)]
pub struct Registry(Arc<State>);

#[derive(Debug)]
struct State {
    storage: Storage,
    uploads: Uploads,
}

impl Registry {
    /// A registry that keeps its content in `storage`.
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        Self(Arc::new(State { storage, uploads: Uploads::default() }))
    }

    /// The registry as a service, to be wrapped or served.
    pub fn router(&self) -> Router {
        let registry = self.clone();
        Router::new().fallback(move |request| async move { registry.respond(request).await })
    }

    /// The answer to one request.
    pub async fn respond(&self, request: Request<Body>) -> Response {
        let (mut parts, body) = request.into_parts();
        if parts.method != Method::GET {
            // It means nothing with any other method, HEAD included (RFC 9110 §14.2).
            parts.headers.remove(RANGE);
        }
        let mut body = Incoming::new(body);
        let answered = match Route::parse(&parts.method, parts.uri.path(), parts.uri.query()) {
            Ok(route) => self.answer(route, &parts.headers, &mut body).await,
            Err(refusal) => Err(refusal),
        };
        match answered {
            Ok(response) => response,
            Err(refusal) => {
                body.discard().await;
                refusal.into_response()
            }
        }
    }

    async fn answer(
        &self,
        route: Route,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<Response, Refusal> {
        let State { storage, uploads } = &*self.0;
        match route {
            Route::Ping => Ok(ping()),
            Route::Catalog(page) => listing::catalog(storage, page).await,
            Route::Tags(name, page) => listing::tags(storage, name, page).await,
            Route::ReadManifest(name, by) => manifests::read(storage, name, by).await,
            Route::WriteManifest(name, by) => {
                manifests::write(storage, name, by, headers, body).await
            }
            Route::DeleteManifest(name, by) => manifests::delete(storage, name, by).await,
            Route::ReadBlob(name, digest) => blobs::read(storage, name, digest, headers).await,
            Route::DeleteBlob(name, digest) => blobs::delete(storage, name, digest).await,
            Route::StartUpload(name, start) => {
                uploads::start(storage, uploads, name, start, body).await
            }
            Route::UploadStatus(name, id) => uploads::status(uploads, &name, id).await,
            Route::AppendUpload(name, id) => {
                uploads::append(uploads, &name, id, headers, body).await
            }
            Route::FinishUpload(name, id, digest) => {
                uploads::finish(uploads, name, id, digest, headers, body).await
            }
            Route::CancelUpload(name, id) => uploads::cancel(uploads, &name, id),
        }
    }
}

/// Serves `registry` until `shutdown` is done; then takes no more connections, and ends when the
/// requests under way have, or after [`limits::DRAIN`].
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    registry: Registry,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (begin, begun) = oneshot::channel();
    let stopping = async move {
        shutdown.await;
        let _ = begin.send(());
    };
    let server = axum::serve(listener, registry.router()).with_graceful_shutdown(stopping);
    let deadline = async {
        if begun.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(limits::DRAIN).await;
    };
    tokio::select! {
        done = server.into_future() => done,
        () = deadline => Ok(()),
    }
}

/// What names the digest of the content that an answer is about.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// How clients of Docker recognise a registry.
const DOCKER_API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

fn ping() -> Response {
    (StatusCode::OK, [(DOCKER_API_VERSION, "registry/2.0")]).into_response()
}
