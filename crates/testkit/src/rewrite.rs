//! What a fault changes in a request or an answer before it goes on as a whole: the mount that is not
//! asked for, the digest that is named.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header::ETAG};
use oci::Digest;

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

fn with_query(uri: &Uri, query: &str) -> Uri {
    let path_and_query = format!("{}?{query}", uri.path());
    let mut parts = uri.clone().into_parts();
    let path_and_query = path_and_query.trim_end_matches('?').parse();
    parts.path_and_query = Some(path_and_query.expect("a part of what was a URI"));
    Uri::from_parts(parts).expect("what was a URI, with less of a query")
}

/// An answer that names another digest than it did, or one where it named none.
pub(crate) fn with_wrong_digest(mut answer: Response<Body>) -> Response<Body> {
    let headers = answer.headers_mut();
    let named = headers.get(&DOCKER_CONTENT_DIGEST).map_or(&[][..], HeaderValue::as_bytes);
    // Made of the one that it replaces, so that it cannot be that one.
    let wrong = Digest::sha256(&[b"not ", named].concat());
    let value = |text: String| HeaderValue::try_from(text).expect("a digest fits into a header");
    if let Some(tag) = headers.get_mut(ETAG) {
        *tag = value(format!("\"{wrong}\""));
    }
    headers.insert(DOCKER_CONTENT_DIGEST, value(wrong.to_string()));
    answer
}
