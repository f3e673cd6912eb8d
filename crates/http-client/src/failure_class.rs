//! How a request failed, as far as a retry depends on it.

use std::time::Duration;

use http::StatusCode;

use crate::TransportError;

/// How a request failed, as far as a retry depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// The host says that it cannot take the request now, and perhaps for how long: 429, the code
    /// `TOOMANYREQUESTS`, or 403 or 503 with `Retry-After`.
    Throttled {
        /// How long, if it says so.
        retry_after: Option<Duration>,
    },
    /// A response that may be different a little later.
    Failure {
        /// How much later, if it says so.
        retry_after: Option<Duration>,
    },
    /// There was no connection, so nothing was done.
    NoConnection,
    /// The server has certainly not processed it, and says so.
    NotProcessed,
    /// It was sent, and there was no complete response: the request may have been processed.
    Broken,
    /// The response cannot be read. Another server behind the same name may send a better one; the same one will not.
    Malformed,
    /// Anything else: a retry does not help.
    Settled,
}

impl FailureClass {
    /// The class of a response that is no success.
    pub fn of_status(status: StatusCode, retry_after: Option<Duration>) -> Self {
        match status.as_u16() {
            _ if is_throttled(status, retry_after) => Self::Throttled { retry_after },
            503 if retry_after.is_some() => Self::Throttled { retry_after },
            // 499 and 520 to 524 are those of nginx and of Cloudflare for what is behind them.
            408 | 499 | 500 | 502 | 503 | 504 | 520..=524 => Self::Failure { retry_after },
            _ => Self::Settled,
        }
    }

    /// The class of a failed exchange.
    #[must_use]
    pub fn of_transport(error: &TransportError) -> Self {
        match error {
            TransportError::Connect { .. } | TransportError::NoDescriptors { .. } => {
                Self::NoConnection
            }
            error if error.is_transient_of_proxy() => Self::NoConnection,
            TransportError::NotProcessed { .. } => Self::NotProcessed,
            TransportError::Malformed { .. } => Self::Malformed,
            TransportError::NoResponse { .. }
            | TransportError::NoResponseToContent { .. }
            | TransportError::Lost { .. }
            | TransportError::Truncated { .. }
            | TransportError::Silent { .. }
            | TransportError::TooSlow { .. }
            | TransportError::Stalled { .. }
            | TransportError::CameTooSlowly { .. }
            | TransportError::TakenTooSlowly { .. } => Self::Broken,
            _ => Self::Settled,
        }
    }
}

/// Whether a response means too many requests, as far as its headers show: 429, or 403 that says how long to wait
/// (RFC 6585 §4; GitHub's secondary rate limits).
#[must_use]
pub fn is_throttled(status: StatusCode, retry_after: Option<Duration>) -> bool {
    let says_when = status == StatusCode::FORBIDDEN && retry_after.is_some();
    status == StatusCode::TOO_MANY_REQUESTS || says_when
}
