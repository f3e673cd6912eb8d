//! What can be wrong with a request, in words for people.
//!
//! Not here: where it happened, and what a caller decides on (`error`); where a registry points to (`pointer`).

use std::{fmt, sync::Arc, time::Duration};

use credentials::CredentialError;
use http::StatusCode;
use http_client::{FailureClass, ForeignText, RedactedUrl, TransportError};
use oci::{Digest, ErrorBody, ManifestError};

use crate::{
    Error,
    error::{
        pointer::{Pointer, PointerRefusal},
        reasons::tells_throttled,
    },
};

/// How many faults of one response are shown; more would not help the reader.
const SHOWN_FAULTS: usize = 3;

/// What was wrong with a request. `Display` says that alone; the cause, if another request or a parser is one, is its
/// source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFault {
    /// The exchange with the server broke off, or never began.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The response's status means failure.
    #[error("{status}{}", Faults(body))]
    Status {
        /// The status.
        status: StatusCode,
        /// How long the registry wants us to wait, if it says so.
        retry_after: Option<Duration>,
        /// The length of the whole, where a part was requested that it does not have (416).
        length: Option<u64>,
        /// The specification's codes and messages; empty when the response had none.
        body: ErrorBody,
    },
    /// The registry redirected the request, and the URL that it named responds with 404. A registry that redirects
    /// knows what was requested, so this is no proof of absence.
    #[error(
        "redirected to {to}, which responded with 404 Not Found: the registry and its storage disagree; run again"
    )]
    RedirectedNotFound {
        /// The target of the last redirect.
        to: RedactedUrl,
    },
    /// The credentials for the registry could not be read.
    #[error(transparent)]
    Credentials {
        /// Why.
        cause: Box<CredentialError>,
    },
    /// The registry requires a token, and its realm issued none.
    #[error("cannot get a token")]
    Token {
        /// The request to the realm, and what was wrong with it.
        #[source]
        cause: Arc<Error>,
    },
    /// A token that no header can carry.
    #[error(
        "the token of the response holds a line break or another control character, so it cannot be sent"
    )]
    UnusableToken,
    /// A realm's response without a token in it.
    #[error("the response has no token")]
    NoToken,
    /// A success, but not the one that says that the content is stored.
    #[error("{status}; expected 201 or 204")]
    NotStored {
        /// The status.
        status: StatusCode,
    },
    /// A blob was sent, and neither did the registry respond nor is the blob there.
    #[error(
        "no response within {after:?} after all of the content was sent ({tries} {}), and the registry does not have \
         the blob; check the registry and its storage",
        if *tries == 1 { "try" } else { "tries" }
    )]
    NotCommitted {
        /// How long was waited, the last time.
        after: Duration,
        /// How often it was sent.
        tries: u32,
        /// Whether so many blobs in a row ended so that the host is at fault.
        is_of_host: bool,
    },
    /// A registry host that no URL can have, such as `0.0.0.999`.
    #[error("the host cannot be used in a URL")]
    BadHost {
        /// Why.
        #[source]
        cause: url::ParseError,
    },
    /// The response has another part of a blob than the requested one.
    #[error("the response is not the requested range, which begins at byte {from}")]
    WrongPart {
        /// Where the part should begin.
        from: u64,
    },
    /// A blob that has another length than it had before.
    #[error("its length changed from {was} to {is} bytes")]
    OtherLength {
        /// The length before, in bytes.
        was: u64,
        /// The length now.
        is: u64,
    },
    /// A blob that has another length than its descriptor says, also after it was uploaded again.
    #[error(
        "the registry keeps a damaged copy (it has {found} bytes, the manifest says {size}), which an upload does \
         not replace; remove the blob from the registry's storage, restart the registry, and run again"
    )]
    Damaged {
        /// The length there, in bytes.
        found: u64,
        /// The length that the descriptor says.
        size: u64,
    },
    /// A session that does not say how much it has.
    #[error("the response does not state how much of the blob the registry has (`Range`)")]
    NoOffset,
    /// Content that does not have its digest.
    #[error("the content's digest is {found}, not {expected}")]
    DigestMismatch {
        /// The requested digest, or that of the content that was sent.
        expected: Box<Digest>,
        /// The digest of the bytes.
        found: Box<Digest>,
    },
    /// A manifest of Docker schema 1 whose digest is not that of its bytes: of a signed one it is that of what is
    /// signed, which cannot be found without reading that format.
    #[error("{}", ManifestError::Schema1)]
    Schema1,
    /// A page for people, such as that of a log-in, where content was requested.
    #[error(
        "got an HTML page ({}) instead of the content; a proxy or a login page is in the way",
        if media_type.is_empty() { "without a media type" } else { media_type }
    )]
    WebPage {
        /// Its media type.
        media_type: String,
    },
    /// A body in a content encoding that was not requested.
    #[error(
        "the response is compressed (Content-Encoding: {encoding}) although no compression was requested; a proxy changes responses: turn off its compression for this host"
    )]
    Compressed {
        /// The encodings.
        encoding: String,
    },
    /// A success without content.
    #[error(
        "empty response instead of {expected}; check the registry and any proxy in front of it"
    )]
    Empty {
        /// What was requested, such as `a manifest`.
        expected: &'static str,
    },
    /// A success whose body is an error of the registry's.
    #[error(
        "the response has a success status, but contains an error instead of {expected}{}",
        Faults(body)
    )]
    ErrorDocument {
        /// What was requested, such as `a manifest`.
        expected: &'static str,
        /// The specification's codes and messages.
        body: ErrorBody,
    },
    /// A manifest that the registry lists, and then does not have.
    #[error(
        "404 Not Found, although the registry lists it; run again, and if it still fails, push it again or delete the tag"
    )]
    ListedNotFound,
    /// A listing that cannot be read.
    #[error(
        "the response, which begins with {}, is not the JSON of a listing",
        ForeignText(begins)
    )]
    NotJson {
        /// Why.
        #[source]
        cause: serde_json::Error,
        /// Its first characters.
        begins: String,
    },
    /// What should be an index of referrers is none.
    #[error("the response or tag is not an index of referrers")]
    NotIndex {
        /// Why not.
        #[source]
        cause: IndexProblem,
    },
    /// A manifest that is to be put as a referrer, and is none.
    #[error("the manifest has no `subject`{}", if cause.is_some() { " that can be read" } else { "" })]
    NoSubject {
        /// Why it cannot be read, where that is so.
        #[source]
        cause: Option<ManifestError>,
    },
    /// A referrer that is stored, but could not be added to the index of its subject's referrers.
    #[error("the manifest is stored, but not listed among the referrers")]
    NotListed {
        /// Why not.
        #[source]
        cause: Error,
    },
    /// What was written was not there when it was read again, time after time.
    #[error("another client changed it during each of {tries} attempts; run again")]
    LostRace {
        /// How often it was written.
        tries: usize,
    },
    /// A tag that the registry returned or stored before, and then did not return, however often it was read again.
    #[error(
        "the tag exists, but the registry responds with 404: its reads are out of date; run again"
    )]
    StaleTag,
    /// The registry pointed somewhere, and it was not followed.
    #[error("{pointer} {}was not followed: {reason}", To(to.as_ref()))]
    NotFollowed {
        /// What pointed there.
        pointer: Pointer,
        /// Where to, as far as it is a URL.
        to: Option<RedactedUrl>,
        /// Why not.
        reason: PointerRefusal,
    },
}

impl RequestFault {
    pub(crate) fn mismatch(expected: Digest, found: Digest) -> Self {
        Self::DigestMismatch { expected: Box::new(expected), found: Box::new(found) }
    }

    /// What became of the request, as far as sending it again depends on it.
    pub(crate) fn failure_class(&self) -> FailureClass {
        match self {
            Self::Status { status, retry_after, body, .. } if tells_throttled(*status, body) => {
                FailureClass::Throttled { retry_after: *retry_after }
            }
            Self::Status { status, retry_after, .. } => {
                FailureClass::of_status(*status, *retry_after)
            }
            Self::Transport(cause) => FailureClass::of_transport(cause),
            Self::NotCommitted { .. } => FailureClass::Broken,
            _ => FailureClass::Settled,
        }
    }

    pub(crate) fn web_page(media_type: &str) -> Self {
        Self::WebPage { media_type: media_type.to_owned() }
    }
}

/// Why something is not an index of referrers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexProblem {
    /// It is no manifest that can be read.
    #[error(transparent)]
    Unreadable(#[from] ManifestError),
    /// It is an image.
    #[error("it is an image manifest")]
    Image,
    /// It is what the referrers refer to.
    #[error("the registry resolves this tag as a digest; referrers cannot be listed there")]
    Subject,
}

/// The faults of an error body, as ` (CODE: message; …)`.
struct Faults<'a>(&'a ErrorBody);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.errors.iter().take(SHOWN_FAULTS).enumerate() {
            f.write_str(if index == 0 { " (" } else { "; " })?;
            ForeignText(&entry.code).fmt(f)?;
            if !entry.message.is_empty() {
                f.write_str(if entry.code.is_empty() { "" } else { ": " })?;
                ForeignText(&entry.message).fmt(f)?;
            }
        }
        f.write_str(if self.0.errors.is_empty() { "" } else { ")" })
    }
}

/// Where a pointer leads, as far as it is known.
struct To<'a>(Option<&'a RedactedUrl>);

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |url| write!(f, "to {url} "))
    }
}
