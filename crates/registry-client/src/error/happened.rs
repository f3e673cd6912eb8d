//! What became of a request, as far as sending it again depends on it.

use std::time::Duration;

use http::StatusCode;

use crate::{
    Fault,
    reasons::{is_throttled, tells_throttled},
};

/// What became of a request, as far as asking again depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The host says that it cannot take the request now, and perhaps for how long: 429, the code
    /// `TOOMANYREQUESTS`, or 403 or 503 with `Retry-After`.
    PushBack {
        /// How long, if it says so.
        retry_after: Option<Duration>,
    },
    /// An answer that may be another one a little later.
    Failure {
        /// How much later, if it says so.
        retry_after: Option<Duration>,
    },
    /// There was no connection, so nothing was done.
    NoConnection,
    /// The server has certainly not processed it, and says so.
    NotProcessed,
    /// It was sent, and the answer did not come, or not all of it: it may have been done.
    Broken,
    /// Anything else: it is what it is.
    Settled,
}

impl Happened {
    /// What an answer is that was no success.
    pub(crate) fn of_answer(status: StatusCode, retry_after: Option<Duration>) -> Self {
        match status.as_u16() {
            _ if is_throttled(status, retry_after) => Self::PushBack { retry_after },
            503 if retry_after.is_some() => Self::PushBack { retry_after },
            // 499 and 520 to 524 are those of nginx and of Cloudflare for what is behind them.
            408 | 499 | 500 | 502 | 503 | 504 | 520..=524 => Self::Failure { retry_after },
            _ => Self::Settled,
        }
    }

    /// What a fault is.
    pub(crate) fn of_fault(fault: &Fault) -> Self {
        match fault {
            Fault::Status { status, retry_after, body, .. } if tells_throttled(*status, body) => {
                Self::PushBack { retry_after: *retry_after }
            }
            Fault::Status { status, retry_after, .. } => Self::of_answer(*status, *retry_after),
            Fault::Connect { .. } | Fault::NoDescriptors { .. } => Self::NoConnection,
            Fault::NotProcessed { .. } => Self::NotProcessed,
            Fault::NoAnswer { .. }
            | Fault::Lost { .. }
            | Fault::Truncated { .. }
            | Fault::Silent { .. }
            | Fault::TooSlow { .. }
            | Fault::Stalled { .. }
            | Fault::CameTooSlowly { .. }
            | Fault::TakenTooSlowly { .. } => Self::Broken,
            _ => Self::Settled,
        }
    }
}
