//! Every way in which a request is refused, and the one mapping from it to an answer.
//!
//! Source: distribution-spec 1.1, "Error Codes".

use std::fmt::Write as _;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE},
};
use oci::{
    Digest, DigestError, ErrorBody, ErrorCode, ManifestError, Repository, RepositoryError, TagError,
};

use crate::{limits, storage::StorageError, uploads::Progress};

/// Why a request is refused. The texts are for the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is nothing at this path; see `docs/registry.md` for what there is")]
    NoSuchEndpoint,
    #[error("this method is not for this path; it takes {0}")]
    MethodNotAllowed(&'static str),
    #[error(transparent)]
    Name(#[from] RepositoryError),
    #[error(transparent)]
    Tag(#[from] TagError),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("the query must say `digest=<digest>`")]
    NoDigest,
    #[error("`n={0}` is not a number of names")]
    BadPageLength(String),
    #[error("repository `{0}` holds nothing here")]
    NameUnknown(Repository),
    #[error("repository `{0}` has no manifest `{1}`")]
    ManifestUnknown(Repository, String),
    #[error("repository `{0}` has no blob {1}")]
    BlobUnknown(Repository, Digest),
    #[error("the upload is unknown: it is finished, was cancelled, or has expired; start again")]
    UploadUnknown,
    #[error("too many uploads are under way ({}); finish or cancel some", limits::MAX_UPLOADS)]
    TooManyUploads,
    #[error("the digest of the content is {0}, which is not the one named; nothing was kept")]
    DigestMismatch(Digest),
    #[error("the manifest was refused: {0}")]
    Manifest(#[from] ManifestError),
    #[error("push these to repository `{0}` first: {digests}", digests = list(.1))]
    ManifestBlobUnknown(Repository, Vec<Digest>),
    #[error("it is longer than {limit} bytes")]
    TooLong { limit: u64 },
    #[error("`Content-Range` is not `<first byte>-<last byte>`, without a unit")]
    BadContentRange,
    #[error("the chunk does not begin where the upload stands, at byte {}", .0.received)]
    OutOfOrder(Progress),
    #[error("`Content-Range` announces {announced} bytes, and the body has {found}")]
    LengthMismatch { announced: u64, found: u64 },
    #[error("the blob has {size} bytes; the range lies outside")]
    RangeOutside { size: u64 },
    #[error("the request's body broke off: {0}")]
    BodyBroken(#[source] axum::Error),
    #[error("the request's body was silent for {} s", limits::BODY_IDLE.as_secs())]
    BodySilent,
    // The paths and causes within are for the log.
    #[error("the registry's storage failed; its log says why")]
    Storage(#[from] StorageError),
}

fn list(digests: &[Digest]) -> String {
    digests.iter().fold(String::new(), |mut text, digest| {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{digest}");
        text
    })
}

impl Refusal {
    /// The status, and the specification's code; it has none for a fault of the server.
    fn kind(&self) -> (StatusCode, Option<ErrorCode>) {
        use ErrorCode as Code;
        use StatusCode as Status;
        let (status, code) = match self {
            Self::NoSuchEndpoint => (Status::NOT_FOUND, Code::Unsupported),
            Self::MethodNotAllowed(_) => (Status::METHOD_NOT_ALLOWED, Code::Unsupported),
            Self::Name(_) => (Status::BAD_REQUEST, Code::NameInvalid),
            Self::Tag(_) | Self::Manifest(_) => (Status::BAD_REQUEST, Code::ManifestInvalid),
            Self::Digest(_) | Self::NoDigest | Self::DigestMismatch(_) => {
                (Status::BAD_REQUEST, Code::DigestInvalid)
            }
            Self::BadPageLength(_) => (Status::BAD_REQUEST, Code::Unsupported),
            Self::NameUnknown(_) => (Status::NOT_FOUND, Code::NameUnknown),
            Self::ManifestUnknown(..) => (Status::NOT_FOUND, Code::ManifestUnknown),
            Self::BlobUnknown(..) => (Status::NOT_FOUND, Code::BlobUnknown),
            Self::UploadUnknown => (Status::NOT_FOUND, Code::BlobUploadUnknown),
            Self::TooManyUploads => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
            Self::ManifestBlobUnknown(..) => (Status::NOT_FOUND, Code::ManifestBlobUnknown),
            Self::TooLong { .. } => (Status::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
            Self::BadContentRange | Self::OutOfOrder(_) => {
                (Status::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid)
            }
            Self::LengthMismatch { .. } => (Status::BAD_REQUEST, Code::SizeInvalid),
            Self::RangeOutside { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::SizeInvalid),
            Self::BodyBroken(_) => (Status::BAD_REQUEST, Code::BlobUploadInvalid),
            Self::BodySilent => (Status::REQUEST_TIMEOUT, Code::BlobUploadInvalid),
            Self::Storage(_) => return (Status::INTERNAL_SERVER_ERROR, None),
        };
        (status, Some(code))
    }

    fn body(&self, code: Option<ErrorCode>) -> ErrorBody {
        let mut body = ErrorBody::new(code.unwrap_or(ErrorCode::Unsupported), self.to_string());
        if code.is_none() {
            // The Docker registry's code for everything else, which clients know.
            "UNKNOWN".clone_into(&mut body.errors[0].code);
        }
        body
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Storage(error) = &self {
            tracing::error!(%error, "the storage failed");
        }
        let (status, code) = self.kind();
        let mut response = Response::new(Body::from(self.body(code).to_json()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::MethodNotAllowed(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::OutOfOrder(progress) => {
                headers.extend(
                    [(RANGE, progress.range()), (LOCATION, progress.location)]
                        .into_iter()
                        .filter_map(|(name, text)| Some((name, text.try_into().ok()?))),
                );
            }
            Self::RangeOutside { size } => {
                headers.extend(
                    format!("bytes */{size}").try_into().ok().map(|text| (CONTENT_RANGE, text)),
                );
            }
            _ => {}
        }
        response
    }
}
