//! What a response means for the rate of its host.

use std::time::Duration;

/// What a host said to a request, as far as its rate depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateSignal {
    /// Anything but that.
    Accepted,
    /// Too many requests: 429, 403 with `Retry-After`, or the code `TOOMANYREQUESTS`.
    Throttled {
        /// How long the host wants no requests, if it says so.
        retry_after: Option<Duration>,
    },
}
