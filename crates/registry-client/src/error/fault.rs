//! What can be wrong with a request, in words for people: one line each, causes included.
//!
//! Not here: where it happened, and what a caller decides on (`error`); where a registry points to (`pointer`).

use std::{error::Error as StdError, fmt, net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use oci::{Digest, ErrorBody, ManifestError};

use crate::{
    CredentialError, Error, RedactedUrl,
    causes::Causes,
    error::pointer::{Pointer, Refusal},
    tls_fault::tls_error,
    unprocessed::Unprocessed,
};

/// An error of some library below, kept for its text.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// How many faults of one answer are shown; more would not help the reader.
const SHOWN_FAULTS: usize = 3;
/// How many characters of a fault's message are shown: a sentence or two.
const SHOWN_MESSAGE: usize = 300;

/// What was wrong with a request. `Display` includes the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The answer's status means failure.
    #[error("{status}{}", Faults(body))]
    Status {
        /// The status.
        status: StatusCode,
        /// How long the registry wants us to wait, if it says so.
        retry_after: Option<Duration>,
        /// The length of the whole, where a part was requested that it does not have (416).
        length: Option<u64>,
        /// The specification's codes and messages; empty when the answer had none.
        body: ErrorBody,
    },
    /// The registry redirected the request, and the URL that it named answers 404. A registry that redirects
    /// knows what was requested, so this is no proof of absence.
    #[error(
        "redirected to {to}, which responded with 404 Not Found: the registry and its storage disagree; run again"
    )]
    RedirectedNotFound {
        /// The target of the last redirect.
        to: RedactedUrl,
    },
    /// The credentials for the registry could not be had.
    #[error("{cause}")]
    Credentials {
        /// Why.
        cause: Box<CredentialError>,
    },
    /// The registry asks for a token, and its realm gave none.
    #[error("no token: {cause}")]
    Token {
        /// The request to the realm, and what was wrong with it.
        cause: Arc<Error>,
    },
    /// A realm's answer without a token in it.
    #[error("the answer holds no token")]
    NoToken,
    /// A public host named one that only we can reach, and that was not allowed.
    #[error(
        "{address} is not a public address, and a public host named it; `--allow-private` allows its host"
    )]
    NotPublic {
        /// The address.
        address: IpAddr,
    },
    /// A success, but not the one that says that the content is stored.
    #[error("{status} does not say that the blob is stored: 201 or 204 would")]
    NotStored {
        /// The status.
        status: StatusCode,
    },
    /// A registry host that no URL can have, such as `0.0.0.999`.
    #[error("the host is not usable in a URL: {cause}")]
    BadHost {
        /// Why.
        cause: url::ParseError,
    },
    /// A URL that cannot be asked for.
    #[error("the URL cannot be used: {cause}")]
    BadUrl {
        /// Why.
        cause: http::uri::InvalidUri,
    },
    /// No connection: name resolution, refusal, no route, or too long.
    #[error("cannot connect: {}", Causes(&**cause))]
    Connect {
        /// Why.
        cause: BoxError,
    },
    /// No connection, and that is this machine's fault: too many files are open.
    #[error(
        "no connection can be made, since too many files are open here: {}; raise `ulimit -n`",
        Causes(&**cause)
    )]
    NoDescriptors {
        /// Why.
        cause: BoxError,
    },
    /// A connection, but no TLS on it, such as for a certificate that is not trusted.
    #[error("TLS failed: {}", TlsCause(&**cause))]
    Tls {
        /// Why.
        cause: BoxError,
    },
    /// TLS was spoken to a port that does not speak it.
    #[error("this port speaks plain HTTP; use --plain-http {host}")]
    SpeaksPlain {
        /// The host.
        host: Box<str>,
    },
    /// Plain HTTP was spoken to a port that speaks TLS.
    #[error("this port speaks TLS; leave out --plain-http {host}")]
    SpeaksTls {
        /// The host.
        host: Box<str>,
    },
    /// TLS was not even tried.
    #[error(
        "TLS is impossible, since this machine has no root certificates; install them \
         (package ca-certificates), or name a file of them in SSL_CERT_FILE"
    )]
    NoRootCertificates,
    /// No headers of an answer within the deadline.
    #[error("no answer within {after:?}")]
    NoAnswer {
        /// The deadline.
        after: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection broke after {received} bytes of the answer: {}", Causes(&**cause))]
    Lost {
        /// How much of the body had come.
        received: u64,
        /// Why.
        cause: BoxError,
    },
    /// The server has certainly not processed the request.
    #[error("{reason}")]
    NotProcessed {
        /// Why not.
        reason: Unprocessed,
    },
    /// The connection ended before as many bytes had come as announced.
    #[error("the answer ended after {received} of {expected} bytes")]
    Truncated {
        /// The announced length of the body.
        expected: u64,
        /// How much of it came.
        received: u64,
    },
    /// The answer's body stopped coming.
    #[error("nothing more came for {after:?}, after {received} bytes of the answer")]
    Silent {
        /// How long was waited.
        after: Duration,
        /// How much of the body had come.
        received: u64,
    },
    /// The answer's body came below the least rate.
    #[error("transfer too slow: {received} bytes in {} s (minimum {} KiB/s)", after.as_secs(), least >> 10)]
    CameTooSlowly {
        /// How much of the body came in that time.
        received: u64,
        /// How long was waited for it.
        after: Duration,
        /// The least rate, in bytes a second.
        least: u64,
    },
    /// The registry took the content below the least rate.
    #[error("transfer too slow: {sent} bytes sent in {} s (minimum {} KiB/s)", after.as_secs(), least >> 10)]
    TakenTooSlowly {
        /// How much of the content was taken in that time.
        sent: u64,
        /// How long was waited for it.
        after: Duration,
        /// The least rate, in bytes a second.
        least: u64,
    },
    /// A body that is held in memory took too long in all.
    #[error("the answer was not complete after {after:?}, with {received} bytes of it")]
    TooSlow {
        /// How long it was given.
        after: Duration,
        /// How much of the body had come.
        received: u64,
    },
    /// The registry stopped taking the content, or did not answer once it had all of it.
    #[error("no progress for {after:?}, after {sent} bytes were sent")]
    Stalled {
        /// How long was waited.
        after: Duration,
        /// How much of the content had been handed to the connection.
        sent: u64,
    },
    /// A part of a blob was asked for, and another one came.
    #[error("it is not the requested range, from byte {from} on")]
    WrongPart {
        /// Where the part should begin.
        from: u64,
    },
    /// A blob that has another length than it had before.
    #[error("it has {is} bytes now, where it had {was}")]
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
    #[error("the answer does not say how much of the blob is there (`Range`)")]
    NoOffset,
    /// Content that does not have its digest.
    #[error("the content's digest is {found}, not {expected}")]
    DigestMismatch {
        /// The digest asked for, or sent with the content.
        expected: Box<Digest>,
        /// The digest of the bytes.
        found: Box<Digest>,
    },
    /// A manifest of Docker schema 1 whose digest is not that of its bytes: of a signed one it is that of what is
    /// signed, which cannot be told from the whole without knowing that format.
    #[error("{}", ManifestError::Schema1)]
    Schema1,
    /// An answer beyond a limit.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
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
        "the response is compressed (Content-Encoding: {encoding}) although no compression was requested; \
         a proxy in the way changes responses: turn its compression off for this host"
    )]
    Compressed {
        /// The encodings.
        encoding: String,
    },
    /// A success without content.
    #[error(
        "empty response instead of {expected}; the registry or a proxy in the way is out of order"
    )]
    Empty {
        /// What was requested, such as `a manifest`.
        expected: &'static str,
    },
    /// A success whose body is an error of the registry's.
    #[error(
        "the response has a status of success and an error instead of {expected}{}",
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
        "404 Not Found, although the registry lists it; run again, and if it says the same, push it again or delete the tag"
    )]
    ListedNotFound,
    /// A listing that cannot be read.
    #[error("the answer is not the JSON of a listing: {cause}; it begins with {}", Foreign(begins))]
    NotJson {
        /// Why.
        cause: serde_json::Error,
        /// Its first characters.
        begins: String,
    },
    /// What should be an index of referrers is none.
    #[error("what is there is no index of referrers: {cause}")]
    NotIndex {
        /// Why not.
        cause: IndexProblem,
    },
    /// A manifest that is to be put as a referrer, and is none.
    #[error("the manifest refers to nothing: {}", Reason(cause.as_ref()))]
    NoSubject {
        /// Why it cannot be read, where that is so.
        cause: Option<ManifestError>,
    },
    /// A referrer that is stored, but could not be added to the index of its subject's referrers.
    #[error("the manifest {digest} is stored, but not listed among the referrers: {cause}")]
    NotListed {
        /// The referrer.
        digest: Box<Digest>,
        /// Why not.
        cause: Error,
    },
    /// What was written was not there when it was read again, time after time.
    #[error("others wrote it too, each of {tries} times")]
    LostRace {
        /// How often it was written.
        tries: usize,
    },
    /// A tag that the registry returned or stored before, and then did not return, however often it was read again.
    #[error(
        "the tag exists, but the registry answers 404 to it: its reads are out of date; run again"
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
        reason: Refusal,
    },
    /// The content to be sent could not be had from the caller's stream.
    #[error("the content broke off after {sent} bytes: {}", Causes(&**cause))]
    Content {
        /// How much of it had been handed to the connection.
        sent: u64,
        /// The error of the stream.
        cause: Arc<dyn StdError + Send + Sync>,
    },
}

impl Fault {
    pub(crate) fn mismatch(expected: Digest, found: Digest) -> Self {
        Self::DigestMismatch { expected: Box::new(expected), found: Box::new(found) }
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
    #[error("the registry takes this tag for the digest in it, so that it can list no referrers")]
    Subject,
}

/// Why TLS failed, in words where it is TLS's own error.
struct TlsCause<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for TlsCause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match tls_error(self.0) {
            Some(error) => f.write_str(&wording::tls_fault(error)),
            None => Causes(self.0).fmt(f),
        }
    }
}

/// The faults of an error body, as ` (CODE: message; …)`.
struct Faults<'a>(&'a ErrorBody);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.errors.iter().take(SHOWN_FAULTS).enumerate() {
            f.write_str(if index == 0 { " (" } else { "; " })?;
            write_foreign(f, &entry.code)?;
            if !entry.message.is_empty() {
                f.write_str(if entry.code.is_empty() { "" } else { ": " })?;
                write_foreign(f, &entry.message)?;
            }
        }
        f.write_str(if self.0.errors.is_empty() { "" } else { ")" })
    }
}

/// Text of the registry's choosing: on one line, without what a terminal would obey, and short.
fn write_foreign(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let is_obeyed = |c: char| c.is_control() || is_bidirectional(c);
    let shown = text.chars().take(SHOWN_MESSAGE).map(|c| if is_obeyed(c) { ' ' } else { c });
    for c in shown {
        fmt::Write::write_char(f, c)?;
    }
    f.write_str(if text.chars().nth(SHOWN_MESSAGE).is_some() { "…" } else { "" })
}

/// Whether it changes the direction of the text around it (Unicode Standard Annex #9, §2), so that a message could
/// look like another one.
const fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of the registry's choosing.
struct Foreign<'a>(&'a str);

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_foreign(f, self.0)
    }
}

/// Why a manifest has no subject.
struct Reason<'a>(Option<&'a ManifestError>);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(cause) => fmt::Display::fmt(cause, f),
            None => f.write_str("it has no `subject`"),
        }
    }
}

/// Where a pointer leads, as far as it is known.
struct To<'a>(Option<&'a RedactedUrl>);

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |url| write!(f, "to {url} "))
    }
}
