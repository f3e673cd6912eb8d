//! The one mapping from what was decided to an HTTP response. Source: distribution-spec 1.1; the
//! tables of `docs/reference/front.md`. A response to HEAD is the same: the server leaves the body out.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use oci::ErrorBody;

use crate::route::RequestError;

/// The response type of the front.
pub(crate) type FrontResponse = Response<Full<Bytes>>;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What was decided about a request.
#[derive(Debug)]
pub(crate) enum ResponseKind {
    /// This is a registry.
    ApiVersion,
    /// The requested content is elsewhere.
    Redirect {
        location: HeaderValue,
        /// The digest that the request named.
        digest: Option<HeaderValue>,
    },
    /// The request is rejected.
    Error(RequestError),
}

impl ResponseKind {
    /// The requested content is at `url`; `digest` is what the request named.
    pub(crate) fn redirect(url: String, digest: Option<&str>) -> Self {
        // A base and a valid path are a header value; the fallback is a response rather than a panic.
        match HeaderValue::try_from(url) {
            Ok(location) => {
                let digest = digest.and_then(|digest| HeaderValue::from_str(digest).ok());
                Self::Redirect { location, digest }
            }
            Err(_) => Self::Error(RequestError::Location),
        }
    }
}

/// The response. `headers` are emptied and used for it: the memory of the request's serves on, and
/// nothing needs to be allocated.
pub(crate) fn respond(decision: ResponseKind, mut headers: HeaderMap) -> FrontResponse {
    headers.clear();
    let (status, body) = match decision {
        ResponseKind::Redirect { location, digest } => {
            headers.insert(header::LOCATION, location);
            digest.map(|digest| headers.insert(CONTENT_DIGEST, digest));
            (StatusCode::TEMPORARY_REDIRECT, Full::default())
        }
        ResponseKind::ApiVersion => {
            headers.insert(header::CONTENT_TYPE, JSON);
            headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
            (StatusCode::OK, Full::from("{}"))
        }
        ResponseKind::Error(refusal) => {
            headers.insert(header::CONTENT_TYPE, JSON);
            if matches!(refusal, RequestError::Method) {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            let body = ErrorBody::new(refusal.code(), refusal.to_string()).to_json();
            (status(&refusal), Full::from(body))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The status of a refusal.
pub(crate) fn status(refusal: &RequestError) -> StatusCode {
    match refusal {
        RequestError::Method => StatusCode::METHOD_NOT_ALLOWED,
        RequestError::Outside
        | RequestError::Endpoint
        | RequestError::Catalog
        | RequestError::Tag(_) => StatusCode::NOT_FOUND,
        RequestError::Name(_)
        | RequestError::Digest(_)
        | RequestError::Query
        | RequestError::Malformed(_) => StatusCode::BAD_REQUEST,
        RequestError::Location => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// No configuration and no request leads to such a URL; `redirect.rs` tests that.
    #[tokio::test]
    async fn a_location_that_is_no_header_value_is_a_response_and_not_a_panic() {
        for end in ["\r\nset-cookie: a=b", "\n", "\u{7f}", "\0"] {
            let url = format!("https://registry.example/v2/app/blobs/{end}");
            let response = respond(ResponseKind::redirect(url, None), HeaderMap::new());
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{end:?}");
            assert!(!response.headers().contains_key(header::LOCATION), "{end:?}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], JSON, "{end:?}");
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains(r#""code":"UNSUPPORTED""#), "{text}");
            assert!(
                text.contains("the location of the content is not a valid header value"),
                "{text}"
            );
        }
        let url = "https://registry.example/v2/app/tags/list?n=1".to_owned();
        let response = respond(ResponseKind::redirect(url.clone(), None), HeaderMap::new());
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()[header::LOCATION], url);
    }
}
