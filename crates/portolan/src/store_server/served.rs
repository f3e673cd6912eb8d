//! A store that is a directory, served over HTTP as a bucket would be: `GET`, `HEAD` and `Range` on
//! its blobs, and nothing else. It does not list, does not follow symbolic links and does not write.
//!
//! Something that is not a regular file, or is below something that is not a directory, counts as absent; the log says so.
//!
//! The rows of its behaviour are in `docs/reference/mirror.md`; conditions and ranges are `http-server`'s.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Extension, Request, State},
    http::{
        StatusCode,
        header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RETRY_AFTER},
    },
    response::{AppendHeaders, IntoResponse as _, Response},
    routing,
};
use blob_store::{Error, PREFIX, open_file};
use futures_util::StreamExt as _;
use http_server::{
    ClientConnection, ConditionResult, Conditions, StalledBody, file_stream,
    range::{ByteSelection, content_range, unsatisfied_range},
};
use oci::Digest;
use tower_service::Service as _;
use wording::Chain;

use super::files::{FileBudget, FilePermit};

/// A served store. Cheap to clone; clones share its state.
#[derive(Clone, Debug)]
pub(crate) struct Served(Router);

impl Served {
    /// Serves the store in directory `dir`, with at most so many files open.
    pub(crate) fn new(dir: &Path, files: FileBudget) -> Self {
        Self(router(dir, files))
    }

    /// The response to one request of this connection.
    pub(crate) async fn respond<B>(
        &self,
        request: http::Request<B>,
        connection: ClientConnection,
    ) -> Response {
        // No request that is served has a body.
        let mut request = request.map(|_| Body::empty());
        request.extensions_mut().insert(connection);
        let Ok(response) = self.0.clone().call(request).await;
        response
    }
}

/// The `Retry-After` of a 503, in seconds: about the time of a layer.
const RETRY_AFTER_SECONDS: &str = "1";

/// How often the log says that an object is not served. Clients retry within seconds, and the first of many such files
/// shows what is wrong.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct ServedDirectory {
    dir: PathBuf,
    files: FileBudget,
    /// When the log last said that something is not served.
    logged: Mutex<Option<Instant>>,
}

impl ServedDirectory {
    /// The regular file of a digest and its length; none if there is no such file.
    fn open(&self, digest: &Digest) -> Result<Option<(File, u64)>, Error> {
        match open_file(&self.dir, digest) {
            Err(error) if error.is_wrong_file_type() => {
                self.log(&error);
                Ok(None)
            }
            opened => opened,
        }
    }

    fn log(&self, error: &Error) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
            *logged = Some(Instant::now());
            let error = Chain(error);
            tracing::error!(%error, "a blob is not served; clients get a 404");
        }
    }
}

fn router(dir: &Path, files: FileBudget) -> Router {
    // A wildcard: the rest of the path is a digest, or the response is a 404.
    let path = format!("/{PREFIX}{{digest}}");
    let store = Arc::new(ServedDirectory { dir: dir.to_owned(), files, logged: Mutex::default() });
    Router::new().route(&path, routing::get(blob)).with_state(store)
}

async fn blob(
    State(store): State<Arc<ServedDirectory>>,
    axum::extract::Path(digest): axum::extract::Path<String>,
    Extension(connection): Extension<ClientConnection>,
    request: Request,
) -> Response {
    let Ok(digest) = digest.parse::<Digest>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let take = || store.files.take(connection.peer.ip()).map_err(|whose| ((), whose));
    // Over HTTP/2 clients that do not read use up the files before the connections.
    let permit = connection.take_or_evict(store.files.max(), StalledBody::Response, take).await;
    let Ok(permit) = permit else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_AFTER_SECONDS)])
            .into_response();
    };
    // The permit goes where the file is, also if the client disconnects meanwhile.
    let opened = tokio::task::spawn_blocking(move || {
        store.open(&digest).map(|opened| opened.map(|(file, size)| (file, size, permit)))
    });
    match opened.await {
        Ok(Ok(Some((file, size, permit)))) => respond(&request, digest, (file, permit), size),
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        Ok(Err(error)) => failed(&digest, &error),
        // The runtime is being shut down.
        Err(error) => failed(&digest, &error),
    }
}

fn failed(digest: &Digest, error: &dyn std::error::Error) -> Response {
    let error = Chain(error);
    tracing::error!(%digest, %error, "cannot read a blob");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// The response, by the conditions and the range of the request. Copies of a store have the same entity tags, so a
/// download can go on at another copy.
fn respond(
    request: &Request,
    digest: Digest,
    (file, permit): (File, FilePermit),
    size: u64,
) -> Response {
    let etag = &*format!("\"{digest}\"");
    let validator = [(ETAG, etag.to_owned())];
    match Conditions::of(request.headers()).for_reading(etag) {
        ConditionResult::Send => {}
        ConditionResult::NotModified => {
            return (StatusCode::NOT_MODIFIED, validator).into_response();
        }
        ConditionResult::Failed => {
            return (StatusCode::PRECONDITION_FAILED, validator).into_response();
        }
    }
    let (part, status, range) =
        match ByteSelection::of(request.method(), request.headers(), etag, size) {
            ByteSelection::Whole => (0..size, StatusCode::OK, None),
            ByteSelection::Part(part) => {
                let range = content_range(&part, size);
                (part, StatusCode::PARTIAL_CONTENT, Some((CONTENT_RANGE, range)))
            }
            ByteSelection::Unsatisfiable => {
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
    let body = file_stream(file, part, digest).inspect(move |_piece| {
        let _until_the_file_is_closed = &permit;
    });
    let body = Body::from_stream(body);
    (status, headers, validator, range, body).into_response()
}
