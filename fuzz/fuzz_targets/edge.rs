//! The embedded registry as clients see it: by requests, in this process. What every response must have
//! (`docs/reference/registry.md`) is checked here for all targets.

use std::sync::LazyLock;

use axum::body::{Body, Bytes, to_bytes};
use http::{
    HeaderMap, HeaderName, Method, Request, StatusCode,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use oci::{Digest, ErrorBody};
use registry::Registry;
use tokio::runtime::{Builder, Runtime};

pub const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One thread for what blocks, so that the same bytes do the same each time.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().max_blocking_threads(1).build().expect("a runtime")
});

/// A response and its whole body.
#[derive(Debug)]
pub struct RegistryResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl RegistryResponse {
    /// The first value of this header; empty where there is none.
    pub fn text(&self, name: &HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }
}

/// The response to this method and path, with this body.
pub fn send(registry: &Registry, line: &str, body: impl Into<Body>) -> RegistryResponse {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let request = Request::builder().method(method).uri(path).body(body.into());
    respond(registry, request.expect("it is a request"))
}

/// The response to a request.
pub fn respond(registry: &Registry, request: Request<Body>) -> RegistryResponse {
    let is_head = request.method() == Method::HEAD;
    let response = RUNTIME.block_on(async {
        let (head, body) = registry.respond(request).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("it does not break off");
        RegistryResponse { status: head.status, headers: head.headers, body }
    });
    check_head(&response);
    match is_head {
        true => assert!(response.body.is_empty(), "{response:?}"),
        false => check_body(&response),
    }
    response
}

fn check_head(response: &RegistryResponse) {
    let RegistryResponse { status, headers, .. } = response;
    assert!(!status.is_server_error(), "{response:?}");
    if headers.contains_key(LOCATION) {
        check_location(response.text(&LOCATION));
    }
    if status.is_client_error() {
        assert_eq!(response.text(&CONTENT_TYPE), "application/json", "{response:?}");
    }
    // What says how to do better.
    let owed = match *status {
        StatusCode::UNAUTHORIZED => Some(WWW_AUTHENTICATE),
        StatusCode::METHOD_NOT_ALLOWED => Some(ALLOW),
        StatusCode::TOO_MANY_REQUESTS => Some(RETRY_AFTER),
        StatusCode::NOT_MODIFIED => Some(ETAG),
        _ => None,
    };
    assert!(owed.is_none_or(|owed| headers.contains_key(owed)), "{response:?}");
}

fn check_body(response: &RegistryResponse) {
    let RegistryResponse { status, headers, body } = response;
    if status.is_client_error() {
        check_error(body);
    }
    if headers.contains_key(CONTENT_LENGTH) {
        assert_eq!(response.text(&CONTENT_LENGTH), body.len().to_string(), "{response:?}");
    }
    assert!(*status != StatusCode::NOT_MODIFIED || body.is_empty(), "{response:?}");
    if headers.contains_key(DOCKER_CONTENT_DIGEST) {
        let digest = response.text(&DOCKER_CONTENT_DIGEST);
        let tag = response.text(&ETAG);
        assert!(tag.is_empty() || tag == format!("\"{digest}\""), "{response:?}");
        let digest: Digest = digest.parse().expect("it is a digest");
        assert!(*status != StatusCode::OK || digest.matches(body), "{response:?}");
    }
}

fn check_error(body: &[u8]) {
    let body: ErrorBody = serde_json::from_slice(body).expect("it is an error's body");
    assert!(!body.errors.is_empty());
    for error in body.errors {
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        assert!(!error.code.is_empty() && error.code.bytes().all(is_code), "{error:?}");
        assert!(!error.message.is_empty(), "{error:?}");
    }
}

/// It leads nowhere but to this registry.
fn check_location(location: &str) {
    let below = location.strip_prefix("/v2/").unwrap_or_else(|| panic!("outside: {location}"));
    assert!(below.split('/').all(|part| !matches!(part, "" | "." | "..")), "{location}");
    assert!(!location.contains(['\r', '\n', '\\', '?', '#']), "{location}");
}
