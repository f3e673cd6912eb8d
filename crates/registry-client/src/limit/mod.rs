//! The limits of each host: requests at once, requests a second, bytes a second; and counts of what was sent and
//! received.
//!
//! Not here: sending; whether one request is retried (crate `http-client`).
//!
//! Source: "Rate limits" of `docs/internals/registry-client.md`; RFC 6585 §4 (429).

mod adaptive;
mod bytes;
mod interval;
mod lowered;
mod pace;
mod pause;
pub(crate) mod permit;
mod rate_limiter;
mod rate_signal;
mod semaphore;
mod trial;
mod turns;
mod usage;
mod wait;

#[cfg(test)]
mod storm;

use std::time::Duration;

use http::Method;
use oci::Host;

pub(crate) use self::{
    rate_limiter::RateLimiter, rate_signal::RateSignal, semaphore::Permit, usage::Direction,
};
pub use self::{usage::Usage, wait::HostWait};

/// Requests at once: more only queue up in the server.
const REQUESTS_AT_ONCE: usize = 64;
/// Requests a second at Google's registries: Artifact Registry allows 5,000 a minute, which is how
/// Kubernetes caps it.
const GOOGLE_REQUESTS_A_SECOND: f64 = 80.0;
/// The lowest rate that can be set, one an hour: zero would be a wait without end.
const SLOWEST: f64 = 1.0 / 3600.0;
/// The longest wait that a rate leads to, a day: it keeps every sum of times in its type.
const LONGEST_WAIT: f64 = 86_400.0;
/// The part of a second whose requests or bytes may come in one go: timers are no finer than a
/// millisecond, and a pause of ours should not be lost.
const BURST: f64 = 0.1;

/// What a request does to a registry, as far as registries limit it separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// GET and HEAD.
    Read,
    /// All others.
    Write,
}

impl RequestKind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// The kind of a method.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        if matches!(*method, Method::GET | Method::HEAD) { Self::Read } else { Self::Write }
    }

    /// Its position in an array.
    const fn index(self) -> usize {
        match self {
            Self::Read => 0,
            Self::Write => 1,
        }
    }
}

/// The limits of one host. Rates below one request an hour count as that.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Requests a second, of both kinds. Default: no limit.
    pub requests_per_second: Option<f64>,
    /// Reads (GET, HEAD) a second. Default: no limit.
    pub reads_per_second: Option<f64>,
    /// Writes (all others) a second. Default: no limit.
    pub writes_per_second: Option<f64>,
    /// Requests that are under way at once; at least one. Default: 64.
    pub requests_at_once: usize,
    /// Bytes of content a second, both ways together. Default: no limit.
    pub bytes_per_second: Option<u64>,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            requests_per_second: None,
            reads_per_second: None,
            writes_per_second: None,
            requests_at_once: REQUESTS_AT_ONCE,
            bytes_per_second: None,
        }
    }
}

impl Quota {
    /// The quota of a host that was given none: 80 requests a second at Google's registries
    /// ([`credentials::is_google`]), the default elsewhere.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let requests_per_second = credentials::is_google(host).then_some(GOOGLE_REQUESTS_A_SECOND);
        Self { requests_per_second, ..Self::default() }
    }

    fn of_kind(&self, kind: RequestKind) -> Option<f64> {
        match kind {
            RequestKind::Read => self.reads_per_second,
            RequestKind::Write => self.writes_per_second,
        }
    }
}

/// A rate that can be reckoned with. What is not a number is none.
fn usable(rate: Option<f64>) -> Option<f64> {
    rate.filter(|rate| rate.is_finite()).map(|rate| rate.max(SLOWEST))
}

/// So many seconds, but no longer than a day.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number.min(LONGEST_WAIT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_and_head_read_and_all_others_write() {
        for (method, kind) in [
            (Method::GET, RequestKind::Read),
            (Method::HEAD, RequestKind::Read),
            (Method::PUT, RequestKind::Write),
            (Method::POST, RequestKind::Write),
            (Method::PATCH, RequestKind::Write),
            (Method::DELETE, RequestKind::Write),
        ] {
            assert_eq!(RequestKind::of(&method), kind, "{method}");
        }
    }

    #[test]
    fn googles_registries_have_a_rate() {
        let none = None;
        for (host, rate) in [
            ("gcr.io", Some(80.0)),
            ("eu.gcr.io", Some(80.0)),
            ("us-docker.pkg.dev:443", Some(80.0)),
            ("docker.pkg.dev", Some(80.0)),
            ("notgcr.io", none),
            ("gcr.io.example", none),
            ("registry.example", none),
        ] {
            let quota = Quota::of(&host.parse().expect(host));
            assert_eq!(quota, Quota { requests_per_second: rate, ..Quota::default() }, "{host}");
        }
    }

    #[test]
    fn no_rate_makes_a_wait_without_end() {
        for (rate, used) in [
            (None, None),
            (Some(f64::NAN), None),
            (Some(f64::INFINITY), None),
            (Some(-1.0), Some(SLOWEST)),
            (Some(0.0), Some(SLOWEST)),
            (Some(0.5), Some(0.5)),
        ] {
            assert_eq!(usable(rate), used, "{rate:?}");
        }
        for (number, wait) in [(1.5, 1.5), (f64::INFINITY, 86_400.0), (-1.0, 0.0)] {
            assert_eq!(seconds(number), Duration::from_secs_f64(wait));
        }
    }
}
