//! How long a host asked to wait, for people who watch: nothing is decided by it.
//!
//! Not here: the time until which nothing is sent (`pace`), and the wait of one request (`retry`).

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

/// A host that asked to wait, by `Retry-After`, and the time that is left. Displayed as
/// `registry.example limits the rate (429); waiting 300 s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostWait {
    /// The host, as URLs name it.
    pub host: String,
    /// The status of the response.
    pub status: StatusCode,
    /// How long the wait goes on.
    pub remaining: Duration,
}

impl fmt::Display for HostWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, status, remaining } = self;
        let what = match *status {
            StatusCode::SERVICE_UNAVAILABLE => "is unavailable",
            _ => "limits the rate",
        };
        let seconds = remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0);
        write!(f, "{host} {what} ({}); waiting {seconds} s", status.as_u16())
    }
}

/// The longest wait that one host asked for.
#[derive(Debug, Default)]
pub(super) struct Wait(Mutex<Option<(StatusCode, Instant)>>);

impl Wait {
    /// The host asked to wait so long from `now` on. Whether it did not do so already.
    pub(super) fn begin(&self, status: StatusCode, wait: Duration, now: Instant) -> bool {
        let (mut latest, until) = (self.latest(), now + wait);
        let is_new = latest.is_none_or(|(_, latest)| latest <= now);
        if latest.is_none_or(|(_, latest)| latest < until) {
            *latest = Some((status, until));
        }
        is_new
    }

    /// What is left of it.
    pub(super) fn remaining(&self, host: &str, now: Instant) -> Option<HostWait> {
        let (status, until) = (*self.latest()).filter(|(_, until)| *until > now)?;
        Some(HostWait { host: host.to_owned(), status, remaining: until.duration_since(now) })
    }

    fn latest(&self) -> MutexGuard<'_, Option<(StatusCode, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
