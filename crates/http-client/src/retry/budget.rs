//! The retries that are left for a host: each request adds a share of one. It is shared by all requests to the host.
//!
//! Not here: whether a request may be sent again at all (the parent module).

use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests pay for one retry: so an outage adds a fifth to the load, and a host that fails one
/// request in ten at random is not given up.
const REQUESTS_FOR_A_RETRY: u64 = 5;
/// Retries at the beginning, before any request: one bad second of a small run.
const FIRST_RETRIES: u64 = 20;
/// The most that is saved up: each of the 64 that are under way may use its seven once. Otherwise a
/// long good time would allow a storm after it.
const MOST_RETRIES: u64 = 64 * 7;

/// The retries that are left for a host, in shares of a retry.
#[derive(Debug)]
pub struct RetryBudget(AtomicU64);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU64::new(FIRST_RETRIES * REQUESTS_FOR_A_RETRY))
    }
}

impl RetryBudget {
    /// Counts a request, which is not a retry.
    pub fn count_request(&self) {
        self.change(|shares| (shares < MOST_RETRIES * REQUESTS_FOR_A_RETRY).then_some(shares + 1));
    }

    /// Whether a request may be retried; if so, it takes a retry from the budget.
    pub fn may_retry(&self) -> bool {
        self.change(|shares| shares.checked_sub(REQUESTS_FOR_A_RETRY))
    }

    /// The same for a retry by another request, which is counted as one by itself: so that it pays for nothing.
    pub fn may_confirm(&self) -> bool {
        self.change(|shares| shares.checked_sub(REQUESTS_FOR_A_RETRY + 1))
    }

    /// Whether there was a change. The number is independent of others, so relaxed ordering is enough.
    fn change(&self, change: impl FnMut(u64) -> Option<u64>) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}
