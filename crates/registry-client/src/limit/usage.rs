//! Counts of what was sent to a host and received from it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::RequestKind;

/// Requests and bytes at one host since the client was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The host, as URLs name it.
    pub host: String,
    /// Requests that read (GET, HEAD); a retry counts again.
    pub reads: u64,
    /// All other requests; a retry counts again.
    pub writes: u64,
    /// Bytes of bodies received.
    pub bytes_received: u64,
    /// Bytes of bodies sent.
    pub bytes_sent: u64,
    /// Retries.
    pub retries: u64,
    /// Responses that said that there were too many requests: 429, 403 with `Retry-After`, or the code `TOOMANYREQUESTS`.
    pub throttled: u64,
}

/// Which way bytes move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the host.
    Received,
    /// To the host.
    Sent,
}

/// The counters behind [`Usage`]. They are independent, so relaxed ordering is enough.
#[derive(Debug, Default)]
pub(super) struct UsageCounters {
    requests: [AtomicU64; 2],
    received: AtomicU64,
    sent: AtomicU64,
    retries: AtomicU64,
    throttled: AtomicU64,
}

impl UsageCounters {
    pub(super) fn sent_request(&self, kind: RequestKind) {
        self.requests[kind.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn moved(&self, direction: Direction, bytes: u64) {
        let counter = match direction {
            Direction::Received => &self.received,
            Direction::Sent => &self.sent,
        };
        counter.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// Their present values.
    pub(super) fn read(&self, host: &str) -> Usage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [reads, writes] = &self.requests;
        Usage {
            host: host.to_owned(),
            reads: read(reads),
            writes: read(writes),
            bytes_received: read(&self.received),
            bytes_sent: read(&self.sent),
            retries: read(&self.retries),
            throttled: read(&self.throttled),
        }
    }
}
