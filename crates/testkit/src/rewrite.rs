//! What a fault changes in a request or a response before it goes on as a whole: the mount or the condition that
//! is left out, another digest, a shorter listing.

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, Uri,
    header::{CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH, LINK},
};
use http_body_util::BodyExt as _;
use oci::Digest;
use serde_json::Value;

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A request for a mount, as one for an upload; any other, as it is.
pub(crate) fn without_mount(mut request: Request<Body>) -> Request<Body> {
    let query: Vec<_> = request.uri().query().unwrap_or_default().split('&').collect();
    let is_mount = query.iter().any(|part| part.starts_with("mount="));
    if request.method() == Method::POST && is_mount {
        let parts = query.into_iter();
        let kept = parts.filter(|part| !part.starts_with("mount=") && !part.starts_with("from="));
        *request.uri_mut() = with_query(request.uri(), &kept.collect::<Vec<_>>().join("&"));
    }
    request
}

/// A request without its conditions.
pub(crate) fn without_conditions(mut request: Request<Body>) -> Request<Body> {
    for condition in [IF_MATCH, IF_NONE_MATCH] {
        request.headers_mut().remove(condition);
    }
    request
}

fn with_query(uri: &Uri, query: &str) -> Uri {
    let path_and_query = format!("{}?{query}", uri.path());
    let mut parts = uri.clone().into_parts();
    let path_and_query = path_and_query.trim_end_matches('?').parse();
    parts.path_and_query = Some(path_and_query.expect("a part of what was a URI"));
    Uri::from_parts(parts).expect("what was a URI, with less of a query")
}

/// A response that names another digest than it did, or one where it named none.
pub(crate) fn with_wrong_digest(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let named = headers.get(&DOCKER_CONTENT_DIGEST).map_or(&[][..], HeaderValue::as_bytes);
    // Made of the one that it replaces, so that it cannot be that one.
    let wrong = Digest::sha256(&[b"not ", named].concat());
    let value = |text: String| HeaderValue::try_from(text).expect("a digest fits into a header");
    if let Some(tag) = headers.get_mut(ETAG) {
        *tag = value(format!("\"{wrong}\""));
    }
    headers.insert(DOCKER_CONTENT_DIGEST, value(wrong.to_string()));
    response
}

/// A listing with only its first entries, and without a word that there are more; any other response, as
/// it is.
pub(crate) async fn with_truncated_listing(
    response: Response<Body>,
    entries: usize,
) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let mut content = body.collect().await.expect("a complete response of the handler").to_bytes();
    if let Some(listing) = truncated(&content, entries) {
        head.headers.remove(LINK);
        head.headers.insert(CONTENT_LENGTH, listing.len().into());
        content = listing;
    }
    Response::from_parts(head, content.into())
}

/// `None` if it is no listing.
fn truncated(json: &[u8], entries: usize) -> Option<Bytes> {
    let mut listing: Value = serde_json::from_slice(json).ok()?;
    let mut is_listing = false;
    for name in ["tags", "repositories", "manifest"] {
        match listing.get_mut(name) {
            Some(Value::Array(names)) => names.truncate(entries),
            Some(Value::Object(manifests)) => {
                *manifests = std::mem::take(manifests).into_iter().take(entries).collect();
            }
            _ => continue,
        }
        is_listing = true;
    }
    is_listing.then(|| listing.to_string().into())
}
