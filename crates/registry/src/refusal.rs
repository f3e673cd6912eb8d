//! Every reason to reject a request, and its response.
//!
//! Source: distribution-spec 1.1, "Error Codes".

use std::fmt::Write as _;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{
        ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
    },
};
use http_server::range::unsatisfied_range;
use oci::{
    Digest, DigestError, ErrorBody, ErrorCode, ManifestError, Repository, RepositoryError, Tag,
    TagError,
};

use crate::{
    access::{MAX_PASSWORD_BYTES, Right, User},
    etag::etag,
    limits,
    progress::UploadProgress,
    shares::LimitReached,
    storage::StorageError,
};

/// How a client may log in (RFC 7617).
pub(crate) const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"portolan\", charset=\"UTF-8\"");

/// Why a request is rejected. Clients read the texts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Malformed(http_server::Malformed),
    #[error("this path is not an endpoint of the registry; see `docs/reference/registry.md`")]
    NoSuchEndpoint,
    #[error("this path does not support the method; use {0}")]
    MethodNotAllowed(&'static str),
    #[error(transparent)]
    Name(#[from] RepositoryError),
    #[error(transparent)]
    Tag(#[from] TagError),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("the query has no `digest=<digest>`; add it")]
    NoDigest,
    #[error("authentication required")]
    LogIn,
    #[error("wrong user name or password")]
    BadCredentials,
    #[error(
        "the password is longer than {max} bytes, which bcrypt does not compare; set a shorter one \
         with `htpasswd -B`", max = MAX_PASSWORD_BYTES
    )]
    PasswordTooLong,
    #[error("user `{user}` may not {} repository `{name}`", verb(*.right))]
    Denied { user: User, right: Right, name: Repository },
    #[error("digest algorithm `{0}` is not supported; use sha256 or sha512")]
    BadAlgorithm(String),
    #[error(
        "a push can have at most {} tags; push the others in another request",
        limits::MAX_TAGS_OF_A_PUSH
    )]
    TooManyTags,
    #[error("a condition of the request does not hold: {}", now(*.0))]
    Precondition(Option<Digest>),
    #[error("tag `{tag}` is on {on}, and this registry does not move tags; push under a new tag")]
    TagStays { tag: Tag, on: Digest },
    #[error("a manifest with a tag cannot be deleted: this registry keeps tags")]
    TagsStay,
    #[error("this registry is read-only")]
    ReadOnly,
    #[error("too many requests: {0} are in flight, which is the limit; try again")]
    TooManyRequests(usize),
    #[error("too many requests of one client: {0} are in flight, which is its share; try again")]
    RequestsShare(usize),
    #[error("`n={0}` is not a whole number")]
    BadPageLength(String),
    #[error("repository `{0}` does not exist or is empty")]
    NameUnknown(Repository),
    #[error("repository `{0}` has no manifest `{1}`")]
    ManifestUnknown(Repository, String),
    #[error("repository `{0}` has no blob {1}")]
    BlobUnknown(Repository, Digest),
    #[error(
        "unknown upload session: it was finished or cancelled, has expired, or made room for a later one of the same \
         client; start again"
    )]
    UploadUnknown,
    #[error("too many uploads: {0} are under way, which is the limit; try again")]
    TooManyUploads(usize),
    #[error(
        "too many uploads of one client: {0} are under way, which is its share; finish or cancel some, or try again in a few seconds"
    )]
    UploadsShare(usize),
    #[error("the digest of the content is {0}, not the one in the request; nothing was stored")]
    DigestMismatch(Digest),
    #[error("the manifest was refused: {0}")]
    Manifest(ManifestError),
    #[error("the manifest lists content that repository `{0}` does not have; push it first: {digests}", digests = list(.1))]
    ManifestBlobUnknown(Repository, Vec<Digest>),
    #[error("the content is longer than the limit of {limit} bytes")]
    TooLong { limit: u64 },
    #[error("`Content-Range` is not `<first byte>-<last byte>`, without a unit")]
    BadContentRange,
    #[error("the chunk does not begin where the upload ends, at byte {}", .0.received)]
    OutOfOrder(UploadProgress),
    #[error("`Content-Range` announces {announced} bytes, but the body has {found}")]
    LengthMismatch { announced: u64, found: u64 },
    #[error("the range is outside the blob, which has {size} bytes")]
    RangeOutside { size: u64 },
    #[error("the request's body broke off: {0}")]
    BodyBroken(axum::Error),
    #[error("the request's body stalled for {} s", limits::BODY_IDLE.as_secs())]
    BodySilent,
    /// The stored content is damaged. The response is that for absent content, which is inside; the storage has
    /// logged the file.
    #[error("the stored copy is damaged; push it again")]
    Damaged(Box<Refusal>),
    // Its paths and causes are for the log only.
    #[error("{}", in_words(.0))]
    Storage(#[from] StorageError),
}

/// What the storage found; the refusal `absent` if it found nothing, or something damaged.
pub(crate) fn unless_absent<T>(
    found: Result<Option<T>, StorageError>,
    absent: Refusal,
) -> Result<T, Refusal> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(absent),
        Err(error) if error.is_damage() => Err(Refusal::Damaged(Box::new(absent))),
        Err(error) => Err(error.into()),
    }
}

impl From<LimitReached> for Refusal {
    fn from(full: LimitReached) -> Self {
        match full {
            LimitReached::Total(max) => Self::TooManyRequests(max),
            LimitReached::Client(share) => Self::RequestsShare(share),
        }
    }
}

fn list(digests: &[Digest]) -> String {
    let named = digests.iter().take(limits::MAX_NAMED).fold(String::new(), |mut text, digest| {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{digest}");
        text
    });
    match digests.len().saturating_sub(limits::MAX_NAMED) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}

fn verb(right: Right) -> &'static str {
    match right {
        Right::Pull => "pull from",
        Right::Push => "push to",
    }
}

fn now(current: Option<Digest>) -> String {
    current.map_or_else(
        || "there is no such content".to_owned(),
        |on| format!("the current digest is {on}"),
    )
}

fn in_words(error: &StorageError) -> &'static str {
    if error.is_full() {
        "the registry's disk is full; acknowledged content is kept. Try again later"
    } else if error.is_obstructed() {
        "this cannot be stored or deleted: a foreign file or directory has its name; the registry's log names it"
    } else {
        "the registry's storage failed; the registry's log has the cause"
    }
}

impl Refusal {
    /// The status, and the code of the specification, which has none for server errors.
    fn kind(&self) -> (StatusCode, Option<ErrorCode>) {
        use ErrorCode as Code;
        use StatusCode as Status;
        let (status, code) = match self {
            Self::NoSuchEndpoint => (Status::NOT_FOUND, Code::Unsupported),
            Self::MethodNotAllowed(_) | Self::ReadOnly | Self::TagsStay => {
                (Status::METHOD_NOT_ALLOWED, Code::Unsupported)
            }
            Self::LogIn | Self::BadCredentials | Self::PasswordTooLong => {
                (Status::UNAUTHORIZED, Code::Unauthorized)
            }
            Self::Denied { .. } => (Status::FORBIDDEN, Code::Denied),
            Self::Precondition(_) => (Status::PRECONDITION_FAILED, Code::Denied),
            Self::TagStays { .. } => (Status::CONFLICT, Code::Denied),
            Self::Name(_) => (Status::BAD_REQUEST, Code::NameInvalid),
            Self::Tag(_) | Self::Manifest(_) | Self::TooManyTags => {
                (Status::BAD_REQUEST, Code::ManifestInvalid)
            }
            Self::Digest(_) | Self::NoDigest | Self::DigestMismatch(_) | Self::BadAlgorithm(_) => {
                (Status::BAD_REQUEST, Code::DigestInvalid)
            }
            Self::BadPageLength(_) | Self::Malformed(_) => (Status::BAD_REQUEST, Code::Unsupported),
            Self::NameUnknown(_) => (Status::NOT_FOUND, Code::NameUnknown),
            Self::ManifestUnknown(..) => (Status::NOT_FOUND, Code::ManifestUnknown),
            Self::BlobUnknown(..) => (Status::NOT_FOUND, Code::BlobUnknown),
            Self::UploadUnknown => (Status::NOT_FOUND, Code::BlobUploadUnknown),
            Self::TooManyUploads(_)
            | Self::TooManyRequests(_)
            | Self::UploadsShare(_)
            | Self::RequestsShare(_) => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
            Self::ManifestBlobUnknown(..) => (Status::NOT_FOUND, Code::ManifestBlobUnknown),
            Self::TooLong { .. } => (Status::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
            Self::BadContentRange | Self::OutOfOrder(_) => {
                (Status::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid)
            }
            Self::LengthMismatch { .. } => (Status::BAD_REQUEST, Code::SizeInvalid),
            Self::RangeOutside { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::SizeInvalid),
            Self::BodyBroken(_) => (Status::BAD_REQUEST, Code::BlobUploadInvalid),
            Self::BodySilent => (Status::REQUEST_TIMEOUT, Code::BlobUploadInvalid),
            Self::Storage(error) if error.is_obstructed() => (Status::NOT_FOUND, Code::NameUnknown),
            Self::Storage(error) if error.is_full() => return (Status::INSUFFICIENT_STORAGE, None),
            Self::Storage(_) => return (Status::INTERNAL_SERVER_ERROR, None),
            Self::Damaged(absent) => return absent.kind(),
        };
        (status, Some(code))
    }

    /// The headers of the response.
    fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        let text = |name, text: String| Some((name, HeaderValue::try_from(text).ok()?));
        let fixed = |name, text| Some((name, HeaderValue::from_static(text)));
        let headers = match self {
            Self::MethodNotAllowed(allowed) => [fixed(ALLOW, allowed), None],
            Self::ReadOnly => [fixed(ALLOW, "GET, HEAD"), None],
            Self::TagsStay => [fixed(ALLOW, "GET, HEAD, PUT"), None],
            Self::LogIn | Self::BadCredentials | Self::PasswordTooLong => {
                [Some((WWW_AUTHENTICATE, CHALLENGE)), None]
            }
            Self::TooManyUploads(_)
            | Self::TooManyRequests(_)
            | Self::UploadsShare(_)
            | Self::RequestsShare(_) => {
                [text(RETRY_AFTER, limits::RETRY_AFTER_SECONDS.to_string()), None]
            }
            Self::Precondition(Some(current)) => [text(ETAG, etag(current)), None],
            Self::OutOfOrder(progress) => {
                [text(RANGE, progress.range()), text(LOCATION, progress.location)]
            }
            Self::RangeOutside { size } => [text(CONTENT_RANGE, unsatisfied_range(size)), None],
            _ => [None, None],
        };
        headers.into_iter().flatten().collect()
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
        // The storage logs obstructions itself, at a limited rate.
        if let Self::Storage(error) = &self
            && !error.is_obstructed()
        {
            tracing::error!(%error, "the storage failed");
        }
        let (status, code) = self.kind();
        let mut response = Response::new(Body::from(self.body(code).to_json()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers());
        response
    }
}
