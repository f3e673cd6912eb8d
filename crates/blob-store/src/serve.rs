//! A store that is a directory, served over HTTP as a bucket would be: `GET`, `HEAD` and `Range` on
//! its blobs, and nothing else. It lists nothing, follows no links, and knows no writing. Listening and
//! connections are its caller's.
//!
//! The rows of its behaviour are in `docs/mirror.md`; ranges are RFC 9110 §14, by `tower-http`.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing,
};
use oci::Digest;
use tower_http::services::ServeFile;
use tower_service::Service as _;

use crate::{file, key};

/// A served store. Cheap to clone; the clones are one.
#[derive(Clone, Debug)]
pub struct Served(Router);

impl Served {
    /// Serves the store in directory `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self(router(dir))
    }

    /// The response to one request.
    pub async fn respond<B>(&self, request: http::Request<B>) -> Response {
        // No request that is served has a body.
        let request = request.map(|_| Body::empty());
        let Ok(response) = self.0.clone().call(request).await;
        response
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
        Ok(answer) => answer.map(Body::new).into_response(),
        Err(error) => {
            tracing::error!(%digest, %error, "cannot read a blob");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
