//! Entity tags (RFC 9110 §8.8.3).

use oci::Digest;

/// The entity tag of content with this digest.
pub(crate) fn etag(digest: Digest) -> String {
    format!("\"{digest}\"")
}
