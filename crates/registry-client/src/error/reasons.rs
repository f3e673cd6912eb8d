//! The reasons that a registry gives in the body of a refusal, and whether these are too many requests.
//!
//! Source: distribution-spec 1.1, "Error Codes"; RFC 6585 §4 (429); GitHub's REST API, "Rate limits": a secondary
//! rate limit is a 403 with `Retry-After`, and its body is `{"message": "…"}`.

use credentials::{Secret, hide};
use http::StatusCode;
use oci::{ErrorBody, ErrorCode, ErrorEntry};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

/// A body in GitHub's form.
#[derive(Deserialize)]
struct Message {
    message: String,
}

/// The reasons in a body: those of the specification, or a single message without a code; empty where there are none.
/// `secrets` were sent, and are hidden.
pub(crate) fn read_reasons(bytes: &[u8], secrets: &[Secret]) -> ErrorBody {
    let mut body = unhidden_reasons(bytes);
    for entry in &mut body.errors {
        entry.code = hide(&entry.code, secrets);
        entry.message = hide(&entry.message, secrets);
    }
    body
}

fn unhidden_reasons(bytes: &[u8]) -> ErrorBody {
    let body: ErrorBody = serde_json::from_slice(bytes).unwrap_or_default();
    match serde_json::from_slice(bytes) {
        Ok(Message { message }) if body.errors.is_empty() && !message.is_empty() => ErrorBody {
            errors: vec![ErrorEntry { code: String::new(), message, detail: Value::Null }],
        },
        _ => body,
    }
}

/// The reasons in a body that is an error of the specification, whatever the status it came with; none for anything
/// else, such as a manifest with a member of that name.
pub(crate) fn error_document(bytes: &[u8]) -> Option<ErrorBody> {
    #[derive(Deserialize)]
    struct ErrorDocument {
        errors: Vec<ErrorEntry>,
        // Members of every manifest.
        #[serde(rename = "schemaVersion")]
        schema_version: Option<IgnoredAny>,
        #[serde(rename = "mediaType")]
        media_type: Option<IgnoredAny>,
    }
    let document: ErrorDocument = serde_json::from_slice(bytes).ok()?;
    let is_error = document.schema_version.is_none() && document.media_type.is_none();
    let body = ErrorBody { errors: document.errors };
    Some(body).filter(|body| is_error && !body.errors.is_empty())
}

/// Whether the body of a response with this status means the same.
pub(crate) fn tells_throttled(status: StatusCode, body: &ErrorBody) -> bool {
    let code = ErrorCode::TooManyRequests.as_str();
    status.is_client_error() && body.errors.iter().any(|entry| entry.code == code)
}
