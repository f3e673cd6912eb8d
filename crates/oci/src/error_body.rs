//! The distribution API's error body: `{"errors":[{"code", "message", "detail"}]}`.
//!
//! Source: distribution-spec 1.1, "Error Codes".

use std::fmt;

use serde::{Deserialize, Serialize};

/// The codes of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the specification's code of the same name")]
pub enum ErrorCode {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TooManyRequests,
    Unauthorized,
    Unsupported,
}

impl ErrorCode {
    /// The code as it stands in the body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of an error response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One entry a fault.
    #[serde(default)]
    pub errors: Vec<ErrorEntry>,
}

/// One fault. The code is text, since registries in the field send codes of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// What kind of fault, for programs.
    pub code: String,
    /// What happened, for people.
    #[serde(default)]
    pub message: String,
    /// Anything more; its shape is free.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

impl ErrorBody {
    /// A body with one fault.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let entry = ErrorEntry {
            code: code.as_str().to_owned(),
            message: message.into(),
            detail: serde_json::Value::Null,
        };
        Self { errors: vec![entry] }
    }

    /// The body as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!({ "errors": self.errors }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_and_reads_the_specifications_shape() {
        let body = ErrorBody::new(ErrorCode::NameInvalid, "no \"such\" name");
        let json = r#"{"errors":[{"code":"NAME_INVALID","message":"no \"such\" name"}]}"#;
        assert_eq!(body.to_json(), json);
        assert_eq!(serde_json::from_str::<ErrorBody>(json).expect("it reads"), body);
        let foreign = r#"{"errors":[{"code":"X","detail":{"a":1}}],"more":1}"#;
        assert_eq!(
            serde_json::from_str::<ErrorBody>(foreign).expect("it reads").errors[0].code,
            "X"
        );
    }
}
