//! The one mapping from what was decided to an HTTP response. Source: distribution-spec 1.1; the
//! tables of `docs/front.md`. A response to HEAD is the same: the server leaves the body out.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use oci::ErrorBody;

use crate::route::Refusal;

/// What the front answers with.
pub(crate) type Answer = Response<Full<Bytes>>;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// This is a registry.
pub(crate) fn pong() -> Answer {
    let mut answer = Response::new(Full::from("{}"));
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    answer.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    answer
}

/// What is asked for is at `url`; its digest, if the request named it.
pub(crate) fn elsewhere(url: String, digest: Option<&str>) -> Answer {
    // A base and a valid path are a header value; the fallback answers rather than panics.
    match HeaderValue::try_from(url) {
        Ok(url) => redirect(url, digest),
        Err(_) => refused(&Refusal::Query),
    }
}

/// 307 to a URL that is a header value already.
pub(crate) fn redirect(url: HeaderValue, digest: Option<&str>) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    answer.headers_mut().insert(header::LOCATION, url);
    if let Some(digest) = digest.and_then(|digest| HeaderValue::from_str(digest).ok()) {
        answer.headers_mut().insert(CONTENT_DIGEST, digest);
    }
    answer
}

/// What is asked for is refused.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let body = ErrorBody::new(refusal.code(), refusal.to_string()).to_json();
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status(refusal);
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    if matches!(refusal, Refusal::Method) {
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::Outside | Refusal::Endpoint | Refusal::Catalog | Refusal::Tag(_) => {
            StatusCode::NOT_FOUND
        }
        Refusal::Name(_) | Refusal::Digest(_) | Refusal::Query => StatusCode::BAD_REQUEST,
    }
}

/// A page of the admin address.
pub(crate) fn page(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
