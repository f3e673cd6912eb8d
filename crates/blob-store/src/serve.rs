//! A store that is a directory, served over HTTP as a bucket would be: `GET`, `HEAD` and `Range` on
//! its blobs, and nothing else. It lists nothing, follows no links, and knows no writing. Listening and
//! connections are its caller's.
//!
//! The rows of its behaviour are in `docs/mirror.md`; conditions and ranges are `http-server`'s.

use std::{fs::File, io, path::Path, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        StatusCode,
        header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG},
    },
    response::{AppendHeaders, IntoResponse as _, Response},
    routing,
};
use http_server::{
    Conditions, Verdict, file_stream,
    range::{Selection, content_range, unsatisfied_range},
};
use oci::Digest;
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
    let opened = tokio::task::spawn_blocking(move || open(&path)).await;
    match opened.map_err(io::Error::other).flatten() {
        Ok(Some((file, size))) => respond(&request, digest, file, size),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%digest, %error, "cannot read a blob");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A regular file and its length; none where there is no such file.
fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    if !file::is_file(path)? {
        return Ok(None);
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    Ok(Some((file, size)))
}

/// The response with what conditions and ranges leave of the content. Copies of a store have the same
/// entity tags, so a download can go on at another one.
fn respond(request: &Request, digest: Digest, file: File, size: u64) -> Response {
    let etag = &*format!("\"{digest}\"");
    let validator = [(ETAG, etag.to_owned())];
    match Conditions::of(request.headers()).for_reading(etag) {
        Verdict::Send => {}
        Verdict::NotModified => return (StatusCode::NOT_MODIFIED, validator).into_response(),
        Verdict::Failed => return (StatusCode::PRECONDITION_FAILED, validator).into_response(),
    }
    let (part, status, range) = match Selection::of(request.method(), request.headers(), etag, size)
    {
        Selection::Whole => (0..size, StatusCode::OK, None),
        Selection::Part(part) => {
            let range = content_range(&part, size);
            (part, StatusCode::PARTIAL_CONTENT, Some((CONTENT_RANGE, range)))
        }
        Selection::Unsatisfiable => {
            let range = [(CONTENT_RANGE, unsatisfied_range(size))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, validator, range).into_response();
        }
    };
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, (part.end - part.start).to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let range = AppendHeaders(range);
    let body = Body::from_stream(file_stream(file, part, digest));
    (status, headers, validator, range, body).into_response()
}
