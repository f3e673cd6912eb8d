//! Conditional requests about content that has a digest: its entity tag is the digest in quotes. What
//! conditions mean is `http-server`'s.
//!
//! Source: RFC 9110 §13.1 and §13.2; distribution-spec 1.1 leaves them to registries.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, StatusCode, header::ETAG};
use http_server::{ConditionResult, Conditions};
use oci::Digest;

use crate::{DOCKER_CONTENT_DIGEST, etag::etag, refusal::Refusal};

/// The headers of a response that identify the content.
pub(crate) fn validators(digest: Digest) -> [(HeaderName, String); 2] {
    [(ETAG, etag(digest)), (DOCKER_CONTENT_DIGEST, digest.to_string())]
}

/// The response to a conditional read of content with this digest, if the content need not be sent.
pub(crate) fn instead_of_content(
    headers: &HeaderMap,
    digest: Digest,
) -> Result<Option<Response>, Refusal> {
    match Conditions::of(headers).for_reading(&etag(digest)) {
        ConditionResult::Failed => Err(Refusal::Precondition(Some(digest))),
        ConditionResult::NotModified => {
            Ok(Some((StatusCode::NOT_MODIFIED, validators(digest)).into_response()))
        }
        ConditionResult::Send => Ok(None),
    }
}

/// Whether the conditions allow a write or delete of content with this present digest, or of absent content.
pub(crate) fn allow_writing(conditions: &Conditions, current: Option<Digest>) -> bool {
    conditions.allow_writing(current.map(etag).as_deref())
}
