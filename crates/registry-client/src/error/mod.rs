//! A request that went wrong: where, and what a caller decides on.
//!
//! Not here: what was wrong, in words (`fault`); what callers do about it.

pub(crate) mod fault;
pub(crate) mod login;
pub(crate) mod pointer;
pub(crate) mod reasons;

use std::{error::Error as StdError, fmt, sync::Arc};

use http::{Method, StatusCode};
use http_client::{FailureClass, RedactedUrl, TransportError, is_throttled};
use oci::ErrorCode;
use wording::Chain;

use self::login::Login;
use crate::{RequestFault, error::reasons::tells_throttled};

/// A request that did not end as it should.
///
/// `Display` names the request and what was wrong with it; the cause, if there is one, is its source. A fault of the files
/// and programs of this machine that hold credentials is not one of the request, so it stands alone. The query of the URL
/// is left out, since it may be a signature.
#[derive(Clone)]
pub struct Error(Box<RequestErrorDetails>);

#[derive(Clone)]
struct RequestErrorDetails {
    method: Method,
    url: RedactedUrl,
    /// Shared, so that an error is cheap to clone.
    fault: Arc<RequestFault>,
    /// Whether a redirect had led to another host than the registry.
    elsewhere: bool,
    /// Whether it is one of the source of content that was to be pushed.
    of_source: bool,
    /// Whether it is a refusal of a request that had an `Authorization`.
    authorized: bool,
    /// Of a refusal: the credentials that were sent.
    login: Option<Login>,
}

impl Error {
    pub(crate) fn new(method: Method, url: RedactedUrl, fault: RequestFault) -> Self {
        Self(Box::new(RequestErrorDetails {
            method,
            url,
            fault: Arc::new(fault),
            elsewhere: false,
            of_source: false,
            authorized: false,
            login: None,
        }))
    }

    pub(crate) fn elsewhere(mut self) -> Self {
        self.0.elsewhere = true;
        self
    }

    pub(crate) fn of_source(mut self) -> Self {
        self.0.of_source = true;
        self
    }

    /// The same request with another fault.
    pub(crate) fn with_fault(mut self, fault: RequestFault) -> Self {
        self.0.fault = Arc::new(fault);
        self
    }

    /// Of a request that was sent with an `Authorization`.
    pub(crate) fn authorized(mut self) -> Self {
        self.0.authorized = true;
        self
    }

    /// With the credentials that the request was sent with. Where it is the realm that refused them, its request is the
    /// one that is said so of.
    pub(crate) fn with_login(mut self, login: Option<Login>) -> Self {
        match &*self.0.fault {
            RequestFault::Token { cause } => {
                let cause = Arc::new((**cause).clone().with_login(login));
                self.with_fault(RequestFault::Token { cause })
            }
            _ => {
                self.0.login = login;
                self
            }
        }
    }

    /// Whether the registry rejects the credentials themselves, as it does with a wrong password; not so where they
    /// only lack the right to what was requested.
    #[must_use]
    pub fn is_login_rejected(&self) -> bool {
        let RequestErrorDetails { fault, login, .. } = self.decisive();
        match &**fault {
            RequestFault::Token { cause } => cause.is_login_rejected(),
            _ => matches!(login, Some(Login::Rejected { .. })),
        }
    }

    /// Of a push: whether it is the source of the content that failed, before it was sent or meanwhile.
    #[must_use]
    pub fn is_of_source(&self) -> bool {
        self.0.of_source
            || matches!(*self.0.fault, RequestFault::Transport(TransportError::Content { .. }))
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// Where it was sent: after redirects, the target of the last one.
    #[must_use]
    pub fn url(&self) -> &RedactedUrl {
        &self.0.url
    }

    /// What was wrong.
    #[must_use]
    pub fn fault(&self) -> &RequestFault {
        &self.0.fault
    }

    /// Whether a file or a program of this machine that holds credentials is at fault, so that nothing was sent.
    fn is_of_this_machine(&self) -> bool {
        matches!(&*self.0.fault, RequestFault::Credentials { cause } if cause.is_of_this_machine())
    }

    /// The fault that decides what a caller may do: that of the last request.
    fn decisive(&self) -> &RequestErrorDetails {
        match &*self.0.fault {
            RequestFault::NotListed { cause, .. } => cause.decisive(),
            _ => &self.0,
        }
    }

    /// Whether a redirect was followed to a URL that responds with 404: no proof of absence.
    pub(crate) fn is_redirected_not_found(&self) -> bool {
        matches!(*self.decisive().fault, RequestFault::RedirectedNotFound { .. })
    }

    /// Whether what was requested does not exist: a 404 of the registry itself.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        let is_listed = matches!(*self.decisive().fault, RequestFault::ListedNotFound);
        is_listed || self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether a redirect had led to another host than the registry.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.decisive().elsewhere
    }

    /// Whether a request was refused although it had an `Authorization`.
    pub(crate) fn is_authorized(&self) -> bool {
        self.decisive().authorized
    }

    /// Whether it is a 416 that says that the content is empty (RFC 9110 §15.5.17).
    pub(crate) fn is_of_empty(&self) -> bool {
        matches!(&*self.0.fault, RequestFault::Status { length: Some(0), .. })
    }

    /// Whether what came is a manifest of Docker schema 1 that cannot be verified.
    #[must_use]
    pub fn is_schema1(&self) -> bool {
        matches!(self.fault(), RequestFault::Schema1)
    }

    /// Whether what was requested does not exist (404 of the registry itself), or is not what its digest, kind or bound says:
    /// the same request gets the same response.
    #[must_use]
    pub fn is_wrong_content(&self) -> bool {
        let fault = &*self.decisive().fault;
        let is_wrong = matches!(
            fault,
            RequestFault::DigestMismatch { .. }
                | RequestFault::Schema1
                | RequestFault::Transport(TransportError::TooLarge { .. })
        );
        is_wrong || self.is_not_found()
    }

    /// Whether the registry says that there are too many requests, by whatever status.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        match &*self.decisive().fault {
            RequestFault::Status { status, retry_after, body, .. } => {
                is_throttled(*status, *retry_after) || tells_throttled(*status, body)
            }
            _ => false,
        }
    }

    /// Whether the registry or its realm wants credentials, or better ones (401, 403); not so where it says that there
    /// are too many requests.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        if let RequestFault::Token { cause } = &*self.decisive().fault {
            return cause.is_unauthorized();
        }
        let is_refused =
            matches!(self.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN));
        is_refused && !self.is_throttled()
    }

    /// Whether no request reached the registry: its name, the connection, TLS, or silence until
    /// the deadline; or whether it commits no blobs. Another request will most likely end the same way. Not so when it
    /// redirected, and the host behind that is the one that cannot be reached; nor when this
    /// machine is what is at fault, having too many files open.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        let RequestErrorDetails { fault, elsewhere, .. } = self.decisive();
        let no_response = match &**fault {
            RequestFault::BadHost { .. } => true,
            RequestFault::NotCommitted { is_of_host, .. } => *is_of_host,
            RequestFault::Transport(cause) => cause.is_unreachable(),
            _ => false,
        };
        no_response && !elsewhere
    }

    /// Whether the same request may well succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &*self.decisive().fault {
            RequestFault::LostRace { .. } | RequestFault::StaleTag => true,
            RequestFault::Token { cause } => cause.is_transient(),
            fault => fault.failure_class() != FailureClass::Settled,
        }
    }

    /// The status of the response, when that is what was wrong.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match &*self.decisive().fault {
            RequestFault::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the registry gave this code as a reason.
    #[must_use]
    pub fn has_code(&self, code: ErrorCode) -> bool {
        match &*self.decisive().fault {
            RequestFault::Status { body, .. } => {
                body.errors.iter().any(|e| e.code == code.as_str())
            }
            _ => false,
        }
    }

    /// Whether the registry refused a manifest because it does not know something that the manifest lists. The
    /// specification's code is the second; registries use the others too.
    #[must_use]
    pub fn is_unknown_content(&self) -> bool {
        [ErrorCode::BlobUnknown, ErrorCode::ManifestBlobUnknown, ErrorCode::ManifestUnknown]
            .into_iter()
            .any(|code| self.has_code(code))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_of_this_machine() {
            write!(f, "{} {}: ", self.0.method, self.0.url)?;
        }
        fmt::Display::fmt(&self.0.fault, f)?;
        self.0.login.as_ref().map_or(Ok(()), |login| login.fmt(f))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Chain(self), f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.fault.source()
    }
}

#[cfg(test)]
mod tests {
    use oci::{ErrorBody, ErrorEntry};

    use super::*;
    use crate::{Pointer, PointerRefusal};

    fn error(fault: RequestFault) -> Error {
        Error::new(Method::GET, RedactedUrl::unusable("https://h/v2/a/manifests/x?s"), fault)
    }

    fn status(code: u16, entries: &[(&str, &str)]) -> Error {
        let errors = entries.iter().map(|(code, message)| ErrorEntry {
            code: (*code).into(),
            message: (*message).into(),
            detail: serde_json::Value::Null,
        });
        let status = StatusCode::from_u16(code).expect("a status");
        let body = ErrorBody { errors: errors.collect() };
        error(RequestFault::Status { status, retry_after: None, length: None, body })
    }

    #[test]
    fn it_reads_as_one_line() {
        let long = "x".repeat(301);
        for (error, text) in [
            (status(404, &[]), "404 Not Found"),
            (
                status(401, &[("UNAUTHORIZED", "authentication required")]),
                "401 Unauthorized (UNAUTHORIZED: authentication required)",
            ),
            (status(500, &[("A", ""), ("B", "b")]), "500 Internal Server Error (A; B: b)"),
            (status(400, &[("A", "a\x1b[2J\r\nb")]), "400 Bad Request (A: a [2J  b)"),
            (status(400, &[("A", &long)]), &format!("400 Bad Request (A: {}…)", &long[1..])),
            (
                error(RequestFault::NotFollowed {
                    pointer: Pointer::Redirect,
                    to: Some(RedactedUrl::unusable("http://b/x")),
                    reason: PointerRefusal::Loop,
                }),
                "the redirect to http://b/x was not followed: it leads back to where it came from",
            ),
            (
                error(RequestFault::NotFollowed {
                    pointer: Pointer::UploadSession,
                    to: None,
                    reason: PointerRefusal::Missing,
                }),
                "the upload session was not followed: the response has no `Location`",
            ),
        ] {
            assert_eq!(error.to_string(), format!("GET https://h/v2/a/manifests/x: {text}"));
            assert!(error.source().is_none(), "nothing is said twice");
        }
    }

    #[test]
    fn predicates_follow_the_status() {
        for (code, not_found, unauthorized, transient) in [
            (400, false, false, false),
            (401, false, true, false),
            (403, false, true, false),
            (404, true, false, false),
            (405, false, false, false),
            (408, false, false, true),
            (429, false, false, true),
            (500, false, false, true),
            (501, false, false, false),
            (503, false, false, true),
        ] {
            let error = status(code, &[]);
            let found = (error.is_not_found(), error.is_unauthorized(), error.is_transient());
            assert_eq!(found, (not_found, unauthorized, transient), "{code}");
            assert!(!error.is_unreachable());
        }
        assert!(status(404, &[("NAME_UNKNOWN", "")]).has_code(ErrorCode::NameUnknown));
    }
}
