//! What can go wrong with a request.

use std::fmt;

use http::{Method, StatusCode};
use oci::ErrorBody;

use crate::RedactedUrl;

/// A request that did not end as it should. `Display` says everything, in one line, the causes
/// included; the query of the URL is left out, since it may be signed.
pub struct Error(Box<Inner>);

struct Inner {
    method: Method,
    url: RedactedUrl,
    fault: Fault,
}

/// What was wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The registry answered with a status that means failure.
    #[error("{status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The specification's codes and messages; empty when the registry sent none.
        body: ErrorBody,
    },
}

impl Error {
    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// Where it was sent: after redirects, the last one's target.
    #[must_use]
    pub fn url(&self) -> &RedactedUrl {
        &self.0.url
    }

    /// What was wrong.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// Whether what was asked for does not exist (404).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        todo!()
    }

    /// Whether the host could not be asked at all: name resolution, connection, TLS, or silence
    /// until the deadline. Asking the same host for something else is likely to end the same way.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        todo!()
    }

    /// Whether the same request may well succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        todo!()
    }

    /// Whether the registry wants credentials, or others (401, 403).
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        todo!()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.method, self.0.url, self.0.fault)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.fault.source()
    }
}
