//! The waits that hosts demanded, for display only.
//!
//! Not here: the time until which nothing is sent (`pace`), and the wait of one request (`retry`).

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

/// A host that sent `Retry-After`, and the remaining time. Displayed as
/// `registry.example limits the rate (429); waiting 300 s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostWait {
    /// The host, as URLs name it.
    pub host: String,
    /// The status of the response.
    pub status: StatusCode,
    /// The remaining wait.
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

/// The longest wait that one host demanded.
#[derive(Debug, Default)]
pub(super) struct Wait(Mutex<Option<(StatusCode, Instant)>>);

impl Wait {
    /// Notes a wait from `now` on. Whether it is a new one.
    pub(super) fn begin(&self, status: StatusCode, wait: Duration, now: Instant) -> bool {
        let (mut latest, until) = (self.latest(), now + wait);
        let is_new = latest.is_none_or(|(_, latest)| latest <= now);
        if latest.is_none_or(|(_, latest)| latest < until) {
            *latest = Some((status, until));
        }
        is_new
    }

    /// The remaining wait.
    pub(super) fn remaining(&self, host: &str, now: Instant) -> Option<HostWait> {
        let (status, until) = (*self.latest()).filter(|(_, until)| *until > now)?;
        Some(HostWait { host: host.to_owned(), status, remaining: until.duration_since(now) })
    }

    fn latest(&self) -> MutexGuard<'_, Option<(StatusCode, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
