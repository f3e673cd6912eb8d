//! A store that is a directory, served over HTTP as a bucket would be: `GET`, `HEAD` and `Range` on
//! its blobs, and nothing else. It lists nothing, follows no links, and knows no writing.
//!
//! The rows of its behaviour are in `docs/mirror.md`; ranges are RFC 9110 §14, by `tower-http`.

use std::{future::Future, io, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing,
};
use oci::Digest;
use tokio::{net::TcpListener, sync::Notify};
use tower_http::services::ServeFile;

use crate::{file, key};

/// How long answers that are running may go on after `shutdown`: a stopped server must stop, even if
/// a client reads slowly.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Serves the store in directory `dir` until `shutdown` resolves, and then for at most [`DRAIN`] more.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    dir: &Path,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stopping = Arc::new(Notify::new());
    let told = Arc::clone(&stopping);
    let signal = async move {
        shutdown.await;
        told.notify_one();
    };
    let served = axum::serve(listener, router(dir)).with_graceful_shutdown(signal);
    tokio::select! {
        ended = served.into_future() => ended,
        () = async { stopping.notified().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

fn router(dir: &Path) -> Router {
    // Written with a wildcard: what follows the prefix is either a digest or nothing that we have.
    let path = format!("/{}{{digest}}", key::PREFIX);
    Router::new().route(&path, routing::get(blob)).with_state(Arc::from(dir))
}

async fn blob(
    State(dir): State<Arc<Path>>,
    axum::extract::Path(digest): axum::extract::Path<String>,
    request: Request,
) -> Response {
    let Ok(digest) = digest.parse::<Digest>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let path = dir.join(key(&digest));
    // The check blocks for one look-up in a directory, as the answer itself does.
    if !file::is_file(&path).is_ok_and(|there| there) {
        return StatusCode::NOT_FOUND.into_response();
    }
    // A name without a dot has no guessable type, so it is served as `application/octet-stream`.
    match ServeFile::new(path).try_call(request).await {
        Ok(answer) => answer.map(axum::body::Body::new).into_response(),
        Err(error) => {
            tracing::error!(%digest, %error, "cannot read a blob");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
