//! What the headers of a response say about its content.

use http::{HeaderMap, HeaderName, header};
use oci::{Digest, media_type};

/// The media type of HTML pages, which no registry sends as content.
pub(crate) const HTML: &str = "text/html";

/// The header that names the digest of a manifest or blob.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");

/// Whether this is an HTML page: by its media type, or without one by its beginning.
pub(crate) fn is_html(media_type: &str, bytes: &[u8]) -> bool {
    let begins = |text: &str| {
        let start = bytes.trim_ascii_start().get(..text.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
    };
    media_type == HTML || begins("<!doctype html") || begins("<html")
}

pub(crate) fn digest_in(headers: &HeaderMap) -> Option<Digest> {
    headers.get(DOCKER_CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

pub(crate) fn media_type_in(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type::essence(value.unwrap_or_default()).to_owned()
}

/// The length of content no byte of whose requested range exists (RFC 9110 §14.4, §15.5.17).
pub(crate) fn unsatisfied_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes */")?.parse().ok()
}

/// The announced length of the content; none where it is sent in chunks, whatever else is announced (RFC 9112 §6.3).
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
